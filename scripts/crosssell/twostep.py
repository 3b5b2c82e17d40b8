"""Heckman's two steps as plain arrays: one fit, or thousands of weighted refits as matrix products.

Both steps work on columns made orthonormal once for the full sample. That makes Newton's steps and
the normal equations accurate however badly the user's columns are scaled, and lets every refit of
a bootstrap, a holdout repetition or a Monte Carlo study start from a good point.

With signs q = 2 s - 1 the probit log-likelihood is the sum of log Phi(q_i z_i' gamma), so both
kinds of row look alike once the signs are multiplied into Z. The inverse Mills ratio
g(x) = phi(x) / Phi(x) then gives score g, curvature g (g + x) and, on selected rows, lambda.

References
----------
Heckman, J. J. (1979). Sample selection bias as a specification error. Econometrica 47, 153-161.
Greene, W. H. (1981). Sample selection bias as a specification error: comment. Econometrica 49,
795-798.
Newey, W. K. and McFadden, D. (1994). Large sample estimation and hypothesis testing. Handbook of
Econometrics 4, 2111-2245.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numba import njit
from scipy import linalg, special

# Newton stops when its decrement, about twice the log-likelihood still to be gained, is below this.
DECREMENT = 1e-16
MAX_ITERATIONS = 50
# A refit keeps its curvature once a step gains less than this: later steps shrink the error at
# least a hundredfold each and cost half as much without new curvature.
_KEEP_CURVATURE = 1e-6
# Refits per block: the arrays of a block (refits x rows) then stay within a few megabytes.
_BLOCK_ELEMENTS = 400_000
# Least information per row, in any direction of orthonormal columns, that counts as a maximum or
# as full rank. Under separation Newton drives it to zero; at a true maximum it is far above.
_LEAST_INFORMATION = 1e-10
# Fused multiply-add is the only liberty taken with arithmetic.
_COMPILE = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}}


# ----------------------------------------------------------------------------- inverse Mills ratio


def mills(index: np.ndarray) -> np.ndarray:
    """Return the inverse Mills ratio phi(x) / Phi(x), accurate in both tails."""
    return math.sqrt(2 / math.pi) / special.erfcx(index * -math.sqrt(0.5))


_REACH, _STEPS = 10.0, 32.0


def _mills_table() -> np.ndarray:
    """Return coefficients (640, 6) of the quintic Hermite interpolant on [-10, 10], error 2e-14.

    Value, slope and second derivative are exact at the nodes: g' = -g (g + x) and
    g'' = -g' (g + x) - g (g' + 1).
    """
    x = np.linspace(-_REACH, _REACH, int(2 * _REACH * _STEPS) + 1)
    g = mills(x)
    slope = -g * (g + x)
    bend = -slope * (g + x) - g * (slope + 1)
    (f0, f1), (d0, d1), (s0, s1) = ((v[:-1], v[1:]) for v in (g, slope / _STEPS, bend / _STEPS**2))
    cubic = 10 * (f1 - f0) - 6 * d0 - 4 * d1 - 1.5 * s0 + 0.5 * s1
    quartic = -15 * (f1 - f0) + 8 * d0 + 7 * d1 + 1.5 * s0 - s1
    quintic = 6 * (f1 - f0) - 3 * (d0 + d1) - 0.5 * (s0 - s1)
    return np.stack([f0, d0, s0 / 2, cubic, quartic, quintic], axis=1)


_TABLE = _mills_table()


@njit(**_COMPILE)
def _mills_tail(x: float) -> float:
    """Return phi(x) / Phi(x) beyond the table: continued fraction, or phi(x) where Phi(x) is 1."""
    if x > 0.0:
        return 0.3989422804014327 * math.exp(-0.5 * x * x)
    ratio = -x
    for level in range(24, 0, -1):
        ratio = level / ratio - x
    return ratio


@njit(**_COMPILE)
def _mills_at(x: float, table: np.ndarray) -> float:
    """Return phi(x) / Phi(x), from the table where it reaches."""
    u = (x + _REACH) * _STEPS
    if not 0.0 <= u < 2 * _REACH * _STEPS:
        return _mills_tail(x)
    j = int(u)
    u -= j
    return table[j, 0] + u * (
        table[j, 1] + u * (table[j, 2] + u * (table[j, 3] + u * (table[j, 4] + u * table[j, 5])))
    )


@njit(**_COMPILE)
def _mills_many(index: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the inverse Mills ratio of an array (b, n); ten times as fast as :func:`mills`."""
    out = np.empty_like(index)
    for b in range(index.shape[0]):
        for i in range(index.shape[1]):
            out[b, i] = _mills_at(index[b, i], table)
    return out


