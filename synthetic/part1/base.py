"""Customers before any printed number is known: the base that the population stays nearest to.

Segments as published, smooth margins, no association. The population is the distribution nearest
to this one in relative entropy among those with the printed numbers. Its density is the base's
times an exponential of the constraints, so that random walks can follow it exactly, and it is as
smooth as the printed numbers allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln

from synthetic.constraints import Block, Constraint, Rows, evaluate, in_block, wish
from synthetic.part1 import model
from synthetic.population import tilt

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

SEVERITIES = np.arange(1, 7.01, 0.25)  # means of four raters
ABILITIES = np.arange(1.0, model.N_AGENTS + 1)
KNOTS = {
    "agent_resolution_ability": np.linspace(1, model.N_AGENTS, 17),
    "product_age": np.r_[model.AGES[0], np.arange(250.0, 2001, 250), model.AGES[1]],
    "product_price": np.r_[model.PRICES[0], np.arange(10.0, 131, 20), 160, model.PRICES[1]],
    "failure_severity": np.arange(1.0, 8),
}
TOLERANCE, BUYERS_TOLERANCE = 0.1, 0.15  # of the share near a knot
SMALLEST_SHARE = 0.004  # smaller shares have this one's tolerance
# Nats per squared tolerance. Ability needs the most: the text's coefficients are strong, and
# Table 2 has it uncorrelated with everything that could make up for them.
PRICES = {"agent_resolution_ability": 0.05}
USUAL_PRICE = 0.01
ANEW = 0.3  # of the proposals come from the base rather than from nearby


@dataclass(frozen=True)
class Gamma:
    """Gamma distribution above an origin, between two bounds.

    Attributes
    ----------
    shape, scale, origin : float
    low, high : float
        Values outside do not occur.
    """

    shape: float
    scale: float
    origin: float
    low: float
    high: float

    def quantile(self, probability: Array) -> Array:
        """Inverse distribution function."""
        whole = stats.gamma(self.shape, self.origin, self.scale)
        first, last = whole.cdf([self.low, self.high])
        return whole.ppf(first + (last - first) * probability)

    def draw(self, size: int, rng: np.random.Generator) -> Array:
        """Independent values."""
        return self.quantile(rng.random(size))

    def mean(self, function: Function) -> float:
        """Expectation of a function of the value."""
        return float(function(self.quantile((np.arange(20_000) + 0.5) / 20_000)).mean())

    def log_density(self, values: Array) -> Array:
        """Log density; minus infinity outside the bounds."""
        found = np.full(len(values), -np.inf)
        inside = (values >= self.low) & (values <= self.high) & (values > self.origin)
        above = values[inside] - self.origin
        whole = stats.gamma(self.shape, self.origin, self.scale)
        first, last = whole.cdf([self.low, self.high])
        level = gammaln(self.shape) + self.shape * np.log(self.scale) + np.log(last - first)
        found[inside] = (self.shape - 1) * np.log(above) - above / self.scale - level
        return found

    def step(self, values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Neighbours at a random factor above the origin, and the log factor that it costs."""
        log_factor = rng.normal(0, rng.choice([0.1, 0.5], len(values)))
        return self.origin + (values - self.origin) * np.exp(log_factor), log_factor


