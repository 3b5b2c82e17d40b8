"""Small moves that bring a sample of Essay II to the printed digits.

A move gives one variable of one encounter (or of all encounters of one customer) another value.
Moments are linear in moves, and the estimates of the nested logit nearly so: every customer adds a
score of its own, and the estimates move by the covariance matrix times what a move changes in it. A
linear programme over a pool of random moves finds the fewest that meet every condition, and its
vertex leaves no more fractional moves than there are conditions. Programmes over finer and finer
moves close what rounding those leaves open, and the model is fitted anew.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from synthetic.part2.column import look
from synthetic.part2.effects import effects, gaps, moment_conditions
from synthetic.part2.encounters import Table
from synthetic.part2.names import COLUMNS, DURATION, RISK, TERMS
from synthetic.part2.pool import pool
from synthetic.part2.population import Design, kinds
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

AIM = 0.6  # of a half-width is what the programme aims at; the rest is for rounding
ROUNDINGS = 256


def choose(effect: Array, gap: Array, price: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Fewest moves that bring every gap within `AIM` half-widths, by a linear programme.

    What the pool cannot bring inside costs `price` moves per half-width. The vertex's few
    fractional moves are made with the probability they have: rounded to the nearest, small ones
    would never be made. Of `ROUNDINGS` such draws the one counts that leaves the least.
    """
    k, m = effect.shape
    slack = sparse.identity(k)
    block = sparse.csr_matrix(effect)
    solution = linprog(
        np.r_[np.ones(m), np.full(2 * k, price)],
        A_ub=sparse.vstack(
            [
                sparse.hstack([block, -slack, slack]),
                sparse.hstack([-block, slack, -slack]),
            ]
        ),
        b_ub=np.r_[AIM - gap, AIM + gap],
        bounds=[(0, 1)] * m + [(0, None)] * (2 * k),
        method="highs-ds",
    )
    if solution.status != 0:
        raise SampleError(f"the programme over moves failed: {solution.message}")
    share = solution.x[:m]
    chosen = share > 1 - 1e-9
    part = np.flatnonzero((share > 1e-9) & ~chosen)
    drawn = share[part] > rng.random((ROUNDINGS, len(part)))
    left = (gap + effect @ chosen) + drawn @ effect[:, part].T
    chosen[part] = drawn[np.abs(left).max(axis=1).argmin()]
    return chosen


# Moves that a programme spends on one half-width when one is left; fewer while more are left.
PRICE = 3000.0
DONE = 0.99  # half-widths
# Rounds in which what the largest gap is beyond `DONE` is at least halved: otherwise the sample is
# given up.
PATIENCE = 6
# Largest effect of a single move: a share of a condition's own gap or, if it is larger, so many
# half-widths at first and a share of the largest gap later. Rounding the few fractional moves
# leaves gaps, which finer and finer moves close. Coefficients bear coarse moves, since a buyer of
# unknown warranty counts a hundred half-widths; moments are spared them, but for those of one
# variable whose tail hardly moves otherwise: open calls and unknown warranties. These come whole:
# one encounter's is ten half-widths of the SD of risk aversion, so only gaps of more than half of
# that are theirs to close.
LARGEST, NEAREST, STAGES = 0.4, 2.0, 8
COARSE, COARSE_MOMENT = 160.0, 1.5


def chosen_in_stages(
    effect: Array,
    gap: Array,
    largest: Array,
    coarse: Array,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Moves chosen by programmes over finer and finer ones, each for what the last left open.

    Parameters
    ----------
    effect : ndarray, shape (conditions, moves)
        In half-widths.
    gap : ndarray, shape (conditions,)
        In half-widths.
    largest : ndarray, shape (conditions,)
        Effect that a move may have, relative to the condition's gap.
    coarse : ndarray, shape (conditions,)
        Effect that a move may have at first, in half-widths.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (moves,)

    Raises
    ------
    SampleError
        A programme failed.
    """
    size = np.abs(effect)
    chosen, left, at_most = np.zeros(effect.shape[1], dtype=bool), gap, coarse
    for _ in range(STAGES):
        worst = np.abs(left).max()
        limit = np.maximum(largest * np.abs(left), at_most)
        free = np.flatnonzero(~chosen & (size <= limit[:, None]).all(axis=0))
        chosen[free] = choose(effect[:, free], left, PRICE / worst, rng)
        left = gap + effect @ chosen
        if np.abs(left).max() < DONE:
            break
        at_most = np.minimum(LARGEST * np.abs(left).max(), coarse)
    return chosen


def polish(table: Table, plan: Design, rng: np.random.Generator, *, size: int = 8000) -> Table:
    """Move values until Table 7 and the plan's columns of Table 8 print as published.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        Encounters sorted by cell and customer: cell, dyad, customer, purchase, the five variables
        and cultural distance. Not changed.
    plan : Design
    rng : numpy.random.Generator
    size : int
        See `pool`.

    Returns
    -------
    dict of str to ndarray
        The table nearest to the printed digits.
    """
    columns = [look(table, plan, column) for column in plan.columns]
    first, best = table, (np.inf, table)
    pairs = [(a, b) for a, b, *_ in moment_conditions(plan)]
    names = [f"{a}, {b or 'mean'}" for a, b in pairs]
    names += [f"{column} {term}" for column in plan.columns for term in TERMS]
    limits = [*(f"t of {term}" for term in TERMS), "dyads' SD"]
    names += [f"{column} {limit}" for column in plan.columns for limit in limits]
    names += [f"{plan.dyad_of_cell[1][dyad]} {name} {k}" for dyad, name, k in kinds(plan)]
    largest, coarse = np.full(len(names), LARGEST), np.full(len(names), COARSE)
    coarse[: len(pairs)] = COARSE_MOMENT
    for tail in ((DURATION, None), (DURATION, DURATION), (RISK, None)):
        coarse[pairs.index(tail)] = COARSE
    largest[pairs.index((RISK, RISK))] = NEAREST
    history: list[float] = []
    while True:
        gap = gaps(table, plan, columns)
        worst, open_ = np.abs(gap).max(), (np.abs(gap) > 1).sum()
        logger.info(
            "polish round %d: %d of %d conditions open, worst %.1f half-widths (%s), SDs %s",
            len(history),
            open_,
            len(gap),
            worst,
            names[np.abs(gap).argmax()],
            " ".join(str(column.spreads.round(2)) for column in columns),
        )
        if worst < best[0]:
            best = worst, table
        history.append(best[0])
        stuck = len(history) > PATIENCE and (
            history[-1] - DONE > 0.5 * (history[-1 - PATIENCE] - DONE)
        )
        if worst < DONE or stuck:
            break
        moves = pool(table, size, rng)
        effect = effects(table, plan, columns, moves)
        chosen = chosen_in_stages(effect, gap, largest, coarse, rng)
        table = moves.made(table, chosen)
        columns = [
            look(table, plan, name, np.r_[column.estimate, column.spreads])
            for name, column in zip(plan.columns, columns, strict=True)
        ]
    table = best[1]
    changed = np.any([table[name] != first[name] for name in COLUMNS], axis=0).mean()
    logger.info("moves changed a value in %.0f%% of the encounters", 100 * changed)
    return table
