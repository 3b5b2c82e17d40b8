"""Heckman's sample-selection model by two steps or full-information maximum likelihood.

The outcome y = x' beta + u is observed where z' gamma + v > 0; u and v are normal with standard
deviations sigma and 1 and correlation rho.

References
----------
Heckman, J. J. (1979). Sample selection bias as a specification error. Econometrica 47, 153-161.
Greene, W. H. (2003). Econometric Analysis, 5th edition, section 22.4.
Olsen, R. J. (1982). Distributional tests for selectivity bias and a more robust likelihood
estimator. International Economic Review 23, 223-240.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special

from crosssell.errors import (
    CollinearityError,
    ConvergenceError,
    DataError,
    IdentificationWarning,
    NotAvailableError,
    SelectionError,
    SeparationError,
    SpecificationError,
)
from crosssell.estimation import (
    INTERCEPT,
    ChiSquareTest,
    Estimates,
    Summary,
    as_frame,
    check_binary,
    check_finite,
    check_rank,
    formula_frames,
    formula_rows,
    group_codes,
    likelihood_ratio,
    wald,
)
from crosssell.twostep import DECREMENT, MAX_ITERATIONS, TwoStep, TwoStepFit, mills

LAMBDA = "mills_lambda"
Method = Literal["twostep", "ml"]
Covariance = Literal["heckman", "robust", "cluster"]
Prediction = Literal["probability", "unconditional", "conditional", "expected"]
Convention = Literal["outcome", "same_named"]


class HeckmanModel:
    """Sample-selection model.

    Parameters
    ----------
    endog : array_like, shape (n,)
        Outcome; ignored, and may be missing, where `selected` is 0.
    exog : array_like, shape (n, kx)
        Outcome regressors including a constant; may be missing where `selected` is 0, as when a
        regressor is known for buyers only.
    selected : array_like of 0 and 1, shape (n,)
    exog_select : array_like, shape (n, kz)
        Selection regressors including a constant, complete in every row.

    Raises
    ------
    DataError
        Of a kind that says what is wrong: missing or infinite values, collinear columns, columns
        without variation, no, all or too few rows selected.

    Examples
    --------
    >>> model = HeckmanModel.from_formula("wage ~ educ + exper", "works ~ educ + age + kids", data)
    >>> print(model.fit(method="ml", cov_type="robust").summary())  # doctest: +SKIP
    """

    def __init__(self, endog: object, exog: object, selected: object, exog_select: object) -> None:
        self.endog = as_frame(endog, "y").iloc[:, 0]
        self.exog = as_frame(exog, "x")
        self.selected = as_frame(selected, "selected").iloc[:, 0]
        self.exog_select = as_frame(exog_select, "z")
        parts = (self.endog, self.exog, self.selected, self.exog_select)
        if len({len(part) for part in parts}) > 1:
            raise DataError(
                "endog, exog, selected and exog_select have "
                f"{', '.join(str(len(part)) for part in parts)} rows.",
                "Pass all rows of the sample to each, with endog missing where not selected.",
            )
        self.formulas: tuple[str, str] | None = None
        self._specs: tuple | None = None
        if LAMBDA in self.exog:
            raise SpecificationError(f"{LAMBDA} is the name of the correction term.", "Rename it.")
        chosen = self._chosen(_selection_indicator(self.selected))
        outcome = self.exog[chosen]
        check_finite(self.exog_select, "the selection equation")
        check_finite(outcome, "the outcome equation's selected rows")
        check_finite(self.endog[chosen].to_frame(), "the outcome equation's selected rows")
        self.core = TwoStep(
            y=self.endog.to_numpy()[chosen],
            X=outcome.to_numpy(),
            Z=self.exog_select.to_numpy(),
            selected=chosen,
            x_factor=check_rank(outcome, "the outcome equation's selected rows"),
            z_factor=check_rank(self.exog_select, "the selection equation"),
        )

    @classmethod
    def from_formula(cls, outcome: str, selection: str, data: pd.DataFrame) -> HeckmanModel:
        """Build the model from two formulas.

        Parameters
        ----------
        outcome : str
            ``y ~ x1 + x2 + x1:x2`` in the grammar of formulaic.
        selection : str
            ``s ~ z1 + z2``, or ``~ z1 + z2`` where a row is selected if its outcome is not missing.
        data : DataFrame, shape (n, ...)

        Raises
        ------
        SpecificationError
            If a formula cannot be read or the outcome formula has no left-hand side.
        """
        endog, exog, exog_spec = formula_frames(outcome, data)
        selected, exog_select, select_spec = formula_frames(selection, data)
        if endog is None:
            raise SpecificationError(f"{outcome!r} has no outcome.", "Write outcome ~ regressors.")
        if selected is None:
            selected = endog.iloc[:, 0].notna().rename("selected")
        model = cls(endog, exog, selected, exog_select)
        model.formulas = (outcome, selection)
        model._specs = (exog_spec, select_spec)
        return model

    @property
    def nobs(self) -> int:
        """Number of rows n."""
        return len(self.endog)

    @property
    def nselected(self) -> int:
        """Number of selected rows n1."""
        return len(self.core.y)

    @cached_property
    def excluded(self) -> tuple[str, ...]:
        """Selection regressors that the outcome equation leaves out (exclusion restrictions)."""
        return tuple(name for name in self.exog_select if name not in self.exog)

    def fit(
        self,
        method: Method = "twostep",
        cov_type: Covariance = "heckman",
        groups: object = None,
        start: np.ndarray | None = None,
        start_rho: float | None = None,
    ) -> TwoStepResults | MaximumLikelihoodResults:
        """Estimate the model.

        Parameters
        ----------
        method : {"twostep", "ml"}
        cov_type : {"heckman", "robust", "cluster"}
            ``heckman`` trusts the model: Heckman's and Greene's covariance with the first step's
            uncertainty for two-step, the inverse observed information for ML. ``robust`` is the
            sandwich - for two-step over the stacked moment conditions of both steps - times
            n / (n - 1); ``cluster`` sums its scores within groups, times G / (G - 1).
        groups : array_like, shape (n,), optional
            Cluster of each row, for ``cov_type="cluster"``.
        start : ndarray, shape (kz,), optional
            Selection coefficients to start from, say those of a similar specification.
        start_rho : float, optional
            Correlation from which ML starts, within (-1, 1); the two-step estimate if not given.

        Returns
        -------
        TwoStepResults or MaximumLikelihoodResults

        Raises
        ------
        SeparationError
            If the selection equation predicts selection perfectly in part of the sample.
        CollinearityError
            If lambda is a linear combination of the outcome regressors.
        ConvergenceError
            If no maximum is found.
        """
        if method not in ("twostep", "ml"):
            raise SpecificationError(f"There is no method {method!r}.", "Use 'twostep' or 'ml'.")
        if start_rho is not None and method == "twostep":
            raise SpecificationError("Two-step takes no start_rho.", "Use method='ml'.")
        if start_rho is not None and not -1 < start_rho < 1:
            raise SpecificationError(f"start_rho={start_rho} is not within (-1, 1).", "Use 0.5.")
        codes = self._groups(cov_type, groups)
        first = self.core.fit(start)
        self._check_first_step(first)
        if method == "twostep":
            return self._two_step(first, cov_type, codes)
        return self._maximum_likelihood(first, cov_type, codes, start_rho)

    def _two_step(
        self, fit: TwoStepFit, cov_type: Covariance, codes: np.ndarray | None
    ) -> TwoStepResults:
        k = len(fit.gamma) + len(fit.beta)
        if codes is None:
            covariance = self.core.covariance(fit)
            ancillary = np.full(2, np.nan)
        else:
            sandwich = _sandwich(self.core.influence(fit), codes)
            covariance, ancillary = sandwich[:k, :k], np.sqrt(np.diagonal(sandwich)[k:])
        if abs(fit.rho) > 1:
            warnings.warn(
                f"The two-step estimate of rho is {fit.rho:.3f}, outside [-1, 1]: lambda's "
                f"coefficient exceeds sigma ({fit.sigma:.4g}). Compare method='ml', which keeps "
                "rho inside, and look at diagnostics().",
                IdentificationWarning,
                stacklevel=3,
            )
        negative = np.diagonal(covariance) < 0
        if negative.any():
            # Heckman's formula subtracts rho^2 D, which outweighs the rest where |rho| > 1.
            warnings.warn(
                f"Heckman's covariance is not positive definite (rho is {fit.rho:.3f}): "
                f"{negative.sum()} coefficients have no standard error. Use cov_type='robust', "
                "the bootstrap or method='ml'.",
                IdentificationWarning,
                stacklevel=3,
            )
        return TwoStepResults(self, fit, covariance, cov_type, codes, ancillary)

    def _maximum_likelihood(
        self,
        first: TwoStepFit,
        cov_type: Covariance,
        codes: np.ndarray | None,
        start_rho: float | None,
    ) -> MaximumLikelihoodResults:
        likelihood = _Likelihood(self.core, first)
        # The two-step rho may lie outside (-1, 1); as a mere start it is brought inside.
        rho = float(np.clip(first.rho, -0.9, 0.9)) if start_rho is None else start_rho
        theta = likelihood.maximise(rho)
        llf, _, hessian = likelihood.evaluate(theta)
        covariance = linalg.inv(-hessian)
        if codes is not None:
            covariance = _sandwich(likelihood.scores(theta) @ covariance, codes)
        params, jacobian = likelihood.natural(theta)
        covariance = jacobian @ covariance @ jacobian.T
        return MaximumLikelihoodResults(
            self, likelihood, theta, params, covariance, cov_type, codes, llf
        )

    def _chosen(self, selected: np.ndarray) -> np.ndarray:
        chosen = selected == 1
        columns = self.exog.shape[1] + 1
        if chosen.sum() <= columns:
            raise SelectionError(
                f"{chosen.sum()} rows are selected, too few for the outcome equation's {columns} "
                f"coefficients (with {LAMBDA}).",
                "Use a larger sample or fewer regressors.",
            )
        return chosen

    def _groups(self, cov_type: Covariance, groups: object) -> np.ndarray | None:
        """Return the units of a sandwich: None for model-based, rows or clusters otherwise."""
        if cov_type not in ("heckman", "robust", "cluster"):
            raise SpecificationError(
                f"There is no cov_type {cov_type!r}.", "Use 'heckman', 'robust' or 'cluster'."
            )
        if (groups is not None) != (cov_type == "cluster"):
            raise SpecificationError(
                "cov_type='cluster' and groups= go together.", "Pass both or neither."
            )
        if cov_type == "heckman":
            return None
        if cov_type == "robust":
            return np.arange(self.nobs)
        codes = group_codes(groups, self.nobs)
        if codes.max() < 1:
            raise SpecificationError("There is a single cluster.", "Use cov_type='robust'.")
        return codes

    def _check_first_step(self, fit: TwoStepFit) -> None:
        """Raise an error if the probit has no maximum or lambda no variation of its own."""
        if not fit.probit.converged:
            columns = separating_columns(self.exog_select, self.core.selected)
            if columns:
                raise SeparationError(
                    f"The selection equation predicts selection perfectly through "
                    f"{', '.join(columns)}, so the probit has no maximum.",
                    "Drop the column, merge its rare levels, or drop the rows it predicts.",
                    columns,
                )
            raise ConvergenceError(
                f"The probit did not converge in {MAX_ITERATIONS} steps.",
                "Check the selection regressors for extreme values.",
            )
        ratio, rest = _unexplained_lambda(self.core, fit)
        if np.linalg.norm(rest) < 1e-8 * np.linalg.norm(ratio):
            raise CollinearityError(
                f"{LAMBDA} is a linear combination of the outcome regressors.",
                "Add regressors to the selection equation.",
                [LAMBDA],
            )


def _selection_indicator(selected: pd.Series) -> np.ndarray:
    """Return the selection indicator (n,), or say what kind of sample it makes."""
    if selected.eq(0).all() or selected.eq(1).all():
        which, remedy = (
            ("Every row is", "Without unselected rows there is nothing to correct: use OLS.")
            if selected.eq(1).all()
            else ("No row is", "Check how the indicator is coded.")
        )
        raise SelectionError(f"{which} selected ({selected.name}).", remedy, [str(selected.name)])
    return check_binary(selected, "the selection equation")


def separating_columns(exog: pd.DataFrame, selected: np.ndarray) -> tuple[str, ...]:
    """Return the columns through which selection is predicted perfectly, if any.

    A linear programme looks for a direction in which every row's signed index grows or stays
    (Konis 2007); a single column that does so is named alone.

    Parameters
    ----------
    exog : DataFrame, shape (n, k)
    selected : ndarray of bool, shape (n,)
    """
    alone = []
    for name, x in exog.items():
        yes, no = x[selected], x[~selected]
        if np.ptp(x) and (yes.min() >= no.max() or yes.max() <= no.min()):
            alone.append(str(name))
    if alone:
        return tuple(alone)
    scale = np.abs(exog).max().to_numpy()
    signed = exog.to_numpy() / scale * np.where(selected, 1.0, -1.0)[:, None]
    found = optimize.linprog(
        -signed.mean(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1)
    )
    if found.fun is None or found.fun > -1e-9:
        return ()
    involved = np.abs(found.x) > 1e-7
    return tuple(
        str(name) for name, used in zip(exog, involved, strict=True) if used and name != INTERCEPT
    )


def _unexplained_lambda(core: TwoStep, fit: TwoStepFit) -> tuple[np.ndarray, np.ndarray]:
    """Return lambda (n1,) and its residuals from the outcome regressors (n1,)."""
    ratio = fit.probit.mills[core.selected]
    return ratio, ratio - core.X @ (core.X.T @ ratio) / len(ratio)


def _sandwich(influence: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the covariance from influences (n, k) summed within groups, times G / (G - 1)."""
    count = int(codes.max()) + 1
    if count < len(codes):
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(count))
        influence = np.add.reduceat(influence[order], starts, axis=0)
    return influence.T @ influence * (count / (count - 1))


