"""What estimates say about customers: Table 4, predictions by segment, conditional effects.

Everything takes coefficients by term (``a`` or the product ``a:b``) and values by variable, so that
the same functions serve estimates, printed coefficients and a generator's targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from crosssell.design import regressors
from crosssell.estimation import INTERCEPT
from crosssell.results import coefficients
from crosssell.twostep import mills

_RISK, _FUNCTIONALITY = "risk_aversion", "product_functionality"

#: Rows of Table 4: the levels that each segment of customers is set to.
SEGMENTS: dict[str, dict[str, int]] = {
    **{f"a.{level}": {_RISK: level} for level in range(6)},
    **{f"b.{level}": {_FUNCTIONALITY: level} for level in range(1, 5)},
    **{
        f"c.ra{risk}_pf{functionality}": {_RISK: risk, _FUNCTIONALITY: functionality}
        for risk, functionality in ((0, 1), (1, 1), (2, 2), (3, 3), (4, 4), (5, 4))
    },
}

#: Table 4's steps leave this insignificant term out: panel A moves by 44.6 a step, not by 48.4.
LEFT_OUT = ("risk_aversion:agent_resolution_ability",)

#: Revenue of one segment less that of another, as the discussion compares them.
DIFFERENCES = {
    "ra1_ra0": ("a.1", "a.0"),
    "ra4_ra1": ("a.4", "a.1"),
    "pf1_pf2": ("b.1", "b.2"),
    "ra5pf4_ra0pf1": ("c.ra5_pf4", "c.ra0_pf1"),
    "ra5_ra0": ("a.5", "a.0"),
    "pf1_pf4": ("b.1", "b.4"),
}
#: The same for whole segments: customers times revenue, summed over the segments of either side.
TOTAL_DIFFERENCES = {
    "total_ra1_ra0": (("a.1",), ("a.0",)),
    "total_ra4_ra1": (("a.4",), ("a.1",)),
    "total_pf12_pf34": (("b.1", "b.2"), ("b.3", "b.4")),
}


# ------------------------------------------------------------------------------ linear predictors


def linear_predictor(
    slopes: Mapping[str, float], at: Mapping[str, float], without: Sequence[str] = ()
) -> float:
    """Value of a model with products at given values of its variables.

    Parameters
    ----------
    slopes : mapping of str to float
        Coefficients by term, ``intercept`` included if the model has one.
    at : mapping of str to float
        Value of each variable.
    without : sequence of str
        Terms to leave out.
    """
    return sum(
        slope * (1.0 if term == INTERCEPT else float(np.prod([at[v] for v in term.split(":")])))
        for term, slope in slopes.items()
        if term not in without
    )


def unit_change(
    slopes: Mapping[str, float],
    variable: str,
    at: Mapping[str, float],
    without: Sequence[str] = (),
) -> float:
    """Effect of one more unit of a variable, the variables it interacts with held at values."""
    return linear_predictor(slopes, {**at, variable: 1.0}, without) - linear_predictor(
        slopes, {**at, variable: 0.0}, without
    )


def printed_revenues(
    slopes: Mapping[str, float], means: Mapping[str, float], correction: float = 0.0
) -> dict[str, float]:
    """Table 4's revenues by the arithmetic that its printed values follow.

    The outcome equation is evaluated at buyers' means (Table 2) with interactions uncentred and
    without `LEFT_OUT`: a step is 15.268 + 17.719 x 1.887 - 7.085 x .576 = 44.6 dollars in panel A
    and -53.792 + 17.719 x 2.500 - .485 x 74.778 + 35.480 x .576 = -25.3 in panel B. Panel A's first
    step (29) is the one at functionality 1, as in panel C.

    Parameters
    ----------
    slopes : mapping of str to float
        Outcome coefficients by term.
    means : mapping of str to float
        Buyers' means by variable.
    correction : float
        Selection correction added to every row: lambda's coefficient times one value of lambda.
        The printed steps are constant although acceptance runs from 0 to 57%, so that lambda was
        held fixed. At which value is not printed; `average_correction` is this package's choice.

    Returns
    -------
    dict of str to float
        Dollars by segment (keys of `SEGMENTS`).
    """
    rows = {
        key: linear_predictor(slopes, {**means, **levels}, LEFT_OUT) + correction
        for key, levels in SEGMENTS.items()
    }
    first_step = unit_change(slopes, _RISK, {**means, _FUNCTIONALITY: 1.0}, LEFT_OUT)
    rows["a.0"] = rows["a.1"] - first_step
    return rows


def printed_acceptances(
    slopes: Mapping[str, float], means: Mapping[str, float]
) -> dict[str, float]:
    """Table 4's acceptance rates: the probit at all customers' means, by segment.

    At buyers' means, where the revenues are evaluated, the rates would rise far above those printed
    (to more than nine in ten at the highest risk aversion).

    Parameters
    ----------
    slopes : mapping of str to float
        Selection coefficients by term.
    means : mapping of str to float
        All customers' means by variable.
    """
    index = {key: linear_predictor(slopes, {**means, **at}) for key, at in SEGMENTS.items()}
    return {key: float(special.ndtr(value)) for key, value in index.items()}


def average_correction(coefficient: float, acceptance: float) -> float:
    """Selection correction of a customer whose acceptance probability is the overall rate."""
    return coefficient * float(mills(np.array(special.ndtri(acceptance))))


def dollar_differences(
    revenues: Mapping[str, float], shares: Mapping[str, float], customers: int
) -> dict[str, float]:
    """Differences between segments that the discussion reports, per customer and in total.

    Parameters
    ----------
    revenues, shares : mapping of str to float
        Dollars and proportion of customers by segment.
    customers : int
        Number of customers in all.
    """
    total = lambda keys: customers * sum(shares[key] * revenues[key] for key in keys)
    each = {name: revenues[more] - revenues[less] for name, (more, less) in DIFFERENCES.items()}
    return each | {
        name: total(more) - total(less) for name, (more, less) in TOTAL_DIFFERENCES.items()
    }


# ---------------------------------------------------------------------------------- delta method


def delta_method(
    equation: str,
    function: Callable[[np.ndarray], np.ndarray],
    params: np.ndarray,
    covariance: np.ndarray,
    terms: Sequence[str],
) -> pd.DataFrame:
    """Rows of a smooth function of estimates with first-order standard errors.

    Parameters
    ----------
    equation : str
    function : callable
        From parameters (k,) to values (m,).
    params : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
    terms : sequence of str, shape (m,)

    Returns
    -------
    DataFrame, shape (m, 8)
    """
    from statsmodels.tools.numdiff import approx_fprime

    slope = np.atleast_2d(approx_fprime(params, function, centered=True))
    error = np.sqrt(np.einsum("ij,jk,ik->i", slope, covariance, slope))
    return coefficients(equation, function(params), error, terms)


@dataclass(frozen=True)
class SelectionModel:
    """A two-step selection model's terms and estimates.

    Attributes
    ----------
    selection_terms, outcome_terms : sequence of str
        Terms without the constant, which both equations have last.
    params : ndarray, shape (kz + kx + 1,)
        Selection coefficients, outcome coefficients, lambda's coefficient.
    covariance : ndarray, shape (kz + kx + 1, kz + kx + 1)
    """

    selection_terms: Sequence[str]
    outcome_terms: Sequence[str]
    params: np.ndarray
    covariance: np.ndarray

    def segments(self, customers: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
        """Function from parameters to every segment's prediction.

        Parameters
        ----------
        customers : DataFrame, shape (n, ...)
            Customers to average over; each segment sets all of them to its levels. A single row of
            means gives predictions at means.

        Returns
        -------
        callable
            Its values (3 m,) are, segment by segment, acceptance (probability), revenue (mean given
            acceptance, in dollars) and expected (their product: revenue per customer pitched).
        """
        designs = []
        for levels in SEGMENTS.values():
            rows = customers.assign(**levels)
            designs.append(
                (
                    regressors(rows, self.selection_terms).to_numpy(),
                    regressors(rows, self.outcome_terms).to_numpy(),
                )
            )
        kz = len(self.selection_terms) + 1

        def predict(params: np.ndarray) -> np.ndarray:
            gamma, beta, coefficient = params[:kz], params[kz:-1], params[-1]
            found = []
            for Z, X in designs:
                index = Z @ gamma
                probability = special.ndtr(index)
                revenue = X @ beta + coefficient * mills(index)
                found += [probability.mean(), revenue.mean(), (probability * revenue).mean()]
            return np.array(found)

        return predict


def segment_terms() -> list[str]:
    """Names of the values that `SelectionModel.segments` predicts, ``a.0.acceptance`` and so on."""
    return [f"{key}.{what}" for key in SEGMENTS for what in ("acceptance", "revenue", "expected")]


def segment_shares(customers: pd.DataFrame) -> dict[str, float]:
    """Proportion of customers in each segment."""
    return {
        key: float((customers[list(levels)] == pd.Series(levels)).all(axis=1).mean())
        for key, levels in SEGMENTS.items()
    }


# ----------------------------------------------------------------------------- conditional effects


def effect_weights(
    terms: Sequence[str], variable: str, at: Mapping[str, float | np.ndarray]
) -> np.ndarray:
    """Weights that make a variable's conditional effect of coefficients.

    Parameters
    ----------
    terms : sequence of str, shape (k,)
        Terms of the model in the order of its coefficients.
    variable : str
    at : mapping of str to float or ndarray, shape (m,)
        Values of the variables it interacts with.

    Returns
    -------
    ndarray, shape (m, k)
    """
    columns = []
    for term in terms:
        factors = term.split(":")
        held = [at[name] for name in factors if name != variable] if variable in factors else [0.0]
        columns.append(np.prod(held, axis=0))
    return np.stack(np.broadcast_arrays(*map(np.atleast_1d, columns)), axis=1)


def conditional_effects(
    equation: str,
    params: pd.Series,
    covariance: pd.DataFrame,
    variable: str,
    moderator: str,
    grid: np.ndarray,
    at: Mapping[str, float],
) -> pd.DataFrame:
    """Effect of a variable along a moderator, other variables held at values.

    Parameters
    ----------
    equation : str
    params : Series, shape (k,)
        Coefficients by term.
    covariance : DataFrame, shape (k, k)
    variable, moderator : str
    grid : ndarray, shape (m,)
        Values of the moderator, in the units in which the model was estimated.
    at : mapping of str to float

    Returns
    -------
    DataFrame, shape (m, 8)
        Terms are the grid's positions.
    """
    weights = effect_weights(params.index, variable, {**at, moderator: grid})
    values = weights @ params.to_numpy()
    error = np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance.to_numpy(), weights))
    return coefficients(equation, values, error, range(len(grid)))


@dataclass(frozen=True)
class Region:
    """Where along a moderator an effect is significant.

    Attributes
    ----------
    low, high : float
        Boundaries; nan where the effect is significant everywhere or nowhere.
    inside : bool
        Whether the significant values lie between the boundaries (otherwise outside them); without
        boundaries, whether all are significant.
    """

    low: float
    high: float
    inside: bool

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Whether the effect is significant at each value (m,)."""
        if np.isnan(self.low):
            return np.full(np.shape(values), self.inside)
        between = (values >= self.low) & (values <= self.high)
        return between if self.inside else ~between


def johnson_neyman(
    effect: float,
    slope: float,
    variance: float,
    slope_variance: float,
    covariance: float,
    level: float = 0.95,
) -> Region:
    """Region of significance of the effect ``effect + slope * m`` along a moderator m.

    The boundaries solve (effect + slope m)^2 = z^2 Var(effect + slope m), a quadratic in m.

    Parameters
    ----------
    effect, slope : float
        Effect at moderator zero and its change per unit of the moderator.
    variance, slope_variance, covariance : float
        Of `effect` and `slope`.
    level : float

    References
    ----------
    Bauer, D. J. and Curran, P. J. (2005). Probing interactions in fixed and multilevel regression.
    Multivariate Behavioral Research 40, 373-400.
    """
    z2 = special.chdtri(1, 1 - level)
    a = slope**2 - z2 * slope_variance
    b = 2 * (effect * slope - z2 * covariance)
    c = effect**2 - z2 * variance
    discriminant = b**2 - 4 * a * c
    if discriminant < 0:
        return Region(np.nan, np.nan, bool(a > 0))
    low, high = sorted(np.array([-b - np.sqrt(discriminant), -b + np.sqrt(discriminant)]) / (2 * a))
    return Region(float(low), float(high), bool(a < 0))
