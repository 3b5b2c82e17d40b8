"""Populations that meet published numbers: elastic programmes and maximum entropy.

A population is a set of non-negative weights on support points. Every published moment, share or
score that is linear in those weights is one row of a matrix F, with a target and half the last
printed digit as its half-width. Nothing here knows a study: rows come from
:mod:`synthetic.constraints`, support points from the study's own module.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import linprog
from scipy.special import logsumexp

from crosssell.errors import CrossSellError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

SMOOTHING = 1e-2  # |theta| -> sqrt(theta^2 + SMOOTHING^2), theta in nats per standard deviation


FLOORS = 10.0 ** -np.arange(1, 13, 1.5)  # ridges of the path, in variances of a row
ROUNDING = 1e-12  # of the dual, whose exponents may reach a thousand
PATH_TOLERANCE = 3e-3  # gradient at which the path moves on, in standard deviations of a row


class PopulationError(CrossSellError):
    """A population could not be computed; the message says what to change."""


@dataclass(frozen=True)
class Tilt:
    """A tilted population.

    Attributes
    ----------
    weights : ndarray, shape (n,)
        Non-negative, summing to one.
    achieved : ndarray, shape (k,)
        F @ weights.
    slack : ndarray, shape (k,)
        Distance of `achieved` from the box [target - half_width, target + half_width], in units
        of the half-width; zero inside.
    dual : ndarray, shape (k,)
        Multipliers per unit of each row: weights are proportional to base * exp(dual @ F).
    divergence : float
        Kullback-Leibler divergence from the base weights, in nats.
    effective_size : float
        1 / sum(weights^2), the number of equally weighted points that would be as informative.
    value : float
        The penalised divergence that was minimised (divergence plus the price of the slack).
    converged : bool
        Whether the dual's gradient vanished.
    offset : float
        What makes base * exp((dual @ F + offset) / entropy) sum to one.
    """

    weights: Array
    achieved: Array
    slack: Array
    dual: Array
    divergence: float
    effective_size: float
    value: float
    converged: bool
    offset: float


@dataclass(frozen=True)
class Elastic:
    """Solution of an elastic linear programme: weights, slack in half-widths, total price."""

    weights: Array
    slack: Array
    price: float


def _checked(F: ArrayLike, target: ArrayLike, half_width: ArrayLike) -> tuple[Array, Array, Array]:
    F = np.ascontiguousarray(F, dtype=float)
    target, half_width = np.asarray(target, dtype=float), np.asarray(half_width, dtype=float)
    if F.ndim != 2 or target.shape != (len(F),) or half_width.shape != (len(F),):
        raise PopulationError(
            f"F is {F.shape}, target {target.shape}, half_width {half_width.shape}: "
            "give one target and one half-width for each row of F"
        )
    if not np.isfinite(F).all():
        bad = np.flatnonzero(~np.isfinite(F).all(axis=1))
        raise PopulationError(f"rows {bad.tolist()} of F are not finite: check the support points")
    if not (half_width > 0).all():
        raise PopulationError("every half-width must be positive: give exact rows a tiny one")
    return F, target, half_width


def outside(achieved: Array, target: Array, half_width: Array) -> Array:
    """Distance from the box, in half-widths; zero inside."""
    return np.maximum(np.abs(achieved - target) / half_width - 1, 0.0)


def tilt(
    F: ArrayLike,
    base: ArrayLike,
    target: ArrayLike,
    half_width: ArrayLike,
    priority: ArrayLike,
    *,
    entropy: ArrayLike | None = None,
    start: ArrayLike | None = None,
    max_iterations: int = 200,
    tolerance: float = 1e-8,
) -> Tilt:
    r"""Weights nearest to `base` in relative entropy that bring every row into its box.

    Minimises, over weights w >= 0 with sum(w) = 1,

    .. math:: \sum_i w_i \log(w_i / b_i) + \tfrac12 \sum_j c_j s_j^2

    where s_j is the distance of (F w)_j from the box target_j +- half_width_j in half-widths and
    c_j its priority; with `entropy` a, the divergence is sum_i a_i (w_i log(w_i / b_i) - w_i). The
    dual is smooth once the absolute value that a box puts there is smoothed, and the finite
    priorities are a ridge on it, so that infeasible targets do not make it singular: they come back
    with positive slack instead. Solved by damped Newton steps.

    Parameters
    ----------
    F : array, shape (k, n)
        One row per published number, one column per support point.
    base : array, shape (n,)
        Positive base weights; they are normalised, unless `entropy` is given.
    target, half_width : array, shape (k,)
        The boxes. A row whose block mean is meant (buyers only, say) is the indicator of the block
        times (value - target), with target zero and a half-width scaled by the block's share.
    priority : array or float, shape (k,)
        Price, in nats, of a squared slack of one half-width. 1e4 is as good as exact, 1e-2 is a
        wish; zero switches a row off.
    entropy : array, shape (n,), optional
        Positive prices of a nat, point by point: where they are high, weights stay near the base.
    start : array, shape (k,), optional
        Dual to start from, as returned in `Tilt.dual` (a warm start after a change of support).
    max_iterations : int
        Newton steps allowed.
    tolerance : float
        Largest allowed gradient of the dual, in standard deviations of a row.

    Returns
    -------
    Tilt

    Raises
    ------
    PopulationError
        Shapes disagree, numbers are not finite, or Newton's method does not converge.

    References
    ----------
    I. Csiszar, "I-divergence geometry of probability distributions", Annals of Probability 3
    (1975); M. Dudik, S. Phillips, R. Schapire, "Maximum entropy density estimation with
    generalized regularization", JMLR 8 (2007), for boxes as a penalty on the dual.
    """
    F, target, half_width = _checked(F, target, half_width)
    base = np.asarray(base, dtype=float)
    priority = np.broadcast_to(np.asarray(priority, dtype=float), target.shape)
    if base.shape != F.shape[1:] or not (base > 0).all() or (priority < 0).any():
        raise PopulationError("base weights must be positive, one per column of F, priorities >= 0")
    use = priority > 0
    log_base = np.log(base if entropy is not None else base / base.sum())
    base = base / base.sum()
    centred = F[use] - target[use, None]
    spread = np.sqrt(np.maximum(centred**2 @ base - (centred @ base) ** 2, 0.0))
    scale = np.maximum(
        spread, half_width[use]
    )  # a row that is constant on the support stays finite
    G = centred / scale[:, None]
    box = half_width[use] / scale
    ridge = box**2 / priority[use]

    a = None if entropy is None else np.asarray(entropy, dtype=float)
    zero = 0.0 if a is None else _normalised(log_base, a)[0]

    def evaluate(theta: Array, exponent: Array, ridge: Array) -> tuple[float, Array]:
        level, weights, _ = _normalised(exponent, a)
        smooth = np.sqrt(theta**2 + SMOOTHING**2)
        value = level - zero + box @ (smooth - SMOOTHING) + 0.5 * ridge @ theta**2
        return value, weights

    # Far from the optimum few points carry the weight and the curvature misleads. A ridge that
    # falls from solution to solution keeps every Newton step inside its region of trust.
    theta, exponent = np.zeros(len(G)), log_base
    floors = FLOORS[ridge.min() < FLOORS]
    if start is not None:
        warm = np.asarray(start, dtype=float)[use] * scale
        warm_exponent = log_base + warm @ G / (1.0 if a is None else a)
        if evaluate(warm, warm_exponent, ridge)[0] < 0.0:
            theta, exponent, floors = warm, warm_exponent, floors[len(floors) :]
    steps = 0
    for floor in (*floors, 0.0):
        penalty = np.maximum(ridge, floor)
        goal = tolerance if floor == 0.0 else PATH_TOLERANCE
        value, weights = evaluate(theta, exponent, penalty)
        damping, gradient = 0.0, np.full(len(G), np.inf)
        for _ in range(max_iterations):
            mean = G @ weights
            smooth = np.sqrt(theta**2 + SMOOTHING**2)
            gradient = mean + box * theta / smooth + penalty * theta
            if np.abs(gradient).max() < goal:
                break
            if a is None:
                hessian = (G * weights) @ G.T - np.outer(mean, mean)
            else:
                middle = G @ (weights / a)
                hessian = (G * (weights / a)) @ G.T
                hessian -= np.outer(middle, middle) / (weights / a).sum()
            hessian[np.diag_indices_from(hessian)] += box * SMOOTHING**2 / smooth**3 + penalty
            while damping < 1e6:
                # 1e-12 of a variance only guards against rounding
                damped = hessian + (damping + 1e-12) * np.eye(len(hessian))
                try:
                    step = -cho_solve(cho_factor(damped), gradient)
                except LinAlgError:  # rounding made a flat direction negative
                    damping = max(4 * damping, 1e-6)
                    continue
                change = step @ G / (1.0 if a is None else a)
                trial, trial_weights = evaluate(theta + step, exponent + change, penalty)
                if trial <= value + 1e-4 * (gradient @ step) + ROUNDING * (1 + abs(value)):
                    break
                damping = max(4 * damping, 1e-6)
            else:
                break
            theta, exponent = theta + step, exponent + change
            value, weights, damping = trial, trial_weights, damping / 10
            steps += 1
    worst = np.abs(gradient).max()
    converged = bool(worst < tolerance)
    if worst > max(1e3 * tolerance, 1e-5):
        raise PopulationError(
            f"tilting stopped with a gradient of {worst:.1e} standard deviations: "
            "lower the priorities of the rows that conflict or widen the support"
        )
    logger.debug("tilted in %d Newton steps", steps)
    dual = np.zeros(len(F))
    dual[use] = theta / scale
    achieved = F @ weights
    positive = weights > 0
    divergence = float(weights[positive] @ (np.log(weights[positive]) - log_base[positive]))
    return Tilt(
        weights=weights,
        achieved=achieved,
        slack=outside(achieved, target, half_width),
        dual=dual,
        divergence=divergence,
        effective_size=float(1 / (weights @ weights)),
        value=-float(value),
        converged=converged,
        offset=_normalised(exponent, a)[2] - float(dual @ target),
    )


def _normalised(exponent: Array, entropy: Array | None) -> tuple[float, Array, float]:
    """Dual's value, weights that sum to one, and the multiplier of their sum."""
    if entropy is None:
        log_total = logsumexp(exponent)
        return log_total, np.exp(exponent - log_total), -float(log_total)
    multiplier = 0.0
    for _ in range(100):  # a logsumexp is convex and increasing: Newton cannot cycle
        log_total = logsumexp(exponent + multiplier / entropy)
        weights = np.exp(exponent + multiplier / entropy - log_total)
        if abs(log_total) < 1e-13:
            break
        multiplier -= log_total / (weights @ (1 / entropy))
    return float(entropy @ weights - multiplier), weights, multiplier


