"""Sample of Essay II: encounters drawn from the population and shared out among customers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.part2 import population as pop
from synthetic.part2.population import COLUMNS, DISTANCE, PURCHASE, Population
from synthetic.sample import systematic

Table = dict[str, NDArray]
ENCOUNTERS_PER_CUSTOMER = "p2.agents_per_failure"
OWN = (pop.SEVERITY, pop.RISK, pop.VALUE)  # variables of the customer, not the encounter
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
    # Heavy support points would make buyers of one kind. Shuffling each variable among the buyers
    # of a cell leaves every sum of x and of x y as it is.
    buyers = np.flatnonzero(table[PURCHASE] == 1)
    for name in COLUMNS:
        table[name][buyers] = table[name][_shuffled_within(buyers, rows["cell"][index], rng)]
    table["cell"] = rows["cell"][index].astype(np.int64)
    for name in (pop.ABILITY, pop.DURATION):
        table[name] = _jittered(table[name], *pop.RANGES[name], rng)
    return _customers(table, population, rng)


def _jittered(values: NDArray, low: int, high: int, rng: np.random.Generator) -> NDArray:
    """Spread repeated values: a factor of mean one on what exceeds the minimum, rounded fairly."""
    factor = np.exp(rng.normal(-(JITTER**2) / 2, JITTER, len(values)))
    moved = low + np.floor((values - low) * factor + rng.random(len(values)))
    # records beyond the range, and what would become one, stay
    return np.where((moved > high) | (values > high), values, moved)


def _customers(table: Table, population: Population, rng: np.random.Generator) -> Table:
    """Share encounters out among customers of one cell each.

    Purchases fall on a cell's encounters in order of the customer's effect plus extreme-value
    noise: drawing without replacement with probabilities proportional to exp(effect), the sampling
    that a random intercept implies. A customer's own variables are those of a purchase if there is
    one; encounters without purchase are laid out in order of those variables, so that a customer's
    encounters agree in them but for the last in a run.
    """
    plan = population.plan
    n = len(table["cell"])
    order = np.lexsort([rng.random(n), *[table[name] for name in OWN], table["cell"]])
    table = {name: values[order] for name, values in table.items()}
    start = np.r_[True, np.diff(table["cell"]) > 0]
    wanted = round(n / plan.published[ENCOUNTERS_PER_CUSTOMER].value)
    start[rng.choice(np.flatnonzero(~start), wanted - start.sum(), replace=False)] = True
    customer = np.cumsum(start) - 1
    likely = rng.normal(0, pop.CUSTOMER_SD, wanted)[customer] + rng.gumbel(size=n)
    # places by cell: the likeliest for the buyers, the rest in order for the others
    bought = table[PURCHASE] == 1
    rank = np.lexsort([-likely, table["cell"]])
    first = np.searchsorted(table["cell"], table["cell"])
    buyers = np.bincount(table["cell"], bought)[table["cell"]]
    chosen = np.zeros(n, dtype=bool)
    chosen[rank] = np.arange(n) - first < buyers
    source = np.empty(n, dtype=np.int64)
    source[~chosen] = np.flatnonzero(~bought)
    place = np.flatnonzero(chosen)
    source[place] = _shuffled_within(np.flatnonzero(bought), table["cell"], rng)
    table = {name: values[source] for name, values in table.items()}
    # the encounter that speaks for its customer: a purchase, otherwise the first
    speaker = np.lexsort([-table[PURCHASE], customer])[np.flatnonzero(start)]
    for name in OWN:
        table[name] = table[name][speaker][customer]
    table["customer"] = customer
    table["dyad"] = plan.dyad_of_cell[0][table["cell"]]
    return table


def _shuffled_within(index: NDArray, block: NDArray, rng: np.random.Generator) -> NDArray:
    """Shuffle indices among those of the same block; blocks stay in order."""
    return index[np.lexsort([rng.random(len(index)), block[index]])]
