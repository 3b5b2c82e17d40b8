"""Population of Essay II: weights on encounters (x, y) that carry the published moments and scores.

A support point is an encounter and its outcome: a cell (customer culture x service country), the
five encounter and customer variables, and whether it ended in a purchase. Every published moment,
and every score equation at the printed coefficients, is linear in the weights of such points, so
exponential tilting finds the population nearest to a plain one in which both columns of Table 8
hold. The left-out country is France: only its share makes the standard errors of the last column.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from synthetic import constraints as form
from synthetic.constraints import Constraint, Moments
from synthetic.population import Tilt, tilt
from synthetic.published import Printed

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Rows = dict[str, Array]
Variant = Literal["moments", "ranges"]

ABILITY, SEVERITY, RISK = "agent_resolution_ability", "failure_severity", "risk_aversion"
DURATION, VALUE = "duration", "product_value"
DISTANCE, PURCHASE = "cultural_distance", "purchase"
COLUMNS = (ABILITY, SEVERITY, RISK, DURATION, VALUE)
TERMS = (
    ABILITY,
    SEVERITY,
    RISK,
    DISTANCE,
    f"{ABILITY}:{DISTANCE}",
    f"{SEVERITY}:{DISTANCE}",
    f"{RISK}:{DISTANCE}",
    VALUE,
    DURATION,
    "intercept",
)
LEFT_OUT = "FRA"
# Standard deviations of the random intercepts. Customers': at the printed coefficients it sets the
# purchase rate, and about 1 gives 3.8%. Dyads': it sets the standard errors of the intercept and of
# cultural distance, and about .1 gives the printed ones.
CUSTOMER_SD, DYAD_SD = 1.0, 0.1
# A purchase rate whose mean prints as .038 and whose SD prints as .190 lies in [.0375, .0377]; the
# text's 3.6% does not.
PURCHASE_RATE = 0.0376
RANGES = {ABILITY: (30, 752), SEVERITY: (1, 7), RISK: (0, 5), DURATION: (1, 96), VALUE: (1, 4)}
# Within the ranges an SD can at most be that of mass on both ends; this share of it leaves
# something in between.
SPREAD_WITHIN = 0.96
# Bounds on a dyad's purchase rate, as multiples of the overall one; dyads of fewer encounters than
# SMALL_DYAD keep their natural rate and hold no records beyond the ranges.
LOWEST_RATE, HIGHEST_RATE, SMALL_DYAD = 0.08, 2.6, 200
RISK_REMAINING = 1.4  # years, mean without France: uncorrelated with distance over all
HALVES = 0.6  # of a printed half-width is the population's box: the rest is room for the sample


def marginal_probability(index: Array, sd: float = CUSTOMER_SD, nodes: int = 15) -> Array:
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
        Means that centre the regressors without France.
    purchases : ndarray, shape (dyads,), or None
        Purchase rates by dyad, once chosen (see `choose_rates`).
    """

    published: Mapping[str, Printed]
    cells: pd.DataFrame
    variant: Variant
    moments: Mapping[str, Moments]
    centre_remaining: Mapping[str, float]
    purchases: Array | None = None

    @property
    def size(self) -> int:
        """Number of encounters."""
        return int(self.cells["encounters"].sum())

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
    def centre(self) -> dict[str, float]:
        """Means that centre the regressors with all countries."""
        return {name: moments.mean for name, moments in self.moments.items()}


TABLE_ORDER = (PURCHASE, ABILITY, SEVERITY, RISK, DISTANCE, DURATION, VALUE)


def _after(first: str, second: str) -> bool:
    """Whether `first` stands below `second` in Table 7, whose lower triangle is printed."""
    return TABLE_ORDER.index(first) > TABLE_ORDER.index(second)


def largest_sd(mean: float, low: float, high: float) -> float:
    """Largest standard deviation of a variable of the given mean on [low, high]."""
    return float(np.sqrt((mean - low) * (high - mean)))


def design(published: Mapping[str, Printed], cells: pd.DataFrame, variant: Variant) -> Design:
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
    return Design(published, cells, variant, moments, centre)


# ------------------------------------------------------------------------------ plain encounters


def _rare(rng: np.random.Generator, share: Array, drawn: float) -> tuple[NDArray[np.bool_], Array]:
    """Draw a rare event oftener than it happens, with the weights that undo it."""
    happens = (rng.random(len(share)) < drawn) & (share > 0)
    drawn = np.where(share > 0, drawn, 0.0)
    return happens, np.where(happens, share / np.maximum(drawn, 1e-9), (1 - share) / (1 - drawn))


