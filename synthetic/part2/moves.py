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
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import expit, log_expit, softmax

from crosssell.errors import ConvergenceWarning
from crosssell.nested_logit import NestedLogitModel
from synthetic.part2.encounters import OWN, Clustering, Table, draw, share_out
from synthetic.part2.names import (
    ABILITY,
    COLUMNS,
    DISTANCE,
    DURATION,
    PURCHASE,
    RANGES,
    RISK,
    SEVERITY,
    TABLE_ORDER,
    TERMS,
)
from synthetic.part2.population import (
    FIRST,
    KIND_ROOM,
    LAST,
    UNATTAINABLE,
    Design,
    Population,
    coefficients,
    kinds,
    marginal_probability,
    of_kind,
    regressors,
)
from synthetic.part2.purchases import relative_surplus, whole_purchases
from synthetic.published import Printed
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

AIM = 0.6  # of a half-width is what the programme aims at; the rest is for rounding
ROUNDINGS = 256
NODES = 15  # of the customers' intercepts, for the effects of moves


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
    half_width : ndarray, shape (10,)
        Half of their last printed digit.
    band : ndarray, shape (2, 10)
        Logs of the t values between which they are as significant as printed.
    estimate : ndarray, shape (10,)
        Coefficients.
    spreads : ndarray, shape (2,)
        Standard deviations of the dyads' and customers' intercepts.
    covariance : ndarray, shape (12, 12)
        Of all estimates; zero for a standard deviation that is estimated zero.
    dyad_effect : ndarray, shape (dyads,)
        Posterior means of the dyads' intercepts, in logits; zero for those outside the sample.
    """

    rows: NDArray[np.bool_]
    centre: Mapping[str, float]
    target: Array
    half_width: Array
    band: Array
    estimate: Array
    spreads: Array
    covariance: Array
    dyad_effect: Array

    @property
    def standard_error(self) -> Array:
        """Of the coefficients, shape (10,), in their units."""
        return np.sqrt(np.diag(self.covariance))[: len(TERMS)]

    @property
    def conditional_error(self) -> Array:
        """Of the coefficients if the standard deviations were known, shape (10,)."""
        n = len(TERMS)
        shared = self.covariance[:n, n:]
        taken = shared @ np.linalg.pinv(self.covariance[n:, n:]) @ shared.T
        return np.sqrt(np.diag(self.covariance[:n, :n] - taken))


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
    rows = plan.rows_of(column)[table["cell"]]
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
    spreads = fit.params.loc["sd"].to_numpy()
    # a normal effect's posterior mean is its variance times the sum of posterior residuals
    residual = model.score_obs(fit.params)["outcome", "intercept"]
    sums = np.bincount(table["dyad"][rows], residual, len(plan.dyad_share))
    printed = [plan.published[f"t8.{column}.{term}.estimate"] for term in TERMS]
    return Column(
        rows=rows,
        centre=centre,
        target=np.array([number.value for number in printed]),
        half_width=np.array([number.half_width for number in printed]),
        band=_band(plan, printed),
        estimate=fit.params.loc["outcome"].to_numpy(),
        spreads=spreads,
        covariance=fit.cov_params().fillna(0.0).to_numpy(),
        dyad_effect=spreads[0] ** 2 * sums,
    )


def purchase_probability(
    rows: Mapping[str, Array], column: Column, effect: Array | float = 0.0
) -> Array:
    """Purchase probability of encounters by a column's estimates, customers' intercepts averaged.

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
        The five variables and cultural distance.
    column : Column
    effect : ndarray, shape (n,), or float
        The dyads' intercepts, in logits.

    Returns
    -------
    ndarray, shape (n,)
    """
    values = {name: rows[name].astype(float) for name in (*COLUMNS, DISTANCE)}
    index = column.estimate @ regressors(values, column.centre) + effect
    return marginal_probability(index, column.spreads[1], NODES)


def _band(plan: Design, printed: Sequence[Printed]) -> Array:
    """Least and largest log of a t value that is aimed at, shape (2, coefficients)."""
    with np.errstate(divide="ignore"):
        return np.log(np.array([plan.t_limits(number) for number in printed]).T)


# The dyads' standard deviation that moves keep. Below, some samples have two maxima of the
# likelihood, one of them at zero; above, standard errors of the intercept and of distance exceed
# the printed ones further.
DYAD_RANGE = 0.07, 0.13
# How far, relative, it may start from the middle, and in standard errors the coefficient of
# distance from the printed one: moves hardly reach either.
SD_NEAR, DISTANCE_NEAR = 1.5, 1.0
PATTERNS, SCALINGS = 10, 3  # of surpluses
SAME_SCALE = 0.05  # relative; nothing new is to be expected of a scale that near to the last


def drawn(population: Population, stream: np.random.SeedSequence) -> Table:
    """Draw encounters among which dyads differ about as much as is aimed at.

    Purchases by which dyads exceed expectation are scaled until every column's estimate of the
    dyads' standard deviation is near the middle of `DYAD_RANGE`. Some patterns have no such scale,
    and others pull the coefficient of distance along; the first pattern is taken that starts near
    in both, or the nearest.

    Parameters
    ----------
    population : Population
    stream : numpy.random.SeedSequence
        The same random numbers serve every scale of a pattern.

    Raises
    ------
    SampleError
        No pattern and scale give such standard deviations.
    """
    plan = population.plan
    best, last = (np.inf, None), ""
    for pattern in stream.spawn(PATTERNS):
        excess, sample, customers = pattern.spawn(3)
        surplus, scale = relative_surplus(population, np.random.default_rng(excess)), 1.0
        for _ in range(SCALINGS):
            try:
                whole = whole_purchases(population, scale * surplus)
            except SampleError as error:
                last = str(error)
                logger.info("surpluses times %.2f: %s", scale, last)
                break
            table = draw(population, whole, np.random.default_rng(sample))
            shared = share_out(table, plan, Clustering(), np.random.default_rng(customers))
            columns = [look(shared, plan, column) for column in plan.columns]
            found = np.array([column.spreads[0] for column in columns])
            away = max(_away(column) for column in columns)
            last = f"dyads' SDs {found.round(3)}"
            logger.info("surpluses times %.2f: %s, %.2f away", scale, last, away)
            best = min(best, (away, table), key=lambda trial: trial[0])
            if away < 1:
                return table
            # what varies between dyads is their intercepts and luck, about as much as these
            middle_squared = np.prod(DYAD_RANGE)
            factor = np.sqrt(2 * middle_squared / (np.mean(found**2) + middle_squared))
            if abs(factor - 1) < SAME_SCALE:
                break
            scale *= factor
    if best[1] is None:
        raise SampleError(
            f"none of {PATTERNS} patterns of surpluses gives dyads that differ (the last: {last}); "
            "change DYAD_SD of the population"
        )
    return best[1]


def _away(column: Column) -> float:
    """How far a start is from what is aimed at; up to 1 is near."""
    k = TERMS.index(DISTANCE)
    distance = np.abs(column.estimate - column.target)[k] / column.standard_error[k]
    with np.errstate(divide="ignore"):
        spread = np.abs(np.log(column.spreads[0] / np.sqrt(np.prod(DYAD_RANGE))))
    return float(max(distance / DISTANCE_NEAR, spread / np.log(SD_NEAR)))


INTERCEPT_ROOM = 0.03  # that is left to the moves
INTERCEPT_FAR = 0.12  # ... where no clustering comes nearer
INTERCEPT_BY_CLUSTERING = -0.7  # first guess of the slope
CLUSTERING_RANGE = 0.0, 3.5


def clustered(table: Table, plan: Design, stream: np.random.SeedSequence) -> Table:
    """Share encounters out among customers so that both intercepts come out as printed.

    The more purchases cluster in customers, the lower is the intercept that goes with a purchase
    rate. The column without the left-out country sets the clustering elsewhere, then the first
    column that of the left-out country; or the first one both, where it is the only one.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        As `synthetic.part2.encounters.draw` returns it.
    plan : Design
    stream : numpy.random.SeedSequence
        The same random numbers serve every trial.

    Raises
    ------
    SampleError
        No clustering gives a printed intercept.
    """
    clustering = Clustering()
    steps = {LAST: ["remaining"], FIRST: ["left_out"]}
    if LAST not in plan.columns:
        steps = {FIRST: ["remaining", "left_out"]}
    for column, fields in steps.items():
        target = coefficients(plan.published, column)[TERMS.index("intercept")]

        def shared(
            value: float, fields: Sequence[str] = fields, base: Clustering = clustering
        ) -> Table:
            chosen = replace(base, **dict.fromkeys(fields, value))
            return share_out(table, plan, chosen, np.random.default_rng(stream))

        def gap(value: float, column: str = column, target: float = target) -> float:
            found = look(shared(value), plan, column).estimate[TERMS.index("intercept")] - target
            logger.info("%s: effects of SD %.2f miss the intercept by %.3f", column, value, found)
            return found

        value = _secant(gap, getattr(clustering, fields[0]))
        clustering = replace(clustering, **dict.fromkeys(fields, value))
    return shared(value)


def _secant(gap: Callable[[float], float], value: float) -> float:
    """Where a falling function of the clustering is within `INTERCEPT_ROOM` of zero.

    Or within `INTERCEPT_FAR` at an end of the clustering's range.
    """
    slope, last = INTERCEPT_BY_CLUSTERING, None
    for _ in range(8):
        found = gap(value)
        if abs(found) < INTERCEPT_ROOM:
            return value
        if last is not None:
            slope = min((found - last[1]) / (value - last[0]), INTERCEPT_BY_CLUSTERING / 4)
        last = value, found
        value = float(np.clip(value - found / slope, *CLUSTERING_RANGE))
        if value == last[0]:  # an end of the range: no clustering comes nearer
            if abs(found) < INTERCEPT_FAR:
                return value
            break
    raise SampleError(
        f"no clustering of purchases in customers gives the printed intercept: the last one, "
        f"{last[0]:.2f}, misses by {last[1]:.3f}; change customer_sd in AIMS of the population"
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


# ------------------------------------------------------------------- conditions and their distance


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


# Half-widths of a band's ends: of a t value, relative, and of the dyads' standard deviation.
T_WIDTH, SPREAD_WIDTH = 0.02, 0.02


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
    """Effect of each move on every condition of `gaps`, shape (conditions, moves), half-widths."""
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


STEP = 1e-3  # standard errors of a coefficient, for a derivative


def _error_slopes(table: Table, column: Column) -> Array:
    """How the logs of a column's standard errors answer to its coefficients, shape (10, 10).

    Much for risk aversion: encounters of unknown warranty count the more, the likelier it makes
    their purchases.
    """
    values = {name: table[name][column.rows] for name in (*COLUMNS, DISTANCE, "dyad")}
    start = np.flatnonzero(np.diff(table["customer"][column.rows], prepend=-1))
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
    rows, n_dyads = column.rows, len(column.dyad_effect)
    values = {name: table[name][rows].astype(float) for name in (*COLUMNS, DISTANCE)}
    x, y, dyad = regressors(values, column.centre), table[PURCHASE][rows], table["dyad"][rows]
    start = np.flatnonzero(np.diff(table["customer"][rows], prepend=-1))
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


# Moves that a programme spends on one half-width when one is left; fewer while more are left or a
# round of many moves has overshot.
PRICE = 3000.0
DONE = 0.99  # half-widths
# A round has made too many moves if some gap ends farther from what their effects promised than so
# many times the largest gap before it. One is taken back if its largest gap is so many times the
# best round's.
OVERSHOT, SETBACK = 0.5, 3.0
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
    eager: float,
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
    eager : float
        Share of `PRICE`.
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
        chosen[free] = choose(effect[:, free], left, eager * PRICE / worst, rng)
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
    first, best, eager = table, None, 1.0
    promised, before = None, np.inf
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
        if best is None or worst < best[0]:
            best = worst, table, columns
        if promised is not None:
            overshot = np.abs(gap - promised).max() > OVERSHOT * before
            eager = max(0.05, 0.7 * eager) if overshot else min(1.0, 1.25 * eager)
        if worst > SETBACK * best[0]:
            worst, table, columns = best
            gap = gaps(table, plan, columns)
        history.append(best[0])
        stuck = len(history) > PATIENCE and (
            history[-1] - DONE > 0.5 * (history[-1 - PATIENCE] - DONE)
        )
        if worst < DONE or stuck:
            break
        moves = pool(table, size, rng)
        effect = effects(table, plan, columns, moves)
        chosen = chosen_in_stages(effect, gap, largest, coarse, eager, rng)
        promised, before = gap + effect @ chosen, worst
        table = moves.made(table, chosen)
        columns = [
            look(table, plan, name, np.r_[column.estimate, column.spreads])
            for name, column in zip(plan.columns, columns, strict=True)
        ]
    table = best[1]
    changed = np.any([table[name] != first[name] for name in COLUMNS], axis=0).mean()
    logger.info("moves changed a value in %.0f%% of the encounters", 100 * changed)
    return table
