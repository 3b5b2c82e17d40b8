"""The 6284 who declined: their task is to make the probit return the population's coefficients."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthetic.constraints import evaluate
from synthetic.part1 import base, model
from synthetic.part1.buyers import (
    BOUNDS,
    FINE,
    INSIDE,
    STEP,
    derivative,
    separate,
    whole_sums,
)
from synthetic.part1.model import COLUMNS, SELECTION_TERMS, Truth, design, inverse_mills
from synthetic.part1.population import Population
from synthetic.population import tilt
from synthetic.published import by_id
from synthetic.sample import integer_counts, minimum_norm, systematic

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

ROUGHLY = 0.5  # of a score's sampling error; exact scores would lean on few support points
FULL_MEANS = tuple(f"p1.mean.{column}" for column in COLUMNS[:3])


def reweigh(population: Population, truth: Truth, buyers: Mapping[str, Array]) -> Array:
    """Weights of non-buyers nearest to the population's at which the probit's scores vanish.

    Given these very buyers, and at the coefficients that the sample is to estimate: both differ
    from the population's expectation by sampling error.

    Returns
    -------
    ndarray, shape (support points,)
    """
    declined = model.customers() - model.buyers()
    expected = population.weights * (1 - population.augmented()["probability"])
    expected = np.maximum(expected / expected.sum(), 1e-15)
    Z = design(population.rows, SELECTION_TERMS)
    mills = inverse_mills(-(Z @ truth.selection))
    score = (mills[:, None] * Z).T
    wanted = scores(buyers, truth, True) / declined
    noise = np.sqrt((score - wanted[:, None]) ** 2 @ expected / declined)
    # what is left for non-buyers of the full sample's shares and means
    whole = [k for k in model.constraints() if k.id.endswith(".share") or k.id in FULL_MEANS]
    looks = [k for k in base.smooth_margins() if not k.id.startswith(model.OF_BUYERS)]
    whole = [k.with_priority(model.FIRM) for k in whole]
    whole += [k.with_priority(model.SOFT) for k in looks]
    system = evaluate(whole, population.rows)
    of_buyers = evaluate(whole, buyers).F.sum(axis=1)
    return tilt(
        np.vstack([score, system.F]),
        expected,
        np.r_[wanted, (system.target * model.customers() - of_buyers) / declined],
        np.r_[ROUGHLY * noise, INSIDE * system.half_width * model.customers() / declined],
        np.r_[np.full(len(score), model.FIRM), system.priority],
    ).weights


def segment_counts(
    population: Population, weight: Array, buyers: Mapping[str, Array]
) -> NDArray[np.int64]:
    """Non-buyers by risk aversion (rows) and functionality (columns).

    Nearest to the population's, with Table 4's shares and the full-sample means of both columns
    to the printed digit once the buyers are added.
    """
    size, number = model.customers(), by_id()
    cells = list(itertools.product(model.RISK_LEVELS, model.FUNCTIONALITY_LEVELS))
    risk, functionality = np.array(cells, float).T

    def count(rows: Mapping[str, Array], weights: Array | None = None) -> Array:
        code = 4 * rows["risk_aversion"] + rows["product_functionality"] - 1
        return np.bincount(code.astype(int), weights, len(cells))

    bought = count(buyers)
    expected = count(population.rows, weight)
    expected *= (size - model.buyers()) / expected.sum()
    features, low, high = [np.ones(len(cells))], [size - model.buyers()], [size - model.buyers()]

    def share(id: str, inside: NDArray[np.bool_]) -> None:
        printed = number[id]
        centre, half = printed.value / 100 * size, INSIDE * printed.half_width / 100 * size
        features.append(inside.astype(float))
        low.append(centre - half - bought @ inside)
        high.append(centre + half - bought @ inside)

    for level in model.RISK_LEVELS:
        share(f"t4.a.{level}.share", risk == level)
    for level in model.FUNCTIONALITY_LEVELS:
        share(f"t4.b.{level}.share", functionality == level)
    for r, f in model.SEGMENTS:
        share(f"t4.c.ra{r}_pf{f}.share", (risk == r) & (functionality == f))
    for column, values in (("risk_aversion", risk), ("product_functionality", functionality)):
        sums = whole_sums(number[f"p1.mean.{column}"], size)
        features.append(values)
        low.append(sums[0] - bought @ values)
        high.append(sums[-1] - bought @ values)
    counts = integer_counts(expected, np.array(features), low, high)
    return counts.reshape(len(model.RISK_LEVELS), len(model.FUNCTIONALITY_LEVELS))


def draw_segments(
    population: Population, weight: Array, counts: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Array]:
    """Systematic draws inside each segment, ordered by the selection index."""
    full = population.augmented()
    order = np.argsort(full["index"], kind="stable")
    chosen = []
    for risk, functionality in itertools.product(model.RISK_LEVELS, model.FUNCTIONALITY_LEVELS):
        inside = order[
            (full["risk_aversion"][order] == risk)
            & (full["product_functionality"][order] == functionality)
        ]
        count = int(counts[risk, functionality - 1])
        if count:
            chosen.append(inside[systematic(weight[inside], count, rng)])
    index = np.concatenate(chosen)
    return {column: population.rows[column][index] for column in COLUMNS}


def scores(rows: Mapping[str, Array], truth: Truth, bought: bool) -> Array:
    """Probit score of each term at the population's coefficients, summed over the rows."""
    Z = design(rows, SELECTION_TERMS)
    index = Z @ truth.selection
    sign = 1.0 if bought else -1.0
    return sign * inverse_mills(sign * index) @ Z


