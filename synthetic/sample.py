"""Samples that meet published numbers exactly: integer programmes and minimum-norm moves.

The route from a population to a sample of whole numbers: counts of cells by an integer programme,
systematic draws inside cells, minimum-norm moves of the fine columns until every remaining
condition holds, and rounding one column at a time, where rounding up or down per row is itself a
small integer programme because every condition is linear in those choices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from crosssell.errors import CrossSellError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Residual = Callable[[Array], tuple[Array, Array]]


# Decimals that integer programmes see: the last bits of linear algebra, which differ from processor
# to processor, would choose between answers that are equally good.
DECIMALS = 7


class SampleError(CrossSellError):
    """A sample with the wanted properties was not found; the message says what to change."""


def systematic(weights: ArrayLike, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Systematic draws: a point of weight w comes floor(size * w) or one more times.

    Parameters
    ----------
    weights : array, shape (n,)
        Non-negative; normalised here.
    size : int
        Draws.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (size,)
        Indices in ascending order: sort the points first to stratify by the sorting key.
    """
    edges = np.cumsum(np.asarray(weights, dtype=float))
    ticks = (np.arange(size) + rng.random()) / size * edges[-1]
    return np.minimum(np.searchsorted(edges, ticks, side="right"), len(edges) - 1)


def integer_counts(
    expected: ArrayLike,
    features: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    time_limit: float = 30.0,
) -> NDArray[np.int64]:
    """Whole cell counts nearest to the expected ones with linear totals inside bounds.

    Minimises the sum of absolute deviations, each relative to the root of the expected count.

    Parameters
    ----------
    expected : array, shape (m,)
        Expected counts; a cell that expects nothing stays empty.
    features : array, shape (k, m)
        Value of each total per unit of each cell (ones for the sample size, a product for a
        cross-moment).
    lower, upper : array, shape (k,)
        Bounds on features @ counts; equal bounds for an exact total.
    time_limit : float
        Seconds after which the best counts found so far are returned.

    Returns
    -------
    ndarray of int, shape (m,)

    Raises
    ------
    SampleError
        No counts satisfy the bounds.
    """
    expected, features = np.round(expected, DECIMALS), np.asarray(features, float)
    m = len(expected)
    price = 1 / np.sqrt(np.maximum(expected, 0.25))
    eye = sparse.identity(m)
    result = milp(
        np.r_[np.zeros(m), price],
        constraints=[
            LinearConstraint(
                sparse.hstack([features, sparse.csr_matrix(features.shape)]), lower, upper
            ),
            LinearConstraint(sparse.hstack([eye, -eye]), -np.inf, expected),
            LinearConstraint(sparse.hstack([eye, eye]), expected, np.inf),
        ],
        integrality=np.r_[np.ones(m), np.zeros(m)],
        bounds=Bounds(0, np.r_[np.where(expected > 0, np.inf, 0), np.full(m, np.inf)]),
        options={"time_limit": time_limit, "mip_rel_gap": 0.02},
    )
    if result.x is None:
        raise SampleError(
            f"no whole counts meet the totals ({result.message}): widen the bounds or give more "
            "cells a positive expectation"
        )
    return np.rint(result.x[:m]).astype(int)