def elastic_programme(
    F: ArrayLike, target: ArrayLike, half_width: ArrayLike, price: ArrayLike
) -> Elastic:
    """Cheapest violation of the boxes by any weights on the support.

    Parameters
    ----------
    F : array, shape (k, n)
    target, half_width : array, shape (k,)
    price : array or float, shape (k,)
        Cost of a slack of one half-width; infinity makes a row compulsory.

    Returns
    -------
    Elastic
        Zero slack everywhere says that a population on this support has all the numbers at once.

    Raises
    ------
    PopulationError
        The compulsory rows alone cannot be met.
    """
    F, target, half_width = _checked(F, target, half_width)
    price = np.broadcast_to(np.asarray(price, dtype=float), target.shape)
    k, n = F.shape
    scaled = (F - target[:, None]) / half_width[:, None]  # all boxes become [-1, 1]
    soft = np.flatnonzero(np.isfinite(price))
    pick = sparse.csr_matrix((np.ones(len(soft)), (soft, np.arange(len(soft)))), (k, len(soft)))
    A = sparse.vstack(
        [
            sparse.hstack([sparse.csr_matrix(scaled), -pick]),
            sparse.hstack([sparse.csr_matrix(-scaled), -pick]),
        ]
    )
    total = sparse.csr_matrix(
        (np.ones(n), (np.zeros(n, dtype=int), np.arange(n))), (1, n + len(soft))
    )
    solution = linprog(
        np.r_[np.zeros(n), price[soft]],
        A_ub=A,
        b_ub=np.ones(2 * k),
        A_eq=total,
        b_eq=[1.0],
        method="highs",
    )
    if solution.status != 0:
        raise PopulationError(
            f"the compulsory rows cannot be met together ({solution.message.strip()}): "
            "give some of them a finite price"
        )
    weights = np.maximum(solution.x[:n], 0)
    weights /= weights.sum()
    return Elastic(weights, outside(F @ weights, target, half_width), float(solution.fun))


