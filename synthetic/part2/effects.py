"""What a sample is to meet, how far it is from that, and what moves change in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax

from synthetic.part2.column import NODES, Column, purchase_probability
from synthetic.part2.encounters import Table
from synthetic.part2.names import COLUMNS, DISTANCE, PURCHASE, TABLE_ORDER, TERMS
from synthetic.part2.pool import Moves
from synthetic.part2.population import KIND_ROOM, UNATTAINABLE, Design, kinds, of_kind, regressors

Array = NDArray[np.float64]

# The dyads' standard deviation that moves keep. Below, the likelihoods of more samples are highest
# at zero; above, standard errors of the intercept and of distance exceed the printed ones further.
DYAD_RANGE = 0.055, 0.08


def moment_conditions(plan: Design) -> list[tuple[str, str | None, float, float]]:
    """Conditions of Table 7 as (variable, other variable or None, target, half-width).

    None stands for the mean; a variable with itself for the SD; the rest are correlations.
    """
    result = []
    for name in COLUMNS:
        half = plan.published[f"t7.mean.{name}"].half_width / plan.moments[name].sd
        result.append((name, None, 0.0, half))
        # mean squares that go with the printed SD, which divides by n - 1
        result.append((name, name, 1.0 - 1 / plan.size, 2 * half))
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

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    plan : Design
    columns : sequence of Column
        Of the plan, on this table.

    Returns
    -------
    ndarray, shape (conditions,)
        First Table 7, then every column's ten coefficients, then its bands of `_beyond`, then the
        population's kinds of encounter.
    """
    z = _standardised(table, plan)
    moments = [
        (np.mean(z[a] * (z[b] if b else 1.0)) - target) / half
        for a, b, target, half in moment_conditions(plan)
    ]
    estimates = [(c.estimate - c.target) / c.half_width for c in columns]
    bands = [_beyond(column) for column in columns]
    bought, expected = _by_kind(table, plan, columns[0]).sum(axis=2)
    by_kind = (bought - expected) / _kind_width(expected)
    return np.concatenate([moments, *estimates, *bands, by_kind])


# Purchases of a kind of encounter may be off by the population's `KIND_ROOM` or, if that is more,
# by so many of the standard deviations that chance makes of them.
KIND_DEVIATIONS = 3.0


def _by_kind(rows: Mapping[str, Array], plan: Design, column: Column) -> Array:
    """Purchases and their probabilities by kind of encounter, shape (2, kinds, n), else zero."""
    member = np.array([of_kind(rows, *kind) for kind in kinds(plan)])
    p = purchase_probability(rows, column, column.dyad_effect[rows["dyad"]])
    return member * np.stack([rows[PURCHASE], p])[:, None]


def _kind_width(expected: Array) -> Array:
    """Half-widths of the purchases of kinds, given the expected ones."""
    return np.maximum(KIND_ROOM * expected, KIND_DEVIATIONS * np.sqrt(np.maximum(expected, 1.0)))


# Half-widths of a band's ends: of a t value, relative, and of the dyads' standard deviation, whose
# changes bend the others' so that a programme may not think them cheap.
T_WIDTH, SPREAD_WIDTH = 0.02, 0.004


def _beyond(column: Column) -> Array:
    """How far t values and the dyads' standard deviation are beyond their bands, shape (11,).

    Above 1 or below -1 outside, 0 well inside.
    """
    t = np.abs(column.estimate) / column.standard_error
    value = np.r_[np.log(t) / T_WIDTH, column.spreads[0] / SPREAD_WIDTH]
    low, high = np.c_[column.band / T_WIDTH, np.array(DYAD_RANGE) / SPREAD_WIDTH]
    return np.maximum(0.0, 1 + value - high) - np.maximum(0.0, 1 + low - value)


def _standardised(table: Table, plan: Design) -> dict[str, Array]:
    return {name: (table[name] - mean) / sd for name, (mean, sd) in plan.moments.items()}


