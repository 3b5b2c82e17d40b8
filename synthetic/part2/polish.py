"""Small moves that bring a sample of Essay II to the printed digits.

A move gives one variable of one encounter (or of all encounters of one customer) another value.
Moments are linear in moves, and scores at the printed coefficients nearly so: a linear programme
over a pool of random moves finds the few that meet every condition, its vertex leaves fewer
fractional moves than there are conditions, and rounding those costs less at every round, because
the moves get finer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import expit, logit

from crosssell.nested_logit import NestedLogitModel, NestedLogitResults
from synthetic.part2 import population as pop
from synthetic.part2.population import COLUMNS, DISTANCE, PURCHASE, TERMS, Design
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Table = dict[str, NDArray]

CUSTOMER_COLUMNS = (pop.SEVERITY, pop.RISK, pop.VALUE)
HALF_COEFFICIENT = 5e-5  # half the last printed digit of Table 8
AIM = 0.6  # of a half-width is what the programme aims at; the rest is for rounding


@dataclass(frozen=True)
class Column:
    """One column of Table 8 on one sample: target, fit and what moves do to its scores.

    Attributes
    ----------
    rows : ndarray of bool, shape (n,)
        Encounters the column is estimated on.
    target : ndarray, shape (10,)
    fit : NestedLogitResults
    offset : ndarray, shape (n,)
        What the random intercepts add to each encounter's index, posterior mean, on the logit
        scale and at the printed coefficients; zero outside the sample.
    centre : dict of str to float
    """

    rows: NDArray[np.bool_]
    target: Array
    fit: NestedLogitResults
    offset: Array
    centre: Mapping[str, float]

    @property
    def estimate(self) -> Array:
        """Estimated coefficients, in the order of `TERMS`."""
        return self.fit.params.loc["outcome"].to_numpy()

    @property
    def covariance(self) -> Array:
        """Their covariance."""
        return self.fit.cov_params().loc["outcome", "outcome"].to_numpy()


def estimate(
    table: Table, plan: Design, column: str, start: NestedLogitResults | None = None
) -> Column:
    """Fit a column of Table 8 by quadrature."""
    rows = np.ones(len(table["dyad"]), dtype=bool)
    if column == "excluded_country":
        rows = plan.remaining[table["cell"]]
    chosen = {name: table[name][rows].astype(float) for name in (*COLUMNS, DISTANCE)}
    centre = {name: float(values.mean()) for name, values in chosen.items()}
    X = pop.regressors(chosen, centre)
    model = NestedLogitModel(
        pd.Series(table[PURCHASE][rows], name=PURCHASE),
        pd.DataFrame(X.T, columns=list(TERMS)),
        pd.DataFrame({"dyad": table["dyad"][rows], "customer": table["customer"][rows]}),
    )
    target = pop.coefficients(plan.published, column)
    near = np.r_[target, pop.DYAD_SD, pop.CUSTOMER_SD]
    fit = model.fit(start_params=near if start is None else start.params)
    params = fit.params.copy()
    params.loc["outcome"] = target
    residual = model.score_obs(params)[("outcome", "intercept")].to_numpy()
    offset = np.zeros(len(rows))
    expected = np.clip(table[PURCHASE][rows] - residual, 1e-9, 1 - 1e-9)
    offset[rows] = logit(expected) - target @ X
    return Column(rows, target, fit, offset, centre)


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


FINE_STEP = {pop.ABILITY: 1.0, pop.DURATION: 1.0, pop.SEVERITY: 0.25}
BUYERS = 0.5  # share of the pool: a buyer's move shifts the scores by the whole change


def pool(table: Table, plan: Design, size: int, fine: float, rng: np.random.Generator) -> Moves:
    """Random moves: values of other encounters in the cell, or (a share `fine`) smallest steps."""
    buyers = np.flatnonzero(table[PURCHASE] == 1)
    drawn = np.r_[
        rng.choice(buyers, min(int(size * BUYERS), len(buyers)), replace=False),
        rng.choice(len(table["cell"]), size, replace=False),
    ]
    drawn = drawn[np.unique(table["customer"][drawn], return_index=True)[1]]
    small = rng.random(len(drawn)) < fine
    names = np.array(COLUMNS)
    column = np.where(
        small,
        rng.choice(
            [names.tolist().index(name) for name in FINE_STEP], len(drawn), p=[0.6, 0.1, 0.3]
        ),
        rng.integers(0, len(COLUMNS), len(drawn)),
    )
    # donors: a random encounter of the same cell; the table is sorted by cell
    first = np.searchsorted(table["cell"], table["cell"][drawn], side="left")
    last = np.searchsorted(table["cell"], table["cell"][drawn], side="right")
    donor = rng.integers(first, last)
    value = np.empty(len(drawn))
    for j, name in enumerate(COLUMNS):
        mine = column == j
        now = table[name][drawn[mine]]
        step = FINE_STEP.get(name, 0.0) * rng.choice([-1, 1], mine.sum())
        value[mine] = np.where(small[mine], now + step, table[name][donor[mine]])
        low, high = pop.RANGES[name]
        stays = small[mine] & ((value[mine] < low) | (value[mine] > high))
        value[mine] = np.where(stays, now, value[mine])
    current = np.stack([table[name] for name in COLUMNS])[column, drawn]
    keep = value != current
    drawn, column, value = drawn[keep], column[keep], value[keep]
    whole = np.isin(names[column], CUSTOMER_COLUMNS)
    # a customer's own variables change in all its encounters; customers are contiguous
    customer = table["customer"][drawn]
    begin = np.where(whole, np.searchsorted(table["customer"], customer, side="left"), drawn)
    end = np.where(whole, np.searchsorted(table["customer"], customer, side="right"), drawn + 1)
    length = end - begin
    move = np.repeat(np.arange(len(drawn)), length)
    row = np.repeat(begin - np.cumsum(length) + length, length) + np.arange(length.sum())
    return Moves(row, move, column[move], value[move])


def moment_gaps(plan: Design) -> list[tuple[str, str | None, float, float]]:
    """Conditions of Table 7 as (variable, other variable or None, target, half-width).

    None stands for the mean; a variable with itself for the SD; the rest are correlations.
    """
    result = []
    for name in COLUMNS:
        sd = plan.moments[name].sd
        half = plan.published[f"t7.mean.{name}"].half_width / sd
        result.append((name, None, 0.0, half))
        result.append((name, name, 1.0, 2 * half))
    order = [name for name in pop.TABLE_ORDER]
    for i, first in enumerate(order):
        for second in order[:i]:
            number = plan.published[f"t7.corr.{first}.{second}"]
            if number.id in pop.UNATTAINABLE or {first, second} <= {PURCHASE, DISTANCE}:
                continue
            result.append((first, second, number.value, number.half_width))
    return result


def gaps(table: Table, plan: Design, columns: list[Column]) -> Array:
    """Distance of every condition from its target, in half-widths.

    First Table 7, then the coefficients of Table 8's columns.
    """
    z = _standardised(table, plan)
    moments = [
        (np.mean(z[a] * (z[b] if b else 1.0)) - target) / half
        for a, b, target, half in moment_gaps(plan)
    ]
    scores = [(c.estimate - c.target) / HALF_COEFFICIENT for c in columns]
    return np.concatenate([moments, *scores])


def _standardised(table: Table, plan: Design) -> dict[str, Array]:
    return {name: (table[name] - mean) / sd for name, (mean, sd) in plan.moments.items()}


# How far moves may shift the means that centre the sample without France, per round.
CENTRE_ROOM = {
    pop.ABILITY: 2e-3,
    pop.SEVERITY: 2e-4,
    pop.RISK: 2e-4,
    pop.DURATION: 1e-2,
    pop.VALUE: 2e-4,
}


def effects(table: Table, plan: Design, columns: list[Column], moves: Moves) -> Array:
    """Effect of each move on every condition, in half-widths, then on the centring means.

    Returns
    -------
    ndarray, shape (conditions + 5, moves)
    """
    n = len(table["cell"])
    old = {name: table[name][moves.row].astype(float) for name in (*COLUMNS, DISTANCE, PURCHASE)}
    new = dict(old)
    for j, name in enumerate(COLUMNS):
        new[name] = np.where(moves.column == j, moves.value, old[name])
    total = lambda values: np.bincount(moves.move, values, moves.number)
    z_old, z_new = _standardised(old, plan), _standardised(new, plan)
    result = [
        total(z_new[a] * (z_new[b] if b else 1.0) - z_old[a] * (z_old[b] if b else 1.0)) / n / half
        for a, b, _, half in moment_gaps(plan)
    ]
    dyad, n_dyads = table["dyad"], len(plan.dyad_share)
    for column in columns:
        everyone = {name: table[name].astype(float) for name in (*COLUMNS, DISTANCE)}
        x = pop.regressors(everyone, column.centre)
        p = expit(column.target @ x + column.offset)
        w = np.where(column.rows, p * (1 - p), 0.0)
        information = np.bincount(dyad, w, n_dyads)
        variance = column.fit.params[("sd", "dyad")] ** 2
        pull = variance / (1 + variance * information)
        mean = np.stack([np.bincount(dyad, w * row, n_dyads) for row in x]) * pull
        inside = column.rows[moves.row]
        offset, y = column.offset[moves.row], old[PURCHASE]
        x_old, x_new = pop.regressors(old, column.centre), pop.regressors(new, column.centre)
        r_old = y - expit(column.target @ x_old + offset)
        r_new = y - expit(column.target @ x_new + offset)
        direct = x_new * r_new - x_old * r_old - mean[:, dyad[moves.row]] * (r_new - r_old)
        score = np.stack([total(inside * row) for row in direct])
        result.extend(column.covariance @ score / HALF_COEFFICIENT)
    remaining = plan.remaining[table["cell"]]
    inside = remaining[moves.row]
    for name in COLUMNS:
        shift = total(inside * (new[name] - old[name])) / remaining.sum()
        result.append(shift / CENTRE_ROOM[name])
    return np.stack(result)


PRICE = 50.0  # moves that a programme spends on one half-width


def choose(effect: Array, gap: Array) -> NDArray[np.bool_]:
    """Fewest moves that bring every gap within `AIM` half-widths, by a linear programme.

    What the pool cannot bring inside costs `PRICE` moves per half-width. The vertex's few
    fractional moves are rounded.
    """
    k, m = effect.shape
    slack = sparse.identity(k)
    block = sparse.csr_matrix(effect)
    solution = linprog(
        np.r_[np.ones(m), np.full(2 * k, PRICE)],
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
    return solution.x[:m] > 0.5


def polish(
    table: Table,
    plan: Design,
    rng: np.random.Generator,
    *,
    columns: tuple[str, ...] = ("hypothesized", "excluded_country"),
    rounds: int = 12,
    size: int = 5000,
) -> tuple[Table, list[Column]]:
    """Move values until Table 7 and the columns of Table 8 print as published.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        Encounters sorted by cell and customer: cell, dyad, customer, purchase, the five variables
        and cultural distance. Not changed.
    plan : Design
    rng : numpy.random.Generator
    columns : tuple of str
        Columns of Table 8 to bring to their printed coefficients.
    rounds : int
        Most programmes solved.
    size : int
        Moves per pool.

    Returns
    -------
    table : dict of str to ndarray
    fits : list of Column
        Estimates on the returned table.
    """
    table = {name: values.copy() for name, values in table.items()}
    fits = [estimate(table, plan, column) for column in columns]
    best = None
    for k in range(rounds):
        gap = gaps(table, plan, fits)
        worst = np.abs(gap).max()
        logger.info(
            "polish round %d: %d of %d conditions open, worst %.1f half-widths",
            k,
            (np.abs(gap) > 1).sum(),
            len(gap),
            worst,
        )
        if best is None or worst < best[0]:
            best = worst, {name: values.copy() for name, values in table.items()}, fits
        if worst < 0.95:
            break
        moves = pool(table, plan, size, min(0.9, 0.15 * k), rng)
        effect = effects(table, plan, fits, moves)
        chosen = choose(effect, np.r_[gap, np.zeros(len(COLUMNS))])
        made = chosen[moves.move]
        for j, name in enumerate(COLUMNS):
            mine = made & (moves.column == j)
            table[name][moves.row[mine]] = moves.value[mine]
        logger.info("  %d moves", chosen.sum())
        fits = [
            estimate(table, plan, column, start=fit.fit)
            for column, fit in zip(columns, fits, strict=True)
        ]
    return best[1], best[2]
