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
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import expit, logit

from crosssell.nested_logit import NestedLogitModel
from synthetic.part2 import population as pop
from synthetic.part2.encounters import OWN
from synthetic.part2.population import COLUMNS, DISTANCE, PURCHASE, TERMS, Design
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Table = dict[str, NDArray]

HALF_COEFFICIENT = 5e-5  # half the last printed digit of Table 8
AIM = 0.6  # of a half-width is what the programme aims at; the rest is for rounding


@dataclass(frozen=True)
class Column:
    """One column of Table 8 on one sample, looked at from its printed coefficients.

    Attributes
    ----------
    rows : ndarray of bool, shape (n,)
        Encounters the column is estimated on.
    centre : dict of str to float
        Their means, which centre the regressors.
    target : ndarray, shape (10,)
        Printed coefficients.
    spreads : ndarray, shape (2,)
        Standard deviations of the dyads' and customers' intercepts.
    estimate : ndarray, shape (10,)
        Coefficients: a Newton step from the target while far from it, else the fit's.
    covariance : ndarray, shape (10, 10)
        Of the estimates, at the target.
    offset : ndarray, shape (n,)
        What the random intercepts add to each encounter's index at the target, posterior mean on
        the logit scale; zero outside the sample.
    """

    rows: NDArray[np.bool_]
    centre: Mapping[str, float]
    target: Array
    spreads: Array
    estimate: Array
    covariance: Array
    offset: Array


# While coefficients are far from their targets, the spreads follow their own score between these.
SPREADS_LOW, SPREADS_HIGH = np.array([0.06, 0.2]), np.array([0.3, 1.6])
CLOSE = 20.0  # half-widths from the target within which it pays to fit the model


def column_model(table: Table, plan: Design, column: str) -> tuple[NestedLogitModel, Column]:
    """Model of a column of Table 8, and the column's rows, centring and target (nothing else)."""
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
    none = np.empty(0)
    return model, Column(rows, centre, target, none, none, none, none)


def look(table: Table, plan: Design, column: str, spreads: Array) -> Column:
    """Look at a column from its printed coefficients and the given spreads.

    Far from the target the estimate is one Newton step; the spreads make a step of their own.
    Within `CLOSE` half-widths the model is fitted.
    """
    model, base = column_model(table, plan, column)
    params = np.r_[base.target, spreads]
    parts = model.score_obs(params)
    score = parts.sum().to_numpy()
    information = model.information(params).to_numpy()
    covariance = np.linalg.inv(information[:10, :10])
    estimate = base.target + covariance @ score[:10]
    curvature = np.maximum(np.diag(information)[10:], 1.0)
    step = np.clip(score[10:] / curvature, -0.3 * spreads, 0.3 * spreads)
    spreads_next = np.clip(spreads + step, SPREADS_LOW, SPREADS_HIGH)
    if np.abs(estimate - base.target).max() < CLOSE * HALF_COEFFICIENT:
        fit = model.fit(start_params=params)
        estimate = fit.params.loc["outcome"].to_numpy()
        spreads_next = fit.params.loc["sd"].to_numpy()
    offset = np.zeros(len(base.rows))
    residual = parts[("outcome", "intercept")].to_numpy()
    expected = np.clip(table[PURCHASE][base.rows] - residual, 1e-9, 1 - 1e-9)
    chosen = {name: table[name][base.rows].astype(float) for name in (*COLUMNS, DISTANCE)}
    offset[base.rows] = logit(expected) - base.target @ pop.regressors(chosen, base.centre)
    return replace(
        base,
        spreads=spreads_next,
        estimate=estimate,
        covariance=covariance,
        offset=offset,
    )


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
# Beside encounters at random, as shares of their number: buyers, whose moves shift the scores by
# the whole change, and encounters drawn by how extreme their values are.
BUYERS, EXTREME = 0.5, 0.5


