"""The 498 buyers: Table 2 to the printed digit where whole numbers allow it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.constraints import evaluate
from synthetic.part1 import base, model
from synthetic.part1.model import COLUMNS, REVENUE, Truth, with_model
from synthetic.part1.population import Population
from synthetic.population import tilt
from synthetic.published import Printed, by_id
from synthetic.sample import integer_counts, minimum_norm, round_rows, systematic

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

COARSE = ("risk_aversion", "product_functionality", "cross_sell_good", "cross_sell_related")
FINE = ("agent_resolution_ability", "product_age", "product_price")
GRID = {
    "failure_severity": 0.25,
    "agent_resolution_ability": 1.0,
    "product_age": 1.0,
    "product_price": 0.01,
}
STEP = {
    "failure_severity": 0.5,
    "agent_resolution_ability": 4.0,
    "product_age": 100.0,
    "product_price": 5.0,
}
BOUNDS = {
    "failure_severity": (1.0, 7.0),
    "agent_resolution_ability": (1.0, float(model.N_AGENTS)),
    "product_age": (1.0, np.inf),
    "product_price": (-np.inf, np.inf),
}
RAREST = 0.01  # expected buyers of a cell that stays empty
# Columns that move together, and those that their correlations with count
STAGES = (
    (("failure_severity",), COARSE),
    (FINE, (*COARSE, "failure_severity", REVENUE)),
)
PASSES = 4  # of exchanges among support points
OFFERS = 30  # support points that may replace a buyer
INSIDE = 0.9  # the sample aims at this part of a printed digit's half-width, against rounding ties


@dataclass(frozen=True)
class Totals:
    """Whole-number totals of the coarse columns and what they do to Table 2.

    Attributes
    ----------
    sums : dict of str to int
        Sum of each coarse column over the buyers.
    squares : dict of str to int
        Sum of squares (risk aversion, functionality).
    products : dict of (str, str) to tuple of int
        Lowest and highest cross-product that prints the published correlation, or twice the
        nearest one when none does.
    forbidden : tuple of str
        Ids that no choice with these totals attains.
    """

    sums: dict[str, int]
    squares: dict[str, int]
    products: dict[tuple[str, str], tuple[int, int]]
    forbidden: tuple[str, ...]


def whole_sums(number: Printed, size: int, step: float = 1.0) -> NDArray[np.int64]:
    """Whole multiples of `step` whose mean over `size` prints as published (perhaps none)."""
    low, high = number.interval
    first, last = np.ceil(low * size / step - 1e-9), np.floor(high * size / step + 1e-9)
    return np.arange(first, last + 1).astype(int)


def nearest_sums(number: Printed, size: int, step: float = 1.0) -> NDArray[np.int64]:
    """The sums below and above the printed mean, nearest first."""
    exact = number.value * size / step
    candidates = np.array([np.floor(exact), np.ceil(exact)])
    return candidates[np.argsort(np.abs(candidates - exact))].astype(int)


def enumerate_totals() -> list[Totals]:
    """Every combination of whole totals for the coarse columns, best first.

    A mean that no whole sum prints takes both neighbours; the squares of functionality run over
    everything that its printed standard error allows; for each choice the six correlations among
    the coarse columns are attainable or not. Best is the fewest forbidden correlations, then the
    nearest means. The list is the certificate: no other totals exist.
    """
    n, number = model.buyers(), by_id()
    sums = {}
    for column in COARSE:
        printed = number[f"t2.mean.{column}"]
        exact = whole_sums(printed, n)
        sums[column] = exact if len(exact) else nearest_sums(printed, n)
    known = model.moments()
    found = []
    for choice in itertools.product(*sums.values()):
        total = dict(zip(COARSE, map(int, choice), strict=True))
        squares = {}
        for column in COARSE[:2]:
            printed = number[f"t2.sd.{column}"]
            unit = known[column].sd / model.value(printed.id)
            low, high = (
                (v * unit) ** 2 * (n - 1) + total[column] ** 2 / n for v in printed.interval
            )
            if column in model.STANDARD_ERRORS:  # read as .040: half a digit is .0005
                scale = np.sqrt(n) * model.STANDARD_ERRORS[column]
                half = 0.0005 / model.STANDARD_ERRORS[column]
                low, high = (
                    ((printed.value + side * half) * scale) ** 2 * (n - 1) + total[column] ** 2 / n
                    for side in (-1, 1)
                )
            whole = np.arange(np.ceil(low), np.floor(high) + 1).astype(int)
            squares[column] = whole[(whole - total[column]) % 2 == 0]  # x^2 and x share parity
        for pair in itertools.product(*squares.values()):
            chosen = dict(zip(COARSE[:2], map(int, pair), strict=True))
            found.append(_with_products(total, chosen, n, number))
    off = lambda t: sum(
        abs(t.sums[c] / n - model.value(f"t2.mean.{c}")) / number[f"t2.mean.{c}"].half_width
        for c in COARSE
    )
    centre = (n - 1) * known[COARSE[1]].sd ** 2
    spread = lambda t: abs(t.squares[COARSE[1]] - t.sums[COARSE[1]] ** 2 / n - centre)
    return sorted(found, key=lambda t: (len(t.forbidden), round(off(t), 6), spread(t)))


def _with_products(
    sums: dict[str, int], squares: dict[str, int], n: int, number: Mapping[str, Printed]
) -> Totals:
    squares_all = {c: squares.get(c, sums[c]) for c in COARSE}  # a 0/1 column is its own square
    spread = {c: squares_all[c] - sums[c] ** 2 / n for c in COARSE}
    products, forbidden = {}, []
    for first, second in itertools.combinations(COARSE, 2):
        printed = number[model.correlation_id(first, second)]
        scale, centre = np.sqrt(spread[first] * spread[second]), sums[first] * sums[second] / n
        low, high = (centre + v * scale for v in printed.interval)
        bounds = int(np.ceil(low)), int(np.floor(high))
        if bounds[0] > bounds[1]:
            forbidden.append(printed.id)
            bounds = (round(centre + printed.value * scale),) * 2
        products[first, second] = bounds
    return Totals(sums, squares, products, tuple(forbidden))


def reweigh(population: Population, truth: Truth) -> Array:
    """Weights of buyers nearest to the population's with Table 2 at the sample's coefficients.

    Lambda and expected revenue depend on the selection coefficients; small moves of the rows drawn
    with these weights are enough for the last digits.

    Returns
    -------
    ndarray, shape (support points,)
    """
    known = [*model.constraints(), *model.looks(truth)]
    known += [k.with_priority(model.SOFT) for k in base.smooth_margins()]
    known = [k for k in known if k.id.startswith(model.OF_BUYERS)]
    full = with_model(population.rows, truth)
    full["probability"] = np.ones(len(population.weights))
    system = evaluate(known, full)
    return tilt(
        system.F,
        population.weights * population.augmented()["probability"],
        system.target,
        system.half_width * model.customers() / model.buyers(),
        system.priority,
        tolerance=1e-6,
    ).weights


def coarse(
    population: Population, weight: Array, totals: Totals
) -> tuple[Array, NDArray[np.int64]]:
    """Cells of the coarse columns and how many buyers each holds.

    Returns
    -------
    cells : ndarray, shape (96, 4)
    counts : ndarray of int, shape (96,)
    """
    cells = np.array(list(itertools.product(range(6), range(1, 5), range(2), range(2))), float)
    code = _cell_code(population.rows)
    lookup = {c: i for i, c in enumerate(_cell_code(dict(zip(COARSE, cells.T, strict=True))))}
    expected = np.bincount([lookup[c] for c in code], weight, len(cells))
    expected *= model.buyers() / expected.sum()
    expected[expected < RAREST] = 0.0
    column = dict(zip(COARSE, cells.T, strict=True))
    features, low, high = [np.ones(len(cells))], [model.buyers()], [model.buyers()]
    for name, total in totals.sums.items():
        features.append(column[name])
        low.append(total)
        high.append(total)
    for name, total in totals.squares.items():
        features.append(column[name] ** 2)
        low.append(total)
        high.append(total)
    for (first, second), bounds in totals.products.items():
        features.append(column[first] * column[second])
        low.append(bounds[0])
        high.append(bounds[1])
    return cells, integer_counts(expected, np.array(features), low, high)


def _cell_code(rows: Mapping[str, Array]) -> NDArray[np.int64]:
    risk, functionality, good, related = (rows[c] for c in COARSE)
    return (((risk * 4 + functionality - 1) * 2 + good) * 2 + related).astype(int)


def draw_cells(
    population: Population,
    weight: Array,
    cells: Array,
    counts: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Systematic draws of support points inside each cell, ordered by expected revenue."""
    expected = population.augmented()[REVENUE]
    code = _cell_code(population.rows)
    chosen = []
    for cell, count in zip(cells, counts, strict=True):
        inside = np.flatnonzero(code == _cell_code(dict(zip(COARSE, cell[:, None], strict=True))))
        inside = inside[np.argsort(expected[inside], kind="stable")]
        if count:
            chosen.append(inside[systematic(weight[inside], int(count), rng)])
    return np.concatenate(chosen)