def plain_encounters(
    plan: Design, cell: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Rows, Array]:
    """Encounters before any calibration, each variable drawn on its own given the cell.

    Parameters
    ----------
    plan : Design
    cell : ndarray of int, shape (n,)
    rng : numpy.random.Generator

    Returns
    -------
    rows : dict of str to ndarray, shape (n,)
    weight : ndarray, shape (n,)
        Records beyond the stated ranges are drawn oftener than they happen, so that a small
        support holds enough of them; the weights undo it.
    """
    n = len(cell)
    distance = plan.cells["distance"].to_numpy()[cell]
    country = plan.cells["customer_country"].to_numpy()[cell]
    france = country == LEFT_OUT
    # French calls go to agents with short queues or very busy ones.
    busy = rng.random(n) < np.where(france, 0.25, 0.2)
    ability = np.where(
        busy,
        rng.lognormal(np.where(france, 5.0, 4.6), 0.8),
        rng.lognormal(np.where(france, 2.0, 3.0), np.where(france, 1.0, 0.8)),
    )
    severity = (
        1 + np.round(24 * rng.beta(np.where(france, 0.6, 0.5), np.where(france, 0.7, 0.8))) / 4
    )
    # What risk aversion explains without France has to come from nearby dyads for both columns of
    # Table 8 to hold, so it varies most there, while German customers hold two or three years.
    kind = np.select([france, country == "AUT", country == "CHE", distance > 100], [0, 1, 2, 3], 4)
    years = np.choose(
        kind,
        [
            rng.choice(6, n, p=[0.52, 0.28, 0.12, 0.05, 0.02, 0.01]),
            rng.choice(6, n, p=[0.3, 0.45, 0.2, 0.03, 0.01, 0.01]),
            rng.choice(6, n, p=[0.8, 0.12, 0.04, 0.02, 0.01, 0.01]),
            rng.choice(6, n, p=[0.01, 0.02, 0.57, 0.36, 0.03, 0.01]),
            rng.choice(6, n, p=[0.55, 0.12, 0.06, 0.1, 0.07, 0.1]),
        ],
    )
    minutes = np.minimum(96, 1 + np.floor(rng.lognormal(0.6, 0.95, n)))
    value = rng.choice([1, 2, 3, 4], n, p=[0.06, 0.1, 0.22, 0.62])
    weight = np.ones(n)
    # a handful of such records in a small dyad would look like nothing but calibration
    small = (plan.dyad_share * plan.size < 5 * SMALL_DYAD)[plan.dyad_of_cell[0][cell]]
    if plan.variant == "moments":
        # an unknown warranty keyed as 99, or months where years belong: mostly French records
        share = np.where(france, 0.012, 0.002) * ~small
        beyond, undo = _rare(rng, share, 0.15)
        weight *= undo
        years = np.where(beyond, rng.choice([60, 99], n, p=[0.05, 0.95]), years)
        # calls left open, for up to a day
        share = np.where(france, 0.006, 0.003) * ~small
        beyond, undo = _rare(rng, share, 0.08)
        weight *= undo
        open_call = np.floor(np.exp(rng.uniform(np.log(97), np.log(1440), n)))
        minutes = np.where(beyond, open_call, minutes)
        # a line number where the four-point rank belongs
        share = 0.015 * ~small
        beyond, undo = _rare(rng, share, 0.08)
        weight *= undo
        value = np.where(beyond, rng.integers(12, 21, n), value)
    rows = {
        ABILITY: np.minimum(RANGES[ABILITY][1], RANGES[ABILITY][0] + np.floor(ability)),
        SEVERITY: severity,
        RISK: years.astype(float),
        DURATION: minutes,
        VALUE: value.astype(float),
        DISTANCE: distance,
        "cell": cell,
    }
    return rows, weight


# ----------------------------------------------------------------------------------- constraints


# Priorities, nats per squared half-width. The sample's moves do the rest exactly, so that the
# population need not strain for the last digit.
PRINTED, SHAPE, HINT = 0.02, 0.3, 1e-4
# Between records so different in kind that the printed correlation of the purchase with ability,
# -.133, is beyond what the margins allow; the scores decide it.
UNATTAINABLE = (f"t7.corr.{ABILITY}.{PURCHASE}",)


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
            if not _after(second, first):
                continue
            number = plan.published[f"t7.corr.{second}.{first}"]
            if number.id in UNATTAINABLE:
                continue
            result.append(
                form.correlation(number, second, first, plan.moments, everywhere, PRINTED)
            )
    return [replace(c, half_width=HALVES * c.half_width) for c in result]


