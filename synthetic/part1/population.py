"""Part I's population: selection coefficients, then maximum entropy on a support that follows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.constraints import Constraint, evaluate, table, wish
from synthetic.part1 import emergent, model
from synthetic.part1.model import COLUMNS, Truth, with_model
from synthetic.population import Tilt, tilt
from synthetic.sample import systematic

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# Selection coefficients (intercept, then SELECTION_TERMS) and the outcome's intercept. They
# minimise the divergence that the printed numbers and looks cost plus half the squared distances
# from the probit text beyond 1.4 standard errors. Values nearer to the text push customers into few
# segments and non-buyers to new and dear products.
SELECTION = (
    -0.03203,
    0.00066,
    -0.00713,
    0.02444,
    0.32112,
    0.20665,
    -0.82956,
    -0.00762,
    0.22848,
    0.00312,
    -0.01007,
)
INTERCEPT = -72.4
RHO = 0.985  # near its bound: the printed lambda and SD of revenue force it
SMOOTH = ("agent_resolution_ability", "product_age", "product_price", "failure_severity")
ROUGH = 0.25  # of a bin's share that its height may miss
SEED = 20071  # the population is the same whatever the sample's seed
FRESH = 1 / 6  # of the support drawn anew at full scale, so that no region is ever lost
LOOSE, TIGHT = 1e-4, 1e-8  # gradients at which a tilt stops, in standard deviations of a row
# Round by round: ceiling of the priorities, priority of the emergent numbers, and how far the
# next round's support strays from the solution.
ROUNDS = (
    (1e-5, 0.0, 1.0),
    (1e-4, 0.0, 1.0),
    (1e-3, 0.0, 0.8),
    (4e-3, 0.0, 0.7),
    (1.5e-2, 0.0, 0.6),
    (5e-2, 0.0, 0.6),
    (5e-2, 0.0, 0.5),
    (0.15, 0.0, 0.5),
    (0.15, 0.0, 0.5),
    (0.15, 0.01, 0.4),
    (0.4, 0.01, 0.4),
    (0.4, 0.01, 0.4),
)
QUICK_ROUNDS = 3


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


@cache
def segment_shares() -> Array:
    """Maximum entropy shares of the 24 segments given Table 4 and the full-sample means.

    Returns
    -------
    ndarray, shape (24,)
        Risk aversion varies slowest.
    """
    risk, functionality = np.meshgrid(model.RISK_LEVELS, model.FUNCTIONALITY_LEVELS, indexing="ij")
    cells = {
        "risk_aversion": risk.ravel().astype(float),
        "product_functionality": functionality.ravel().astype(float),
    }
    known = [
        c
        for c in model.constraints()
        if c.id.endswith(".share")
        or c.id in ("p1.mean.risk_aversion", "p1.mean.product_functionality")
    ]
    system = evaluate(known, cells)
    return tilt(system.F, np.ones(24), *system[1:4]).weights


def broad(size: int, rng: np.random.Generator) -> dict[str, Array]:
    """Draws that cover what customers look like: segments as published, the rest independent."""
    risk, functionality = np.divmod(rng.choice(24, size, p=segment_shares()), 4)
    severity = np.clip(np.round(4 * (7 - rng.gamma(1.2, 1.2, size))) / 4, 1, 7)
    return {
        "risk_aversion": risk.astype(float),
        "product_functionality": functionality + 1.0,
        "agent_resolution_ability": rng.integers(1, model.N_AGENTS + 1, size).astype(float),
        "cross_sell_good": (rng.random(size) < 0.55).astype(float),
        "product_age": np.clip(rng.gamma(1.8, 420.0, size), *model.AGES),
        "product_price": np.clip(rng.gamma(1.6, 27.0, size) - 3.0, *model.PRICES),
        "failure_severity": severity,
        "cross_sell_related": (rng.random(size) < 0.5).astype(float),
    }


@cache
def bins() -> dict[str, Array]:
    """Tenths of the fine columns' broad distributions: edges, shape (9,), by column."""
    reference = broad(100_000, np.random.default_rng(0))
    cuts = np.arange(1, 10) / 10
    return {column: np.unique(np.quantile(reference[column], cuts)) for column in SMOOTH}


def smooth() -> list[Constraint]:
    """No tenth of a fine column's range holds many more or fewer customers than it should."""
    reference = broad(100_000, np.random.default_rng(0))
    found = []
    for column, edges in bins().items():
        inside = np.bincount(np.searchsorted(edges, reference[column]), minlength=len(edges) + 1)
        for k, count in enumerate(inside):
            found.append(
                wish(
                    f"looks.{column}.{k}",
                    lambda rows, c=column, e=edges, k=k: np.searchsorted(e, rows[c]) == k,
                    count / inside.sum(),
                    ROUGH * count / inside.sum(),
                    model.SOFT,
                )
            )
    return found


