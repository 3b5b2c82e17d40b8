"""A sample to start from: dyads that differ as aimed at, intercepts near the printed ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from synthetic.part2.column import Column, look
from synthetic.part2.effects import DYAD_RANGE
from synthetic.part2.encounters import Clustering, Table, draw, share_out
from synthetic.part2.names import DISTANCE, TERMS
from synthetic.part2.population import FIRST, LAST, Design, Population, coefficients
from synthetic.part2.purchases import relative_surplus, whole_purchases
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

# How far, relative, the dyads' standard deviation may start from the middle, and in standard errors
# the coefficient of distance from the printed one: moves hardly reach either. Where the standard
# deviation's own standard error is larger, the likelihood is so flat that moves lead to a second
# maximum.
SD_NEAR, DISTANCE_NEAR, SD_ERROR = 1.5, 1.0, 0.05
PATTERNS, SCALINGS = 10, 3  # of surpluses
# Variance between dyads that the likelihood puts down to chance, in squared logits.
CHANCE = 0.012
SAME_SCALE = 0.05  # relative; nothing new is to be expected of a scale that near to the last


def drawn(population: Population, stream: np.random.SeedSequence) -> Table:
    """Draw encounters among which dyads differ about as much as is aimed at.

    Purchases by which dyads exceed expectation are scaled until every column's estimate of the
    dyads' standard deviation is near the middle of `DYAD_RANGE`. Some patterns have no such scale,
    others leave it uncertain, and others pull the coefficient of distance along; the first pattern
    is taken that starts near in all three, or the nearest.

    Parameters
    ----------
    population : Population
    stream : numpy.random.SeedSequence
        The same random numbers serve every scale of a pattern.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        As `synthetic.part2.encounters.draw` returns it.

    Raises
    ------
    SampleError
        No pattern and scale give such standard deviations.
    """
    plan = population.plan
    best, last = (np.inf, None), ""
    for pattern in stream.spawn(PATTERNS):
        excess, sample, customers = pattern.spawn(3)
        surplus, scale = relative_surplus(population, np.random.default_rng(excess)), 1.0
        for _ in range(SCALINGS):
            try:
                whole = whole_purchases(population, scale * surplus)
            except SampleError as error:
                last = str(error)
                logger.info("surpluses times %.2f: %s", scale, last)
                break
            table = draw(population, whole, np.random.default_rng(sample))
            shared = share_out(table, plan, Clustering(), np.random.default_rng(customers))
            columns = [look(shared, plan, column) for column in plan.columns]
            found = np.array([column.spreads[0] for column in columns])
            away = max(_away(column) for column in columns)
            last = f"dyads' SDs {found.round(3)}"
            logger.info("surpluses times %.2f: %s, %.2f away", scale, last, away)
            best = min(best, (away, table), key=lambda trial: trial[0])
            if away < 1:
                return table
            factor = np.sqrt((np.prod(DYAD_RANGE) + CHANCE) / (np.mean(found**2) + CHANCE))
            if abs(factor - 1) < SAME_SCALE:
                break
            scale *= factor
    if best[1] is None:
        raise SampleError(
            f"none of {PATTERNS} patterns of surpluses gives dyads that differ (the last: {last}); "
            "change DYAD_SD of the population"
        )
    return best[1]


def _away(column: Column) -> float:
    """How far a start is from what is aimed at; up to 1 is near."""
    k = TERMS.index(DISTANCE)
    distance = np.abs(column.estimate - column.target)[k] / column.standard_error[k]
    with np.errstate(divide="ignore"):
        spread = np.abs(np.log(column.spreads[0] / np.sqrt(np.prod(DYAD_RANGE))))
    error = np.sqrt(column.covariance[len(TERMS), len(TERMS)])
    return float(max(distance / DISTANCE_NEAR, spread / np.log(SD_NEAR), error / SD_ERROR))


INTERCEPT_ROOM = 0.03  # that is left to the moves
INTERCEPT_FAR = 0.12  # ... where no clustering comes nearer
INTERCEPT_BY_CLUSTERING = -0.7  # first guess of the slope
CLUSTERING_RANGE = 0.0, 3.5


def clustered(table: Table, plan: Design, stream: np.random.SeedSequence) -> Table:
    """Share encounters out among customers so that both intercepts come out as printed.

    The more purchases cluster in customers, the lower is the intercept that goes with a purchase
    rate. The column without the left-out country sets the clustering elsewhere, then the first
    column that of the left-out country; or the first one both, where it is the only one.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        As `synthetic.part2.encounters.draw` returns it.
    plan : Design
    stream : numpy.random.SeedSequence
        The same random numbers serve every trial.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        As `synthetic.part2.encounters.share_out` returns it.

    Raises
    ------
    SampleError
        No clustering gives a printed intercept.
    """
    clustering = Clustering()
    steps = {LAST: ["remaining"], FIRST: ["left_out"]}
    if LAST not in plan.columns:
        steps = {FIRST: ["remaining", "left_out"]}
    for column, fields in steps.items():
        target = coefficients(plan.published, column)[TERMS.index("intercept")]

        def shared(
            value: float, fields: Sequence[str] = fields, base: Clustering = clustering
        ) -> Table:
            chosen = replace(base, **dict.fromkeys(fields, value))
            return share_out(table, plan, chosen, np.random.default_rng(stream))

        def gap(value: float, column: str = column, target: float = target) -> float:
            found = look(shared(value), plan, column).estimate[TERMS.index("intercept")] - target
            logger.info("%s: effects of SD %.2f miss the intercept by %.3f", column, value, found)
            return found

        value = _secant(gap, getattr(clustering, fields[0]))
        clustering = replace(clustering, **dict.fromkeys(fields, value))
    return shared(value)


def _secant(gap: Callable[[float], float], value: float) -> float:
    """Where a falling function of the clustering is within `INTERCEPT_ROOM` of zero.

    Or within `INTERCEPT_FAR` at an end of the clustering's range.
    """
    slope, last = INTERCEPT_BY_CLUSTERING, None
    for _ in range(8):
        found = gap(value)
        if abs(found) < INTERCEPT_ROOM:
            return value
        if last is not None:
            slope = min((found - last[1]) / (value - last[0]), INTERCEPT_BY_CLUSTERING / 4)
        last = value, found
        value = float(np.clip(value - found / slope, *CLUSTERING_RANGE))
        if value == last[0]:  # an end of the range: no clustering comes nearer
            if abs(found) < INTERCEPT_FAR:
                return value
            break
    raise SampleError(
        f"no clustering of purchases in customers gives the printed intercept: the last one, "
        f"{last[0]:.2f}, misses by {last[1]:.3f}; change customer_sd in AIMS of the population"
    )
