"""One column of Table 8 on one sample, as the estimator finds it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crosssell.errors import ConvergenceWarning
from crosssell.nested_logit import NestedLogitModel
from synthetic.part2.encounters import Table
from synthetic.part2.names import COLUMNS, DISTANCE, PURCHASE, TERMS
from synthetic.part2.population import Design, marginal_probability, regressors
from synthetic.published import Printed

Array = NDArray[np.float64]

NODES = 15  # over which customers' intercepts are averaged


@dataclass(frozen=True)
class Column:
    """One column of Table 8 on one sample.

    Attributes
    ----------
    rows : ndarray of bool, shape (n,)
        Encounters the column is estimated on.
    centre : dict of str to float
        Their means, which centre the regressors.
    target : ndarray, shape (10,)
        Printed coefficients.
    half_width : ndarray, shape (10,)
        Half of their last printed digit.
    band : ndarray, shape (2, 10)
        Logs of the t values between which they are as significant as printed.
    estimate : ndarray, shape (10,)
        Coefficients.
    spreads : ndarray, shape (2,)
        Standard deviations of the dyads' and customers' intercepts.
    covariance : ndarray, shape (12, 12)
        Of all estimates; zero for a standard deviation that is estimated zero.
    dyad_effect : ndarray, shape (dyads,)
        Posterior means of the dyads' intercepts, in logits; zero for those outside the sample.
    """

    rows: NDArray[np.bool_]
    centre: Mapping[str, float]
    target: Array
    half_width: Array
    band: Array
    estimate: Array
    spreads: Array
    covariance: Array
    dyad_effect: Array

    @property
    def standard_error(self) -> Array:
        """Of the coefficients, shape (10,), in their units."""
        return np.sqrt(np.diag(self.covariance))[: len(TERMS)]

    @property
    def conditional_error(self) -> Array:
        """Of the coefficients if the standard deviations were known, shape (10,)."""
        n = len(TERMS)
        shared = self.covariance[:n, n:]
        taken = shared @ np.linalg.pinv(self.covariance[n:, n:]) @ shared.T
        return np.sqrt(np.diag(self.covariance[:n, :n] - taken))


def look(table: Table, plan: Design, column: str, start: Array | None = None) -> Column:
    """Column as the estimator finds it.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    plan : Design
    column : {"hypothesized", "excluded_country"}
    start : ndarray, shape (12,), optional
        Coefficients and standard deviations of a similar table; without them the fit knows nothing
        of what is aimed at.

    Returns
    -------
    Column

    Raises
    ------
    ConvergenceError, SeparationError
        See `crosssell.nested_logit.NestedLogitModel.fit`.
    """
    rows = plan.rows_of(column)[table["cell"]]
    chosen = {name: table[name][rows].astype(float) for name in (*COLUMNS, DISTANCE)}
    centre = {name: float(values.mean()) for name, values in chosen.items()}
    X = regressors(chosen, centre)
    model = NestedLogitModel(
        pd.Series(table[PURCHASE][rows], name=PURCHASE),
        pd.DataFrame(X.T, columns=list(TERMS)),
        pd.DataFrame({"dyad": table["dyad"][rows], "customer": table["customer"][rows]}),
    )
    with warnings.catch_warnings():
        # a standard deviation may be zero on the way; the estimation of the firm's data says it
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = model.fit(start_params=start)
    spreads = fit.params.loc["sd"].to_numpy()
    # a normal effect's posterior mean is its variance times the sum of posterior residuals
    residual = model.score_obs(fit.params)["outcome", "intercept"]
    sums = np.bincount(table["dyad"][rows], residual, len(plan.dyad_share))
    printed = [plan.published[f"t8.{column}.{term}.estimate"] for term in TERMS]
    return Column(
        rows=rows,
        centre=centre,
        target=np.array([number.value for number in printed]),
        half_width=np.array([number.half_width for number in printed]),
        band=_band(plan, printed),
        estimate=fit.params.loc["outcome"].to_numpy(),
        spreads=spreads,
        covariance=fit.cov_params().fillna(0.0).to_numpy(),
        dyad_effect=spreads[0] ** 2 * sums,
    )


def purchase_probability(
    rows: Mapping[str, Array], column: Column, effect: Array | float = 0.0
) -> Array:
    """Purchase probability of encounters by a column's estimates, customers' intercepts averaged.

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
        The five variables and cultural distance.
    column : Column
    effect : ndarray, shape (n,), or float
        The dyads' intercepts, in logits.

    Returns
    -------
    ndarray, shape (n,)
    """
    values = {name: rows[name].astype(float) for name in (*COLUMNS, DISTANCE)}
    index = column.estimate @ regressors(values, column.centre) + effect
    return marginal_probability(index, column.spreads[1], NODES)


def _band(plan: Design, printed: Sequence[Printed]) -> Array:
    """Least and largest log of a t value that is aimed at, shape (2, coefficients)."""
    with np.errstate(divide="ignore"):
        return np.log(np.array([plan.t_limits(number) for number in printed]).T)
