"""Small moves that bring a sample of Essay II to the printed digits.

A move gives one variable of one encounter (or of all encounters of one customer) another value.
Moments are linear in moves, and the estimates of the nested logit nearly so: a linear programme
over a pool of random moves finds the fewest that meet every condition, and its vertex leaves no
more fractional moves than there are conditions. The model is fitted anew after every round, and
moves whose effect exceeds what is left are no longer admitted.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import expit, logit

from crosssell.errors import ConvergenceWarning
from crosssell.nested_logit import NestedLogitModel
from synthetic.part2.encounters import OWN, Table, share_out
from synthetic.part2.names import (
    ABILITY,
    COLUMNS,
    DISTANCE,
    DURATION,
    PURCHASE,
    RANGES,
    SEVERITY,
    TABLE8,
    TABLE_ORDER,
    TERMS,
)
from synthetic.part2.population import (
    CUSTOMER_SD,
    UNATTAINABLE,
    Design,
    coefficients,
    regressors,
)
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

HALF_COEFFICIENT = 5e-5  # half the last printed digit of Table 8
AIM = 0.6  # of a half-width is what the programme aims at; the rest is for rounding
FIRST = TABLE8[0]  # the column that is insisted on


@dataclass(frozen=True)
class Column:
    """One column of Table 8 on one sample.

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
        Coefficients.
    covariance : ndarray, shape (10, 10)
        Of the estimates.
    offset : ndarray, shape (n,)
        What the random intercepts add to each encounter's index, posterior mean on the logit scale;
        zero outside the sample.
    """

    rows: NDArray[np.bool_]
    centre: Mapping[str, float]
    target: Array
    spreads: Array
    estimate: Array
    covariance: Array
    offset: Array


def look(table: Table, plan: Design, column: str, start: Array | None = None) -> Column:
    """Column as the estimator finds it.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    plan : Design
    column : {"hypothesized", "excluded_country"}
    start : ndarray, shape (12,), optional
        Coefficients and standard deviations of a similar table; without them the fit knows nothing
        of what is aimed at.
    """
    rows = np.ones(len(table["dyad"]), dtype=bool)
    if column != FIRST:
        rows = plan.remaining[table["cell"]]
    chosen = {name: table[name][rows].astype(float) for name in (*COLUMNS, DISTANCE)}
    centre = {name: float(values.mean()) for name, values in chosen.items()}
    X = regressors(chosen, centre)
    model = NestedLogitModel(
        pd.Series(table[PURCHASE][rows], name=PURCHASE),
        pd.DataFrame(X.T, columns=list(TERMS)),
        pd.DataFrame({"dyad": table["dyad"][rows], "customer": table["customer"][rows]}),
    )
    with warnings.catch_warnings():
        # a standard deviation may be zero on the way; the estimation of the firm's data says it
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = model.fit(start_params=start)
    residual = model.score_obs(fit.params)[("outcome", "intercept")].to_numpy()
    expected = np.clip(table[PURCHASE][rows] - residual, 1e-9, 1 - 1e-9)  # rounding, for the logit
    estimate = fit.params.loc["outcome"].to_numpy()
    offset = np.zeros(len(rows))
    offset[rows] = logit(expected) - estimate @ X
    return Column(
        rows=rows,
        centre=centre,
        target=coefficients(plan.published, column),
        spreads=fit.params.loc["sd"].to_numpy(),
        estimate=estimate,
        covariance=fit.cov_params().loc["outcome", "outcome"].to_numpy(),
        offset=offset,
    )


INTERCEPT_ROOM = 0.01  # that is left to the moves
INTERCEPT_BY_CLUSTERING = -0.7  # first guess of the slope


def clustered(table: Table, plan: Design, stream: np.random.SeedSequence) -> Table:
    """Share encounters out among customers so that the intercept comes out as printed.

    The more purchases cluster in customers, the lower is the intercept that goes with a purchase
    rate: a secant search for the clustering, every time with the same random numbers.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        As `synthetic.part2.encounters.draw` returns it.
    plan : Design
    stream : numpy.random.SeedSequence

    Raises
    ------
    SampleError
        No clustering gives the printed intercept.
    """
    target = coefficients(plan.published, FIRST)[TERMS.index("intercept")]
    clustering, slope, last = CUSTOMER_SD, INTERCEPT_BY_CLUSTERING, None
    for _ in range(8):
        result = share_out(table, plan, clustering, np.random.default_rng(stream))
        gap = look(result, plan, FIRST).estimate[TERMS.index("intercept")] - target
        logger.info("customers' effects of SD %.2f: intercept off by %.3f", clustering, gap)
        if abs(gap) < INTERCEPT_ROOM:
            return result
        if last is not None and clustering != last[0]:
            slope = min((gap - last[1]) / (clustering - last[0]), INTERCEPT_BY_CLUSTERING / 4)
        last = clustering, gap
        clustering = float(np.clip(clustering - gap / slope, 0.05, 2.5))
    raise SampleError(
        f"no clustering of purchases in customers gives the intercept {target}: the last one, "
        f"{last[0]:.2f}, misses by {last[1]:.3f}; change CUSTOMER_SD of the population"
    )


# -------------------------------------------------------------------------------------- the moves


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


def pool(table: Table, size: int, rng: np.random.Generator) -> Moves:
    """Random moves of two sorts: a new value for one encounter, or an exchange between two.

    A new value is a smallest step away or comes from another encounter of the cell. Exchanges,
    between a buyer and another encounter of the cell, or with a record beyond the ranges, leave the
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
    beyond_size = int(BEYOND * size) if len(strange) else 0
    row = np.r_[
        rng.choice(n, size),
        rng.choice(np.flatnonzero(table[PURCHASE] == 1), int(BUYERS * size)),
        rng.choice(strange, 2 * beyond_size) if beyond_size else strange,
    ]
    column = rng.integers(0, len(COLUMNS), len(row))
    # half of the unusual records give away or exchange what is unusual in them
    mine = np.arange(len(row)) >= len(row) - 2 * beyond_size
    mine &= rng.random(len(row)) < 0.5
    column[mine] = beyond[:, row[mine]].argmax(axis=0)
    # another encounter of the same cell; the table is sorted by cell
    first, last = (np.searchsorted(table["cell"], table["cell"][row], s) for s in ("left", "right"))
    other = rng.integers(first, last)
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