# ----------------------------------------------------------------------------- maximum likelihood


class _Likelihood:
    """The log-likelihood in Olsen's parameters with analytic first and second derivatives.

    theta = (gamma, b, t, a) with b = beta / sigma, t = 1 / sigma, a = atanh(rho). On selected
    rows, with v = z' gamma and u = t y - x' b, the row's log-likelihood is
    log t + log phi(u) + log Phi(v cosh a + u sinh a): given a it is concave, and its derivatives
    are those of two linear indices.

    Parameters
    ----------
    core : TwoStep
    first : TwoStepFit
        Start values.
    """

    def __init__(self, core: TwoStep, first: TwoStepFit) -> None:
        self.core = core
        self.scale = first.sigma
        self.Z0, self.Z1 = core.signed[~core.selected], core.signed[core.selected]
        # Derivative of u in (b, t); the outcome in units of two-step's sigma, so that t is near 1.
        self.U = np.column_stack([-core.X, core.y / self.scale])
        self.kz = core.signed.shape[1]
        self.first = first

    def start(self, rho: float) -> np.ndarray:
        """Return start values: the two-step estimates with a given correlation."""
        b = linalg.solve_triangular(self.core.to_beta, self.first.beta[:-1]) / self.scale
        return np.concatenate([self.first.probit.coefficients, b, [1.0, math.atanh(rho)]])

    def maximise(self, rho: float) -> np.ndarray:
        """Return the maximum that Newton's method with backtracking reaches from a given rho.

        Raises
        ------
        ConvergenceError
        """
        for other in (rho, 0.0, math.copysign(0.7, -rho)):
            theta, converged = self._newton(self.start(other))
            if converged:
                return theta
        raise ConvergenceError(
            "The likelihood has no maximum within -1 < rho < 1, or Newton's method missed it.",
            "Rho is on its boundary or hardly identified: use method='twostep', add an exclusion "
            "restriction, or drop regressors that lambda is collinear with (see diagnostics()).",
        )

    def other_maxima(self, theta: np.ndarray) -> list[tuple[float, float]]:
        """Return (rho, log-likelihood) of the local maxima other than `theta`, highest first.

        Given rho the maximum is unique, but the profile in rho may have several.
        """
        found = {}
        for rho in (-0.9, -0.5, 0.0, 0.5, 0.9):
            other, converged = self._newton(self.start(rho))
            if converged and abs(other[-1] - theta[-1]) > 1e-4:
                found[round(other[-1], 4)] = (math.tanh(other[-1]), self.evaluate(other)[0])
        return sorted(found.values(), key=lambda maximum: -maximum[1])

    def _newton(self, theta: np.ndarray) -> tuple[np.ndarray, bool]:
        llf, gradient, hessian = self.evaluate(theta)
        for _ in range(MAX_ITERATIONS):
            step = _ascent(gradient, hessian)
            decrement = gradient @ step
            if decrement < DECREMENT:
                concave = np.linalg.eigvalsh(hessian)[-1] < 0
                return theta + step, concave and abs(theta[-1]) < 10
            size = 1.0
            while True:
                trial = theta + size * step
                value = self.evaluate(trial) if trial[-2] > 0 and abs(trial[-1]) < 20 else None
                # A gain lost in rounding (1e-12 of the value) counts as no loss.
                if value is not None and value[0] >= llf - 1e-12 * abs(llf):
                    break
                size /= 2
                if size < 1e-8:
                    return theta, False
            theta, (llf, gradient, hessian) = trial, value
        return theta, False

    def evaluate(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return log-likelihood, gradient (k,) and Hessian (k, k).

        Parameters
        ----------
        theta : ndarray, shape (k,)
            gamma and b in the orthonormal columns of the core.
        """
        Z0, Z1, U, kz = self.Z0, self.Z1, self.U, self.kz
        t, cosh, sinh, outside, ratio0, u, A, B, ratio = self._rows(theta)
        llf = special.log_ndtr(outside).sum() + special.log_ndtr(A).sum() - 0.5 * u @ u
        llf += len(u) * (math.log(t / self.scale) - 0.5 * math.log(2 * math.pi))
        bend = -ratio * (ratio + A)
        gradient = np.concatenate(
            [Z0.T @ ratio0 + cosh * (Z1.T @ ratio), U.T @ (sinh * ratio - u), [ratio @ B]]
        )
        gradient[-2] += len(u) / t
        hessian = np.empty((len(theta), len(theta)))
        hessian[:kz, :kz] = -(Z0 * (ratio0 * (ratio0 + outside))[:, None]).T @ Z0
        hessian[:kz, :kz] += cosh**2 * (Z1 * bend[:, None]).T @ Z1
        hessian[kz:-1, kz:-1] = (U * (sinh**2 * bend - 1)[:, None]).T @ U
        hessian[-2, -2] -= len(u) / t**2
        hessian[:kz, kz:-1] = cosh * sinh * (Z1 * bend[:, None]).T @ U
        hessian[:kz, -1] = Z1.T @ (cosh * bend * B + sinh * ratio)
        hessian[kz:-1, -1] = U.T @ (sinh * bend * B + cosh * ratio)
        hessian[-1, -1] = bend @ B**2 + ratio @ A
        lower = np.tril_indices(len(theta), -1)
        hessian[lower] = hessian.T[lower]
        return float(llf), gradient, hessian

    def scores(self, theta: np.ndarray) -> np.ndarray:
        """Return each row's gradient (n, k)."""
        t, cosh, sinh, _, ratio0, u, _, B, ratio = self._rows(theta)
        scores = np.zeros((len(self.core.selected), len(theta)))
        scores[~self.core.selected, : self.kz] = self.Z0 * ratio0[:, None]
        inside = np.column_stack(
            [
                self.Z1 * (cosh * ratio)[:, None],
                self.U * (sinh * ratio - u)[:, None],
                ratio * B,
            ]
        )
        inside[:, -2] += 1 / t
        scores[self.core.selected] = inside
        return scores

    def _rows(self, theta: np.ndarray) -> tuple:
        gamma, t, a = theta[: self.kz], theta[-2], theta[-1]
        cosh, sinh = math.cosh(a), math.sinh(a)
        outside = self.Z0 @ gamma
        v, u = self.Z1 @ gamma, self.U @ theta[self.kz : -1]
        A, B = cosh * v + sinh * u, sinh * v + cosh * u
        return t, cosh, sinh, outside, mills(outside), u, A, B, mills(A)

    def natural(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (gamma, beta, log sigma, atanh rho) in the user's columns, and their Jacobian."""
        kz, core = self.kz, self.core
        t = theta[-2]
        sigma = self.scale / t
        beta = core.to_beta @ theta[kz:-2] * sigma
        params = np.concatenate([core.to_gamma @ theta[:kz], beta, [math.log(sigma), theta[-1]]])
        jacobian = linalg.block_diag(core.to_gamma, core.to_beta * sigma, -1 / t, 1.0)
        jacobian[kz:-2, -2] = -beta / t
        return params, jacobian


def _ascent(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return Newton's step, with the curvature's sign mended where the function is not concave."""
    try:
        return linalg.cho_solve(linalg.cho_factor(-hessian), gradient)
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(-hessian)
        size = np.maximum(np.abs(values), 1e-8 * np.abs(values).max())
        return vectors @ (vectors.T @ gradient / size)


# ------------------------------------------------------------------------------------------ results


@dataclass(frozen=True)
class Diagnostics:
    """How well the selection correction is identified.

    Attributes
    ----------
    lambda_r2 : float
        R-squared of lambda on the outcome regressors, selected rows.
    condition_number : float
        Of the second step's regressors, columns scaled to unit length (Belsley, Kuh and Welsch
        1980: above 30 is strong collinearity).
    condition_number_without_lambda : float
    excluded : tuple of str
        Selection regressors that the outcome equation leaves out.
    rho : float
    share_selected : float
    """

    lambda_r2: float
    condition_number: float
    condition_number_without_lambda: float
    excluded: tuple[str, ...]
    rho: float
    share_selected: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, in sentences; empty if nothing is amiss."""
        notes = []
        if not self.excluded:
            notes.append(
                "No exclusion restriction: every selection regressor is in the outcome equation "
                "too, so that the normal distribution alone identifies lambda."
            )
        if self.lambda_r2 > 0.9:
            notes.append(
                f"The outcome regressors explain {self.lambda_r2:.1%} of lambda; condition number "
                f"{self.condition_number:.0f} "
                f"(without lambda {self.condition_number_without_lambda:.0f})."
            )
        if abs(self.rho) > 1:
            notes.append(f"rho = {self.rho:.3f} is outside [-1, 1]; two-step does not bound it.")
        return tuple(notes)


class HeckmanResults(Estimates):
    """Estimates of a sample-selection model.

    ``params["selection"]`` and ``params["outcome"]`` are the two equations; two-step's outcome
    equation ends with ``mills_lambda``.

    Attributes
    ----------
    model : HeckmanModel
    method, cov_type : str
    rho, sigma, mills : float
        Correlation, standard deviation of the outcome's disturbance, and their product, lambda's
        coefficient.
    core_fit : TwoStepFit
        The two-step fit in plain arrays; an ML fit's start.
    ancillary : DataFrame, shape (3, 2)
        ``estimate`` and ``std_error`` of rho, sigma and mills_lambda. Heckman's covariance gives
        two-step's rho and sigma no standard error (nan); the sandwich and the bootstrap do.
    """

    method: Method
    ancillary: pd.DataFrame

    def __init__(
        self,
        model: HeckmanModel,
        first: TwoStepFit,
        params: np.ndarray,
        covariance: np.ndarray,
        outcome_terms: Sequence[str],
        ancillary_terms: Sequence[str],
        cov_type: Covariance,
        codes: np.ndarray | None,
    ) -> None:
        terms = {"selection": list(model.exog_select), "outcome": list(outcome_terms)}
        if ancillary_terms:
            terms["ancillary"] = list(ancillary_terms)
        super().__init__(pd.Series(params, index=self.index(terms)), covariance)
        self.model = model
        self.cov_type = cov_type
        self.nclusters = int(codes.max()) + 1 if cov_type == "cluster" else None
        self.core_fit = first

    @property
    def rho(self) -> float:
        """Correlation of the two equations' disturbances; two-step's may leave [-1, 1]."""
        return float(self.ancillary.at["rho", "estimate"])

    @property
    def sigma(self) -> float:
        """Standard deviation of the outcome's disturbance."""
        return float(self.ancillary.at["sigma", "estimate"])

    @property
    def mills(self) -> float:
        """Coefficient of lambda, rho times sigma."""
        return float(self.ancillary.at[LAMBDA, "estimate"])

    @property
    def mills_se(self) -> float:
        """Standard error of lambda's coefficient."""
        return float(self.ancillary.at[LAMBDA, "std_error"])

    @property
    def selection_llf(self) -> float:
        """Log-likelihood of the probit alone."""
        return self.core_fit.probit.llf

    @cached_property
    def inverse_mills(self) -> pd.Series:
        """Lambda at the fitted selection index of every row (n,)."""
        index = self.model.exog_select.to_numpy() @ self.params["selection"].to_numpy()
        return pd.Series(mills(index), index=self.model.exog_select.index, name=LAMBDA)

    def wald_test(
        self,
        convention: Convention = "outcome",
        terms: Sequence[tuple[str, str]] | None = None,
    ) -> ChiSquareTest:
        """Return the Wald test that slopes are zero.

        Parameters
        ----------
        convention : {"outcome", "same_named"}
            ``outcome`` tests the outcome equation's slopes (constant and lambda apart), as newer
            releases of Stata do. ``same_named``, the custom of older ones, adds the selection
            slopes whose names also stand in the outcome equation, as if the two equations were
            independent: degrees of freedom and statistics add up.
        terms : sequence of (equation, term), optional
            Test these coefficients jointly instead.

        Notes
        -----
        For the cross-selling essay's three columns the two customs give 14, 7 and 4 or 24, 14 and 8
        degrees of freedom (ten of column 1's fourteen outcome slopes have a namesake in selection).
        The printed 19, 13 and 6 exceed the first and fall short of the second.
        """
        if terms is not None:
            return self._wald(list(terms))
        if convention not in ("outcome", "same_named"):
            raise SpecificationError(
                f"There is no convention {convention!r}.", "Use 'outcome' or 'same_named'."
            )
        constants = self._constants
        slopes = [n for n in self.model.exog if n not in constants]
        test = self._wald([("outcome", name) for name in slopes], "Wald, outcome slopes")
        if convention == "outcome":
            return test
        shared = [name for name in slopes if name in self.model.exog_select]
        other = self._wald([("selection", name) for name in shared])
        return ChiSquareTest(
            "Wald, outcome and same-named selection slopes",
            test.statistic + other.statistic,
            test.df + other.df,
        )

    @cached_property
    def _constants(self) -> set[str]:
        values = self.model.exog.to_numpy()[self.model.core.selected]
        constant = np.ptp(values, axis=0) == 0
        return {name for name, is_one in zip(self.model.exog, constant, strict=True) if is_one}

    def _wald(self, terms: list[tuple[str, str]], name: str = "Wald") -> ChiSquareTest:
        places = self.params.index.get_indexer(pd.MultiIndex.from_tuples(terms) if terms else [])
        if (places < 0).any():
            unknown = [str(term) for term, place in zip(terms, places, strict=True) if place < 0]
            raise SpecificationError(
                f"The model has no coefficient {', '.join(unknown)}.",
                "Name terms as (equation, term), as in params.index.",
            )
        estimate = self.params.to_numpy()[places]
        return wald(estimate, self._covariance[np.ix_(places, places)], name)

    # ------------------------------------------------------------------------------- prediction

    def predict(
        self,
        which: Prediction = "conditional",
        exog: object = None,
        exog_select: object = None,
        data: pd.DataFrame | None = None,
    ) -> pd.Series:
        """Return predictions (m,); see :meth:`get_prediction`."""
        return self.get_prediction(which, exog, exog_select, data)["mean"]

    def get_prediction(
        self,
        which: Prediction = "conditional",
        exog: object = None,
        exog_select: object = None,
        data: pd.DataFrame | None = None,
        alpha: float = 0.05,
    ) -> pd.DataFrame:
        """Return predictions with delta-method standard errors.

        Parameters
        ----------
        which : {"probability", "unconditional", "conditional", "expected"}
            Selection probability Phi(z' gamma); mean of the outcome in the population, x' beta;
            mean given selection, x' beta + rho sigma lambda(z' gamma); mean with unselected rows
            counted as zero, the product of probability and conditional mean.
        exog, exog_select : array_like, shapes (m, kx) and (m, kz), optional
            Regressors; the estimation sample if neither these nor `data` are given.
        data : DataFrame, shape (m, ...), optional
            Columns for the formulas of a model built from formulas.
        alpha : float
            One minus the level of the confidence interval.

        Returns
        -------
        DataFrame, shape (m, 4)
            mean, mean_se, mean_ci_lower, mean_ci_upper; nan where a regressor is missing.
        """
        X, Z = self._regressors(which, exog, exog_select, data)
        gamma, beta, covariance = self._location
        kz, kx = len(gamma), len(beta) - 1
        sample = X if Z is None else Z
        gradient = np.zeros((len(sample), kz + kx + 1))
        mean = np.zeros(len(sample))
        if X is not None:
            gradient[:, kz:-1] = X
            mean = X.to_numpy() @ beta[:-1]
        if Z is not None:
            z = Z.to_numpy()
            index = z @ gamma
            ratio = mills(index)
        if which in ("conditional", "expected"):
            slope = -ratio * (ratio + index)
            mean = mean + beta[-1] * ratio
            gradient[:, :kz] = z * (beta[-1] * slope)[:, None]
            gradient[:, -1] = ratio
        if which in ("probability", "expected"):
            probability, density = (
                special.ndtr(index),
                np.exp(-(index**2) / 2) / math.sqrt(2 * math.pi),
            )
            if which == "probability":
                mean, gradient[:, :kz] = probability, z * density[:, None]
            else:
                gradient *= probability[:, None]
                gradient[:, :kz] += z * (density * mean)[:, None]
                mean = mean * probability
        error = np.sqrt(np.einsum("ij,ij->i", gradient @ covariance, gradient))
        reach = special.ndtri(1 - alpha / 2) * error
        columns = {
            "mean": mean,
            "mean_se": error,
            "mean_ci_lower": mean - reach,
            "mean_ci_upper": mean + reach,
        }
        return pd.DataFrame(columns, index=sample.index)

    @cached_property
    def _location(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gamma, beta with lambda's coefficient last, and their joint covariance."""
        raise NotImplementedError

    def _regressors(
        self, which: Prediction, exog: object, exog_select: object, data: pd.DataFrame | None
    ) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        model = self.model
        needs = {
            "probability": (False, True),
            "unconditional": (True, False),
            "conditional": (True, True),
            "expected": (True, True),
        }
        if which not in needs:
            raise SpecificationError(
                f"There is no prediction {which!r}.", f"Use one of {', '.join(needs)}."
            )
        if data is not None:
            if model._specs is None:
                raise SpecificationError(
                    "data= needs a model built from formulas.", "Pass exog and exog_select."
                )
            given = [
                formula_rows(spec, data) if needed else None
                for spec, needed in zip(model._specs, needs[which], strict=True)
            ]
            return given[0], given[1]
        if exog is None and exog_select is None:
            return tuple(
                frame if needed else None
                for frame, needed in zip((model.exog, model.exog_select), needs[which], strict=True)
            )
        rows = []
        for values, own, needed, name in zip(
            (exog, exog_select),
            (model.exog, model.exog_select),
            needs[which],
            ("exog", "exog_select"),
            strict=True,
        ):
            if not needed:
                rows.append(None)
                continue
            if values is None:
                raise SpecificationError(f"{which} prediction needs {name}.", f"Pass {name}=.")
            frame = values[list(own)] if isinstance(values, pd.DataFrame) else as_frame(values, "x")
            if frame.shape[1] != own.shape[1]:
                raise DataError(
                    f"{name} has {frame.shape[1]} columns, the model {own.shape[1]}.",
                    f"Pass {', '.join(own)} in this order.",
                )
            rows.append(frame.set_axis(own.columns, axis=1))
        return rows[0], rows[1]

    # ---------------------------------------------------------------------------------- summary

    def diagnostics(self) -> Diagnostics:
        """Return how well the selection correction is identified."""
        core, first = self.model.core, self.core_fit
        ratio, rest = _unexplained_lambda(core, first)
        outcome = self.model.exog.to_numpy()[core.selected]
        with_lambda = np.column_stack([outcome, ratio])
        return Diagnostics(
            lambda_r2=float(1 - rest @ rest / (len(ratio) * ratio.var())),
            condition_number=_condition(with_lambda),
            condition_number_without_lambda=_condition(outcome),
            excluded=self.model.excluded,
            rho=self.rho,
            share_selected=self.model.nselected / self.model.nobs,
        )

    def summary(self) -> Summary:
        """Return a printable summary, with ``as_text``, ``as_latex`` and ``as_html``."""
        words = {"twostep": "two-step", "ml": "full-information maximum likelihood"}
        test = self.wald_test()
        facts: dict[str, object] = {
            "Outcome": self.model.endog.name,
            "Selection": self.model.selected.name,
            "Rows": self.model.nobs,
            "Selected": self.model.nselected,
            "Covariance": self.cov_type,
            "Clusters": "none" if self.nclusters is None else self.nclusters,
            "Wald chi2": f"{test.statistic:.2f} ({test.df}), p = {test.pvalue:.4f}",
            **self._facts(),
        }
        for name, row in self.ancillary.iterrows():
            error = "" if np.isnan(row.std_error) else f" ({row.std_error:.4f})"
            facts[str(name)] = f"{row.estimate:.4f}{error}"
        title = f"Heckman selection model, {words[self.method]}"
        return Summary(title, facts, self.to_frame(), (*self.diagnostics().notes, *self._notes()))

    def _notes(self) -> list[str]:
        return []

    def _facts(self) -> dict[str, object]:
        raise NotImplementedError


def _condition(columns: np.ndarray) -> float:
    """Return the condition number of columns scaled to unit length."""
    return float(np.linalg.cond(columns / np.linalg.norm(columns, axis=0)))


_NO_LIKELIHOOD = (
    "A two-step fit has no likelihood: its steps maximise the probit's and minimise a sum of "
    "squares, not the likelihood of both equations."
)
_USE_ML = "Fit with method='ml' for llf, aic, bic and lr_test; selection_llf is the probit's."


class TwoStepResults(HeckmanResults):
    """Two-step estimates; see :class:`HeckmanResults`."""

    method = "twostep"

    def __init__(
        self,
        model: HeckmanModel,
        fit: TwoStepFit,
        covariance: np.ndarray,
        cov_type: Covariance,
        codes: np.ndarray | None,
        ancillary_se: np.ndarray,
    ) -> None:
        params = np.concatenate([fit.gamma, fit.beta])
        terms = [*model.exog, LAMBDA]
        super().__init__(model, fit, params, covariance, terms, (), cov_type, codes)
        self.ancillary = pd.DataFrame(
            {
                "estimate": [fit.rho, fit.sigma, fit.beta[-1]],
                "std_error": [ancillary_se[1], ancillary_se[0], self.bse["outcome", LAMBDA]],
            },
            index=["rho", "sigma", LAMBDA],
        )

    @property
    def llf(self) -> float:
        """Not available: two-step maximises no likelihood."""
        raise NotAvailableError(_NO_LIKELIHOOD, _USE_ML)

    aic = bic = llf

    def lr_test(self, restricted: HeckmanResults) -> ChiSquareTest:
        """Not available: two-step maximises no likelihood; use ``wald_test`` or ML fits."""
        raise NotAvailableError(_NO_LIKELIHOOD, _USE_ML)

    @cached_property
    def _location(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.core_fit.gamma, self.core_fit.beta, self._covariance

    def _facts(self) -> dict[str, object]:
        return {"Probit log-likelihood": self.selection_llf}


class MaximumLikelihoodResults(HeckmanResults):
    """Full-information maximum-likelihood estimates; see :class:`HeckmanResults`.

    ``params["ancillary"]`` holds ``log_sigma`` and ``atanh_rho``.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    """

    method = "ml"

    def __init__(
        self,
        model: HeckmanModel,
        likelihood: _Likelihood,
        theta: np.ndarray,
        params: np.ndarray,
        covariance: np.ndarray,
        cov_type: Covariance,
        codes: np.ndarray | None,
        llf: float,
    ) -> None:
        terms = ("log_sigma", "atanh_rho")
        super().__init__(
            model, likelihood.first, params, covariance, list(model.exog), terms, cov_type, codes
        )
        self.llf = llf
        self._likelihood, self._theta = likelihood, theta
        sigma, rho = math.exp(params[-2]), math.tanh(params[-1])
        # Rows rho, sigma, lambda = rho sigma; columns log sigma, atanh rho.
        jacobian = np.array([[0, 1 - rho**2], [sigma, 0], [rho * sigma, sigma * (1 - rho**2)]])
        variance = jacobian @ covariance[-2:, -2:] @ jacobian.T
        self.ancillary = pd.DataFrame(
            {"estimate": [rho, sigma, rho * sigma], "std_error": np.sqrt(np.diagonal(variance))},
            index=["rho", "sigma", LAMBDA],
        )
        self._lambda_jacobian = jacobian[2]

    @cached_property
    def other_maxima(self) -> list[tuple[float, float]]:
        """The likelihood's other local maxima as (rho, llf), highest first; usually none.

        The estimates are the maximum next to the consistent two-step estimates, which is also what
        the reference implementations report. Without an exclusion restriction, or where the
        outcome is skewed, there can be others, even higher ones: on Mroz's wages in levels the
        likelihood is higher by 101 at rho = .993 than at the published -.132. To see the estimates
        at another, pass its rho as ``start_rho`` to :meth:`HeckmanModel.fit`.
        """
        return self._likelihood.other_maxima(self._theta)

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2 * len(self.params) - 2 * self.llf

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the number of rows n."""
        return math.log(self.model.nobs) * len(self.params) - 2 * self.llf

    def lr_test(self, restricted: MaximumLikelihoodResults) -> ChiSquareTest:
        """Return the likelihood-ratio test of a smaller model nested in this one.

        Raises
        ------
        SpecificationError
            If the two cannot be nested or were fitted to different rows.
        NotAvailableError
            If `restricted` is a two-step fit.
        """
        if (self.model.nobs, self.model.nselected) != (
            restricted.model.nobs,
            restricted.model.nselected,
        ):
            raise SpecificationError(
                "The two models were fitted to different rows.", "Fit both to the same sample."
            )
        return likelihood_ratio(restricted.llf, self.llf, len(self.params) - len(restricted.params))

    def independence_test(self) -> ChiSquareTest:
        """Return the likelihood-ratio test of rho = 0, against probit and OLS apart."""
        core = self.model.core
        residuals = core.y - core.X @ (core.X.T @ core.y) / len(core.y)
        variance = residuals @ residuals / len(core.y)
        ols = -0.5 * len(core.y) * (math.log(2 * math.pi * variance) + 1)
        test = likelihood_ratio(self.selection_llf + ols, self.llf, 1)
        return ChiSquareTest("Likelihood ratio, rho = 0", test.statistic, 1)

    @cached_property
    def _location(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = len(self.params)
        jacobian = np.eye(k - 1, k)
        jacobian[-1, -2:] = self._lambda_jacobian
        beta = np.append(self.params["outcome"].to_numpy(), self.mills)
        covariance = jacobian @ self._covariance @ jacobian.T
        return self.params["selection"].to_numpy(), beta, covariance

    def _facts(self) -> dict[str, object]:
        return {"Log-likelihood": self.llf, "AIC": self.aic, "BIC": self.bic}

    def _notes(self) -> list[str]:
        return [
            f"The likelihood has another, {'higher' if llf > self.llf else 'lower'}, maximum at "
            f"rho = {rho:.4f} (log-likelihood {llf:.4f})."
            for rho, llf in self.other_maxima
        ]
