"""Whole purchases by cell: the population's, and those by which dyads differ.

The chi-squares of purchase rates by country, the overall rate and the correlation of the purchase
with distance are settled here, once; nothing later changes who bought.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from synthetic.part2.names import ABILITY, DISTANCE, PURCHASE, TERMS
from synthetic.part2.population import (
    DYAD_SD,
    FIRST,
    PURCHASE_RATE,
    Population,
    expected_purchases,
    regressors,
)
from synthetic.published import Printed
from synthetic.sample import SampleError

Array = NDArray[np.float64]

EXACT = 0.9  # half-widths
CORRELATION_ROOM = 0.8  # of a half-width; rounding the cells has taken .12
RATE_REACH = 8e-5  # either way: what prints as the mean and SD of the purchase
SEARCHED = 30_000, 300_000, 3_000_000  # sets of totals; the next if one has none


def whole_purchases(population: Population, surplus: Array) -> NDArray[np.int64]:
    """Whole purchases by cell: the population's, and those by which dyads exceed expectation.

    The overall rate and the correlation of the purchase with distance are those of Table 7, and the
    chi-squares of a calibrated population's rates by country the printed ones: nothing later
    changes them. Where they are far from the population's, dyads differ by what they take.

    Parameters
    ----------
    population : Population
    surplus : ndarray, shape (dyads,)
        As a share of the purchases expected.

    Raises
    ------
    SampleError
        No whole numbers near the expected ones add up to the countries' totals.
    """
    plan, moments = population.plan, population.plan.moments
    expected = expected_purchases(population) * (1 + surplus[plan.dyad_of_cell[0]])
    total = round(PURCHASE_RATE * plan.size)
    member, wanted = [np.ones(len(expected))], [float(total)]
    # of fewer countries there are fewer sets of totals: they choose the overall one
    reach = int(RATE_REACH * plan.size)
    totals = np.arange(total - reach, total + reach + 1)
    for side in sorted(plan.directions, key=lambda side: plan.cells[side].nunique()):
        own = np.array([plan.cells[side] == name for name in np.unique(plan.cells[side])])
        encounters = own @ plan.cells["encounters"].to_numpy()
        printed = plan.published[f"p2.chi2.{side}"]
        bought = near_chi_square(printed, encounters, own @ expected, totals)
        # the last country's total follows from the others
        member.extend(own[:-1].astype(float))
        wanted.extend(bought[:-1])
        wanted[0] = bought.sum()
        totals = bought.sum(keepdims=True)
    expected *= wanted[0] / expected.sum()
    away = plan.cells["distance"].to_numpy() - moments[DISTANCE].mean
    scale = plan.size * moments[DISTANCE].sd * moments[PURCHASE].sd
    # as near to the population's correlation as the printed digit allows
    number = plan.published[f"t7.corr.{DISTANCE}.{PURCHASE}"]
    room = CORRELATION_ROOM * number.half_width
    correlation = np.clip(away @ expected / scale, number.value - room, number.value + room)
    X, y = np.array([*member, away]), np.array([*wanted, correlation * scale])
    expected *= 1 + np.linalg.solve((X * expected) @ X.T, y - X @ expected) @ X
    # which cells are rounded up is a transportation problem: its programme has a whole solution
    whole = np.floor(expected)
    solution = linprog(
        whole - expected,
        A_eq=X[:-1],
        b_eq=wanted - X[:-1] @ whole,
        bounds=(0, 1),
        method="highs-ds",
    )
    if solution.status != 0:
        raise SampleError(
            f"purchases cannot be rounded to the countries' totals: {solution.message}"
        )
    return (whole + solution.x).round().astype(np.int64)


def near_chi_square(
    printed: Printed,
    encounters: NDArray[np.int64],
    expected: Array,
    totals: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Whole purchases by country whose chi-square prints as published, near the expected ones.

    Pearson's chi-square; every set of numbers within so many standard errors of the expected ones
    is looked at.

    Parameters
    ----------
    printed : Printed
    encounters : ndarray of int, shape (countries,)
    expected : ndarray, shape (countries,)
        Purchases.
    totals : ndarray of int
        Overall purchases that will do.

    Returns
    -------
    ndarray of int, shape (countries,)
        Those nearest to the printed chi-square if none prints as published.

    Raises
    ------
    SampleError
        The printed chi-square is out of reach in the direction of the expected purchases.
    """
    typical, n = float(np.mean(totals)), encounters.sum()
    share, expected = encounters / n, expected * typical / expected.sum()

    def chi_square(bought: NDArray) -> Array:
        total = bought.sum(axis=-1, keepdims=True)
        rate = total[..., 0] / n
        return ((bought - total * share) ** 2 / encounters).sum(axis=-1) / (rate * (1 - rate))

    even = typical * share
    near = even + np.sqrt(printed.value / chi_square(expected)) * (expected - even)
    if near.min() < 0:
        raise SampleError(
            f"a chi-square of {printed.printed} asks for purchases below zero in some country"
        )
    largest = int(encounters.argmax())  # takes what the others leave
    centre = np.round(np.delete(near, largest))
    for searched in SEARCHED:
        reach = np.sqrt(centre)
        reach *= (searched / len(totals) / reach.prod()) ** (1 / len(centre)) / 2
        steps = [np.arange(-r, r + 1) for r in np.maximum(1, reach.astype(int))]
        others = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
        others = others.reshape(-1, len(centre)) + centre
        best = np.inf, np.inf, near
        for total in totals:
            bought = np.insert(others, largest, total - others.sum(axis=1), axis=1)
            bought = bought[bought.min(axis=1) >= 0]
            off = np.abs(chi_square(bought) - printed.value) / printed.half_width
            distance = ((bought - near) ** 2 / near).sum(axis=1)
            k = np.lexsort([distance, np.maximum(off, EXACT)])[0]
            best = min(best, (max(off[k], EXACT), distance[k], bought[k]), key=lambda b: b[:2])
        if best[0] <= EXACT:
            break
    return best[2].astype(np.int64)


