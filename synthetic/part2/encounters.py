"""Sample of Essay II: encounters drawn from the population and shared out among customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.part2.names import (
    ABILITY,
    COLUMNS,
    DISTANCE,
    PURCHASE,
    RANGES,
    RISK,
    SEVERITY,
    VALUE,
)
from synthetic.part2.population import Design, Population
from synthetic.sample import SampleError, systematic

Table = dict[str, NDArray]
ENCOUNTERS_PER_CUSTOMER = "p2.agents_per_failure"
OWN = (SEVERITY, RISK, VALUE)  # variables of the customer, not the encounter
# Encounters per customer of the left-out country: the more of them, the more its customers, who are
# alike, count in the customers' SD of all.
LEFT_OUT_ENCOUNTERS = 2.6
JITTER = 0.04  # of ability around the support point it was drawn from, in logs


def draw(population: Population, purchases: NDArray[np.int64], rng: np.random.Generator) -> Table:
    """Encounters of the population, so many of each cell as the firm had.

    Parameters
    ----------
    population : Population
    purchases : ndarray of int, shape (cells,)
        Encounters of each cell that end in a purchase.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray, shape (n,)
        cell, purchase, the five variables, cultural_distance.
    """
    rows, weight = population.rows, population.weights
    encounters = population.plan.cells["encounters"].to_numpy()
    # sorted by cell and outcome, then by the variables with the longest tails: the draws of a
    # stratum are spread evenly over them
    order = np.lexsort([rows[name] for name in (ABILITY, SEVERITY, VALUE, RISK, PURCHASE, "cell")])
    stratum = 2 * rows["cell"][order] + rows[PURCHASE][order].astype(np.int64)
    edges = np.searchsorted(stratum, np.arange(2 * len(encounters) + 1))
    sizes = np.stack([encounters - purchases, purchases], axis=1).ravel()
    index = np.concatenate(
        [
            order[first:last][systematic(weight[order[first:last]], size, rng)]
            for first, last, size in zip(edges[:-1], edges[1:], sizes, strict=True)
            if size
        ]
    )
    table = {name: rows[name][index] for name in (*COLUMNS, DISTANCE, PURCHASE)}
    table[ABILITY] = _jittered(table[ABILITY], *RANGES[ABILITY], rng)
    table[ABILITY][table[ABILITY].argmax()] = RANGES[ABILITY][1]  # the stated range is reached
    table["cell"] = rows["cell"][index].astype(np.int64)
    return table


def _jittered(values: NDArray, low: int, high: int, rng: np.random.Generator) -> NDArray:
    """Spread repeated values: a factor of mean one on what exceeds the minimum, rounded fairly."""
    factor = np.exp(rng.normal(-(JITTER**2) / 2, JITTER, len(values)))
    moved = low + np.floor((values - low) * factor + rng.random(len(values)))
    return np.where(moved > high, values, moved)


@dataclass(frozen=True)
class Clustering:
    """Standard deviations of the effects by which purchases cluster in customers."""

    left_out: float = 0.3  # in the country that Table 8's last column leaves out
    remaining: float = 1.8


def share_out(
    table: Table, plan: Design, clustering: Clustering, rng: np.random.Generator
) -> Table:
    """Share encounters out among customers, purchases more often to the same ones.

    Encounters that agree in the customer's own variables and the cell are cut into customers at
    random; those on a collective account stay one customer's. Among them, purchases fall in order
    of the customer's effect plus extreme-value noise: drawing without replacement with
    probabilities proportional to exp(effect), the sampling that a random intercept implies. No
    value changes, only who had which encounter.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        As `draw` returns it.
    plan : Design
    clustering : Clustering
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray, shape (n,)
        Sorted by cell and customer, with columns customer and dyad.

    Raises
    ------
    SampleError
        Encounters differ too much to make as few customers.
    """
    n = len(table["cell"])
    order = np.lexsort([rng.random(n), *[table[name] for name in (*OWN, "cell")]])
    table = {name: values[order] for name, values in table.items()}
    changes = np.any([np.diff(table[name]) != 0 for name in (*OWN, "cell")], axis=0)
    start = np.r_[True, changes]
    alike = np.cumsum(start) - 1
    wanted = round(n / plan.published[ENCOUNTERS_PER_CUSTOMER].value)
    remaining = plan.remaining[table["cell"]]
    free = ~start & ~plan.on_account(table)
    left_out = round((~remaining).sum() / LEFT_OUT_ENCOUNTERS)
    for inside, number in ((~remaining, left_out), (remaining, wanted - left_out)):
        more = number - (start & inside).sum()
        if more < 0:
            raise SampleError(
                f"{number} customers are wanted and {number - more} different ones drawn; draw "
                "more encounters"
            )
        start[rng.choice(np.flatnonzero(inside & free), more, replace=False)] = True
    customer = np.cumsum(start) - 1
    sd = np.where(remaining[start], clustering.remaining, clustering.left_out)
    likely = (sd * rng.normal(size=wanted))[customer] + rng.gumbel(size=n)
    # the likeliest places for the purchases, the rest in order for the others
    bought = table[PURCHASE] == 1
    rank = np.lexsort([-likely, alike])
    chosen = np.zeros(n, dtype=bool)
    chosen[rank] = np.arange(n) - np.searchsorted(alike, alike) < np.bincount(alike, bought)[alike]
    source = np.empty(n, dtype=np.int64)
    source[chosen], source[~chosen] = np.flatnonzero(bought), np.flatnonzero(~bought)
    return {name: values[source] for name, values in table.items()} | {
        "customer": customer,
        "dyad": plan.dyad_of_cell[0][table["cell"]],
    }