def prepare(plan: Design, rows: Rows) -> Rows:
    """Add what the score equations need: dyad, regressors' probabilities in both columns."""
    rows = dict(rows)
    rows["dyad"] = plan.dyad_of_cell[0][rows["cell"]]
    rows["remaining"] = plan.remaining[rows["cell"]].astype(float)
    for key, centre, column in (
        ("all", plan.centre, "hypothesized"),
        ("part", plan.centre_remaining, "excluded_country"),
    ):
        rows[f"x_{key}"] = regressors(rows, centre)
        index = coefficients(plan.published, column) @ rows[f"x_{key}"]
        rows[f"p_{key}"] = marginal_probability(index)
    return rows


def score_constraints(plan: Design, rows: Rows, base: Array) -> list[Constraint]:
    """Score equations of both columns of Table 8 at the printed coefficients.

    The dyads' intercepts take part of every dyad's residual: to first order the score of a
    regressor x in the mixed model is the sum of (x - rho_k mean_k(x)) (y - p), where mean_k is the
    dyad's mean weighted by p (1 - p), and rho_k = W_k sigma^2 / (1 + W_k sigma^2) its shrinkage.
    """
    result = []
    dyad, n_dyads = rows["dyad"].astype(np.int64), len(plan.dyad_share)
    for key, column, member in (
        ("all", "hypothesized", np.ones(len(base))),
        ("part", "excluded_country", rows["remaining"]),
    ):
        x, p = rows[f"x_{key}"], rows[f"p_{key}"]
        weight = base * member * p * (1 - p)
        total = np.maximum(np.bincount(dyad, weight, n_dyads), 1e-300)
        information = plan.size * plan.dyad_share * PURCHASE_RATE * DYAD_SD**2
        shrinkage = information / (1 + information)
        residual = member * (rows[PURCHASE] - p)
        for j, term in enumerate(TERMS):
            mean = np.bincount(dyad, weight * x[j], n_dyads) / total
            centred = x[j] - (shrinkage * mean)[dyad]
            scale = np.sqrt(weight @ centred**2)
            number = plan.published[f"t8.{column}.{term}.estimate"]
            values = centred * residual / scale
            priority = PRINTED
            if plan.variant == "ranges" and key == "part" and RISK in term:
                priority = HINT
            result.append(
                Constraint(
                    number.id,
                    lambda _, values=values: values,
                    0.0,
                    0.03 / np.sqrt(plan.size),  # of a standard error of the sample
                    priority,
                    unit=1 / scale,
                    printed=number.value,
                )
            )
    return result


def shape_constraints(plan: Design, rows: Rows) -> list[Constraint]:
    """What is not printed but keeps the population presentable.

    Cell shares and purchase rates by dyad (roughly: draws are stratified by both); the centring
    without France; and residuals by dyad no larger than a dyad's intercept would make them.
    """
    result = []
    for k in np.flatnonzero(plan.share * plan.size >= SMALL_DYAD):
        share = plan.share[k]
        member = rows["cell"] == k
        result.append(
            form.wish(f"cell {k}", lambda _, m=member: m.astype(float), share, 0.02 * share, SHAPE)
        )
    result.append(form.wish("rate", lambda r: r[PURCHASE], PURCHASE_RATE, 1e-5, PRINTED))
    for name in COLUMNS:
        distance = rows["remaining"] * (rows[name] - plan.centre_remaining[name])
        values = distance / plan.moments[name].sd
        result.append(form.wish(f"centre {name}", lambda _, v=values: v, 0.0, 2e-3, PRINTED))
    for k in np.flatnonzero(plan.dyad_share * plan.size >= SMALL_DYAD):
        label, inside, share = plan.dyad_of_cell[1][k], rows["dyad"] == k, plan.dyad_share[k]
        room = dyad_room(plan)[k] / plan.size
        for key in ("all", "part"):
            if key == "part" and label.startswith(LEFT_OUT):
                continue
            values = inside * (rows[PURCHASE] - rows[f"p_{key}"])
            result.append(form.wish(f"{key} {label}", lambda _, v=values: v, 0.0, room, SHAPE))
    return result


