"""Population of Essay II: weights on encounters (x, y) that carry the published moments and scores.

A support point is an encounter and its outcome: a cell (customer culture x service country), the
five encounter and customer variables, and whether it ended in a purchase. Every published moment,
and every score equation at the printed coefficients, is linear in the weights of such points, so
exponential tilting finds the population nearest to a plain one in which they hold. The plain one
(`synthetic.part2.marginals`) is re-fitted a few times to what the tilt wants of each variable in
each dyad, so that the tilt is left with how variables depend on one another.

The left-out country of Table 8's last column is France: only its share makes the printed standard
errors. Both columns hold together when French customers are more alike than others
(`Aims.customer_sd`): the intercept without France, lower by .57 than the one with it, then goes
with a purchase rate that is hardly lower.

Two kinds of printed numbers are not linear in the weights, and are approached round by round from
the last population: chi-squares of purchase rates by country, in the direction in which its rates
differ, and standard errors, by the information that is left to a regressor without the others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from synthetic import constraints as form
from synthetic.constraints import Constraint, Moments
from synthetic.part2 import marginals
from synthetic.part2.marginals import Marginals
from synthetic.part2.names import (
    ABILITY,
    COLUMNS,
    DISTANCE,
    DURATION,
    PURCHASE,
    RANGES,
    RISK,
    SEVERITY,
    TABLE8,
    TABLE_ORDER,
    TERMS,
    VALUE,
)
from synthetic.population import tilt
from synthetic.published import Printed

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Rows = dict[str, Array]
Variant = Literal["moments", "ranges"]

LEFT_OUT = "FRA"
# Dyads whose agents are busy. The chi-squares ask for countries with few purchases on either side,
# and from a start in which all dyads but the French were alike the tilt went here: to Belgium,
# whose small distance to Morocco lowers purchases in the column without France, and to India and
# Tunisia, of which the correlation of the purchase with distance takes little notice.
WAITING = "-IND$|-TUN$|^BEL-MAR$"
# Callers of unknown warranty, all of them the left-out country's, since the last column's
# coefficient of risk aversion would have others buy. Two dyads book them on a collective account
# each, whose intercept takes most of what hundreds of encounters say of risk aversion. Some of the
# few other callers are customers of their own: those who call the agents farthest away give its
# interaction a star; those at the mean distance are there for moves to take, when the SD of risk
# aversion asks for fewer.
COLLECTIVE = f"^{LEFT_OUT}-MAR$|^{LEFT_OUT}-TUN$"
FAR, NEAR_MEAN = f"^{LEFT_OUT}-SVK$", f"^{LEFT_OUT}-IND$"
UNKNOWN = {COLLECTIVE: 0.012, FAR: 0.2, NEAR_MEAN: 0.05}  # shares of a dyad's encounters
# What is keyed for an account: about what the printed correlations of risk aversion ask for.
ACCOUNT = {SEVERITY: 2.0, VALUE: 4.0}
FIRST, LAST = TABLE8
# The dyads' standard deviation sets the standard errors of the intercept and of cultural distance.
# The printed ones ask for .05 to .1, but with less the sample's estimate is often zero.
DYAD_SD = 0.08
# A purchase rate whose mean prints as .038 and whose SD prints as .190 lies in [.0375, .0377]; the
# text's 3.6% does not.
PURCHASE_RATE = 0.0376
# Within the ranges an SD can at most be that of mass on both ends; this share of it leaves
# something in between.
SPREAD_WITHIN = 0.96
HALVES = 0.6  # of a printed half-width is the population's box: the rest is room for the sample
# Cells and dyads of fewer encounters stay plain: they could carry no condition without looking
# like it.
SMALL_CELL, SMALL_DYAD = 300, 1000


@dataclass(frozen=True)
class Aims:
    """What of Table 8 a population is to carry, and how urgently.

    Attributes
    ----------
    customer_sd : mapping of str to float
        Columns aimed at, and the standard deviation of the customers' intercepts as each column's
        model sees it, which sets the purchase rate that goes with the printed intercept.
    within_digit : mapping of str to mapping of str to float
        By column and term, how far a coefficient aimed at lies off the middle of what rounds to the
        printed digit, in half-widths.
    urgent : mapping of str to float
        Priorities of printed numbers other than `PRINTED`, by id.
    """

    customer_sd: Mapping[str, float]
    within_digit: Mapping[str, Mapping[str, float]]
    urgent: Mapping[str, float]


INTERACTION = f"{RISK}:{DISTANCE}"
# Where four printed decimals are coarser than a standard error: where both columns cost least,
# samples come out nearest or stars are as printed.
WITHIN_DIGIT = {
    FIRST: {f"{ABILITY}:{DISTANCE}": 0.2, INTERACTION: 0.8},
    LAST: {f"{SEVERITY}:{DISTANCE}": 0.5},
}
# Correlations that pull against coefficients, and standard errors that stars depend on.
URGENT = {
    f"t7.corr.{RISK}.{PURCHASE}": 0.3,
    f"t7.corr.{DISTANCE}.{RISK}": 0.1,
    f"t7.corr.{DISTANCE}.{PURCHASE}": 1.0,
    f"t8.{FIRST}.{INTERACTION}.estimate": 0.3,
    f"t8.{FIRST}.{SEVERITY}.std_error": 0.1,
    f"t8.{FIRST}.{RISK}.std_error": 0.06,
    f"t8.{LAST}.{SEVERITY}:{DISTANCE}.std_error": 0.2,
}
# Standard errors printed as .0000.
NO_DIGIT = (
    f"t8.{FIRST}.{ABILITY}:{DISTANCE}.std_error",
    f"t8.{LAST}.{ABILITY}:{DISTANCE}.std_error",
)
# With one SD for both columns, .95, the tilt costs 1.1 nats; with these .7; with the first column
# alone .2. In each, eight to ten in ten French buyers are served at an ability below 36, of 30 to
# 752. Within the stated ranges the first column alone costs .7; the French records that pull its
# coefficient of risk aversion down to a thirtieth of the last column's are beyond them.
# `python -m synthetic.part2 --costs` measures it.
AIMS = {
    "moments": Aims({FIRST: 0.95, LAST: 1.2}, WITHIN_DIGIT, URGENT),
    "ranges": Aims({FIRST: 0.95}, WITHIN_DIGIT, URGENT),
}


def marginal_probability(index: Array, sd: float, nodes: int = 21) -> Array:
    """Purchase probability with the customer's intercept integrated out (Gauss-Hermite)."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    weight = weight / weight.sum()
    return sum(w * expit(index + sd * k) for k, w in zip(z, weight, strict=True))