@dataclass(frozen=True)
class Grid:
    """Distribution on equally spaced values.

    Attributes
    ----------
    values, probabilities : ndarray, shape (k,)
    """

    values: Array
    probabilities: Array

    def draw(self, size: int, rng: np.random.Generator) -> Array:
        """Independent values."""
        return rng.choice(self.values, size, p=self.probabilities)

    def mean(self, function: Function) -> float:
        """Expectation of a function of the value."""
        return float(self.probabilities @ function(self.values))

    def log_density(self, values: Array) -> Array:
        """Log probability."""
        return np.log(self.probabilities[np.searchsorted(self.values, values - 1e-6)])

    def step(self, values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Neighbours up to a tenth of the range away, at no cost."""
        last = len(self.values) - 1
        reach = max(1, last // 10)
        place = np.searchsorted(self.values, values - 1e-6)
        moved = place + rng.integers(-reach, reach + 1, len(values))
        inside = (moved >= 0) & (moved <= last)
        return self.values[np.where(inside, moved, place)], np.zeros(len(values))


def max_entropy(values: Array, mean: float, sd: float) -> Grid:
    """Distribution on a grid nearest to uniform with given mean and standard deviation."""
    F = np.stack([values - mean, (values - mean) ** 2])
    box = [1e-6, 1e-6]
    return Grid(values, tilt(F, np.ones(len(values)), [0, sd**2], box, model.EXACT).weights)


@cache
def margins() -> dict[str, Gamma | Grid]:
    """Base distributions of all columns but the segments'.

    Ages and margins are those of firms' books; age sells and price deters, so that all customers
    have newer and dearer products than buyers do in Table 2.
    """
    known = model.moments()
    ability = model.value("p1.mean.agent_resolution_ability")
    return {
        "agent_resolution_ability": max_entropy(
            ABILITIES, ability, known["agent_resolution_ability"].sd
        ),
        "product_age": Gamma(2.2, 300.0, 0.0, *model.AGES),
        "product_price": Gamma(1.4, 34.0, model.PRICES[0], *model.PRICES),
        "failure_severity": max_entropy(SEVERITIES, *known["failure_severity"]),
        "cross_sell_good": Grid(np.array([0.0, 1.0]), np.array([0.43, 0.57])),
        "cross_sell_related": Grid(np.array([0.0, 1.0]), np.array([0.5, 0.5])),
    }


@cache
def buyers_margins() -> dict[str, Gamma | Grid]:
    """Smooth distributions of all columns with the means and SDs of Table 2."""
    known, found = model.moments(), dict(margins())
    for column, values in (
        ("agent_resolution_ability", ABILITIES),
        ("failure_severity", SEVERITIES),
    ):
        found[column] = max_entropy(values, *known[column])
    for column in ("product_age", "product_price"):
        origin, low, high = (getattr(found[column], a) for a in ("origin", "low", "high"))
        mean, sd = known[column].mean - origin, known[column].sd
        found[column] = Gamma((mean / sd) ** 2, sd**2 / mean, origin, low, high)
    risk, functionality = (
        np.array(v, float) for v in (model.RISK_LEVELS, model.FUNCTIONALITY_LEVELS)
    )
    found["risk_aversion"] = max_entropy(risk, *known["risk_aversion"])
    found["product_functionality"] = max_entropy(functionality, *known["product_functionality"])
    for column in model.BINARY:
        mean = known[column].mean
        found[column] = Grid(np.array([0.0, 1.0]), np.array([1 - mean, mean]))
    return found


@cache
def segment_shares() -> Array:
    """Maximum entropy shares of the 24 segments given Table 4 and the full-sample means.

    Returns
    -------
    ndarray, shape (24,)
        Risk aversion varies slowest.
    """
    risk, functionality = np.divmod(np.arange(24), 4)
    cells = {
        "risk_aversion": risk.astype(float),
        "product_functionality": functionality + 1.0,
    }
    known = [
        c
        for c in model.constraints()
        if c.id.endswith(".share")
        or c.id in ("p1.mean.risk_aversion", "p1.mean.product_functionality")
    ]
    system = evaluate(known, cells)
    return tilt(system.F, np.ones(24), *system[1:4]).weights


def draw(size: int, rng: np.random.Generator, wide: bool = False) -> dict[str, Array]:
    """Independent rows of the base; with `wide`, rare segments as often as others half the time."""
    rows = {column: margin.draw(size, rng) for column, margin in margins().items()}
    shares = segment_shares()
    if wide:
        shares = (shares + 1 / 24) / 2
    risk, functionality = np.divmod(rng.choice(24, size, p=shares), 4)
    rows |= {"risk_aversion": risk.astype(float), "product_functionality": functionality + 1.0}
    return {column: rows[column] for column in model.COLUMNS}


def log_widening(rows: Rows) -> Array:
    """Log density of the wide draws relative to the base."""
    segment = (4 * rows["risk_aversion"] + rows["product_functionality"] - 1).astype(int)
    return np.log((1 + 1 / (24 * segment_shares()[segment])) / 2)


def log_density_of_buyers(rows: Rows) -> Array:
    """Log density of smooth, unassociated buyers relative to the base."""
    segment = 4 * rows["risk_aversion"] + rows["product_functionality"] - 1
    total = -np.log(segment_shares())[segment.astype(int)]
    for column, margin in buyers_margins().items():
        total = total + margin.log_density(rows[column])
        if column in margins():
            total = total - margins()[column].log_density(rows[column])
    return total


def wander(
    rows: Mapping[str, Array],
    log_factor: Callable[[Rows], Array],
    sweeps: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Random walks that keep the density proportional to the base times exp(log_factor).

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
        Where the walks begin.
    log_factor : callable
        Rows -> ndarray of shape (n,); minus infinity where no customer may be.
    sweeps : int
        Rounds of proposals; in each every column (the segment counts as one) is offered a new
        value, from the base or from nearby, and takes it by the rule of Metropolis and Hastings.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray, shape (n,)
    """  # fmt: skip
    now = dict(rows)
    size = len(now["product_age"])
    level = log_factor(now)
    for _ in range(sweeps):
        for column in ("segment", *margins()):
            if column == "segment":
                risk, functionality = np.divmod(rng.choice(24, size, p=segment_shares()), 4)
                trial = {
                    **now,
                    "risk_aversion": risk.astype(float),
                    "product_functionality": functionality + 1.0,
                }
                gain = np.zeros(size)  # proposals from the base itself: its ratio cancels
            else:
                margin = margins()[column]
                near, cost = margin.step(now[column], rng)
                change = margin.log_density(near) - margin.log_density(now[column]) + cost
                stays = np.isneginf(change)  # a step beyond the bounds
                near, change = np.where(stays, now[column], near), np.where(stays, 0.0, change)
                anew = rng.random(size) < ANEW
                trial = {**now, column: np.where(anew, margin.draw(size, rng), near)}
                gain = np.where(anew, 0.0, change)
            trial_level = log_factor(trial)
            taken = np.log(rng.random(size)) < trial_level - level + gain
            now = {k: np.where(taken, trial[k], v) for k, v in now.items()}
            level = np.where(taken, trial_level, level)
    return now


def smooth_margins() -> list[Constraint]:
    """Shares near the knots of each fine column, of all customers and of buyers, as in the base.

    The share near a knot is the mean of a piecewise linear function that is one there and zero at
    the neighbouring knots, so that the constraint's exponential has no jumps.
    """
    share = model.buyers() / model.customers()
    block = Block(lambda rows: rows["probability"], share)
    found = []
    for column, knots in KNOTS.items():
        price = PRICES.get(column, USUAL_PRICE)
        for k in range(len(knots)):
            near = _hat(knots, k)
            of_all = margins()[column].mean(near)
            of_buyers = buyers_margins()[column].mean(near)
            found += [
                wish(
                    f"looks.{column}.{k}",
                    lambda rows, c=column, near=near: near(rows[c]),
                    of_all,
                    TOLERANCE * max(of_all, SMALLEST_SHARE),
                    price,
                ),
                in_block(
                    f"looks.buyers.{column}.{k}",
                    lambda rows, c=column, near=near, s=of_buyers: near(rows[c]) - s,
                    block,
                    half_width=BUYERS_TOLERANCE * max(of_buyers, SMALLEST_SHARE),
                    priority=price,
                    printed=of_buyers,
                ),
            ]
    return found


def _hat(knots: Array, k: int) -> Function:
    height = np.zeros(len(knots))
    height[k] = 1.0
    return lambda values: np.interp(values, knots, height)