def conflict(
    F: ArrayLike,
    target: ArrayLike,
    half_width: ArrayLike,
    compulsory: ArrayLike | None = None,
    *,
    tolerance: float = 1e-6,
) -> list[int]:
    """An irreducible infeasible subset of the rows, by an elastic and a deletion filter.

    Every row returned is needed: dropping any single one makes the rest attainable on this
    support. An empty list says that all rows hold at once.

    Parameters
    ----------
    F, target, half_width
        As in :func:`elastic_programme`.
    compulsory : sequence of int, optional
        Rows to keep in the subset to the end of the filter (it starts with the others), so that
        the certificate names the number under suspicion whenever it can.
    tolerance : float
        Total slack, in half-widths, below which rows count as attainable.

    Returns
    -------
    list of int
        Row indices in ascending order.

    References
    ----------
    J. W. Chinneck, *Feasibility and Infeasibility in Optimization* (Springer, 2008), chapter 6.
    """
    F, target, half_width = _checked(F, target, half_width)
    last = set() if compulsory is None else {int(j) for j in np.atleast_1d(compulsory)}

    def price(rows: list[int]) -> Elastic:
        return elastic_programme(F[rows], target[rows], half_width[rows], 1.0)

    rows = list(range(len(F)))
    solution = price(rows)
    if solution.price <= tolerance:
        return []
    # elastic filter: rows that stretch are forced one after another until nothing more stretches
    forced: list[int] = []
    remaining = rows
    while True:
        cost = np.ones(len(remaining))
        cost[[remaining.index(j) for j in forced]] = np.inf
        try:
            solution = elastic_programme(
                F[remaining], target[remaining], half_width[remaining], cost
            )
        except PopulationError:
            break
        stretched = [j for j, s in zip(remaining, solution.slack, strict=True) if s > tolerance]
        new = [j for j in stretched if j not in forced]
        if not new:
            break
        forced += new
    rows = sorted(forced) if price(forced).price > tolerance else remaining
    for j in sorted(rows, key=lambda j: (j in last, -j)):
        without = [i for i in rows if i != j]
        if without and price(without).price > tolerance:
            rows = without
    return rows
