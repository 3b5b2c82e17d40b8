"""Part I's population: selection coefficients, then maximum entropy on a support that follows."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.constraints import Constraint, evaluate, table
from synthetic.part1 import model
from synthetic.part1.model import COLUMNS, Truth, with_model
from synthetic.population import Tilt, tilt
from synthetic.sample import systematic

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

SEED = 20071  # the population is the same whatever the sample's seed
FRESH = 6  # one support point in so many is drawn anew, so that no region is ever lost
STEPS = (1e-5, 1e-4, 1e-3, 5e-3, 2e-2, 1e-1, 1.0, 1.0, 1e4)
INTERCEPT = -72.509


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


def broad(size: int, rng: np.random.Generator) -> dict[str, Array]:
    """Independent draws that cover what customers look like."""
    severity = np.clip(np.round(4 * (7 - rng.gamma(1.2, 1.2, size))) / 4, 1, 7)
    return {
        "risk_aversion": rng.choice(6, size, p=[0.03, 0.34, 0.16, 0.17, 0.26, 0.04]).astype(float),
        "product_functionality": 1.0 + rng.choice(4, size, p=[0.2, 0.38, 0.25, 0.17]),
        "agent_resolution_ability": rng.integers(1, model.N_AGENTS + 1, size).astype(float),
        "cross_sell_good": (rng.random(size) < 0.55).astype(float),
        "product_age": rng.gamma(2.2, 450.0, size),
        "product_price": rng.gamma(1.6, 24.0, size) - 4.0,
        "failure_severity": severity,
        "cross_sell_related": (rng.random(size) < 0.6).astype(float),
    }


def jitter(rows: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Neighbours of the given points: small steps in every column, inside its range."""
    size = len(rows["product_age"])
    result = dict(rows)

    def inside(column: str, moved: Array, low: float, high: float) -> None:
        result[column] = np.where((moved < low) | (moved > high), rows[column], moved)

    step = rng.choice([-1.0, 0.0, 1.0], (2, size), p=[0.05, 0.9, 0.05])
    inside("risk_aversion", rows["risk_aversion"] + step[0], 0, 5)
    inside("product_functionality", rows["product_functionality"] + step[1], 1, 4)
    ability = rows["agent_resolution_ability"] + np.round(rng.normal(0, 12, size))
    inside("agent_resolution_ability", ability, 1, model.N_AGENTS)
    for column in model.BINARY:
        flip = rng.random(size) < 0.1
        result[column] = np.where(flip, 1 - rows[column], rows[column])
    result["product_age"] = rows["product_age"] * np.exp(rng.normal(0, 0.2, size))
    result["product_price"] = rows["product_price"] + rng.normal(0, 5, size)
    severity = rows["failure_severity"] + rng.integers(-2, 3, size) / 4
    inside("failure_severity", severity, 1, 7)
    return result


def renew(
    rows: dict[str, Array], weights: Array, size: int, rng: np.random.Generator
) -> dict[str, Array]:
    """New support around the present solution: resampled, jittered, partly drawn anew."""
    kept = systematic(weights, size - size // FRESH, rng)
    near = jitter({column: values[kept] for column, values in rows.items()}, rng)
    fresh = broad(size // FRESH, rng)
    return {column: np.r_[near[column], fresh[column]] for column in COLUMNS}


def solve(
    rows: dict[str, Array], truth: Truth, constraints: list[Constraint], ceiling: float
) -> Tilt:
    """Tilt uniform weights on the rows, no priority above `ceiling`."""
    system = evaluate(constraints, with_model(rows, truth))
    return tilt(
        system.F,
        np.ones(system.F.shape[1]),
        system.target,
        system.half_width,
        np.minimum(system.priority, ceiling),
        tolerance=1e-7,
    )


def build(size: int = 24_000, seed: int = SEED, quick: bool = False) -> Population:
    """Compute Part I's population.

    Parameters
    ----------
    size : int
        Support points of the last round.
    seed : int
        Of the support points; the published numbers do the rest.
    quick : bool
        Stop early, with targets met roughly.

    Returns
    -------
    Population
    """
    rng = np.random.default_rng(seed)
    truth = guess()
    constraints = [*model.constraints(), *model.looks(truth)]
    rows = broad(size // 3, rng)
    steps = STEPS[:3] if quick else STEPS
    for step, ceiling in enumerate(steps):
        last = step == len(steps) - 1
        tilted = solve(rows, truth, constraints, ceiling)
        logger.info(
            "population round %d: divergence %.2f nats, effective size %.0f, largest slack %.2f",
            step + 1,
            tilted.divergence,
            tilted.effective_size,
            tilted.slack.max(),
        )
        if not last:
            rows = renew(rows, tilted.weights, size if step == len(steps) - 2 else size // 3, rng)
    return Population(
        rows, tilted.weights, truth, table(constraints, tilted.achieved, tilted.slack)
    )


def guess() -> Truth:
    """Parameters that a long run of the search settled on; the search starts from them."""
    mills = model.value("t3.hypothesized.mills_lambda.estimate")
    return Truth(
        selection=np.array(SELECTION),
        outcome=np.r_[INTERCEPT, model.outcome_slopes()],
        mills=mills,
        sigma=mills / RHO,
    )


RHO = 0.985
SELECTION = (
    -0.0451037,
    0.0006593361,
    -0.007221033,
    0.02355927,
    0.3220773,
    0.1793954,
    -0.7812767,
    -0.007674519,
    0.2127359,
    0.003680869,
    -0.01042634,
)