def jitter(rows: dict[str, Array], scale: float, rng: np.random.Generator) -> dict[str, Array]:
    """Neighbours of the given points: small steps in every column, inside its range."""
    size = len(rows["product_age"])
    result = dict(rows)

    def inside(column: str, moved: Array, low: float, high: float) -> None:
        result[column] = np.where((moved < low) | (moved > high), rows[column], moved)

    chance = 0.1 * scale
    step = rng.choice([-1.0, 0.0, 1.0], (2, size), p=[chance / 2, 1 - chance, chance / 2])
    inside("risk_aversion", rows["risk_aversion"] + step[0], 0, 5)
    inside("product_functionality", rows["product_functionality"] + step[1], 1, 4)
    ability = rows["agent_resolution_ability"] + np.round(rng.normal(0, 12 * scale, size))
    inside("agent_resolution_ability", ability, 1, model.N_AGENTS)
    for column in model.BINARY:
        flip = rng.random(size) < chance
        result[column] = np.where(flip, 1 - rows[column], rows[column])
    age = rows["product_age"] * np.exp(rng.normal(0, 0.2 * scale, size))
    inside("product_age", age, *model.AGES)
    price = rows["product_price"]
    wide = 5 * scale * (1 + np.abs(price) / 40)  # dear products are few, so their steps are longer
    inside("product_price", price + rng.normal(0, wide), *model.PRICES)
    severity = rows["failure_severity"] + np.round(rng.normal(0, 1.5 * scale, size)) / 4
    inside("failure_severity", severity, 1, 7)
    return result


def renew(
    rows: dict[str, Array], weights: Array, size: int, scale: float, rng: np.random.Generator
) -> dict[str, Array]:
    """New support around the present solution: resampled, jittered, partly drawn anew."""
    new = round(FRESH * scale * size)
    kept = systematic(weights, size - new, rng)
    near = jitter({column: values[kept] for column, values in rows.items()}, scale, rng)
    fresh = broad(new, rng)
    return {column: np.r_[near[column], fresh[column]] for column in COLUMNS}


def solve(
    rows: dict[str, Array],
    truth: Truth,
    constraints: list[Constraint],
    ceiling: float,
    steering: float = 0.0,
    tolerance: float = LOOSE,
) -> Tilt:
    """Tilt uniform weights on the rows, no priority above `ceiling`.

    With a positive `steering` the emergent numbers, linearised at the first solution, join in at
    that priority.
    """
    system = evaluate(constraints, with_model(rows, truth))
    system = system._replace(priority=np.minimum(system.priority, ceiling))
    base = np.ones(system.F.shape[1])
    tilted = tilt(system.F, base, *system[1:4], tolerance=tolerance)
    if not steering:
        return tilted
    joined = system.joined(emergent.steer(rows, tilted.weights, truth, steering))
    tilted = tilt(joined.F, base, *joined[1:4], tolerance=tolerance)
    k = len(system.ids)
    return replace(tilted, achieved=tilted.achieved[:k], slack=tilted.slack[:k])


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
    rng = np.random.default_rng(seed)
    truth = guess()
    constraints = [*model.constraints(), *model.looks(truth), *smooth()]
    rounds = ROUNDS[:QUICK_ROUNDS] if quick else ROUNDS
    rows = broad(size // 2, rng)
    for step, (ceiling, steering, scale) in enumerate(rounds):
        expected = with_model(rows, truth)[model.REVENUE]
        rows = {k: v[expected > model.SMALLEST_EXPECTED] for k, v in rows.items()}
        last = step == len(rounds) - 1
        tilted = solve(rows, truth, constraints, ceiling, steering, TIGHT if last else LOOSE)
        logger.info(
            "population round %d of %d: divergence %.2f nats, effective size %.0f of %d, "
            "largest slack %.2f half-widths",
            step + 1, len(rounds), tilted.divergence, tilted.effective_size,
            len(tilted.weights), tilted.slack.max(),
        )  # fmt: skip
        if not last:
            support = size if step > len(ROUNDS) - 4 else size // 2
            rows = renew(rows, tilted.weights, support, scale, rng)
    return Population(
        rows, tilted.weights, truth, table(constraints, tilted.achieved, tilted.slack)
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