def dyad_room(plan: Design) -> Array:
    """Purchases by which a dyad may differ from expectation, shape (dyads,).

    What an intercept of one standard deviation and the luck of a draw make.
    """
    expected = plan.size * plan.dyad_share * PURCHASE_RATE
    return DYAD_SD * expected + 0.7 * np.sqrt(expected)


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
    tilt : Tilt or None
        What the constraints achieve, and at what divergence; None for a plain population.
    constraints : list of Constraint
        In the order of `tilt.achieved`.
    """

    plan: Design
    rows: Rows
    weights: Array
    tilt: Tilt | None
    constraints: list[Constraint]

    @property
    def report(self) -> pd.DataFrame:
        """Achieved values and slack by constraint."""
        return form.table(self.constraints, self.tilt.achieved, self.tilt.slack)


def tilted(
    plan: Design,
    rows: Rows,
    base: Array,
    scale: float,
    *,
    start: Array | None = None,
    tolerance: float = 1e-3,
) -> Population:
    """Tilt the base weights to the plan's targets, with all priorities times `scale`."""
    rows = prepare(plan, rows)
    wanted = [
        *moment_constraints(plan),
        *score_constraints(plan, rows, base),
        *shape_constraints(plan, rows),
    ]
    system = form.evaluate(wanted, rows)
    solution = tilt(
        system.F,
        base,
        system.target,
        system.half_width,
        scale * system.priority,
        start=start,
        tolerance=tolerance,
    )
    worst = np.argsort(-solution.slack)[:3]
    logger.info(
        "population: %d points, divergence %.2f, largest slack %s",
        len(base),
        solution.divergence,
        {system.ids[k]: round(float(solution.slack[k]), 2) for k in worst},
    )
    return Population(plan, rows, solution.weights, solution, wanted)


SUPPORT = 8_000  # support points of each outcome, before small and large cells are evened out


def populate(
    published: Mapping[str, Printed],
    cells: pd.DataFrame,
    variant: Variant,
    rng: np.random.Generator,
    *,
    calibrated: bool = True,
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

    Returns
    -------
    Population
    """
    plan = design(published, cells, variant)
    number = np.clip(SUPPORT * plan.share, 60, SUPPORT / 3).astype(np.int64)
    cell = np.repeat(np.arange(len(cells)), number)
    rows, weight = plain_encounters(plan, cell, rng)
    weight *= plan.share[cell] / np.bincount(cell, weight)[cell]
    plan = replace(plan, centre_remaining=_implied_means(plan))
    p = _plain_probability(prepare(plan, rows))
    both = {name: np.concatenate([values, values]) for name, values in rows.items()}
    both[PURCHASE] = np.repeat([0.0, 1.0], len(cell))
    base = np.concatenate([weight * (1 - p), weight * p])
    # A cell of a few encounters can carry no constraint: it stays plain.
    small = (plan.share * plan.size < SMALL_DYAD)[both["cell"]]
    if not calibrated:
        return Population(plan, both, base / base.sum(), None, [])
    chosen = {name: values[~small] for name, values in both.items()}
    start = None
    for scale in (0.01, 0.1, 1.0):
        result = tilted(plan, chosen, base[~small], scale, start=start)
        start = result.tilt.dual
    weights = base.copy()
    weights[~small] = result.weights * base[~small].sum()
    return replace(result, rows=both, weights=weights)


def purchases(population: Population) -> NDArray[np.int64]:
    """Whole purchases by cell, nearest to the population's rates, with the overall rate exact."""
    plan = population.plan
    bought = population.weights * population.rows[PURCHASE]
    n_cells = len(plan.share)
    rate = np.bincount(population.rows["cell"], bought, n_cells)
    rate /= np.bincount(population.rows["cell"], population.weights, n_cells)
    expected = rate * plan.share * plan.size
    expected *= round(PURCHASE_RATE * plan.size) / expected.sum()
    whole = np.floor(expected).astype(np.int64)
    rest = round(expected.sum()) - whole.sum()
    whole[np.argsort(whole - expected, kind="stable")[:rest]] += 1
    return whole


def _implied_means(plan: Design) -> dict[str, float]:
    """Means without France that the correlations with cultural distance imply."""
    share = plan.share * plan.remaining
    distance = share @ plan.cells["distance"].to_numpy() / share.sum()
    far = (distance - plan.centre[DISTANCE]) / plan.moments[DISTANCE].sd
    centre = {DISTANCE: float(distance)}
    for name in COLUMNS:
        pair = sorted((name, DISTANCE), key=TABLE_ORDER.index, reverse=True)
        r = plan.published[f"t7.corr.{pair[0]}.{pair[1]}"].value
        centre[name] = plan.moments[name].mean + r * plan.moments[name].sd * far
    return centre | {RISK: RISK_REMAINING}


def _plain_probability(rows: Rows) -> Array:
    """Purchase probability before tilting: the last column's outside France, else the first's."""
    return np.minimum(
        0.8, np.where(rows["remaining"] == 1, 1.05 * rows["p_part"], 1.15 * rows["p_all"])
    )
