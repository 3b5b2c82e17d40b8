"""Part I's model: columns, terms, and the constraints its printed numbers make.

The population is one distribution f of customers. A customer with characteristics x accepts with
probability Phi(z'gamma) and then spends x'beta + beta_lambda * lambda + noise, so every moment of
buyers is a mean over f with weight Phi, and the probit and the outcome equation hold by
construction; the printed slopes are the beta, the selection coefficients and the intercept are
what :mod:`synthetic.part1.population` searches for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

from crosssell import predictions
from synthetic import constraints as c
from synthetic.constraints import Block, Constraint, Moments, Rows
from synthetic.published import by_id

Array = NDArray[np.float64]

COLUMNS = (
    "risk_aversion",
    "product_functionality",
    "agent_resolution_ability",
    "cross_sell_good",
    "product_age",
    "product_price",
    "failure_severity",
    "cross_sell_related",
)
BINARY = ("cross_sell_good", "cross_sell_related")
REVENUE = "cross_sell_revenue"
OUTCOME_TERMS = (
    "risk_aversion",
    "product_functionality",
    "agent_resolution_ability",
    "risk_aversion:product_functionality",
    "cross_sell_good",
    "risk_aversion:agent_resolution_ability",
    "product_functionality:agent_resolution_ability",
    "risk_aversion:cross_sell_good",
    "product_functionality:cross_sell_good",
    "agent_resolution_ability:cross_sell_good",
    "product_age",
    "product_price",
    "failure_severity",
    "cross_sell_related",
)
SELECTION_TERMS = (
    "product_age",
    "product_price",
    "failure_severity",
    "cross_sell_related",
    "risk_aversion",
    "product_functionality",
    "agent_resolution_ability",
    "risk_aversion:product_functionality",
    "risk_aversion:agent_resolution_ability",
    "product_functionality:agent_resolution_ability",
)
RISK_LEVELS = range(6)
FUNCTIONALITY_LEVELS = range(1, 5)
SEGMENTS = ((0, 1), (1, 1), (2, 2), (3, 3), (4, 4), (5, 4))
N_AGENTS = 179
AGES, PRICES = (3.0, 3000.0), (-8.0, 280.0)  # days and dollars that a record may show

# Printed in the column of standard deviations, but standard errors of the mean: the two binary
# columns' values are sqrt(p (1 - p) / 498), and an SD of 27 days or .4 ranks cannot hold together
# with the correlations and shares (the audit's certificates). ".400" is read as .040.
STANDARD_ERRORS = {
    "product_functionality": 0.1,
    "product_age": 1.0,
    "cross_sell_good": 1.0,
    "cross_sell_related": 1.0,
}

OF_BUYERS = ("t2.", "t4.a.revenue", "looks.buyers.")  # ids of constraints on buyers alone
INSET = 0.7  # of a share's half-width, so that a sample of whole customers still prints it
EXACT, FIRM, SOFT = 1e4, 1e2, 1.0  # priorities, in nats per squared half-width


@dataclass(frozen=True)
class Truth:
    """Parameters of the population.

    Attributes
    ----------
    selection : ndarray, shape (11,)
        Probit coefficients: intercept, then `SELECTION_TERMS`.
    outcome : ndarray, shape (15,)
        Outcome coefficients: intercept, then `OUTCOME_TERMS` (dollars).
    mills : float
        Coefficient of the inverse Mills ratio (dollars).
    sigma : float
        Standard deviation of the outcome equation's error before selection (dollars).
    """

    selection: Array
    outcome: Array
    mills: float
    sigma: float

    @property
    def rho(self) -> float:
        """Correlation of the two equations' errors."""
        return self.mills / self.sigma


def design(rows: Rows, terms: Sequence[str]) -> Array:
    """Constant first, then the terms (products of columns for ``a:b``), shape (n, 1 + terms)."""
    one = np.ones(len(rows[COLUMNS[0]]))
    return np.stack([one] + [np.prod([rows[v] for v in t.split(":")], axis=0) for t in terms], 1)


def inverse_mills(index: Array) -> Array:
    """Return phi(z) / Phi(z), accurate in both tails."""
    return np.sqrt(2 / np.pi) / erfcx(-index / np.sqrt(2))