# ------------------------------------------------------------------- conditions and their distance


def moment_conditions(plan: Design) -> list[tuple[str, str | None, float, float]]:
    """Conditions of Table 7 as (variable, other variable or None, target, half-width).

    None stands for the mean; a variable with itself for the SD; the rest are correlations.
    """
    result = []
    for name in COLUMNS:
        half = plan.published[f"t7.mean.{name}"].half_width / plan.moments[name].sd
        result.append((name, None, 0.0, half))
        result.append((name, name, 1.0, 2 * half))
    order = list(TABLE_ORDER)
    for i, first in enumerate(order):
        for second in order[:i]:
            number = plan.published[f"t7.corr.{first}.{second}"]
            if number.id in UNATTAINABLE or {first, second} <= {PURCHASE, DISTANCE}:
                continue
            result.append((first, second, number.value, number.half_width))
    return result


def gaps(table: Table, plan: Design, columns: Sequence[Column]) -> Array:
    """Distance of every condition from its target, in half-widths.

    First Table 7, then every column's ten coefficients.
    """
    z = _standardised(table, plan)
    moments = [
        (np.mean(z[a] * (z[b] if b else 1.0)) - target) / half
        for a, b, target, half in moment_conditions(plan)
    ]
    scores = [(c.estimate - c.target) / HALF_COEFFICIENT for c in columns]
    return np.concatenate([moments, *scores])


def _standardised(table: Table, plan: Design) -> dict[str, Array]:
    return {name: (table[name] - mean) / sd for name, (mean, sd) in plan.moments.items()}


