"""Sample of Essay II: encounters drawn from the population and shared out among customers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.part2 import population as pop
from synthetic.part2.population import COLUMNS, DISTANCE, PURCHASE, Population
from synthetic.sample import systematic

Table = dict[str, NDArray]
ENCOUNTERS_PER_CUSTOMER = "p2.agents_per_failure"
# The rest of the customers' spread comes from what kinds of customers differ in.
PLACING_SD = 0.6
JITTER = 0.25  # of ability and duration around the support point they were drawn from, in logs


def draw(population: Population, purchases: NDArray[np.int64], rng: np.random.Generator) -> Table:
    """Encounters, sorted by cell and customer.

    Parameters
    ----------
    population : Population
    purchases : ndarray of int, shape (cells,)
        Encounters of each cell that end in a purchase.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray, shape (n,)
        cell, dyad, customer, purchase, the five variables, cultural_distance.
    """
    plan, rows, weight = population.plan, population.rows, population.weights
    encounters = plan.cells["encounters"].to_numpy()
    picked = []
    order = np.lexsort([rows[name] for name in (pop.ABILITY, pop.SEVERITY, pop.VALUE, pop.RISK)])
    for cell, (n, bought) in enumerate(zip(encounters, purchases, strict=True)):
        for y, size in ((0, n - bought), (1, bought)):
            stratum = order[(rows["cell"][order] == cell) & (rows[PURCHASE][order] == y)]
            picked.append(stratum[systematic(weight[stratum], size, rng)])
    index = np.concatenate(picked)
    table = {name: rows[name][index] for name in (*COLUMNS, DISTANCE, PURCHASE)}
    table["cell"] = rows["cell"][index].astype(np.int64)
    for name in (pop.ABILITY, pop.DURATION):
        table[name] = _jittered(table[name], *pop.RANGES[name], rng)
    return _customers(table, population, rng)


def _jittered(values: NDArray, low: int, high: int, rng: np.random.Generator) -> NDArray:
    """Spread repeated values: a factor of mean one on what exceeds the minimum, rounded fairly."""
    factor = np.exp(rng.normal(-(JITTER**2) / 2, JITTER, len(values)))
    moved = low + np.floor((values - low) * factor + rng.random(len(values)))
    # a value within the range stays within, and one beyond it beyond
    return np.where((moved > high) == (values > high), moved, values)


def _customers(table: Table, population: Population, rng: np.random.Generator) -> Table:
    """Share encounters with equal customer variables out among customers, buyers clustered.

    Among the places of a cell's customers of one kind, purchases fall on places in order of the
    customer's effect plus extreme-value noise: drawing without replacement with probabilities
    proportional to exp(effect), the sampling that a random intercept implies.
    """
    plan = population.plan
    n = len(table["cell"])
    keys = ("cell", pop.RISK, pop.VALUE, pop.SEVERITY)
    order = np.lexsort([rng.random(n), *[table[name] for name in reversed(keys)]])
    table = {name: values[order] for name, values in table.items()}
    start = np.zeros(n, dtype=bool)
    start[0] = True
    for name in keys:
        start[1:] |= np.diff(table[name]) != 0
    kind = np.cumsum(start) - 1
    wanted = round(n / plan.published[ENCOUNTERS_PER_CUSTOMER].value)
    free = np.flatnonzero(~start)
    start[rng.choice(free, max(0, wanted - start.sum()), replace=False)] = True
    customer = np.cumsum(start) - 1
    effect = rng.normal(0, PLACING_SD, customer[-1] + 1)
    likely = effect[customer] + rng.gumbel(size=n)
    place = np.lexsort([-likely, kind])
    buyers_first = np.lexsort([-table[PURCHASE], kind])
    for name in (pop.ABILITY, pop.DURATION, PURCHASE):
        values = table[name][buyers_first]
        table[name][place] = values
    table["customer"] = customer
    table["dyad"] = plan.dyad_of_cell[0][table["cell"]]
    return table
