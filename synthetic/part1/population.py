"""Part I's population: selection coefficients, then maximum entropy on a support that follows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.constraints import Constraint, System, evaluate, table
from synthetic.part1 import base, model
from synthetic.part1.model import COLUMNS, Truth, with_model
from synthetic.population import Tilt, tilt
from synthetic.sample import systematic

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# Selection coefficients (intercept, then SELECTION_TERMS) and the outcome's intercept, found by
# synthetic.part1.search: the cheapest in divergence, price of looks included, among those that make
# samples likely whose estimates are near the text.
SELECTION = (
    -1.1064,
    0.00093981,
    -0.0068639,
    0.032231,
    0.37406,
    0.70018,
    -0.70875,
    -0.0073058,
    0.083927,
    0.00016264,
    -0.0057198,
)
INTERCEPT = -72.66
RHO = 0.985  # near its bound: the printed lambda and SD of revenue force it
SEED = 20071  # the population is the same whatever the sample's seed
LOOSE, TIGHT = 1e-4, 1e-8  # gradients at which a tilt stops, in standard deviations of a row
# Ceilings of the priorities, round by round: between rounds the support walks after the solution.
CEILINGS = (1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.2, 1.0, 1e2, 1e4, 1e4)
QUICK_ROUNDS = 5
FRESH = 0.2  # of the support drawn anew, so that no region is lost
SWEEPS = 3  # of the random walks between rounds
NEGLIGIBLE = 1e-12  # weight of a point that may go


@dataclass(frozen=True)
class Population:
    """Weighted support points with the parameters that hold among them.

    Attributes
    ----------
    rows : dict of str to ndarray, shape (n,)
        The columns of :data:`synthetic.part1.model.COLUMNS`.
    weights : ndarray, shape (n,)
    truth : Truth
    report : DataFrame
        Columns id, target, achieved_population, slack, priority.
    """

    rows: dict[str, Array]
    weights: Array
    truth: Truth
    report: pd.DataFrame

    def augmented(self) -> dict[str, Array]:
        """Rows with index, probability, mills, delta and expected revenue."""
        return with_model(self.rows, self.truth)

    def save(self, path: Path | str) -> None:
        """Write the population to a compressed archive."""
        truth = self.truth
        np.savez_compressed(
            path,
            weights=self.weights,
            selection=truth.selection,
            outcome=truth.outcome,
            scalars=np.array([truth.mills, truth.sigma]),
            report_ids=self.report["id"].to_numpy(str),
            report_numbers=self.report.drop(columns="id").to_numpy(float),
            **self.rows,
        )

    @classmethod
    def load(cls, path: Path | str) -> Population:
        """Read what :meth:`save` wrote."""
        with np.load(path) as file:
            report = pd.DataFrame(
                file["report_numbers"],
                columns=["target", "achieved_population", "slack", "priority"],
            )
            report.insert(0, "id", file["report_ids"])
            return cls(
                rows={name: file[name] for name in COLUMNS},
                weights=file["weights"],
                truth=Truth(file["selection"], file["outcome"], *map(float, file["scalars"])),
                report=report,
            )


@dataclass(frozen=True)
class Support:
    """Points that stand for the base, and the entropy of customers and buyers there.

    The population minimises the divergence of customers from the base plus that of buyers from
    smooth, unassociated buyers. The former alone would let a few customers certain to buy carry
    all of Table 2, because there a nat moves thirteen times more buyers than elsewhere. At a point
    with acceptance probability p both together cost (1 + p / share) nats of relative density,
    around a geometric mean of the two references.

    Attributes
    ----------
    rows : dict of str to ndarray, shape (n,)
    weights : ndarray, shape (n,)
        Whose sums over the points are means over the base.
    truth : Truth
    """

    rows: dict[str, Array]
    weights: Array
    truth: Truth

    @cached_property
    def full(self) -> dict[str, Array]:
        """Rows with the model's columns."""
        return with_model(self.rows, self.truth)

    @cached_property
    def entropy(self) -> Array:
        """Price of a nat at each point."""
        return 1 + self.full["probability"] * model.customers() / model.buyers()

    @cached_property
    def log_reference(self) -> Array:
        """Log density, relative to the base, that both divergences pull towards."""
        share = model.buyers() / model.customers()
        buyers = np.log(share / self.full["probability"]) + base.log_density_of_buyers(self.rows)
        return (1 - 1 / self.entropy) * buyers

    def tilt(self, system: System, start: Array | None = None, tolerance: float = LOOSE) -> Tilt:
        """Bring the system's rows into their boxes."""
        F, *boxes = system[:4]
        return tilt(
            F, self.weights * np.exp(self.log_reference), *boxes,
            entropy=self.entropy, start=start, tolerance=tolerance,
        )  # fmt: skip

    def log_density(self, constraints: list[Constraint], tilted: Tilt) -> Array:
        """Log density of a tilted population relative to the base; it knows other points too."""
        lift = tilted.dual @ evaluate(constraints, self.full).F + tilted.offset
        found = self.log_reference + lift / self.entropy
        return np.where(model.plausible(self.full), found, -np.inf)

    def plausible(self) -> Support:
        """Only the points where customers may be."""
        inside = model.plausible(self.full)
        rows = {column: values[inside] for column, values in self.rows.items()}
        return Support(rows, self.weights[inside], self.truth)

    def follow(
        self, constraints: list[Constraint], tilted: Tilt, size: int, rng: np.random.Generator
    ) -> Support:
        """New points: most from the tilted population, some anew so that no region is lost."""
        new = round(FRESH * size)
        density = lambda rows: Support(rows, np.empty(0), self.truth).log_density(
            constraints, tilted
        )
        kept = systematic(tilted.weights * model.plausible(self.full), size - new, rng)
        near = {column: values[kept] for column, values in self.rows.items()}
        near = base.wander(near, density, SWEEPS, rng)
        fresh = base.draw(new, rng, wide=True)
        rows = {column: np.r_[near[column], fresh[column]] for column in COLUMNS}
        # what a mixture's points stand for does not depend on the part that each came from
        mixed = np.logaddexp(
            np.log1p(-FRESH) + density(rows), np.log(FRESH) + base.log_widening(rows)
        )
        return Support(rows, np.exp(-mixed) / size, self.truth).plausible()