def effects(table: Table, plan: Design, columns: Sequence[Column], moves: Moves) -> Array:
    """Effect of each move on every condition of `gaps`, shape (conditions, moves), half-widths."""
    n = len(table["cell"])
    old = {name: table[name][moves.row].astype(float) for name in (*COLUMNS, DISTANCE, PURCHASE)}
    new = dict(old)
    for j, name in enumerate(COLUMNS):
        new[name] = np.where(moves.column == j, moves.value, old[name])
    total = lambda values: np.bincount(moves.move, values, moves.number)
    z_old, z_new = _standardised(old, plan), _standardised(new, plan)
    result = [
        total(z_new[a] * (z_new[b] if b else 1.0) - z_old[a] * (z_old[b] if b else 1.0)) / n / half
        for a, b, _, half in moment_conditions(plan)
    ]
    dyad, n_dyads = table["dyad"], len(plan.dyad_share)
    for column in columns:
        everyone = {name: table[name].astype(float) for name in (*COLUMNS, DISTANCE)}
        x = regressors(everyone, column.centre)
        p = expit(column.estimate @ x + column.offset)
        w = np.where(column.rows, p * (1 - p), 0.0)
        variance = column.spreads[0] ** 2
        pull = variance / (1 + variance * np.bincount(dyad, w, n_dyads))
        mean = np.stack([np.bincount(dyad, w * row, n_dyads) for row in x]) * pull
        at, inside = dyad[moves.row], column.rows[moves.row]
        offset, y = column.offset[moves.row], old[PURCHASE]
        x_old, x_new = regressors(old, column.centre), regressors(new, column.centre)
        r_old = y - expit(column.estimate @ x_old + offset)
        r_new = y - expit(column.estimate @ x_new + offset)
        direct = x_new * r_new - x_old * r_old - mean[:, at] * (r_new - r_old)
        change = column.covariance @ np.stack([total(inside * row) for row in direct])
        # The regressors are centred at the sample's means: a mean that moves by d moves the
        # intercept and the coefficient of distance by what the variable's own terms make of d.
        for name in COLUMNS:
            shift = total(inside * (new[name] - old[name])) / column.rows.sum()
            change[TERMS.index("intercept")] += column.estimate[TERMS.index(name)] * shift
            if f"{name}:{DISTANCE}" in TERMS:
                slope = column.estimate[TERMS.index(f"{name}:{DISTANCE}")]
                change[TERMS.index(DISTANCE)] += slope * shift
        result.extend(change / HALF_COEFFICIENT)
    return np.stack(result)


def choose(effect: Array, gap: Array, price: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Fewest moves that bring every gap within `AIM` half-widths, by a linear programme.

    What the pool cannot bring inside costs `price` moves per half-width. The vertex's few
    fractional moves are made with the probability they have: rounded to the nearest, small ones
    would never be made.
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
    return solution.x[:m] > rng.random(m)


# Moves that a programme spends on one half-width when one is left; fewer while more are left or a
# round of many moves has overshot.
PRICE = 3000.0
DONE = 0.99  # half-widths
PATIENCE = 40, 10.0  # rounds after which more half-widths than these are given up
# Times the best so far: a round that ends there has made too many moves, or is taken back.
OVERSHOT, SETBACK = 1.5, 3.0
LARGEST = 0.5  # effect of a single move, as a share of the largest gap


def polish(
    table: Table,
    plan: Design,
    rng: np.random.Generator,
    *,
    rounds: int = 80,
    size: int = 8000,
) -> tuple[Table, float]:
    """Move values until Table 7 and the first column of Table 8 print as published.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        Encounters sorted by cell and customer: cell, dyad, customer, purchase, the five variables
        and cultural distance. Not changed.
    plan : Design
    rng : numpy.random.Generator
    rounds : int
        Most programmes solved.
    size : int
        See `pool`.

    Returns
    -------
    table : dict of str to ndarray
    worst : float
        Largest distance of a condition from its target, in half-widths.
    """
    found = look(table, plan, FIRST)
    best, eager = None, 1.0
    for k in range(rounds):
        gap = gaps(table, plan, [found])
        worst, open_ = np.abs(gap).max(), (np.abs(gap) > 1).sum()
        logger.info(
            "polish round %d: %d of %d conditions open, worst %.1f half-widths, SDs %s",
            k,
            open_,
            len(gap),
            worst,
            found.spreads.round(2),
        )
        if best is None or worst < best[0]:
            best = worst, table, found
        overshot = worst > OVERSHOT * best[0]
        eager = max(0.05, 0.7 * eager) if overshot else min(1.0, 1.25 * eager)
        if worst > SETBACK * best[0]:
            worst, table, found = best
            gap = gaps(table, plan, [found])
        if worst < DONE or (k >= PATIENCE[0] and best[0] > PATIENCE[1]):
            break
        moves = pool(table, size, rng)
        effect = effects(table, plan, [found], moves)
        # what is too coarse for the gaps that are left would only be rounded away
        effect[:, np.abs(effect).max(axis=0) > max(LARGEST * worst, 0.4)] = 0.0
        table = moves.made(table, choose(effect, gap, eager * PRICE / worst, rng))
        found = look(table, plan, FIRST, np.r_[found.estimate, found.spreads])
    return best[1], best[0]