def minimum_norm(
    residual: Residual,
    start: ArrayLike,
    *,
    scale: ArrayLike = 1.0,
    lower: ArrayLike = -np.inf,
    upper: ArrayLike = np.inf,
    longest: float = 3.0,
    tolerance: float = 1e-10,
    max_iterations: int = 60,
) -> Array:
    """Smallest moves (Gauss-Newton) that make all residuals vanish.

    Each step is the minimum-norm solution of the linearised conditions, in units of `scale`;
    a variable that would cross a bound, or move farther than `longest` scales at once, stays there
    for the rest of the step.

    Parameters
    ----------
    residual : callable
        x -> (r, J) with r of shape (k,), J of shape (k, n); k < n.
    start : array, shape (n,)
    scale : array or float
        Typical size of a move per variable: large for variables that may move freely.
    lower, upper : array or float
        Bounds on the variables.
    longest : float
        Longest move of a variable in one step, in its scales.
    tolerance : float
        Largest allowed residual; scale the conditions so that one is a printed digit's half-width.
    max_iterations : int

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    SampleError
        The residuals do not vanish.
    """
    x = np.clip(np.asarray(start, dtype=float), lower, upper)
    scale = np.broadcast_to(np.asarray(scale, dtype=float), x.shape)
    lower, upper = np.broadcast_to(lower, x.shape), np.broadcast_to(upper, x.shape)
    r, J = residual(x)
    worst = np.abs(r).max()
    for _ in range(max_iterations):
        if worst < tolerance:
            return x
        free = np.ones(len(x), dtype=bool)
        step = np.zeros(len(x))
        low, high = np.maximum(lower, x - longest * scale), np.minimum(upper, x + longest * scale)
        for _ in range(20):
            JS = J[:, free] * scale[free]
            wanted = -r - J[:, ~free] @ step[~free]
            step[free] = scale[free] * np.linalg.lstsq(JS, wanted, rcond=1e-12)[0]
            crossing = free & ((x + step < low - 1e-12) | (x + step > high + 1e-12))
            if not crossing.any():
                break
            step[crossing] = np.clip(x + step, low, high)[crossing] - x[crossing]
            free &= ~crossing
        length = 1.0
        while length > 1e-4:
            trial = np.clip(x + length * step, lower, upper)
            r_trial, J_trial = residual(trial)
            if np.abs(r_trial).max() < worst * (1 - 0.1 * length):
                break
            length /= 2
        else:
            break
        x, r, J, worst = trial, r_trial, J_trial, np.abs(r_trial).max()
    if worst < tolerance:
        return x
    raise SampleError(
        f"moves stopped with a residual of {worst:.2e} (in units of the conditions): let more "
        "columns move, widen the bounds, or start from a larger sample of the population"
    )


def round_rows(
    fraction: ArrayLike,
    effect: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    time_limit: float = 20.0,
) -> NDArray[np.bool_]:
    """Round each row up or down so that every condition stays inside its bounds.

    Parameters
    ----------
    fraction : array, shape (n,)
        Where each unrounded value lies between down (0) and up (1); nearest rounding is preferred.
    effect : array, shape (k, n)
        Change of each condition when a row goes up rather than down.
    lower, upper : array, shape (k,)
        Bounds on effect @ up.
    time_limit : float
        Seconds for the integer programme, when the vertex does not round well.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for rows rounded up.

    Raises
    ------
    SampleError
        No choice was found.

    Notes
    -----
    A vertex of the linear relaxation has at most k fractional rows; when rounding those few keeps
    the bounds, that is the answer. Otherwise the integer programme is solved over all rows.
    """
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    width = np.maximum(upper - lower, 1e-300)
    scaled = np.asarray(effect, float) / width[:, None], lower / width, upper / width
    fraction, effect, lower, upper = (np.round(v, DECIMALS) for v in (fraction, *scaled))
    cost = 1 - 2 * fraction
    margin = 0.3  # the relaxation aims at the middle of the bounds and leaves room for rounding
    relaxed = linprog(
        cost,
        A_ub=np.vstack([effect, -effect]),
        b_ub=np.r_[upper - margin, -(lower + margin)],
        bounds=(0, 1),
        method="highs-ds",
    )
    if relaxed.status == 0:
        up = relaxed.x > 0.5
        total = effect @ up
        if (total >= lower).all() and (total <= upper).all():
            return up
    result = milp(
        cost,
        constraints=LinearConstraint(effect, lower, upper),
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, 1),
        options={"time_limit": time_limit, "mip_rel_gap": 0.05},
    )
    if result.x is None:
        raise SampleError(
            f"rounding up or down cannot keep the conditions ({result.message}): round a finer "
            "column, or let a column that is rounded later absorb some of them"
        )
    return result.x > 0.5
