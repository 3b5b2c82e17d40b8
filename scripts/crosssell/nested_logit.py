r"""Random-intercept logit for rows nested in inner groups nested in outer groups.

.. math:: P(y_{ijk} = 1) = \Lambda(x_{ijk}'\beta + \sigma_1 u_{jk} + \sigma_2 v_k), \quad
          u, v \sim N(0, 1)

for encounter i of customer j in country k. The likelihood is integrated by Gauss-Hermite quadrature
nested as the data are: given the outer effect, inner groups are independent, so the integral over
all effects is a product of two-dimensional ones whatever the number of groups.

`method="laplace"` and `method="pql"` are what the software of the era offered, for comparison.

References
----------
Rabe-Hesketh, S., Skrondal, A., Pickles, A. (2005), Maximum likelihood estimation of limited and
discrete dependent variable models with nested random effects, Journal of Econometrics 128.
Jin, S., Andersson, B. (2020), A note on the accuracy of adaptive Gauss-Hermite quadrature,
Biometrika 107.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg, special

from crosssell import _nested_kernels as kernels
from crosssell._nested_likelihood import (
    LaplaceRunawayWarning,
    Layout,
    Likelihood,
    Point,
    fit_laplace,
    fit_pql,
    fit_quadrature,
    groups_frame,
    hermite,
    orthonormaliser,
    sort_rows,
)
from crosssell.errors import (
    ConvergenceWarning,
    DataError,
    NotAvailableError,
    SpecificationError,
)
from crosssell.estimation import (
    Estimates,
    Summary,
    as_frame,
    check_binary,
    check_finite,
    formula_frames,
    formula_rows,
    likelihood_ratio,
)

__all__ = ["LaplaceRunawayWarning", "MixtureTest", "NestedLogitModel", "NestedLogitResults"]

METHODS = ("quadrature", "laplace", "pql")
#: Below this standard deviation (in logits) zero is tried, and kept if the likelihood is as high.
BOUNDARY = 1e-2


# ------------------------------------------------------------------------------------- model


class NestedLogitModel:
    """Logit with normal random intercepts for one level of groups, or two nested ones.

    Parameters
    ----------
    endog : Series or array_like, shape (n,)
        Binary outcome, 0 or 1.
    exog : DataFrame or array_like, shape (n, p)
        Regressors, the constant included.
    groups : DataFrame, Series or array_like
        One column of labels per level, outer level first. A label of the inner level counts within
        its outer group: customer 7 of France is not customer 7 of Germany.
    weights : array_like, shape (n,), optional
        How often each group of the level closest to the rows counts (the same in all its rows):
        the frequency weights of a bootstrap that draws customers.

    Raises
    ------
    DataError
        For missing or infinite values, an outcome that is not binary, columns without variation or
        collinear; the message names the column.

    Warns
    -----
    IdentificationWarning
        For a level whose variance the data cannot tell: it is left out.

    Examples
    --------
    >>> model = NestedLogitModel.from_formula(
    ...     "purchase ~ distance", groups=("dyad", "customer_id"), data=encounters
    ... )  # doctest: +SKIP
    >>> print(model.fit().summary())  # doctest: +SKIP
    """

    def __init__(
        self, endog: object, exog: object, groups: object, *, weights: object | None = None
    ) -> None:
        y = endog if isinstance(endog, pd.Series) else pd.Series(np.asarray(endog), name="y")
        frame = as_frame(exog, "x")
        if len(y) != len(frame):
            raise DataError(
                f"The outcome has {len(y)} rows and the regressors {len(frame)}.",
                "Take both from the same table.",
            )
        labels = groups_frame(groups, len(y))
        self._setup(y, frame, labels, sort_rows(labels), weights)

    def _setup(
        self,
        endog: pd.Series,
        exog: pd.DataFrame,
        groups: pd.DataFrame,
        layout: Layout,
        weights: object | None,
    ) -> None:
        check_finite(exog, "the regressors")
        factor = orthonormaliser(exog)
        y = check_binary(endog, "the outcome")
        self.outcome_name = str(endog.name)
        self.nobs = len(y)
        self._layout, self._spec = layout, None
        self._endog, self._exog, self._groups, self._weights = endog, exog, groups, weights
        # params of the orthonormalised regressors = factor @ params
        self._factor = factor
        ordered = exog.to_numpy()[layout.order]
        X = ordered @ linalg.solve_triangular(factor, np.eye(len(factor)))
        self._like = Likelihood(X, 2 * y[layout.order] - 1, self._group_weights(weights), layout)
        terms = {"outcome": [str(name) for name in exog], "sd": layout.estimated}
        self.param_index = Estimates.index(terms)
        p = X.shape[1]
        position = {layout.inner: p, layout.outer: p + 1}
        self._take = np.r_[np.arange(p), [position[name] for name in layout.estimated]].astype(int)

    def _group_weights(self, weights: object | None) -> np.ndarray:
        layout = self._layout
        if weights is None:
            return np.ones(layout.outer_of_group.size)
        by_row = np.asarray(weights, dtype=float)
        if by_row.shape != (self.nobs,) or not np.isfinite(by_row).all() or by_row.min() < 0:
            raise DataError(
                "Weights must be one finite number, zero or more, per row.", "Look at weights."
            )
        by_row = by_row[layout.order]
        by_group = np.empty(layout.outer_of_group.size)
        by_group[layout.group_of_row] = by_row
        if np.any(by_group[layout.group_of_row] != by_row):
            raise DataError(
                f"Weights differ within a {layout.inner}.",
                "Weights count whole groups of the level closest to the rows.",
            )
        return by_group

    def _labels(self, level: str) -> pd.Index:
        """Labels of a level's groups, in sorted order; those of the inner one with the outer's."""
        found = self._groups.iloc[self._layout.first_row[level]]
        if level == self._layout.names[0]:
            return pd.Index(found.iloc[:, 0])
        return pd.MultiIndex.from_frame(found)

    @classmethod
    def from_formula(
        cls,
        formula: str,
        groups: str | Sequence[str],
        data: pd.DataFrame,
        *,
        weights: object | None = None,
    ) -> NestedLogitModel:
        """Return the model of a formula.

        Parameters
        ----------
        formula : str
            ``purchase ~ x1 * x2``.
        groups : str or sequence of str
            Columns of `data`, outer level first.
        data : DataFrame, shape (n, ...)
        weights : array_like, shape (n,), optional

        Raises
        ------
        SpecificationError
            If the formula cannot be read or a column does not exist.
        """
        left, right, spec = formula_frames(formula, data)
        if left is None or left.shape[1] != 1:
            raise SpecificationError(
                f"The formula {formula!r} must have one outcome column on its left.",
                "For a text outcome compare it in the data: (column == 'yes').astype(int).",
            )
        names = [groups] if isinstance(groups, str) else list(groups)
        absent = [name for name in names if name not in data]
        if absent:
            raise SpecificationError(
                f"The data have no column {absent[0]!r} to group by.",
                f"Columns available: {', '.join(map(str, data.columns))}.",
            )
        model = cls(left.iloc[:, 0], right, data[names], weights=weights)
        model._spec = spec
        return model

    def with_data(
        self, endog: object | None = None, exog: object | None = None
    ) -> NestedLogitModel:
        """Return the model of other values for the same rows and groups, without sorting again."""
        model = object.__new__(type(self))
        y = self._endog if endog is None else pd.Series(np.asarray(endog), name=self.outcome_name)
        frame = self._exog if exog is None else as_frame(exog, "x")
        if len(y) != self.nobs or len(frame) != self.nobs:
            raise DataError("The rows must be those of the model.", "Make a new model.")
        model._setup(y, frame, self._groups, self._layout, self._weights)
        model._spec = self._spec
        return model

    # ------------------------------------------------------------ likelihood at given parameters

    def _theta(self, params: object) -> np.ndarray:
        """Return the internal parameter vector (p + 2,)."""
        if isinstance(params, pd.Series) and params.index.nlevels == 2:
            values = params.reindex(self.param_index).to_numpy(dtype=float)
        else:
            values = np.asarray(params, dtype=float)
        if values.shape != (len(self.param_index),) or not np.isfinite(values).all():
            raise SpecificationError(
                f"Parameters must be {len(self.param_index)} finite numbers.",
                "In order: " + ", ".join("/".join(pair) for pair in self.param_index) + ".",
            )
        p = self._like.p
        theta = np.zeros(p + 2)
        theta[self._take] = values
        theta[:p] = self._factor @ values[:p]
        return theta

    def _params(self, theta: np.ndarray) -> pd.Series:
        values = theta[self._take]
        values[: self._like.p] = linalg.solve_triangular(self._factor, theta[: self._like.p])
        return pd.Series(values, index=self.param_index)

    def _jacobian(self) -> np.ndarray:
        """Derivative of the internal parameters, in public order, by the public ones."""
        return linalg.block_diag(self._factor, np.eye(len(self._layout.estimated)))

    def loglike(self, params: object, nodes: int | tuple[int, int] | None = None) -> float:
        """Return the quadrature log-likelihood.

        Parameters
        ----------
        params : Series or array_like, shape (k,)
            In the order of ``param_index``: coefficients, then standard deviations, outer first.
        nodes : int or (int, int), optional
            Quadrature nodes per level (outer, inner); by default as many as accuracy needs.
        """
        theta = self._theta(params)
        return self._like.at(theta, _pair(nodes)).value

    def score(self, params: object, nodes: int | tuple[int, int] | None = None) -> pd.Series:
        """Return the gradient (k,) of :meth:`loglike`, exact by Fisher's identity."""
        theta = self._theta(params)
        score = self._like.at(theta, _pair(nodes), 1).score
        return pd.Series(self._jacobian().T @ score[self._take], index=self.param_index)

    def score_obs(self, params: object, nodes: int | tuple[int, int] | None = None) -> pd.DataFrame:
        """Return each row's part (n, k) of the score.

        For a coefficient it is the regressor times y less the posterior mean of P(y = 1). The parts
        of a group's rows depend on one another: sum them by outer group before taking products.
        """
        theta = self._theta(params)
        parts = self._like.scores_by_row(theta, self._like.nodes(theta, _pair(nodes)))
        back = np.empty_like(parts)
        back[:, self._layout.order] = parts
        layout = self._layout
        effects = [back[1 if name == layout.inner else 2] for name in layout.estimated]
        values = np.column_stack([self._exog.to_numpy() * back[0][:, None], *effects])
        return pd.DataFrame(values, index=self._exog.index, columns=self.param_index)

    def information(
        self, params: object, nodes: int | tuple[int, int] | None = None
    ) -> pd.DataFrame:
        """Return the observed information (k, k): minus the Hessian of :meth:`loglike`."""
        theta = self._theta(params)
        hessian = self._like.at(theta, _pair(nodes), 2).hessian
        jacobian = self._jacobian()
        values = -jacobian.T @ hessian[np.ix_(self._take, self._take)] @ jacobian
        return pd.DataFrame(values, index=self.param_index, columns=self.param_index)

    # ----------------------------------------------------------------------------------------- fit

    def fit(
        self,
        method: str = "quadrature",
        *,
        nodes: int | tuple[int, int] | None = None,
        start_params: object | None = None,
        max_iter: int = 100,
    ) -> NestedLogitResults:
        """Estimate the model.

        Parameters
        ----------
        method : {"quadrature", "laplace", "pql"}
            ``"quadrature"`` is maximum likelihood. ``"laplace"`` and ``"pql"`` (penalised
            quasi-likelihood) approximate it, badly with few rows per group and a rare outcome;
            log-likelihoods and criteria of different methods must not be compared.
        nodes : int or (int, int), optional
            Quadrature nodes per level (outer, inner); by default as few as keep the log-likelihood
            within 6e-7 of its limit.
        start_params : Series or array_like, shape (k,), optional
            Warm start, e.g. the ``params`` of a fit to similar data.
        max_iter : int

        Raises
        ------
        SeparationError
            If the outcome can be predicted perfectly.
        ConvergenceError
            If no maximum is found.

        Warns
        -----
        ConvergenceWarning
            If a variance is estimated zero, the boundary of the parameter space.
        LaplaceRunawayWarning
            If the Laplace approximation has a spurious second maximum.
        """
        if method not in METHODS:
            raise SpecificationError(
                f"No method is called {method!r}.", f"Choose one of {', '.join(METHODS)}."
            )
        if nodes is not None and method != "quadrature":
            raise SpecificationError(f"{method} has no nodes.", "Leave nodes out.")
        like, p = self._like, self._like.p
        if start_params is None:
            theta = like.start()
        else:
            # From exactly zero, where the score vanishes, a standard deviation would not move.
            theta = self._theta(start_params)
            theta[like.free[p:]] = np.maximum(np.abs(theta[like.free[p:]]), 0.05)
        free = like.free

        def maximise(theta: np.ndarray, free: np.ndarray) -> tuple[Point, int, dict[str, object]]:
            if method == "quadrature":
                return fit_quadrature(like, theta, free, _pair(nodes), max_iter)
            return {"laplace": fit_laplace, "pql": fit_pql}[method](like, theta, free, max_iter)

        point, iterations, details = maximise(theta, free)
        at_zero = [j for j in free[p:] if point.theta[j] < BOUNDARY]
        for j in at_zero:
            theta = point.theta.copy()
            theta[j] = 0.0
            other, more, other_details = maximise(theta, np.setdiff1d(free, [j]))
            if method == "pql" or other.value > point.value - 1e-6:
                point, details, free = other, other_details, np.setdiff1d(free, [j])
                iterations += more
        names = {p: self._layout.inner, p + 1: self._layout.outer}
        boundary = tuple(names[j] for j in np.setdiff1d(like.free, free))
        for name in boundary:
            warnings.warn(
                ConvergenceWarning(
                    f"The variance of {name} is estimated zero, the boundary of what is possible: "
                    "it has no standard error, and the others are those of the model without it."
                ),
                stacklevel=2,
            )
        return NestedLogitResults(self, method, point, free, boundary, iterations, details)