def with_model(rows: Rows, truth: Truth) -> dict[str, Array]:
    """Rows plus index, probability, mills, delta and the expected revenue of buyers."""
    index = design(rows, SELECTION_TERMS) @ truth.selection
    mills = inverse_mills(index)
    return {
        **rows,
        "index": index,
        "probability": ndtr(index),
        "mills": mills,
        "delta": mills * (mills + index),
        REVENUE: design(rows, OUTCOME_TERMS) @ truth.outcome + truth.mills * mills,
    }


def value(id: str) -> float:
    """Value of a published number."""
    return by_id()[id].value


def customers() -> int:
    """Customers who were pitched."""
    return int(value("p1.customers"))


def buyers() -> int:
    """Customers who bought."""
    return int(value("p1.purchases"))


def moments() -> dict[str, Moments]:
    """Buyers' means and standard deviations (Table 2), standard errors turned into SDs."""
    result = {}
    for column in (REVENUE, *COLUMNS):
        mean, spread = value(f"t2.mean.{column}"), value(f"t2.sd.{column}")
        if column in BINARY:
            spread = np.sqrt(mean * (1 - mean))
        elif column in STANDARD_ERRORS:
            spread *= STANDARD_ERRORS[column] * np.sqrt(buyers())
        result[column] = Moments(mean, spread)
    return result


def correlation_id(first: str, second: str) -> str:
    """Id of a printed correlation, whichever of the two names its row."""
    id = f"t2.corr.{first}.{second}"
    return id if id in by_id() else f"t2.corr.{second}.{first}"


def outcome_slopes() -> Array:
    """Column 1 of Table 3, in the order of `OUTCOME_TERMS`."""
    return np.array([value(f"t3.hypothesized.{t}.estimate") for t in OUTCOME_TERMS])


def printed_selection() -> tuple[Array, Array]:
    """The probit text's coefficients and half-widths, in the order of `SELECTION_TERMS`."""
    numbers = [by_id()[f"p1.probit.{t}"] for t in SELECTION_TERMS]
    return np.array([n.value for n in numbers]), np.array([n.half_width for n in numbers])


def constraints() -> list[Constraint]:
    """Every linear constraint of the population: Table 2, segment sizes, full-sample means."""
    number, known = by_id(), moments()
    block = Block(lambda rows: rows["probability"], buyers() / customers())
    found = [
        Constraint(
            "p1.purchases",
            block.weight,
            block.share,
            0.5 / customers(),
            EXACT,
            unit=customers(),
            printed=buyers(),
        )
    ]
    for column in (REVENUE, *COLUMNS):
        found.append(c.mean(number[f"t2.mean.{column}"], column, block, EXACT))
    for column in COLUMNS:
        if column not in BINARY:
            scale = 1 / np.sqrt(buyers()) if column in STANDARD_ERRORS else 1.0
            printed = number[f"t2.sd.{column}"]
            found.append(c.spread(printed, column, known[column], block, EXACT, unit=scale))
    for i, first in enumerate((REVENUE, *COLUMNS)):
        for second in (REVENUE, *COLUMNS)[:i]:
            printed = number[correlation_id(first, second)]
            found.append(c.correlation(printed, first, second, known, block, EXACT))
    for level in RISK_LEVELS:
        found.append(_segment(f"t4.a.{level}.share", level, None))
    for level in FUNCTIONALITY_LEVELS:
        found.append(_segment(f"t4.b.{level}.share", None, level))
    for risk, functionality in SEGMENTS:
        found.append(_segment(f"t4.c.ra{risk}_pf{functionality}.share", risk, functionality))
    for column in COLUMNS[:3]:
        found.append(c.overall_mean(number[f"p1.mean.{column}"], column, EXACT))
    level, half_width = panel_a_mills()
    found.append(
        c.in_block(
            "t4.a.revenue",
            lambda rows: rows["mills"] - level,
            block,
            half_width=half_width,
            priority=EXACT,
            printed=level,
        )
    )
    return found


