"""Part I's synthetic firm: 6782 pitched customers, 498 buyers, calibrated to Tables 2, 3 and 4."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from crosssell import measures
from crosssell.errors import SpecificationError
from synthetic.firm import Firm
from synthetic.part1 import buyers, certificates, model, nonbuyers, outcome, report, sources
from synthetic.part1 import population as populations
from synthetic.part1.estimates import sample_truth
from synthetic.part1.model import COLUMNS, REVENUE
from synthetic.part1.population import Population
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

__all__ = ["draw_rows", "exact_rows", "make"]

Mode = Literal["exact", "draw"]
Size = Literal["full", "quick"]
QUICK = 8  # one customer in so many
ATTEMPTS = 8  # streams tried when whole numbers refuse to meet the conditions


def make(
    seed: int,
    mode: Mode = "exact",
    size: Size = "full",
    population: Population | Path | str | None = None,
) -> Firm:
    """Make Part I's firm.

    Parameters
    ----------
    seed : int
        Of the sample; the population depends on the published numbers alone.
    mode : {"exact", "draw"}
        The firm whose estimates print as published, or a fresh random sample of its population,
        without polishing, for Monte Carlo work.
    size : {"full", "quick"}
        6782 customers, or an eighth of them drawn at random for tests of the flow.
    population : Population or path, optional
        What :func:`synthetic.part1.population.build` returned or saved; computed when not given.

    Returns
    -------
    Firm
        Raw sources and the calibration report.
    """
    if mode not in ("exact", "draw") or size not in ("full", "quick"):
        raise SpecificationError(
            f"mode {mode!r} and size {size!r} are not known.",
            "Use mode exact or draw and size full or quick.",
        )
    if population is None:
        population = populations.build(quick=size == "quick")
    elif not isinstance(population, Population):
        population = Population.load(population)
    if mode == "exact" and size == "full":
        rows, bought, revenue, rng = _first_that_works(population, seed)
    else:
        rng = np.random.default_rng(seed)
        number = model.customers() // (QUICK if size == "quick" else 1)
        rows, bought, revenue = draw_rows(population, rng, number, enrich=size == "quick")
        rows = _on_grids(rows)
        revenue = np.round(np.maximum(revenue, 0.01), 2)
    raw = sources.write(rows, bought, revenue, rng, exact=size == "full" and mode == "exact")
    table = measures.build(raw, "part1")
    found = report.achieved(table)
    return Firm(raw, report.compare(population.report, found, certificates.collect()))


def _first_that_works(
    population: Population, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.random.Generator]:
    """Exact rows from the first of the seed's streams whose whole numbers fit."""
    for attempt, sequence in enumerate(np.random.SeedSequence(seed).spawn(ATTEMPTS)):
        rng = np.random.default_rng(sequence)
        try:
            return (*exact_rows(population, rng), rng)
        except SampleError as problem:
            if attempt == ATTEMPTS - 1:
                raise
            logger.info("stream %d of seed %d: %s", attempt, seed, problem)
    raise AssertionError("unreachable")


def exact_rows(
    population: Population, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Rows whose estimates print as published.

    Returns
    -------
    rows : dict of str to ndarray, shape (6782,)
        Buyers first.
    bought : ndarray of bool, shape (6782,)
    revenue : ndarray, shape (498,)
    """
    truth = sample_truth(population)
    chosen, _ = buyers.build(population, truth, rng)
    others = nonbuyers.build(population, truth, chosen, rng)
    rows = {column: np.r_[chosen[column], others[column]] for column in COLUMNS}
    bought = np.arange(model.customers()) < model.buyers()
    selection = outcome.fit_probit(rows, bought, truth.selection)
    return rows, bought, outcome.revenue(chosen, selection, truth, rng)


def draw_rows(
    population: Population, rng: np.random.Generator, size: int | None = None, enrich: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """A random sample of the population: nothing is polished or rounded.

    Parameters
    ----------
    population : Population
    rng : numpy.random.Generator
    size : int, optional
        Customers; as published by default.
    enrich : bool
        Draw buyers twice as often as they are, so that a small sample has enough of them.

    Returns
    -------
    rows : dict of str to ndarray, shape (size,)
    bought : ndarray of bool, shape (size,)
    revenue : ndarray, shape (buyers,)
    """
    full = population.augmented()
    size = size or model.customers()
    weight = population.weights * (1 + full["probability"]) if enrich else population.weights
    index = rng.choice(len(weight), size, p=weight / weight.sum())
    probability = full["probability"][index]
    if enrich:
        probability = 2 * probability / (1 + probability)
    bought = rng.random(size) < probability
    expected, delta = full[REVENUE][index][bought], full["delta"][index][bought]
    variance = outcome.conditional_variance(delta, population.truth)
    revenue = expected + outcome.noise(expected, variance, rng)
    return {column: population.rows[column][index] for column in COLUMNS}, bought, revenue


def _on_grids(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows as records hold them: whole ranks and days, cents."""
    return {
        **rows,
        "product_age": np.maximum(np.round(rows["product_age"]), 1),
        "product_price": np.round(rows["product_price"], 2),
    }