def exchange(
    population: Population,
    weight: Array,
    chosen: NDArray[np.int64],
    conditions: Conditions,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Exchange buyers for others of their cells until Table 2 needs only small moves.

    What remains is measured by the least moves of severity, and then of the fine columns, that
    would mend it, to first order. Each buyer in turn takes the best of `OFFERS` support points
    drawn from the same cell; :meth:`Conditions.residuals` is linearised anew in each pass.
    """
    full = with_model(population.rows, conditions.truth)
    full["probability"] = np.ones(len(weight))
    known = {k.id: k for k in model.constraints()}
    chosen, code = chosen.copy(), _cell_code(population.rows)
    for _ in range(PASSES):
        rows = {column: population.rows[column][chosen] for column in COLUMNS}
        left, effect = [], []
        for moving, against in STAGES:
            gap, jacobian, ids = conditions.residuals(rows, moving, against)
            J = np.hstack([jacobian[column] * STEP[column] for column in moving])
            whiten = np.linalg.cholesky(np.linalg.inv(J @ J.T)).T
            system = evaluate([known[id] for id in ids], full)
            # the half-widths are customers' shares; buyers are a block of their own here
            half_width = system.half_width * model.customers() / model.buyers()
            left.append(whiten @ gap)
            effect.append(whiten @ (system.F / half_width[:, None]) / model.buyers())
        left, effect = np.concatenate(left), np.concatenate(effect)
        offers = np.empty((len(chosen), OFFERS), dtype=int)
        for cell in np.unique(code[chosen]):
            inside, buyers = np.flatnonzero(code == cell), code[chosen] == cell
            p = weight[inside] / weight[inside].sum()
            offers[buyers] = rng.choice(inside, (buyers.sum(), OFFERS), p=p)
        for i in rng.permutation(len(chosen)):
            trial = left[:, None] + effect[:, offers[i]] - effect[:, [chosen[i]]]
            best = np.argmin((trial**2).sum(axis=0))
            if trial[:, best] @ trial[:, best] < left @ left:
                left, chosen[i] = trial[:, best], offers[i, best]
    return chosen


class Conditions:
    """Table 2's remaining conditions as functions of the fine columns.

    Residuals are in units of the printed half-width: inside (-1, 1) a number prints as published.
    """

    def __init__(self, truth: Truth) -> None:
        """Keep the parameters that expected revenue needs."""
        self.truth = truth
        self.known = model.moments()
        self.number = by_id()

    def spread_half_width(self, column: str) -> tuple[float, float]:
        """Target SD of a column and the half-width of its printed form, both as an SD."""
        printed, sd = self.number[f"t2.sd.{column}"], self.known[column].sd
        return sd, printed.half_width * sd / printed.value

    def residuals(
        self, rows: Mapping[str, Array], moving: tuple[str, ...], against: tuple[str, ...]
    ) -> tuple[Array, dict[str, Array], list[str]]:
        """Conditions on the moving columns, their derivatives and ids.

        Parameters
        ----------
        moving : tuple of str
            Columns whose mean, SD and correlations (with each other and with `against`) count.
        against : tuple of str
            Columns that stay; REVENUE stands for all correlations with expected revenue.

        Returns
        -------
        residual : ndarray, shape (k,)
        jacobian : dict of str to ndarray, shape (k, n)
            Derivative with respect to each moving column.
        ids : list of str
        """
        n = model.buyers()
        dev, ss = {}, {}
        for column in COLUMNS:
            dev[column] = rows[column] - rows[column].mean()
            ss[column] = dev[column] @ dev[column]
        out: list[float] = []
        rows_of: dict[str, list[Array]] = {c: [] for c in moving}
        ids: list[str] = []

        def add(id: str, value: float, slopes: Mapping[str, Array]) -> None:
            ids.append(id)
            out.append(value)
            for column in moving:
                rows_of[column].append(slopes.get(column, np.zeros(n)))

        for column in moving:
            mean = self.number[f"t2.mean.{column}"]
            target = self.target_mean(column)
            add(
                mean.id,
                (rows[column].mean() - target) / mean.half_width,
                {column: np.full(n, 1 / n / mean.half_width)},
            )
            sd, half = self.spread_half_width(column)
            now = np.sqrt(ss[column] / (n - 1))
            add(
                f"t2.sd.{column}",
                (now - sd) / half,
                {column: dev[column] / ((n - 1) * now * half)},
            )
        pairs = [(a, b) for a, b in itertools.combinations(moving, 2)]
        pairs += [(a, b) for a in moving for b in against if b != REVENUE]
        for a, b in pairs:
            printed = self.number[model.correlation_id(a, b)]
            root = np.sqrt(ss[a] * ss[b])
            r = dev[a] @ dev[b] / root
            slopes = {}
            for x, z in ((a, b), (b, a)):
                if x in moving:
                    slopes[x] = (dev[z] / root - r * dev[x] / ss[x]) / printed.half_width
            add(printed.id, (r - printed.value) / printed.half_width, slopes)
        if REVENUE in against:
            full = with_model(rows, self.truth)
            mu = full[REVENUE] - full[REVENUE].mean()
            # revenue's SD is the printed one by construction of the noise
            root_y = self.known[REVENUE].sd * np.sqrt(n - 1)
            slope_mu = {c: expected_slope(rows, full, self.truth, c) for c in moving}
            for column in COLUMNS:
                printed = self.number[model.correlation_id(REVENUE, column)]
                root = root_y * np.sqrt(ss[column])
                r = mu @ dev[column] / root
                slopes = {c: dev[column] * slope_mu[c] / root for c in moving}
                if column in moving:
                    slopes[column] = slopes[column] + mu / root - r * dev[column] / ss[column]
                scaled = {c: s / printed.half_width for c, s in slopes.items()}
                add(printed.id, (r - printed.value) / printed.half_width, scaled)
            level, half = model.panel_a_mills()
            slopes = {}
            for column in moving:
                index = derivative(rows, model.SELECTION_TERMS, self.truth.selection, column)
                slopes[column] = -full["delta"] * index / (n * half)
            add("t4.a.revenue", (full["mills"].mean() - level) / half, slopes)
        jacobian = {c: np.array(rows_of[c]) for c in moving}
        return np.array(out), jacobian, ids

    def target_mean(self, column: str) -> float:
        """Mean to aim at: the printed one, or the nearest that whole steps attain."""
        n, printed = model.buyers(), self.number[f"t2.mean.{column}"]
        step = GRID[column]
        if len(whole_sums(printed, n, step)):
            return printed.value
        return float(nearest_sums(printed, n, step)[0] * step / n)


def expected_slope(
    rows: Mapping[str, Array], full: Mapping[str, Array], truth: Truth, column: str
) -> Array:
    """Derivative of expected revenue with respect to one column, per row."""
    index = derivative(rows, model.SELECTION_TERMS, truth.selection, column)
    direct = derivative(rows, model.OUTCOME_TERMS, truth.outcome, column)
    return direct - truth.mills * full["delta"] * index


def derivative(
    rows: Mapping[str, Array], terms: tuple[str, ...], coefficients: Array, column: str
) -> Array:
    """Derivative of a linear index with interactions with respect to one column, per row."""
    total = np.zeros(len(rows[column]))
    for term, coefficient in zip(terms, coefficients[1:], strict=True):
        names = term.split(":")
        if column in names:
            others = [rows[v] for v in names if v != column]
            total = total + coefficient * (np.prod(others, axis=0) if others else 1.0)
    return total


def move(
    rows: dict[str, Array],
    conditions: Conditions,
    moving: tuple[str, ...],
    against: tuple[str, ...],
) -> dict[str, Array]:
    """Smallest moves of the given columns that make all their conditions hold."""
    n = model.buyers()

    def residual(x: Array) -> tuple[Array, Array]:
        trial = {**rows, **dict(zip(moving, x.reshape(len(moving), n), strict=True))}
        r, jacobian, _ = conditions.residuals(trial, moving, against)
        return r, np.hstack([jacobian[c] for c in moving])

    repeat = lambda values: np.repeat([values[c] for c in moving], n)
    low = np.repeat([BOUNDS[c][0] for c in moving], n)
    high = np.repeat([BOUNDS[c][1] for c in moving], n)
    x = minimum_norm(
        residual,
        np.concatenate([rows[c] for c in moving]),
        scale=repeat(STEP),
        lower=low,
        upper=high,
        tolerance=1e-6,
    )
    return {**rows, **dict(zip(moving, x.reshape(len(moving), n), strict=True))}


def round_column(
    rows: dict[str, Array], conditions: Conditions, column: str, against: tuple[str, ...]
) -> dict[str, Array]:
    """Round one column to its grid so that its conditions stay inside the printed digits.

    Every condition is linear in the choices once means and SDs are held at their targets: sums,
    squares, cross-products, and expected revenue row by row.
    """
    n, step, known = model.buyers(), GRID[column], conditions.known
    down = np.floor(rows[column] / step + 1e-9) * step
    up = np.minimum(down + step, BOUNDS[column][1])
    fraction = (rows[column] - down) / step
    effect, low, high = [], [], []

    def add(if_down: Array, if_up: Array, target: float, half: float) -> None:
        base = if_down.sum()
        effect.append(if_up - if_down)
        low.append(target - INSIDE * half - base)
        high.append(target + INSIDE * half - base)

    mean, (sd, sd_half) = conditions.target_mean(column), conditions.spread_half_width(column)
    half = conditions.number[f"t2.mean.{column}"].half_width
    exact = abs(mean - model.value(f"t2.mean.{column}")) > half  # one whole sum only
    add(down, up, mean * n, 0.4 * step if exact else half * n)
    add(
        (down - mean) ** 2, (up - mean) ** 2,
        sd**2 * (n - 1), 2 * sd * sd_half * (n - 1),
    )  # fmt: skip
    for other in against:
        if other == REVENUE:
            continue
        printed = conditions.number[model.correlation_id(column, other)]
        dev = rows[other] - rows[other].mean()
        unit = sd * np.sqrt(n - 1) * np.sqrt(dev @ dev)
        add(
            (down - mean) * dev, (up - mean) * dev,
            printed.value * unit, printed.half_width * unit,
        )  # fmt: skip
    if REVENUE in against:
        full_down, full_up = (
            with_model({**rows, column: side}, conditions.truth) for side in (down, up)
        )
        mu_down, mu_up = full_down[REVENUE], full_up[REVENUE]
        level, level_half = model.panel_a_mills()
        add(full_down["mills"], full_up["mills"], level * n, level_half * n)
        centre = with_model(rows, conditions.truth)[REVENUE].mean()
        root_y = known[REVENUE].sd * np.sqrt(n - 1)
        for other in COLUMNS:
            printed = conditions.number[model.correlation_id(REVENUE, other)]
            if other == column:
                a, b = (mu_down - centre) * (down - mean), (mu_up - centre) * (up - mean)
                unit = root_y * sd * np.sqrt(n - 1)
            else:
                dev = rows[other] - rows[other].mean()
                a, b = mu_down * dev, mu_up * dev
                unit = root_y * np.sqrt(dev @ dev)
            add(a, b, printed.value * unit, printed.half_width * unit)
    choice = round_rows(fraction, np.array(effect), np.array(low), np.array(high))
    return {**rows, column: np.round(np.where(choice, up, down), 2)}


def build(
    population: Population, truth: Truth, rng: np.random.Generator
) -> tuple[dict[str, Array], Totals]:
    """Draw and polish the buyers.

    Parameters
    ----------
    population : Population
    truth : Truth
        With the selection coefficients that the sample is to estimate.
    rng : numpy.random.Generator

    Returns
    -------
    rows : dict of str to ndarray, shape (498,)
        On the grids of a firm's records: quarters, whole ranks and days, cents.
    totals : Totals
        The whole-number totals chosen, with the correlations they forbid.
    """
    totals = enumerate_totals()[0]
    weight = reweigh(population, truth)
    cells, counts = coarse(population, weight, totals)
    conditions = Conditions(truth)
    chosen = draw_cells(population, weight, cells, counts, rng)
    chosen = exchange(population, weight, chosen, conditions, rng)
    rows = separate({column: population.rows[column][chosen] for column in COLUMNS}, rng)
    rows = move(rows, conditions, ("failure_severity",), COARSE)
    rows = round_column(rows, conditions, "failure_severity", COARSE)
    fixed = (*COARSE, "failure_severity")
    for k, column in enumerate(FINE):
        rows = move(rows, conditions, FINE[k:], (*fixed, REVENUE))
        against = (*fixed, REVENUE) if column == FINE[-1] else fixed
        rows = round_column(rows, conditions, column, against)
        fixed = (*fixed, column)
        logger.info("buyers: %s rounded", column)
    return rows, totals


def separate(rows: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Small noise on the fine columns, so that a support point drawn twice gives two customers."""
    n = len(rows["product_age"])
    ability = rows["agent_resolution_ability"] + rng.normal(0, 1, n)
    return {
        **rows,
        "agent_resolution_ability": np.clip(ability, 1, model.N_AGENTS),
        "product_age": np.maximum(rows["product_age"] * np.exp(rng.normal(0, 0.02, n)), 5),
        "product_price": rows["product_price"] * (1 + rng.normal(0, 0.02, n))
        + rng.normal(0, 0.5, n),
    }