# Coefficients that say most about differences between dyads.
BETWEEN = ("intercept", DISTANCE, ABILITY, f"{ABILITY}:{DISTANCE}")
# Signs are drawn anew, so often at most, until no dyad is farther off, in what is typical of it.
SIGNS, FAR_OFF = 64, 1.6


def relative_surplus(population: Population, rng: np.random.Generator) -> Array:
    """Draw the share by which purchases of large dyads exceed expectation: intercepts and luck.

    Signs are drawn, and sizes are what intercepts and luck come to on average: one far-off dyad
    would give the likelihood two maxima. Numbers of purchases keep what they say of the
    coefficients `BETWEEN` dyads, and rates, weighted as the model weighs dyads, what they say of
    distance, with the left-out country and without; the rest is as large again as all was.

    Returns
    -------
    ndarray, shape (dyads,)
    """
    plan, rows = population.plan, population.rows
    code, n_dyads = plan.dyad_of_cell[0], len(plan.dyad_share)
    dyad, bought = code[rows["cell"]], plan.size * population.weights * rows[PURCHASE]
    large = np.bincount(code, plan.large, n_dyads) > 0
    expected = np.bincount(dyad, bought, n_dyads)[large]
    size = np.sqrt(DYAD_SD**2 + 1 / expected)
    x = regressors(rows, plan.centre_of(FIRST))[[TERMS.index(term) for term in BETWEEN]]
    mean = np.stack([np.bincount(dyad, bought * v, n_dyads)[large] for v in x]) / expected
    taken = [*(mean * expected * size)]
    distance = mean[BETWEEN.index(DISTANCE)]
    remaining = np.bincount(code, plan.remaining, n_dyads)[large] > 0
    for member in (np.ones(len(expected)), remaining):
        weight = member / size**2
        if weight.any():
            taken.append((distance - weight @ distance / weight.sum()) * weight * size)
    X = np.stack(taken)
    result = np.zeros(n_dyads)
    if np.linalg.matrix_rank(X) == len(expected):  # few dyads leave no freedom
        return result
    for _ in range(SIGNS):
        drawn = rng.choice([-1.0, 1.0], len(expected))
        left = drawn - X.T @ np.linalg.lstsq(X.T, drawn)[0]
        left *= np.linalg.norm(drawn) / np.linalg.norm(left)
        if np.abs(left).max() < FAR_OFF:
            break
    result[large] = left * size
    return result