def pool(
    table: Table, plan: Design, size: int, fine: float, batch: int, rng: np.random.Generator
) -> Moves:
    """Random moves: values of other encounters in the cell, or (a share `fine`) smallest steps.

    With `batch`, all other customers in batches of that many, see `batches`.
    """
    buyers = np.flatnonzero(table[PURCHASE] == 1)
    z = _standardised(table, plan)
    leverage = sum(np.abs(z[name]) for name in COLUMNS)
    drawn = np.r_[
        rng.choice(buyers, min(int(size * BUYERS), len(buyers)), replace=False),
        rng.choice(len(leverage), int(size * EXTREME), replace=False, p=leverage / leverage.sum()),
        rng.choice(len(leverage), size, replace=False),
    ]
    drawn = rng.permutation(drawn)
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
    whole = np.isin(names[column], OWN)
    # a customer's own variables change in all its encounters; customers are contiguous
    customer = table["customer"][drawn]
    begin = np.where(whole, np.searchsorted(table["customer"], customer, side="left"), drawn)
    end = np.where(whole, np.searchsorted(table["customer"], customer, side="right"), drawn + 1)
    length = end - begin
    move = np.repeat(np.arange(len(drawn)), length)
    row = np.repeat(begin - np.cumsum(length) + length, length) + np.arange(length.sum())
    single = Moves(row, move, column[move], value[move])
    if not batch:
        return single
    touched = np.zeros(table["customer"][-1] + 1, dtype=bool)
    touched[table["customer"][row]] = True
    return _joined(single, batches(table, ~touched[table["customer"]], batch, rng))


STRETCH = 1.25  # factor of a batch's move on ability or duration above its minimum
SHIFT = {pop.SEVERITY: 0.5, pop.RISK: 1.0, pop.VALUE: 1.0}  # and shift of the others


def batches(table: Table, free: NDArray[np.bool_], number: int, rng: np.random.Generator) -> Moves:
    """Moves of many customers of one kind at once: a little more or less of one variable.

    Kinds are a dyad's customers with and without a purchase, with and without a record beyond the
    ranges. Such records keep the value that is beyond.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    free : ndarray of bool, shape (n,)
        Encounters of the customers that may be moved, each by one batch at most.
    number : int
        Customers in a batch.
    rng : numpy.random.Generator
    """
    customer, n_customers = table["customer"], table["customer"][-1] + 1
    bought = np.bincount(customer, table[PURCHASE], n_customers)[customer] > 0
    strange = np.logical_or.reduce([table[name] > pop.RANGES[name][1] for name in OWN])
    way = rng.integers(0, 2 * len(COLUMNS), n_customers)[customer]
    key = 2 * len(COLUMNS) * (4 * table["dyad"] + 2 * bought + strange) + way
    lot = rng.random(n_customers)[customer]
    row = np.lexsort([lot, key])
    row = row[free[row]]
    fresh = np.r_[True, np.diff(customer[row]) != 0]
    newly = np.r_[True, np.diff(key[row]) != 0]
    count = np.cumsum(fresh) - 1
    count -= np.maximum.accumulate(np.where(newly, count, 0))
    move = np.cumsum(newly | (fresh & (count % number == 0))) - 1
    column, sign = way[row] // 2, 2 * (way[row] % 2) - 1
    value = np.empty(len(row))
    for j, name in enumerate(COLUMNS):
        low, high = pop.RANGES[name]
        mine = column == j
        now = table[name][row[mine]]
        if name in SHIFT:
            changed = now + sign[mine] * SHIFT[name]
        else:
            factor = STRETCH ** sign[mine].astype(float)
            changed = low + np.floor((now - low) * factor + rng.random(mine.sum()))
        value[mine] = np.where((changed > high) | (changed < low), now, changed)
    return Moves(row, move, column, value)


def _joined(first: Moves, second: Moves) -> Moves:
    return Moves(
        np.r_[first.row, second.row],
        np.r_[first.move, second.move + first.number],
        np.r_[first.column, second.column],
        np.r_[first.value, second.value],
    )


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
    order = list(pop.TABLE_ORDER)
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


def dyad_gaps(table: Table, plan: Design, columns: list[Column]) -> Array:
    """Purchases less their expectation by dyad and column, in units of `population.dyad_room`."""
    result = []
    for column in columns:
        p = _expected(table, column)
        rest = np.where(column.rows, table[PURCHASE] - p, 0.0)
        result.append(np.bincount(table["dyad"], rest, len(plan.dyad_share)))
    return (np.stack(result) / pop.dyad_room(plan)).ravel()