def polish(rows: dict[str, Array], buyers: Mapping[str, Array], truth: Truth) -> dict[str, Array]:
    """Smallest moves of ability, age and price that make the probit's scores vanish.

    Whole ranks and days are rounded as soon as they have moved; prices, rounded to cents last,
    absorb what that leaves, so that the coefficients miss by thousandths of a standard error.
    """
    size = len(rows["product_age"])
    goal = scores(buyers, truth, True)
    everyone = {c: np.r_[buyers[c], rows[c]] for c in COLUMNS}
    Z = design(everyone, SELECTION_TERMS)
    index = Z @ truth.selection
    weight = inverse_mills(index) * inverse_mills(-index)
    root = np.sqrt(np.diag((Z.T * weight) @ Z))  # a score's standard deviation
    printed = by_id()["p1.mean.agent_resolution_ability"]
    ability_sum = printed.value * model.customers() - buyers["agent_resolution_ability"].sum()

    def residual_of(moving: tuple[str, ...]):
        def residual(x: Array) -> tuple[Array, Array]:
            trial = {**rows, **dict(zip(moving, x.reshape(len(moving), size), strict=True))}
            Zx = design(trial, SELECTION_TERMS)
            index = Zx @ truth.selection
            mills = inverse_mills(-index)
            curvature = mills * (mills - index)
            r = (goal - mills @ Zx) / root
            blocks = []
            for column in moving:
                index_slope = derivative(trial, SELECTION_TERMS, truth.selection, column)
                block = -(curvature * index_slope)[:, None] * Zx
                for j, term in enumerate(SELECTION_TERMS, start=1):
                    one = np.zeros(len(SELECTION_TERMS) + 1)
                    one[j] = 1.0
                    if column in term.split(":"):
                        block[:, j] -= mills * derivative(trial, SELECTION_TERMS, one, column)
                blocks.append((block / root).T)
            if "agent_resolution_ability" in moving:
                half = printed.half_width * model.customers()
                gap = (trial["agent_resolution_ability"].sum() - ability_sum) / half
                slope = [
                    np.full(size, 1 / half) if c == "agent_resolution_ability" else np.zeros(size)
                    for c in moving
                ]
                return np.r_[r, gap], np.vstack([np.hstack(blocks), np.concatenate(slope)])
            return r, np.hstack(blocks)

        return residual

    for k, column in enumerate(FINE):
        moving = FINE[k:]
        x = minimum_norm(
            residual_of(moving),
            np.concatenate([rows[c] for c in moving]),
            scale=np.repeat([STEP[c] for c in moving], size),
            lower=np.repeat([BOUNDS[c][0] for c in moving], size),
            upper=np.repeat([BOUNDS[c][1] for c in moving], size),
            tolerance=1e-8,
            max_iterations=250,
        )
        rows = {**rows, **dict(zip(moving, x.reshape(len(moving), size), strict=True))}
        if column == "agent_resolution_ability":
            rows[column] = round_to_sum(rows[column], round(ability_sum))
        else:
            rows[column] = np.round(rows[column], 2 if column == "product_price" else 0)
    return rows


def round_to_sum(values: Array, total: int) -> Array:
    """Whole numbers nearest to the values with a given sum (largest remainders)."""
    down = np.floor(values)
    short = int(total - down.sum())
    rounded = down.copy()
    rounded[np.argsort(down - values, kind="stable")[:short]] += 1
    return rounded


def build(
    population: Population, truth: Truth, buyers: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Draw and polish the customers who declined.

    Returns
    -------
    dict of str to ndarray, shape (6284,)
        `cross_sell_good` is what would have been offered; no record shows it.
    """
    weight = reweigh(population, truth, buyers)
    counts = segment_counts(population, weight, buyers)
    rows = separate(draw_segments(population, weight, counts, rng), rng)
    return polish(rows, buyers, truth)