def effects(table: Table, plan: Design, columns: Sequence[Column], moves: Moves) -> Array:
    """Effect of each move on every condition of `gaps`, to first order.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    plan : Design
    columns : sequence of Column
        Of the plan, on this table.
    moves : Moves

    Returns
    -------
    ndarray, shape (conditions, moves)
        In half-widths; zero on t values and dyads' standard deviations well inside their bands.
    """
    n = len(table["cell"])
    old = {name: table[name][moves.row].astype(float) for name in (*COLUMNS, DISTANCE, PURCHASE)}
    old["dyad"] = table["dyad"][moves.row]
    new = dict(old)
    for j, name in enumerate(COLUMNS):
        new[name] = np.where(moves.column == j, moves.value, old[name])
    total = lambda values: np.bincount(moves.move, values, moves.number)
    z_old, z_new = _standardised(old, plan), _standardised(new, plan)
    result = [
        total(z_new[a] * (z_new[b] if b else 1.0) - z_old[a] * (z_old[b] if b else 1.0)) / n / half
        for a, b, _, half in moment_conditions(plan)
    ]
    bands: list[Array] = []
    for column in columns:
        touched = _touched(table, column, moves)
        change = column.covariance @ _score_changes(table, column, moves, touched)
        spread, change = change[len(TERMS)], change[: len(TERMS)]
        # The regressors are centred at the sample's means: a mean that moves by d moves the
        # intercept and the coefficient of distance by what the variable's own terms make of d.
        inside = column.rows[moves.row]
        for name in COLUMNS:
            shift = total(inside * (new[name] - old[name])) / column.rows.sum()
            change[TERMS.index("intercept")] += column.estimate[TERMS.index(name)] * shift
            if f"{name}:{DISTANCE}" in TERMS:
                slope = column.estimate[TERMS.index(f"{name}:{DISTANCE}")]
                change[TERMS.index(DISTANCE)] += slope * shift
        result.extend(change / column.half_width[:, None])
        t = change / column.estimate[:, None] - _error_changes(column, moves, touched)
        t -= _error_slopes(table, column) @ change
        change = np.vstack([t / T_WIDTH, spread / SPREAD_WIDTH])
        bands.extend(np.where(_beyond(column)[:, None] == 0, 0.0, change))
    bought, p = _by_kind(new, plan, columns[0]) - _by_kind(old, plan, columns[0])
    width = _kind_width(_by_kind(table, plan, columns[0])[1].sum(axis=1))
    by_kind = [total(of) / half for of, half in zip(bought - p, width, strict=True)]
    return np.stack([*result, *bands, *by_kind])


@dataclass(frozen=True)
class _Touched:
    """All encounters of the customers that moves touch in a column's rows, sorted by customer.

    Attributes
    ----------
    old, new : dict of str to ndarray, shape (n,)
        The five variables, cultural distance, purchase and dyad, before and after the moves.
    start : ndarray of int, shape (customers,)
        First encounter of each customer.
    move : ndarray of int, shape (customers,)
        The move that touches it.
    """

    old: Mapping[str, Array]
    new: Mapping[str, Array]
    start: NDArray[np.int64]
    move: NDArray[np.int64]


def _touched(table: Table, column: Column, moves: Moves) -> _Touched:
    """Customers of a column's rows that moves touch."""
    inside = column.rows[moves.row]
    row, move = moves.row[inside], moves.move[inside]
    customer, code = np.unique(table["customer"][row], return_inverse=True)
    # customers are contiguous
    begin, end = (np.searchsorted(table["customer"], customer, side) for side in ("left", "right"))
    start = np.r_[0, np.cumsum(end - begin)[:-1]]
    every = np.repeat(begin - start, end - begin) + np.arange((end - begin).sum())
    old = {name: table[name][every].astype(float) for name in (*COLUMNS, DISTANCE, PURCHASE)}
    old["dyad"] = table["dyad"][every]
    new = {name: values.copy() for name, values in old.items()}
    place, what, given = np.searchsorted(every, row), moves.column[inside], moves.value[inside]
    for j, name in enumerate(COLUMNS):
        new[name][place[what == j]] = given[what == j]
    of_customer = np.empty(len(customer), dtype=np.int64)
    of_customer[code] = move
    return _Touched(old, new, start, of_customer)


def _score_changes(table: Table, column: Column, moves: Moves, touched: _Touched) -> Array:
    """What each move changes in the score of a column's twelve parameters, shape (12, moves).

    A customer's score is integrated over its intercept, given its dyad's. That one follows the
    residuals to first order, and every customer of the dyad follows it.
    """
    outer_sd, inner_sd = column.spreads
    dyad = touched.old["dyad"]
    scores = []
    for values in (touched.new, touched.old):
        x = regressors(values, column.centre)
        index = column.estimate @ x + column.dyad_effect[dyad]
        scores.append(_customer_scores(values[PURCHASE], x, index, inner_sd, touched.start))
    change = scores[0] - scores[1]
    score = np.insert(change[:-1], len(TERMS), 0.0, axis=0)
    if outer_sd > 0:
        score += _pull(table, column)[:, dyad[touched.start]] * change[-1]
    return np.stack([np.bincount(touched.move, values, moves.number) for values in score])


