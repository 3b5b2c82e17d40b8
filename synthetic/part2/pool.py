"""Random moves: other values for single encounters, and exchanges between two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.part2.encounters import OWN, Table
from synthetic.part2.names import ABILITY, COLUMNS, DURATION, PURCHASE, RANGES, SEVERITY

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moves:
    """A pool of moves, no two of which touch the same customer.

    Attributes
    ----------
    row : ndarray of int, shape (a,)
        Encounters touched.
    move : ndarray of int, shape (a,)
        Which move touches them, 0 .. m - 1.
    column : ndarray of int, shape (a,)
        Index into `COLUMNS` of the variable that changes.
    value : ndarray, shape (a,)
        Its new value.
    """

    row: NDArray[np.int64]
    move: NDArray[np.int64]
    column: NDArray[np.int64]
    value: Array

    @property
    def number(self) -> int:
        """Number of moves."""
        return int(self.move.max(initial=-1)) + 1

    def made(self, table: Table, chosen: NDArray[np.bool_]) -> Table:
        """The table after the chosen moves."""
        table = {name: values.copy() for name, values in table.items()}
        for j, name in enumerate(COLUMNS):
            mine = chosen[self.move] & (self.column == j)
            table[name][self.row[mine]] = self.value[mine]
        return table


FINE_STEP = {ABILITY: 1.0, DURATION: 1.0, SEVERITY: 0.25}
FINE = 0.5  # share of single moves by one such step; the others take another encounter's value
# Beside encounters at random: buyers, and unusual records twice (once to change, once to be taken
# over by another encounter), as shares of their number.
BUYERS, BEYOND = 0.5, 0.25
PARTNERS = 6  # looked at for an exchange
ANYWHERE = 0.2  # share that take their value from any cell: it moves correlations with distance


def pool(table: Table, size: int, rng: np.random.Generator) -> Moves:
    """Random moves of two sorts: a new value for one encounter, or an exchange between two.

    A new value is a smallest step away or comes from another encounter, mostly of the same cell.
    Exchanges, between a buyer and another encounter, or with a record beyond the ranges, leave the
    variable's own moments alone and change what it explains.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    size : int
        Single moves drawn; those that touch a customer touched before are dropped.
    rng : numpy.random.Generator
    """
    n = len(table["cell"])
    beyond = np.stack([table[name] > RANGES[name][1] for name in COLUMNS])
    strange = np.flatnonzero(beyond.any(axis=0))
    # every variable's as often: there are few unknown warranties, and much rests on them
    often = (beyond / np.maximum(beyond.sum(axis=1), 1)[:, None]).sum(axis=0)[strange]
    beyond_size = int(BEYOND * size) if len(strange) else 0
    row = np.r_[
        rng.choice(n, size),
        rng.choice(np.flatnonzero(table[PURCHASE] == 1), int(BUYERS * size)),
        rng.choice(strange, 2 * beyond_size, p=often / often.sum()) if beyond_size else strange,
    ]
    column = rng.integers(0, len(COLUMNS), len(row))
    # half of the unusual records give away or exchange what is unusual in them
    mine = np.arange(len(row)) >= len(row) - 2 * beyond_size
    mine &= rng.random(len(row)) < 0.5
    column[mine] = beyond[:, row[mine]].argmax(axis=0)
    # another encounter, mostly of the same cell; the table is sorted by cell
    first, last = (np.searchsorted(table["cell"], table["cell"][row], s) for s in ("left", "right"))
    anywhere = rng.random(len(row)) < ANYWHERE
    # ... and of a customer with as many, so that an exchange of the customer's own variables leaves
    # moments alone
    tried = rng.integers(
        np.where(anywhere, 0, first), np.where(anywhere, n, last), (PARTNERS, len(row))
    )
    length = np.bincount(table["customer"])[table["customer"]]
    other = tried[(length[tried] == length[row]).argmax(axis=0), np.arange(len(row))]
    gift = np.arange(len(row)) >= len(row) - beyond_size
    row, other = np.where(gift, other, row), np.where(gift, row, other)
    exchange = (np.arange(len(row)) >= size) & ~gift & (rng.random(len(row)) < 0.5)
    values = np.stack([table[name].astype(float) for name in COLUMNS])
    now, value = values[column, row], values[column, other]
    step = np.array([FINE_STEP.get(name, 0.0) for name in COLUMNS])[column]
    open_call = (column == COLUMNS.index(DURATION)) & (now > RANGES[DURATION][1])
    step = np.where(open_call, np.ceil(0.1 * now), step)
    low, high = np.array([RANGES[name] for name in COLUMNS])[column].T
    moved = now + step * rng.choice([-1, 1], len(row))
    fine = ~exchange & ~gift & (rng.random(len(row)) < FINE) & (step > 0)
    inside = np.where(open_call, moved > high, (moved >= low) & (moved <= high))
    value = np.where(fine & inside, moved, value)
    keep = value != now
    anchors = np.r_[np.flatnonzero(keep), np.flatnonzero(keep & exchange)]
    place = np.r_[row[keep], other[keep & exchange]]
    given = np.r_[value[keep], now[keep & exchange]]
    customer = table["customer"][place]
    # every customer is touched by one move at most: the first in a random order
    order = np.argsort(rng.random(len(row))[anchors], kind="stable")
    _, earliest = np.unique(customer[order], return_index=True)
    spoilt = np.ones(len(place), dtype=bool)
    spoilt[order[earliest]] = False
    good = ~np.isin(anchors, anchors[spoilt])
    _, number = np.unique(anchors[good], return_inverse=True)
    place, given, customer = place[good], given[good], customer[good]
    column = column[anchors[good]]
    # a customer's own variables change in all its encounters; customers are contiguous
    whole = np.isin(np.array(COLUMNS)[column], OWN)
    begin = np.where(whole, np.searchsorted(table["customer"], customer, "left"), place)
    end = np.where(whole, np.searchsorted(table["customer"], customer, "right"), place + 1)
    length = end - begin
    every = np.repeat(begin - np.cumsum(length) + length, length) + np.arange(length.sum())
    return Moves(
        every, np.repeat(number, length), np.repeat(column, length), np.repeat(given, length)
    )