def _pair(nodes: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return node numbers as (outer, inner)."""
    if nodes is None:
        return None
    pair = (nodes, nodes) if isinstance(nodes, int | np.integer) else tuple(nodes)
    if len(pair) != 2 or min(pair) < 1:
        raise SpecificationError(f"nodes = {nodes!r} is not a number of nodes.", "Give e.g. 15.")
    return int(pair[0]), int(pair[1])


# ----------------------------------------------------------------------------------- results


class NestedLogitResults(Estimates):
    """Estimates of a nested logit.

    ``params`` has the coefficients under ``"outcome"`` and the standard deviations of the random
    intercepts under ``"sd"``. Standard errors come from the observed information, the analytic
    Hessian of the approximated log-likelihood (Louis's identity for quadrature).

    Attributes
    ----------
    model : NestedLogitModel
    method : str
    boundary : tuple of str
        Levels whose variance is estimated zero.
    iterations : int
    details : dict
        What the method tells about itself, e.g. nodes used and the estimated quadrature error.
    """

    def __init__(
        self,
        model: NestedLogitModel,
        method: str,
        point: Point,
        free: np.ndarray,
        boundary: tuple[str, ...],
        iterations: int,
        details: dict[str, object],
    ) -> None:
        full = np.full((point.theta.size, point.theta.size), np.nan)
        full[np.ix_(free, free)] = linalg.inv(-point.hessian[np.ix_(free, free)])
        inverse = linalg.inv(model._jacobian())
        used = full[np.ix_(model._take, model._take)]
        covariance = inverse @ np.nan_to_num(used) @ inverse.T
        covariance[np.isnan(used)] = np.nan
        super().__init__(model._params(point.theta), covariance)
        self.model, self.method, self.boundary = model, method, boundary
        self._llf = point.value
        self.iterations, self.details = iterations, details
        self.nobs = model.nobs
        self._theta = point.theta

    @property
    def converged(self) -> bool:
        """True: a fit that does not converge raises an error instead."""
        return True

    @cached_property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors (k,).

        Missing for standard deviations, whose null value is on the boundary: it has no z value.
        """
        return (self.params / self.bse).where(self._is_coefficient)

    @property
    def _is_coefficient(self) -> np.ndarray:
        return self.params.index.get_level_values("equation") == "outcome"

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence intervals (k, 2) of level ``1 - alpha``.

        Normal for coefficients and for the logarithms of standard deviations.
        """
        interval = super().conf_int(alpha)
        sd = ~self._is_coefficient
        reach = np.exp(
            -special.ndtri(alpha / 2) * (self.bse[sd] / self.params[sd].where(self.params[sd] > 0))
        )
        interval.loc[sd, "lower"] = self.params[sd] / reach
        interval.loc[sd, "upper"] = self.params[sd] * reach
        return interval

    @property
    def llf(self) -> float:
        """Log-likelihood, as the method approximates it.

        Raises
        ------
        NotAvailableError
            For penalised quasi-likelihood.
        """
        if self.method == "pql":
            raise NotAvailableError(
                "Penalised quasi-likelihood maximises no likelihood.", 'Fit by "quadrature".'
            )
        return self._llf

    @property
    def aic(self) -> float:
        """Akaike's criterion, counting every coefficient and standard deviation."""
        return -2 * self.llf + 2 * len(self.params)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the number of rows."""
        return -2 * self.llf + np.log(self.nobs) * len(self.params)

    @property
    def variance_components(self) -> pd.DataFrame:
        """Random intercepts: one row per level, outer first.

        Returns
        -------
        DataFrame
            Columns groups (their number), sd, sd_std_error, conf_low, conf_high (95%, normal for
            log sd), variance, variance_std_error (delta method), boundary (estimated zero).
        """
        names = list(self.model._layout.estimated)
        sd, error = self.params[["sd"]].to_numpy(), self.bse[["sd"]].to_numpy()
        interval = self.conf_int().loc[["sd"]]
        return pd.DataFrame(
            {
                "groups": [self.model._layout.first_row[name].size for name in names],
                "sd": sd,
                "sd_std_error": error,
                "conf_low": interval["lower"].to_numpy(),
                "conf_high": interval["upper"].to_numpy(),
                "variance": sd**2,
                "variance_std_error": 2 * sd * error,
                "boundary": [name in self.boundary for name in names],
            },
            index=pd.Index(names, name="level"),
        )

    def lr_test(self, restricted: object) -> MixtureTest:
        """Return the likelihood-ratio test of a restricted model.

        Parameters
        ----------
        restricted : NestedLogitResults or results with ``llf`` and ``params``
            A model nested in this one, fitted to the same rows: fewer regressors, fewer levels, or
            none (the ordinary logit of statsmodels).

        Returns
        -------
        MixtureTest
            A variance of zero lies on the boundary of the parameter space, so that for r dropped
            levels the null distribution is a mixture of chi-squares with binomial(r, 1/2) weights
            (Self and Liang 1987, exact for r = 1; for r = 2 it takes the two estimates as
            independent).

        Raises
        ------
        SpecificationError
            If the models were fitted by different methods or cannot be nested.
        """
        method = getattr(restricted, "method", self.method)
        if isinstance(restricted, NestedLogitResults) and method != self.method:
            raise SpecificationError(
                f"The log-likelihoods of {method} and {self.method} cannot be compared.",
                "Fit both models by the same method.",
            )
        levels = len(self.model._layout.estimated)
        if isinstance(restricted, NestedLogitResults):
            levels -= len(restricted.model._layout.estimated)
        total = len(self.params) - len(restricted.params)
        test = likelihood_ratio(float(restricted.llf), self.llf, total)
        return MixtureTest(test.statistic, total - levels, levels)

    # ---------------------------------------------------------------------- effects, predictions

    @cached_property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Joint modes of the random intercepts (in logits) given the estimates, by level.

        Returns
        -------
        dict of str to DataFrame
            Columns mode and std_error, from the curvature at the modes, on the groups' labels.
        """
        like, layout = self.model._like, self.model._layout
        inner_sd, outer_sd = self._theta[like.p :]
        v, u = np.zeros(layout.block.size - 1), np.zeros(like.weight.size)
        *_, v_var, u_var = kernels.laplace(like.rows(self._theta), inner_sd, outer_sd, v, u)
        found = {layout.outer: (v, v_var, outer_sd), layout.inner: (u, u_var, inner_sd)}
        return {
            name: pd.DataFrame(
                {"mode": sd * mode, "std_error": sd * np.sqrt(variance)},
                index=self.model._labels(name),
            )
            for name, (mode, variance, sd) in found.items()
            if name is not None
        }

    def predict(
        self, data: object | None = None, groups: object | None = None, kind: str = "population"
    ) -> pd.Series:
        """Return purchase probabilities.

        Parameters
        ----------
        data : DataFrame or array_like, optional
            New rows: what the formula needs, or the regressors; by default the model's own.
        groups : DataFrame, Series or array_like, optional
            Their groups, for conditional predictions; by default the formula's columns of `data`.
        kind : {"population", "conditional"}
            ``"population"`` averages over the random intercepts. ``"conditional"`` puts a group's
            intercept at its mode, and averages over those of groups the model has not seen.

        Returns
        -------
        Series, shape (n,)
        """
        if kind not in ("population", "conditional"):
            raise SpecificationError(
                f"No prediction is called {kind!r}.", 'Choose "population" or "conditional".'
            )
        model, layout = self.model, self.model._layout
        if data is None:
            exog = model._exog
        elif model._spec is not None:
            exog = formula_rows(model._spec, data)
        else:
            exog = as_frame(data, "x")
        check_finite(exog, "the regressors")
        eta = exog.to_numpy() @ self.params["outcome"].to_numpy()
        variance = np.full(eta.shape, float((self.params.to_numpy()[model._like.p :] ** 2).sum()))
        if kind == "conditional":
            if groups is None:
                groups = model._groups if data is None else data[list(layout.names)]
            frame = groups_frame(groups, len(eta))
            for name in layout.estimated:
                level = layout.names.index(name)
                effects = self.random_effects[name]
                keys = pd.MultiIndex.from_frame(frame) if level else pd.Index(frame.iloc[:, 0])
                found = effects.index.get_indexer(keys)
                known = found >= 0
                eta[known] += effects["mode"].to_numpy()[found[known]]
                variance[known] -= self.params["sd", name] ** 2
        z, weight = hermite(31)
        spread = np.sqrt(np.maximum(variance, 0.0))
        probability = np.zeros(eta.shape)
        for node, share in zip(z, weight, strict=True):
            probability += share * special.expit(eta + spread * node)
        return pd.Series(probability, index=exog.index, name=model.outcome_name)

    def summary(self) -> Summary:
        """Return the estimates as a printable summary."""
        layout, method = self.model._layout, self.method
        facts: dict[str, object] = {"Outcome": self.model.outcome_name, "Rows": self.nobs}
        facts |= {f"Groups: {name}": layout.first_row[name].size for name in layout.estimated}
        if method != "pql":
            facts |= {"Log-likelihood": self.llf, "AIC": self.aic, "BIC": self.bic}
        facts |= {"Iterations": self.iterations}
        notes = {
            "quadrature": "Maximum likelihood by nested adaptive Gauss-Hermite quadrature; "
            "standard errors from the observed information (Louis's identity).",
            "laplace": "Laplace approximation; standard errors from its observed information. Do "
            "not compare its log-likelihood with that of other methods.",
            "pql": "Penalised quasi-likelihood; standard errors from the linearised model.",
        }
        if method == "quadrature":
            facts["Nodes"] = f"{self.details['outer_nodes']} x {self.details['inner_nodes']}"
        lines = [
            notes[method],
            "Intervals of standard deviations are normal for their logarithms.",
            *(f"The variance of {name} is estimated zero (boundary)." for name in self.boundary),
            *(
                f"{name} is left out: the data cannot tell its variance."
                for name in layout.names
                if name not in layout.estimated
            ),
        ]
        if self.details.get("runaway"):
            runaway = self.details["runaway"]
            lines.append(
                f"The approximation has a spurious maximum at sd {runaway['sd']:.2f}: it puts the "
                f"log-likelihood at {runaway['llf']:.2f}, quadrature at "
                f"{runaway['quadrature_llf']:.2f}."
            )
        return Summary("Nested random-intercept logit", facts, self.to_frame(), lines)


@dataclass(frozen=True)
class MixtureTest:
    """Likelihood-ratio test whose null puts some variances on the boundary.

    Attributes
    ----------
    statistic : float
    df : int
        Number of dropped coefficients.
    variances : int
        Number of dropped variances: df is this much larger with probability binomial(., 1/2).
    """

    statistic: float
    df: int
    variances: int

    @property
    def pvalue(self) -> float:
        """Probability of a larger statistic under the null hypothesis."""
        total = 0.0
        for extra in range(self.variances + 1):
            weight = math.comb(self.variances, extra) / 2**self.variances
            df = self.df + extra
            beyond = special.chdtrc(df, self.statistic) if df else float(self.statistic <= 0)
            total += weight * beyond
        return float(total)

    def __str__(self) -> str:
        """Return the test in one line."""
        kinds = f"{self.df} to {self.df + self.variances}" if self.variances else f"{self.df}"
        return f"Likelihood ratio: {self.statistic:.4f}, df {kinds}, p = {self.pvalue:.4f}"