def _error_changes(column: Column, moves: Moves, touched: _Touched) -> Array:
    """What each move changes in the logs of a column's standard errors, shape (10, moves).

    At the column's estimates, by the information of the customers touched.
    """
    change = np.subtract(
        *(_information(values, column, touched.start) for values in (touched.old, touched.new))
    )
    change = np.stack([np.bincount(touched.move, values, moves.number) for values in change])
    return 0.5 * change / column.standard_error[:, None] ** 2


def _customers(table: Table, column: Column) -> tuple[Table, NDArray[np.int64]]:
    """Encounters of a column's rows, shapes (n,), and the first of each customer."""
    names = (*COLUMNS, DISTANCE, PURCHASE, "dyad")
    start = np.flatnonzero(np.diff(table["customer"][column.rows], prepend=-1))
    return {name: table[name][column.rows] for name in names}, start


STEP = 1e-3  # standard errors of a coefficient, for a derivative


def _error_slopes(table: Table, column: Column) -> Array:
    """How the logs of a column's standard errors answer to its coefficients, shape (10, 10).

    Much for risk aversion: encounters of unknown warranty count the more, the likelier it makes
    their purchases.
    """
    values, start = _customers(table, column)
    total = lambda at: _information(values, at, start).sum(axis=1)
    now, error = total(column), column.standard_error
    slopes = [
        (total(replace(column, estimate=column.estimate + step)) - now) / step[k]
        for k, step in enumerate(STEP * np.diag(error))
    ]
    return -0.5 * np.stack(slopes, axis=1) / error[:, None] ** 2


def _information(values: Mapping[str, Array], column: Column, start: NDArray) -> Array:
    """What customers add to the inverse variances of coefficients, shape (10, customers).

    Times the squares of the variances. To first order, in the combinations of the regressors that
    are left to a coefficient beside the others, and less what the customers' intercepts take;
    purchase probabilities are integrated over customers.
    """
    x = column.covariance[: len(TERMS), : len(TERMS)] @ regressors(values, column.centre)
    p = purchase_probability(values, column, column.dyad_effect[values["dyad"]])
    each, variance = p * (1 - p), column.spreads[1] ** 2
    by_customer = lambda of: np.add.reduceat(of, start, axis=-1)
    taken = variance * by_customer(each * x) ** 2 / (1 + variance * by_customer(each))
    return by_customer(each * x**2) - taken


def _customer_scores(y: NDArray, x: Array, index: Array, sd: float, start: NDArray) -> Array:
    """Scores by customer, shape (12, customers): ten coefficients, the SD, the dyad's effect."""
    z, weight = np.polynomial.hermite_e.hermegauss(NODES)
    index = index[:, None] + sd * z
    residual = y[:, None] - expit(index)
    by_row = log_expit(np.where(y[:, None] == 1, index, -index))
    posterior = softmax(np.log(weight) + np.add.reduceat(by_row, start, axis=0), axis=1)
    sums = posterior * np.add.reduceat(residual, start, axis=0)
    length = np.diff(np.r_[start, len(y)])
    by_row = (np.repeat(posterior, length, axis=0) * residual).sum(axis=1)
    return np.vstack([np.add.reduceat(x * by_row, start, axis=1), sums @ z, sums.sum(axis=1)])


def _pull(table: Table, column: Column) -> Array:
    """How the score answers to a change of a dyad's residual through its effect, (12, dyads)."""
    values, start = _customers(table, column)
    x, y, dyad = regressors(values, column.centre), values[PURCHASE], values["dyad"]
    n_dyads = len(column.dyad_effect)
    outer_sd, inner_sd = column.spreads
    index = column.estimate @ x + column.dyad_effect[dyad]
    step = 1e-3
    slope = np.subtract(
        *(_customer_scores(y, x, index + side * step, inner_sd, start) for side in (1, -1))
    ) / (2 * step)
    slope = np.stack([np.bincount(dyad[start], values, n_dyads) for values in slope])
    precision = 1 / outer_sd**2 - slope[-1]
    own = 2 * column.dyad_effect / (outer_sd**3 * precision)  # of the dyads' SD
    return np.insert(slope[:-1] / precision, len(TERMS), own, axis=0)