def wanted(truth: Truth) -> list[Constraint]:
    """All that a population is to have: printed numbers and looks."""
    return [*model.constraints(), *model.looks(truth), *base.smooth_margins()]


def capped(system: System, ceiling: float) -> System:
    """The system with no priority above a ceiling."""
    return system._replace(priority=np.minimum(system.priority, ceiling))


def settle(
    truth: Truth, ceilings: Sequence[float], sizes: Sequence[int], rng: np.random.Generator
) -> tuple[Support, Tilt]:
    """Tilt under rising ceilings of the priorities, each time on a support that has followed.

    Parameters
    ----------
    truth : Truth
    ceilings, sizes : sequence
        Highest priority and number of support points, round by round.
    rng : numpy.random.Generator
    """
    constraints, tilted = wanted(truth), None
    support = Support(base.draw(sizes[0], rng), np.full(sizes[0], 1 / sizes[0]), truth).plausible()
    for step, (ceiling, size) in enumerate(zip(ceilings, sizes, strict=True)):
        if tilted is not None:
            support = support.follow(constraints, tilted, size, rng)
        last = step == len(ceilings) - 1
        tilted = support.tilt(
            capped(evaluate(constraints, support.full), ceiling),
            None if tilted is None else tilted.dual,
            TIGHT if last else LOOSE,
        )
        logger.info(
            "population round %d of %d: effective size %.0f of %d, largest slack %.2f half-widths",
            step + 1, len(ceilings), tilted.effective_size, len(tilted.weights),
            tilted.slack.max(),
        )  # fmt: skip
    return support, tilted


def build(size: int = 18_000, seed: int = SEED, quick: bool = False) -> Population:
    """Compute Part I's population.

    Parameters
    ----------
    size : int
        Support points of the last two rounds; the others take half.
    seed : int
        Of the support points; the published numbers do the rest.
    quick : bool
        Stop early, with targets met roughly.

    Returns
    -------
    Population
    """
    truth = guess()
    rounds = QUICK_ROUNDS if quick else len(CEILINGS)
    sizes = [size // 2] * (len(CEILINGS) - 2) + [size] * 2
    rng = np.random.default_rng(seed)
    support, tilted = settle(truth, CEILINGS[:rounds], sizes[:rounds], rng)
    kept = tilted.weights > NEGLIGIBLE
    return Population(
        {column: values[kept] for column, values in support.rows.items()},
        tilted.weights[kept] / tilted.weights[kept].sum(),
        truth,
        table(wanted(truth), tilted.achieved, tilted.slack),
    )


def guess() -> Truth:
    """Parameters of the population; those not printed are compromises between text and looks."""
    mills = model.value("t3.hypothesized.mills_lambda.estimate")
    return Truth(
        selection=np.array(SELECTION),
        outcome=np.r_[INTERCEPT, model.outcome_slopes()],
        mills=mills,
        sigma=mills / RHO,
    )