@njit(**_COMPILE)
def _weigh(
    index: np.ndarray, weights: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return score w g(x) and curvature w g (g + x) of every row of every refit (b, n)."""
    score = np.empty_like(index)
    curvature = np.empty_like(index)
    for b in range(index.shape[0]):
        # No test for zero weights: a mispredicted branch costs more than the table look-up.
        for i in range(index.shape[1]):
            ratio = _mills_at(index[b, i], table)
            score[b, i] = weights[b, i] * ratio
            curvature[b, i] = score[b, i] * (ratio + index[b, i])
    return score, curvature


# -------------------------------------------------------------------- many small symmetric systems


def pairwise_products(columns: np.ndarray) -> np.ndarray:
    """Return the products x_i x_j, j <= i, of columns (n, k) as (n, k (k + 1) / 2), row by row."""
    i, j = np.tril_indices(columns.shape[1])
    return columns[:, i] * columns[:, j]


@njit(**_COMPILE)
def _factor(packed: np.ndarray, k: int) -> np.ndarray:
    """Turn packed lower triangles (b, k (k + 1) / 2) into Cholesky factors.

    Returns each system's least pivot (b,); a system that is not positive definite has 0 and a
    factor that is of no use.
    """
    least = np.full(packed.shape[0], np.inf)
    for b in range(packed.shape[0]):
        a = packed[b]
        for i in range(k):
            ri = i * (i + 1) // 2
            for j in range(i + 1):
                rj = j * (j + 1) // 2
                total = a[ri + j]
                for m in range(j):
                    total -= a[ri + m] * a[rj + m]
                if j < i:
                    a[ri + j] = total / a[rj + j]
                elif total > 0.0:
                    a[ri + i] = math.sqrt(total)
                    least[b] = min(least[b], total)
                else:
                    a[ri + i] = 1.0
                    least[b] = 0.0
    return least


@njit(**_COMPILE)
def _solve(factors: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve the systems that :func:`_factor` has factored for right-hand sides (b, k)."""
    x = right.copy()
    k = right.shape[1]
    for b in range(right.shape[0]):
        a = factors[b]
        for i in range(k):
            ri = i * (i + 1) // 2
            for m in range(i):
                x[b, i] -= a[ri + m] * x[b, m]
            x[b, i] /= a[ri + i]
        for i in range(k - 1, -1, -1):
            for m in range(i + 1, k):
                x[b, i] -= a[m * (m + 1) // 2 + i] * x[b, m]
            x[b, i] /= a[i * (i + 1) // 2 + i]
    return x


# ---------------------------------------------------------------------------------- one probit fit


@dataclass(frozen=True)
class Probit:
    """A probit fit in the coordinates of the design it was given.

    Attributes
    ----------
    coefficients : ndarray, shape (k,)
    index : ndarray, shape (n,)
        Signed linear index q_i z_i' gamma.
    mills : ndarray, shape (n,)
        Inverse Mills ratio of the index; lambda on selected rows.
    weights : ndarray, shape (n,)
    information : ndarray, shape (k, k)
        Observed information.
    converged : bool
    """

    coefficients: np.ndarray
    index: np.ndarray
    mills: np.ndarray
    weights: np.ndarray
    information: np.ndarray
    converged: bool

    @cached_property
    def llf(self) -> float:
        """Log-likelihood."""
        return float(self.weights @ special.log_ndtr(self.index))

    @property
    def curvature(self) -> np.ndarray:
        """Minus the second derivative of each row's log-likelihood in its index (n,)."""
        return self.mills * (self.mills + self.index)


def probit(
    signed: np.ndarray, weights: np.ndarray | None = None, start: np.ndarray | None = None
) -> Probit:
    """Fit a probit by Newton's method with step halving.

    Parameters
    ----------
    signed : ndarray, shape (n, k)
        Regressors, rows with a zero outcome multiplied by -1.
    weights : ndarray, shape (n,), optional
        Count weights.
    start : ndarray, shape (k,), optional

    Returns
    -------
    Probit
        ``converged`` is False when no maximum exists (separation) or none was found.
    """
    w = np.ones(len(signed)) if weights is None else weights
    if start is None:
        # Newton's first step from zero, where all rows have the same curvature.
        products = (signed * w[:, None]).T @ signed
        start = linalg.lstsq(products, math.sqrt(math.pi / 2) * (w @ signed))[0]
    fit = _probit_at(signed, w, start)
    for _ in range(MAX_ITERATIONS):
        gradient = signed.T @ (w * fit.mills)
        try:
            step = linalg.cho_solve(linalg.cho_factor(fit.information), gradient)
        except linalg.LinAlgError:
            break
        decrement = gradient @ step
        trial = _probit_at(signed, w, fit.coefficients + step)
        # A small step cannot overshoot, and the likelihood need not be looked at.
        while decrement > 100 and trial.llf < fit.llf and np.abs(step).max() > 1e-3:
            step /= 2
            trial = _probit_at(signed, w, fit.coefficients + step)
        fit = trial
        if decrement < DECREMENT:
            least = np.linalg.eigvalsh(fit.information)[0]
            return replace(fit, converged=bool(least > _LEAST_INFORMATION * w.sum()))
    return fit


def _probit_at(signed: np.ndarray, weights: np.ndarray, gamma: np.ndarray) -> Probit:
    """Evaluate the probit at given coefficients."""
    index = signed @ gamma
    ratio = _mills_many(index[None], _TABLE)[0]
    curvature = weights * ratio * (ratio + index)
    information = (signed.T * curvature) @ signed
    return Probit(
        coefficients=gamma,
        index=index,
        mills=ratio,
        information=information,
        weights=weights,
        converged=False,
    )


# ------------------------------------------------------------------------------------- both steps


@dataclass(frozen=True)
class TwoStepFit:
    """Both steps fitted to one sample, in the user's columns.

    Attributes
    ----------
    gamma : ndarray, shape (kz,)
        Selection coefficients.
    beta : ndarray, shape (kx + 1,)
        Outcome coefficients, lambda's last.
    sigma, rho : float
        Standard deviation of the outcome's disturbance, and its correlation with selection's;
        the latter may leave [-1, 1].
    probit : Probit
        The first step in orthonormal columns.
    residuals : ndarray, shape (n1,)
        Of the second step, on selected rows.
    """

    gamma: np.ndarray
    beta: np.ndarray
    sigma: float
    rho: float
    probit: Probit
    residuals: np.ndarray


@dataclass(frozen=True)
class Refits:
    """Both steps refitted to weighted samples; rows of failed refits are nan.

    Attributes
    ----------
    gamma : ndarray, shape (b, kz)
    beta : ndarray, shape (b, kx + 1)
    sigma, rho : ndarray, shape (b,)
    selection_failed : ndarray of bool, shape (b,)
        The probit has no maximum (separation or a column without variation).
    outcome_failed : ndarray of bool, shape (b,)
        The second step's regressors are collinear.
    """

    gamma: np.ndarray
    beta: np.ndarray
    sigma: np.ndarray
    rho: np.ndarray
    selection_failed: np.ndarray
    outcome_failed: np.ndarray

    @property
    def failed(self) -> np.ndarray:
        """Refits without estimates (b,)."""
        return self.selection_failed | self.outcome_failed


class TwoStep:
    """Heckman's two steps on one data set.

    Parameters
    ----------
    y : ndarray, shape (n1,)
        Outcome of the selected rows.
    X : ndarray, shape (n1, kx)
        Outcome regressors of the selected rows.
    Z : ndarray, shape (n, kz)
        Selection regressors.
    selected : ndarray of bool, shape (n,)
    x_factor, z_factor : ndarray, shape (k, k), optional
        Triangular QR factors of X and Z, if known.
    """

    def __init__(
        self,
        y: np.ndarray,
        X: np.ndarray,
        Z: np.ndarray,
        selected: np.ndarray,
        x_factor: np.ndarray | None = None,
        z_factor: np.ndarray | None = None,
    ) -> None:
        self.y = y
        self.selected = selected
        # Scaled by the root of the rows, so that coefficients are in units of the index.
        self.to_beta = _inverse(X, x_factor) * math.sqrt(len(X))
        self.to_gamma = _inverse(Z, z_factor) * math.sqrt(len(Z))
        self.X = X @ self.to_beta
        signs = np.where(selected, 1.0, -1.0)
        # Columns contiguous: the products of a single fit then run half again as fast.
        self.signed = ((self.to_gamma.T @ Z.T) * signs).T

    def fit(self, start: np.ndarray | None = None) -> TwoStepFit:
        """Fit both steps to the full sample.

        Parameters
        ----------
        start : ndarray, shape (kz,), optional
            Selection coefficients, in the user's columns, to start from.
        """
        if start is not None:
            start = np.linalg.solve(self.to_gamma, start)
        first = probit(self.signed, start=start)
        ratio = first.mills[self.selected]
        regressors = np.column_stack([self.X, ratio])
        beta = linalg.lstsq(regressors, self.y)[0]
        residuals = self.y - regressors @ beta
        curvature = first.curvature[self.selected]
        sigma = math.sqrt(residuals @ residuals / len(self.y) + beta[-1] ** 2 * curvature.mean())
        return TwoStepFit(
            gamma=self.to_gamma @ first.coefficients,
            beta=np.append(self.to_beta @ beta[:-1], beta[-1]),
            sigma=sigma,
            rho=beta[-1] / sigma,
            probit=first,
            residuals=residuals,
        )

    def covariance(self, fit: TwoStepFit) -> np.ndarray:
        """Return Heckman's covariance of (gamma, beta) with the first step's uncertainty.

        The outcome block is that of Heckman (1979) as corrected by Greene (1981); the cross block
        follows from the same expansion, in which the second step's disturbance is uncorrelated with
        the probit's score.

        Returns
        -------
        ndarray, shape (kz + kx + 1, kz + kx + 1)
        """
        first, regressors, inverse, sensitivity = self._second_step(fit)
        gamma = linalg.inv(first.information)
        delta, curvature = fit.beta[-1], first.curvature[self.selected]
        noise = (regressors * (fit.sigma**2 - delta**2 * curvature)[:, None]).T @ regressors
        carried = inverse @ sensitivity @ gamma
        beta = inverse @ noise @ inverse + carried @ sensitivity.T @ inverse
        return self._to_user(np.block([[gamma, carried.T], [carried, beta]]))

    def influence(self, fit: TwoStepFit) -> np.ndarray:
        """Return each row's influence on (gamma, beta, sigma, rho), first order and exact.

        Rows sum to zero; the sum of their outer products is the sandwich covariance over the
        stacked moment conditions of both steps (Newey and McFadden 1994, section 6).

        Returns
        -------
        ndarray, shape (n, kz + kx + 3)
        """
        first, regressors, inverse, sensitivity = self._second_step(fit)
        chosen, e = self.selected, fit.residuals
        n1, delta, sigma = len(e), fit.beta[-1], fit.sigma
        signed, ratio, curvature = self.signed[chosen], first.mills[chosen], first.curvature[chosen]
        gamma = linalg.solve(first.information, (self.signed * first.mills[:, None]).T).T
        # Lambda moves with gamma also inside the normal equations; that term has mean zero under
        # the model and so is absent from Heckman's covariance.
        sensitivity = sensitivity.copy()
        sensitivity[-1] -= (e * curvature) @ signed
        moments = gamma @ sensitivity.T
        moments[chosen] += regressors * e[:, None]
        beta = moments @ inverse
        slope = ratio * (1 - curvature) - curvature * (ratio + first.index[chosen])
        variance = gamma @ ((2 * delta * e * curvature + delta**2 * slope) @ signed) / n1
        variance += 2 * delta * curvature.mean() * beta[:, -1]
        variance[chosen] += (e**2 + delta**2 * curvature - sigma**2) / n1
        spread = variance / (2 * sigma)
        rho = (beta[:, -1] - fit.rho * spread) / sigma
        user = np.hstack([gamma @ self.to_gamma.T, beta[:, :-1] @ self.to_beta.T])
        return np.column_stack([user, beta[:, -1], spread, rho])

    def _second_step(self, fit: TwoStepFit) -> tuple[Probit, np.ndarray, np.ndarray, np.ndarray]:
        """Return probit, regressors, their inverse products, and the moments' slope in gamma."""
        first = fit.probit
        chosen = self.selected
        regressors = np.column_stack([self.X, first.mills[chosen]])
        weighted = regressors * (fit.beta[-1] * first.curvature[chosen])[:, None]
        return (
            first,
            regressors,
            linalg.inv(regressors.T @ regressors),
            weighted.T @ self.signed[chosen],
        )

    def _to_user(self, covariance: np.ndarray) -> np.ndarray:
        """Return a covariance of (gamma, beta) in the user's columns."""
        back = linalg.block_diag(self.to_gamma, self.to_beta, 1.0)
        return back @ covariance @ back.T

    @cached_property
    def _full(self) -> TwoStepFit:
        """The full-sample fit, from which refits start."""
        return self.fit()

    @cached_property
    def _least_information(self) -> float:
        """Least information per row of the full-sample probit, over its Cholesky pivots."""
        roots = np.diagonal(np.linalg.cholesky(self._full.probit.information))
        return float(roots.min() ** 2 / len(self.signed))

    @cached_property
    def _at_start(self) -> np.ndarray:
        """Each row's score and curvature at the full-sample fit (n, kz + kz (kz + 1) / 2)."""
        first = self._full.probit
        score = self.signed * first.mills[:, None]
        return np.hstack([score, self._products * first.curvature[:, None]])

    @cached_property
    def _products(self) -> np.ndarray:
        return pairwise_products(self.signed)

    @cached_property
    def _outcome_products(self) -> np.ndarray:
        """Products that do not involve lambda: x_i x_j, then x_i y (n1, ...)."""
        return np.hstack([pairwise_products(self.X), self.X * self.y[:, None]])

    def refit(self, weights: np.ndarray) -> Refits:
        """Refit both steps to samples given by row weights.

        Parameters
        ----------
        weights : ndarray, shape (b, n)
            How often each row stands in each sample; 0 and 1 for a subsample.

        Returns
        -------
        Refits

        Notes
        -----
        The first call keeps kz (kz + 2) numbers per row for the later ones.
        """
        size = max(1, _BLOCK_ELEMENTS // weights.shape[1])
        blocks = [
            self._refit_block(np.ascontiguousarray(weights[first : first + size], dtype=float))
            for first in range(0, len(weights), size)
        ]
        return Refits(*map(np.concatenate, zip(*blocks, strict=True)))

    def _refit_block(self, w: np.ndarray) -> tuple[np.ndarray, ...]:
        gamma, selection_failed = self._refit_selection(w)
        w1 = w[:, self.selected]
        index = gamma @ self.signed[self.selected].T
        ratio = _mills_many(index, _TABLE)
        weighted = w1 * ratio
        k = self.X.shape[1]
        constant = w1 @ self._outcome_products
        cross, square = weighted @ self.X, np.einsum("bi,bi->b", weighted, ratio)
        # Lambda's products are the last row of the packed lower triangle.
        packed = np.column_stack([constant[:, :-k], cross, square])
        outcome_failed = _factor(packed, k + 1) <= _LEAST_INFORMATION * w1.sum(axis=1)
        beta = _solve(packed, np.column_stack([constant[:, -k:], weighted @ self.y]))
        residuals = self.y - beta[:, :k] @ self.X.T - beta[:, k:] * ratio
        variance = np.einsum("bi,bi,bi->b", w1, residuals, residuals)
        variance += beta[:, k] ** 2 * np.einsum("bi,bi->b", weighted, ratio + index)
        with np.errstate(invalid="ignore", divide="ignore"):  # refits without a selected row fail
            sigma = np.sqrt(variance / w1.sum(axis=1))
            rho = beta[:, k] / sigma
        gamma = gamma @ self.to_gamma.T
        beta = np.column_stack([beta[:, :k] @ self.to_beta.T, beta[:, k]])
        failed = selection_failed | outcome_failed
        for estimate in (gamma, beta, sigma, rho):
            estimate[failed] = np.nan
        return gamma, beta, sigma, rho, selection_failed, outcome_failed & ~selection_failed

    def _refit_selection(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Refit the probit: Newton from the full-sample fit, all samples of a block at once."""
        k = self.signed.shape[1]
        # The first step needs no evaluation at all: every sample starts at the same point.
        sums = w @ self._at_start
        gradient, information = sums[:, :k], np.ascontiguousarray(sums[:, k:])
        unusual = 1e-3 * self._least_information * w.sum(axis=1)
        ok = _factor(information, k) > unusual
        gamma = np.tile(self._full.probit.coefficients, (len(w), 1))
        gain = np.full(len(w), np.inf)
        for _ in range(MAX_ITERATIONS):
            step = _solve(information, gradient)
            step[~ok] = 0
            gain = np.einsum("bi,bi->b", step, gradient)
            gamma += step
            if not (gain[ok] >= DECREMENT).any():
                break
            index = gamma @ self.signed.T
            score, curvature = _weigh(index, w, _TABLE)
            gradient = score @ self.signed
            if (gain[ok] > _KEEP_CURVATURE).any():
                information = curvature @ self._products
                ok &= _factor(information, k) > unusual
        failed = ~(ok & (gain < DECREMENT))
        # A sample far from the full one, or with unusually little information, is fitted alone.
        for b in np.flatnonzero(failed):
            alone = probit(self.signed, weights=w[b])
            gamma[b], failed[b] = alone.coefficients, not alone.converged
        return gamma, failed


def _inverse(columns: np.ndarray, factor: np.ndarray | None) -> np.ndarray:
    """Return the matrix that makes columns orthonormal."""
    if factor is None:
        factor = np.linalg.qr(columns, mode="r")
    return linalg.solve_triangular(factor, np.eye(len(factor)))