def _expected(table: Table, column: Column) -> Array:
    values = {name: table[name].astype(float) for name in (*COLUMNS, DISTANCE)}
    return pop.marginal_probability(column.target @ pop.regressors(values, column.centre))


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
    """Effect of each move on every condition, in half-widths, on the centring means and dyads.

    Returns
    -------
    ndarray, shape (conditions + 5 + dyads x columns, moves)
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
    residuals = []
    for column in columns:
        everyone = {name: table[name].astype(float) for name in (*COLUMNS, DISTANCE)}
        x = pop.regressors(everyone, column.centre)
        p = expit(column.target @ x + column.offset)
        w = np.where(column.rows, p * (1 - p), 0.0)
        information = np.bincount(dyad, w, n_dyads)
        variance = column.spreads[0] ** 2
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
        less = pop.marginal_probability(column.target @ x_old)
        less -= pop.marginal_probability(column.target @ x_new)
        at = dyad[moves.row] * moves.number + moves.move
        by_dyad = np.bincount(at, inside * less, n_dyads * moves.number).reshape(n_dyads, -1)
        residuals.extend(by_dyad / pop.dyad_room(plan)[:, None])
    remaining = plan.remaining[table["cell"]]
    inside = remaining[moves.row]
    for name in COLUMNS:
        shift = total(inside * (new[name] - old[name])) / remaining.sum()
        result.append(shift / CENTRE_ROOM[name])
    return np.stack([*result, *residuals])


PRICE = 50.0  # moves that a programme spends on one half-width
DYAD_PRICE = 1000.0  # and on one unit of `population.dyad_room`


def choose(effect: Array, gap: Array, price: Array) -> NDArray[np.bool_]:
    """Fewest moves that bring every gap within `AIM` half-widths, by a linear programme.

    What the pool cannot bring inside costs `price` moves per half-width. The vertex's few
    fractional moves are rounded.
    """
    k, m = effect.shape
    slack = sparse.identity(k)
    block = sparse.csr_matrix(effect)
    solution = linprog(
        np.r_[np.ones(m), price, price],
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
    rounds: int = 40,
    pool_size: int = 5000,
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
    pool_size : int
        Single moves per pool.

    Returns
    -------
    table : dict of str to ndarray
    fits : list of Column
        Estimates on the returned table.
    """
    table = {name: values.copy() for name, values in table.items()}
    start = np.array([pop.DYAD_SD, pop.CUSTOMER_SD])
    fits = [look(table, plan, column, start) for column in columns]
    best = None
    for k in range(rounds):
        gap = gaps(table, plan, fits)
        worst = np.abs(gap).max()
        logger.info(
            "polish round %d: %d of %d conditions open, worst %.1f half-widths, spreads %s",
            k,
            (np.abs(gap) > 1).sum(),
            len(gap),
            worst,
            [f.spreads.round(3).tolist() for f in fits],
        )
        if best is None or worst < best[0]:
            best = worst, {name: values.copy() for name, values in table.items()}, fits
        if worst < 0.95:
            break
        size = np.log10(worst)
        fine = np.interp(size, [0.0, 1.5, 2.0], [0.95, 0.5, 0.0])
        batch = int(np.interp(size, [0.5, 1.0, 2.0, 3.0], [0, 3, 12, 60]))
        moves = pool(table, plan, pool_size, fine, batch, rng)
        effect = effects(table, plan, fits, moves)
        away = np.r_[gap, np.zeros(len(COLUMNS)), dyad_gaps(table, plan, fits)]
        price = np.full(len(away), PRICE)
        price[len(gap) + len(COLUMNS) :] = DYAD_PRICE
        chosen = choose(effect, away, price)
        made = chosen[moves.move]
        for j, name in enumerate(COLUMNS):
            mine = made & (moves.column == j)
            table[name][moves.row[mine]] = moves.value[mine]
        promised = np.abs(away + effect @ chosen)[: len(gap)].max()
        logger.info("  %d moves of %d, promised %.1f", chosen.sum(), moves.number, promised)
        fits = [
            look(table, plan, column, fit.spreads)
            for column, fit in zip(columns, fits, strict=True)
        ]
    return best[1], best[2]