@cache
def mills_needed() -> dict[str, tuple[float, float]]:
    """Mean of the inverse Mills ratio among buyers that each printed level of revenue needs.

    A revenue of Table 4 is the outcome equation at buyers' means plus the selection correction of
    an average customer (:func:`crosssell.predictions.printed_revenues`). With the printed slopes,
    means and correlations only the intercept is free, and it moves with the mean of lambda.

    Returns
    -------
    dict of str to (float, float)
        Interval by id: Table 4's revenues and column 1's intercept.
    """
    known, number = moments(), by_id()
    means = {column: known[column].mean for column in COLUMNS}
    mills = value("t3.hypothesized.mills_lambda.estimate")
    average = 0.0
    for term, slope in zip(OUTCOME_TERMS, outcome_slopes(), strict=True):
        first, *second = term.split(":")
        product = means[first]
        if second:
            r = number[correlation_id(first, second[0])].value
            product = product * means[second[0]] + r * known[first].sd * known[second[0]].sd
        average += slope * product
    intercept = known[REVENUE].mean - average  # when the mean of lambda is zero
    slopes = {"intercept": intercept, **dict(zip(OUTCOME_TERMS, outcome_slopes(), strict=True))}
    correction = predictions.average_correction(mills, buyers() / customers())
    levels = {
        f"t4.{segment}.revenue": dollars
        for segment, dollars in predictions.printed_revenues(slopes, means, correction).items()
    }
    levels["t3.hypothesized.intercept.estimate"] = intercept
    needed = {}
    for id, at_zero in levels.items():
        low, high = number[id].interval
        needed[id] = (at_zero - high) / mills, (at_zero - low) / mills
    return needed


def panel_a_mills() -> tuple[float, float]:
    """Mean of lambda among buyers, give or take, at which panel A of Table 4 prints throughout."""
    cells = [mills_needed()[f"t4.a.{level}.revenue"] for level in RISK_LEVELS]
    low, high = max(low for low, _ in cells), min(high for _, high in cells)
    return (low + high) / 2, (high - low) / 2


def _segment(id: str, risk: int | None, functionality: int | None) -> Constraint:
    def holds(rows: Mapping[str, Array]) -> Array:
        inside = np.ones(len(rows["risk_aversion"]), dtype=bool)
        if risk is not None:
            inside &= rows["risk_aversion"] == risk
        if functionality is not None:
            inside &= rows["product_functionality"] == functionality
        return inside

    found = c.share(by_id()[id], holds, EXACT, unit=100)
    return replace(found, half_width=INSET * found.half_width)


def plausible(full: Rows) -> NDArray[np.bool_]:
    """Where customers may be at all: no certain buyers, no sales next to nothing."""
    return (full[REVENUE] > SMALLEST_EXPECTED) & (full["index"] < LARGEST_INDEX)


def looks(truth: Truth) -> list[Constraint]:
    """What makes the rows look like customers; published numbers are silent about it."""
    share, known = buyers() / customers(), moments()

    def variance(rows: Rows) -> Array:
        systematic = (rows[REVENUE] - known[REVENUE].mean) ** 2
        explained = systematic - truth.mills**2 * rows["delta"]
        return rows["probability"] * (explained + truth.sigma**2 - known[REVENUE].sd ** 2)

    def low(rows: Rows) -> Array:
        return rows["probability"] * np.maximum(LOWEST_EXPECTED - rows[REVENUE], 0)

    def extreme(rows: Rows) -> Array:
        return rows["probability"] * np.maximum(rows["index"] - HIGHEST_INDEX, 0) ** 2

    return [
        # leaves the outcome equation's error the wanted sigma once the printed SD of revenue holds
        c.wish("looks.buyers.sigma", variance, 0.0, share * 20.0, FIRM),
        c.wish("looks.buyers.expected_revenue", low, 0.0, share * 0.1, FIRM),
        c.wish("looks.buyers.index", extreme, 0.0, share * 0.02, 0.004),
    ]


SMALLEST_EXPECTED, LOWEST_EXPECTED = 8.0, 12.0  # dollars; the hard and the soft floor
LARGEST_INDEX, HIGHEST_INDEX = 4.0, 1.5  # likewise