def regressors(rows: Mapping[str, Array], centre: Mapping[str, float]) -> Array:
    """Regressors of Table 8, shape (10, n), mean-centred before products are formed."""
    value = {name: rows[name] - centre[name] for name in (*COLUMNS, DISTANCE)}
    value["intercept"] = np.ones_like(value[DISTANCE])
    return np.stack([np.prod([value[part] for part in term.split(":")], axis=0) for term in TERMS])


def coefficients(published: Mapping[str, Printed], column: str) -> Array:
    """Printed coefficients of a column of Table 8, in the order of `TERMS`."""
    return np.array([published[f"t8.{column}.{term}.estimate"].value for term in TERMS])


def t_interval(number: Printed) -> tuple[float, float]:
    """Sizes of a t value (normal) that go with a coefficient's stars, as (lowest, highest)."""
    low, high = number.p_interval
    return float(norm.isf(high / 2)), float(norm.isf(low / 2))


def unknown(rows: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Encounters of unknown warranty, shape (n,)."""
    return rows[RISK] > RANGES[RISK][1]


@dataclass(frozen=True)
class Design:
    """What the population is calibrated to.

    Attributes
    ----------
    published : mapping of str to Printed
    cells : DataFrame
        Cells with their encounters, as `synthetic.part2.dyads.dyads` returns them.
    variant : {"moments", "ranges"}
    moments : mapping of str to Moments
        Mean and SD aimed at, by variable.
    centre_remaining : mapping of str to float
        Means that centre the regressors without the left-out country.
    aims : Aims
    directions : mapping of str to mapping of str to float
        By side of the encounter (`SIDES`), how far each country's purchase rate lies from the
        overall one: the direction in which the side's chi-square is sought.
    covariances : mapping of str to tuple of ndarray, shape (10, 10)
        By column, of the coefficients in the populations so far.
    """

    published: Mapping[str, Printed]
    cells: pd.DataFrame
    variant: Variant
    moments: Mapping[str, Moments]
    centre_remaining: Mapping[str, float]
    aims: Aims
    directions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    covariances: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of encounters."""
        return int(self.cells["encounters"].sum())

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of Table 8 that the sample is to return to the printed digit."""
        return tuple(self.aims.customer_sd)

    def aimed_at(self, column: str) -> Array:
        """Coefficients of a column: the printed ones, or near them within the same digit."""
        off = self.aims.within_digit[column]
        return np.array(
            [
                number.value + off.get(term, 0.0) * number.half_width
                for term in TERMS
                for number in [self.published[f"t8.{column}.{term}.estimate"]]
            ]
        )

    def t_limits(self, number: Printed) -> tuple[float, float]:
        """Sizes of a coefficient's t value that are aimed at, as (lowest, highest).

        Within the stated ranges standard errors are larger, and no stars are sought.
        """
        if self.variant == "ranges":
            return 0.0, np.inf
        return t_interval(number)

    @cached_property
    def share(self) -> Array:
        """Share of encounters by cell."""
        return self.cells["encounters"].to_numpy() / self.size

    @cached_property
    def dyad_of_cell(self) -> tuple[NDArray[np.int64], Sequence[str]]:
        """Dyad (customer country - service country) of each cell, and the dyads' labels."""
        label = self.cells["customer_country"] + "-" + self.cells["agent_country"]
        code, names = pd.factorize(label)
        return code, list(names)

    @cached_property
    def dyad_share(self) -> Array:
        """Share of encounters by dyad."""
        return np.bincount(self.dyad_of_cell[0], self.share)

    @cached_property
    def remaining(self) -> NDArray[np.bool_]:
        """Cells that stay when the left-out country goes."""
        return (self.cells["customer_country"] != LEFT_OUT).to_numpy()

    @cached_property
    def large(self) -> NDArray[np.bool_]:
        """Cells large enough to be tilted."""
        dyad = self.dyad_share[self.dyad_of_cell[0]] * self.size
        return (self.share * self.size >= SMALL_CELL) & (dyad >= SMALL_DYAD)

    def on_account(self, rows: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Encounters that are booked on their dyad's collective account, shape (n,)."""
        code, names = self.dyad_of_cell
        collective = pd.Series(names).str.contains(COLLECTIVE).to_numpy()
        return unknown(rows) & collective[code[rows["cell"]]]

    def centre_of(self, column: str) -> Mapping[str, float]:
        """Means that centre the regressors of a column."""
        if column == FIRST:
            return {name: moments.mean for name, moments in self.moments.items()}
        return self.centre_remaining

    def rows_of(self, column: str) -> NDArray[np.bool_]:
        """Cells that a column is estimated on."""
        return np.ones(len(self.share), dtype=bool) if column == FIRST else self.remaining


def largest_sd(mean: float, low: float, high: float) -> float:
    """Largest standard deviation of a variable of the given mean on [low, high]."""
    return float(np.sqrt((mean - low) * (high - mean)))


def design(
    published: Mapping[str, Printed],
    cells: pd.DataFrame,
    variant: Variant,
    aims: Aims,
) -> Design:
    """Targets of a variant for the given dyads."""
    moments = {}
    for name in COLUMNS:
        mean, sd = published[f"t7.mean.{name}"].value, published[f"t7.sd.{name}"].value
        if variant == "ranges":
            sd = min(sd, SPREAD_WITHIN * largest_sd(mean, *RANGES[name]))
        moments[name] = Moments(mean, sd)
    count, distance = cells["encounters"].to_numpy(), cells["distance"].to_numpy()
    mean = np.average(distance, weights=count)
    sd = np.sqrt(np.average((distance - mean) ** 2, weights=count))
    moments[DISTANCE] = Moments(float(mean), float(sd))
    moments[PURCHASE] = Moments(PURCHASE_RATE, float(np.sqrt(PURCHASE_RATE * (1 - PURCHASE_RATE))))
    centre = {name: value.mean for name, value in moments.items()}
    return Design(published, cells, variant, moments, centre, aims)


# ----------------------------------------------------------------------------------- constraints


# Priorities, nats per squared half-width. The sample's moves do the rest exactly, so that the
# population need not strain for the last digit.
PRINTED, SHAPE = 0.02, 3.0
# Between records so different in kind that the printed correlation of the purchase with ability,
# -.133, is beyond what the margins allow; the scores decide it.
UNATTAINABLE = (f"t7.corr.{ABILITY}.{PURCHASE}",)
SCORE_ROOM = 0.03  # standard errors of the sample
SIDES = ("customer_country", "agent_country")  # of an encounter
CHI_ROOM = 0.003  # relative, of the root of a chi-square
# Relative: of a standard error, and of the information that a half-width of slack stands for.
SE_ROOM, INFORMATION_ROOM = 0.03, 0.045
NO_BOUND = 20.0  # times the least information
# Encounters of one customer tell less about the customer's own variables, the less the more
# customers differ: the sample's standard errors are larger by so much.
CLUSTERED, OF_CUSTOMER = {FIRST: 1.05, LAST: 1.15}, (SEVERITY, RISK, VALUE)
CELL_ROOM, RATE_ROOM = 0.005, 0.03  # relative: encounters of a cell, purchases of a cell
# Kinds of encounter of known warranty, by edges of one variable, whose purchases stay near the
# expected ones, relative to these or, if they are more, to so many. Without them the tilt lets the
# left-out country's second dyad carry what the scores of risk aversion and its interaction are
# apart in: all its purchases came from one year of warranty and one severity, or from a few agents.
# Wider kinds only move that, to another year or to line numbers.
KINDS = {
    ABILITY: (31.5, 34.5, 60, 100, 150),
    RISK: (0.5, 1.5, 2.5, 3.5, 4.5),
    SEVERITY: (1.6, 2.1, 2.9, 3.6, 4.6),
    VALUE: (1.5, 2.5, 3.5, 4.5),
}
KIND_ROOM, FEWEST_EXPECTED = 0.2, 5
# Dyads' means may differ from the overall mean by about so many SDs.
BAND = {ABILITY: 1.5, SEVERITY: 1.0, RISK: 0.5, DURATION: 0.3, VALUE: 0.7}


def moment_constraints(plan: Design) -> list[Constraint]:
    """Table 7: means, SDs and correlations, as far as the cells do not settle them."""
    everywhere = form.Block(lambda rows: np.ones_like(rows[DISTANCE]), 1.0)
    result = []
    for name in COLUMNS:
        mean, sd = plan.published[f"t7.mean.{name}"], plan.published[f"t7.sd.{name}"]
        result.append(form.mean(mean, name, everywhere, PRINTED))
        result.append(form.spread(sd, name, plan.moments[name], everywhere, PRINTED))
    names = [name for name in TABLE_ORDER if name != PURCHASE]
    for first in (PURCHASE, *names):
        for second in names:
            if TABLE_ORDER.index(second) <= TABLE_ORDER.index(first):
                continue  # Table 7 prints the lower triangle
            number = plan.published[f"t7.corr.{second}.{first}"]
            if number.id in UNATTAINABLE:
                continue
            priority = plan.aims.urgent.get(number.id, PRINTED)
            result.append(
                form.correlation(number, second, first, plan.moments, everywhere, priority)
            )
    return [replace(c, half_width=HALVES * c.half_width) for c in result]


def prepare(plan: Design, rows: Rows) -> Rows:
    """Add what the score equations need: dyad, regressors and probabilities in both columns."""
    rows = dict(rows)
    rows["dyad"] = plan.dyad_of_cell[0][rows["cell"]]
    for column in plan.columns:
        x = regressors(rows, plan.centre_of(column))
        index = plan.aimed_at(column) @ x
        rows[f"x {column}"] = x
        rows[f"p {column}"] = marginal_probability(index, plan.aims.customer_sd[column])
    return rows


def score_constraints(plan: Design, rows: Rows, base: Array) -> list[Constraint]:
    """Score equations of both columns of Table 8 at the coefficients aimed at.

    The dyads' intercepts take part of every dyad's residual: to first order the score of a
    regressor x in the mixed model is the sum of (x - rho_k mean_k(x)) (y - p), where mean_k is the
    dyad's mean weighted by p (1 - p), and rho_k = W_k sigma^2 / (1 + W_k sigma^2) its shrinkage.
    """
    result = []
    dyad, n_dyads = rows["dyad"], len(plan.dyad_share)
    for column in plan.columns:
        member = plan.rows_of(column)[rows["cell"]]
        x, p = rows[f"x {column}"], rows[f"p {column}"]
        information = base * member * p * (1 - p)
        total = np.maximum(np.bincount(dyad, information, n_dyads), 1e-300)
        pull = plan.size * plan.dyad_share * PURCHASE_RATE * DYAD_SD**2
        shrinkage = pull / (1 + pull)
        x = _less_unknown(plan, rows, base, column, 1.0)
        residual = member * (rows[PURCHASE] - p)
        for j, term in enumerate(TERMS):
            mean = np.bincount(dyad, information * x[j], n_dyads) / total
            centred = x[j] - (shrinkage * mean)[dyad]
            scale = np.sqrt(information @ centred**2)
            number = plan.published[f"t8.{column}.{term}.estimate"]
            values = centred * residual / scale
            result.append(
                Constraint(
                    number.id,
                    lambda _, values=values: values,
                    0.0,
                    SCORE_ROOM / np.sqrt(plan.size),
                    plan.aims.urgent.get(number.id, PRINTED),
                    unit=1 / scale,
                    printed=number.value,
                )
            )
    return result


def _less_unknown(plan: Design, rows: Rows, weights: Array, column: str, power: float) -> Array:
    """Regressors less what the intercepts of customers of unknown warranty take of them, (10, n).

    To first order a customer's intercept leaves 1 / (1 + s^2 W) of what the mean of its regressors
    adds to the scores (`power` 1) and to the information (1/2, of its root), W being the sum of
    p (1 - p) over its encounters. What customers' intercepts take of other encounters, few of each
    customer, is left out.
    """
    x, p = rows[f"x {column}"], rows[f"p {column}"]
    each, booked = p * (1 - p), plan.on_account(rows)
    dyad, n_dyads = rows["dyad"], len(plan.dyad_share)
    shared = booked * each * weights
    total = np.maximum(np.bincount(dyad, shared, n_dyads), 1e-300)
    mean = np.stack([np.bincount(dyad, shared * values, n_dyads) for values in x]) / total
    inverse = 1 + plan.aims.customer_sd[column] ** 2 * np.where(
        booked, plan.size * total[dyad], each
    )
    return x - unknown(rows) * (1 - inverse**-power) * np.where(booked, mean[:, dyad], x)


def _information(plan: Design, rows: Rows, weights: Array, column: str) -> tuple[Array, Array]:
    """Information on the linear predictor by row, and regressors less what dyads' intercepts take.

    To first order the cross product of the regressors, weighted by it, is the information matrix of
    the coefficients.
    """
    p, x = rows[f"p {column}"], rows[f"x {column}"]
    each = plan.size * plan.rows_of(column)[rows["cell"]] * p * (1 - p)
    dyad, n_dyads = rows["dyad"], len(plan.dyad_share)
    total = np.maximum(np.bincount(dyad, weights * each, n_dyads), 1e-300)
    taken = 1 - 1 / np.sqrt(1 + DYAD_SD**2 * total)
    x = _less_unknown(plan, rows, weights, column, 0.5)
    mean = np.stack([np.bincount(dyad, weights * each * values, n_dyads) for values in x]) / total
    return each, x - (taken * mean)[:, dyad]


def _factor(column: str, term: str) -> float:
    """By how much the sample's standard error exceeds the one without clustering."""
    return CLUSTERED[column] if set(term.split(":")) & set(OF_CUSTOMER) else 1.0


def standard_error_constraints(plan: Design, rows: Rows, base: Array) -> list[Constraint]:
    """Standard errors of Table 8 as printed, and with the printed stars; not the intercepts'.

    The information on a coefficient is the least sum of squares that any combination of the other
    regressors leaves of its own. Every population so far adds a combination, and so a lower bound
    of the information; the last one also bounds it from above.
    """
    result = []
    for column, covariances in plan.covariances.items():
        each, x = _information(plan, rows, base, column)
        size = np.abs(plan.aimed_at(column))
        for k, covariance in enumerate(covariances, 1):
            for j, term in enumerate(TERMS):
                estimate = plan.published[f"t8.{column}.{term}.estimate"]
                number = plan.published[f"t8.{column}.{term}.std_error"]
                if term == "intercept" or number.id in NO_DIGIT:
                    continue
                smallest, largest = _limits(number, size[j], plan.t_limits(estimate))
                low, high = ((_factor(column, term) / se) ** 2 for se in (largest, smallest))
                if k < len(covariances):
                    high = NO_BOUND * low
                half = (high - low) / 2
                values = each * (covariance[j] @ x / covariance[j, j]) ** 2
                result.append(
                    form.wish(
                        f"{column} {term} information {k}",
                        lambda _, v=values: v,
                        low + half,
                        half,
                        plan.aims.urgent.get(number.id, PRINTED)
                        * (half / (INFORMATION_ROOM * low)) ** 2,
                    )
                )
    return result


def _limits(number: Printed, size: float, t: tuple[float, float]) -> tuple[float, float]:
    """Standard errors as printed that bring a coefficient of this size to t values in `t`."""
    room = number.half_width + SE_ROOM * number.value
    largest = number.value + room
    return max(number.value - room, size / t[1]), min(largest, size / t[0]) if t[0] else largest


def kinds(plan: Design) -> list[tuple[int, str, int]]:
    """Kinds of encounter in the left-out country's large dyads.

    Each is its dyad's code, a variable of `KINDS` and which interval between its edges, from 0.
    """
    code, _ = plan.dyad_of_cell
    return [
        (int(dyad), name, number)
        for dyad in np.unique(code[plan.large & ~plan.remaining])
        for name, edges in KINDS.items()
        for number in range(len(edges) + 1)
    ]


def of_kind(rows: Mapping[str, Array], dyad: int, name: str, number: int) -> NDArray[np.bool_]:
    """Whether encounters are of one of `kinds`, shape (n,)."""
    return (
        ~unknown(rows)
        & (rows["dyad"] == dyad)
        & (np.searchsorted(KINDS[name], rows[name]) == number)
    )


def shape_constraints(plan: Design, rows: Rows, base: Array) -> list[Constraint]:
    """What is not printed but keeps the population presentable.

    Cell shares and the purchase rate (draws are stratified by both); purchases of a cell as the
    model of each column expects them, and in dyads of the left-out country those of each kind of
    encounter; dyads' means within a band.
    """
    result = [form.wish("rate", lambda r: r[PURCHASE], PURCHASE_RATE, 1e-5, 1.0)]
    code, names = plan.dyad_of_cell
    for cell in np.flatnonzero(plan.large):
        share, dyad = plan.share[cell], code[cell]
        member = (rows["cell"] == cell).astype(float)
        label = f"{names[dyad]} {plan.cells['culture'].iloc[cell]}"
        result.append(
            form.wish(f"cell {label}", lambda _, m=member: m, share, CELL_ROOM * share, 1.0)
        )
        for column in plan.columns:
            if plan.rows_of(column)[cell]:
                p = rows[f"p {column}"]
                values = member * (rows[PURCHASE] - p)
                room = RATE_ROOM * float(base @ (member * p))
                result.append(
                    form.wish(f"{column} {label}", lambda _, v=values: v, 0.0, room, SHAPE)
                )
    p = rows[f"p {FIRST}"]
    for dyad, name, number in kinds(plan):
        inside = of_kind(rows, dyad, name, number)
        if not inside.any():
            continue  # no line numbers within the ranges
        values = inside * (rows[PURCHASE] - p)
        room = KIND_ROOM * max(float(base @ (inside * p)), FEWEST_EXPECTED / plan.size)
        label = f"{names[dyad]} {name} {number}"
        result.append(form.wish(label, lambda _, v=values: v, 0.0, room, SHAPE))
    for dyad in np.unique(code[plan.large]):
        inside, share = rows["dyad"] == dyad, plan.dyad_share[dyad]
        for name, band in BAND.items():
            mean, sd = plan.moments[name]
            values = inside * (rows[name] - mean) / sd
            result.append(
                form.wish(
                    f"{name} {names[dyad]}",
                    lambda _, v=values: v,
                    0.0,
                    band * share,
                    SHAPE,
                )
            )
    return result


def chi_square_constraints(plan: Design, rows: Rows) -> list[Constraint]:
    """Pearson's chi-squares of purchase rates by country.

    The root of a chi-square is the length of the rates' distances from the overall rate, weighted
    by the countries' shares, and so their projection on their own direction: that of the last
    population stands for it.
    """
    result = []
    for side, direction in plan.directions.items():
        away = plan.cells[side].map(direction).to_numpy()
        length = np.sqrt(plan.share @ away**2)
        printed = plan.published[f"p2.chi2.{side}"].value
        target = np.sqrt(printed * PURCHASE_RATE * (1 - PURCHASE_RATE) / plan.size)
        values = away[rows["cell"]] / length * (rows[PURCHASE] - PURCHASE_RATE)
        result.append(
            form.wish(f"chi2 {side}", lambda _, v=values: v, target, CHI_ROOM * target, SHAPE)
        )
    return result


# ------------------------------------------------------------------------------------- tilting


@dataclass(frozen=True)
class Population:
    """A calibrated population.

    Attributes
    ----------
    plan : Design
    rows : dict of str to ndarray, shape (n,)
    weights : ndarray, shape (n,)
        Non-negative, summing to one.
    report : DataFrame
        Achieved values and slack by constraint (columns of `synthetic.constraints.table`); empty
        for a plain population.
    divergence : float
        Of the large cells' weights from plain ones, in nats.
    """

    plan: Design
    rows: Rows
    weights: Array
    report: pd.DataFrame
    divergence: float


def plain(
    plan: Design, margins: Marginals, size: int, rng: np.random.Generator
) -> tuple[Rows, Array]:
    """Support points and base weights: plain encounters, each with and without a purchase.

    Parameters
    ----------
    plan : Design
    margins : Marginals
    size : int
        Encounters drawn, before small and large cells are evened out.
    rng : numpy.random.Generator
    """
    number = np.clip(size * plan.share, SMALL_CELL, size / 3).astype(np.int64)
    cell = np.repeat(np.arange(len(number)), number)
    rows, weight = marginals.draw(
        margins, plan.dyad_of_cell[0][cell], plan.variant == "moments", rng
    )
    rows |= {DISTANCE: plan.cells["distance"].to_numpy()[cell], "cell": cell}
    booked = plan.on_account(rows)
    rows |= {name: np.where(booked, value, rows[name]) for name, value in ACCOUNT.items()}
    weight *= plan.share[cell] / np.bincount(cell, weight)[cell]
    scored = prepare(plan, rows)
    p = scored[f"p {FIRST}"]
    if LAST in plan.columns:  # between both columns where both speak, nearer to the last one
        mixed = scored[f"p {LAST}"] ** 0.7 * p**0.3
        p = np.where(plan.remaining[cell], mixed, p)
    # far away the model has nearly half of those of unknown warranty buy: that they buy like
    # anybody balances what known warranties say of the interaction
    p = np.where(unknown(rows) & ~booked, PURCHASE_RATE, np.minimum(0.8, p))
    both = {name: np.concatenate([values, values]) for name, values in rows.items()}
    both[PURCHASE] = np.repeat([0.0, 1.0], len(cell))
    return both, np.concatenate([weight * (1 - p), weight * p])


def tilted(plan: Design, rows: Rows, base: Array, scale: float) -> Population:
    """Tilt the large cells' base weights to the plan's targets, all priorities times `scale`."""
    scored = prepare(plan, rows)
    wanted = [
        *moment_constraints(plan),
        *score_constraints(plan, scored, base),
        *shape_constraints(plan, scored, base),
        *chi_square_constraints(plan, scored),
        *standard_error_constraints(plan, scored, base),
    ]
    system = form.evaluate(wanted, scored)
    free = plan.large[rows["cell"]]
    share = base[free].sum()
    fixed = system.F[:, ~free] @ base[~free]
    solution = tilt(
        system.F[:, free],
        base[free],
        (system.target - fixed) / share,
        system.half_width / share,
        scale * system.priority,
    )
    weights = base.copy()
    weights[free] = share * solution.weights
    report = form.table(wanted, share * solution.achieved + fixed, solution.slack)
    worst = report.sort_values("slack", ascending=False).head(3)
    logger.info(
        "population: %d points, divergence %.2f, largest slack %s",
        len(base),
        solution.divergence,
        dict(zip(worst["id"], worst["slack"].round(1), strict=True)),
    )
    return Population(plan, rows, weights, report, solution.divergence)


SUPPORT = 30_000  # encounters of the rounds that re-fit the plain population
FINAL_SUPPORT = 90_000
SCALES = (0.03, 0.03, 0.1, 0.1, 0.1, 0.3)  # of the priorities, round by round


def populate(
    published: Mapping[str, Printed],
    cells: pd.DataFrame,
    variant: Variant,
    rng: np.random.Generator,
    *,
    calibrated: bool = True,
    aims: Aims | None = None,
) -> Population:
    """Population of a variant: plain encounters, tilted to everything that is printed.

    Parameters
    ----------
    published : mapping of str to Printed
    cells : DataFrame
        See `synthetic.part2.dyads.dyads`.
    variant : {"moments", "ranges"}
    rng : numpy.random.Generator
    calibrated : bool
        Whether to tilt at all; a plain population is there at once.
    aims : Aims, optional
        By default the variant's.

    Returns
    -------
    Population
    """
    aims = aims or AIMS[variant]
    plan = design(published, cells, variant, aims)
    names = pd.Series(plan.dyad_of_cell[1])
    left_out = names.str.startswith(LEFT_OUT).to_numpy()
    waiting = names.str.contains(WAITING).to_numpy()
    shares = sum(share * names.str.contains(of).to_numpy() for of, share in UNKNOWN.items())
    margins = marginals.start(
        left_out, waiting, shares, variant == "moments", plan.moments[SEVERITY]
    )
    if not calibrated:
        rows, base = plain(plan, margins, SUPPORT, rng)
        return Population(plan, rows, base / base.sum(), pd.DataFrame(), 0.0)
    for number, scale in enumerate(SCALES, 1):
        last = number == len(SCALES)
        rows, base = plain(plan, margins, FINAL_SUPPORT if last else SUPPORT, rng)
        population = tilted(plan, rows, base, scale)
        if not last:
            free = plan.large[rows["cell"]]
            chosen = {name: values[free] for name, values in rows.items()}
            margins = marginals.refit(
                margins, chosen, plan.dyad_of_cell[0][chosen["cell"]], population.weights[free]
            )
            plan = replace(
                plan,
                centre_remaining=_centre(population),
                directions=_directions(population),
                covariances=_covariances(population),
            )
    return population


def _centre(population: Population) -> dict[str, float]:
    """Means that centre the regressors without France."""
    rows, plan = population.rows, population.plan
    weight = population.weights * plan.remaining[rows["cell"]]
    return {name: float(weight @ rows[name] / weight.sum()) for name in (*COLUMNS, DISTANCE)}


def _directions(population: Population) -> dict[str, dict[str, float]]:
    """How far each country's purchase rate lies from the overall one, by side."""
    plan, result = population.plan, {}
    bought = expected_purchases(population) / plan.size
    for side in SIDES:
        names, code = np.unique(plan.cells[side], return_inverse=True)
        away = np.bincount(code, bought) / np.bincount(code, plan.share) - PURCHASE_RATE
        result[side] = dict(zip(names.tolist(), away.tolist(), strict=True))
    return result


def _covariances(population: Population) -> dict[str, tuple[Array, ...]]:
    """Covariance matrices of the coefficients in the populations so far and this one, by column."""
    plan, result = population.plan, {}
    rows = prepare(plan, population.rows)
    for column in plan.columns:
        each, x = _information(plan, rows, population.weights, column)
        last = np.linalg.inv((x * each * population.weights) @ x.T)
        result[column] = (*plan.covariances.get(column, ()), last)
    return result


def standard_errors(population: Population) -> dict[str, float]:
    """Standard errors to be expected of a sample, to first order, by the id of the printed ones.

    Of the coefficients aimed at, in logits per unit of the regressor; the intercepts' without the
    uncertainty of the effects' standard deviations.
    """
    return {
        f"t8.{column}.{term}.std_error": float(_factor(column, term) * np.sqrt(variance))
        for column, covariances in _covariances(population).items()
        for term, variance in zip(TERMS, np.diag(covariances[-1]), strict=True)
    }


def expected_purchases(population: Population) -> Array:
    """Purchases by cell, shape (cells,): its encounters times the population's rate in it."""
    cell, weights = population.rows["cell"], population.weights
    rate = np.bincount(cell, weights * population.rows[PURCHASE]) / np.bincount(cell, weights)
    return population.plan.cells["encounters"].to_numpy() * rate
