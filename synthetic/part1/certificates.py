"""Why some of Part I's printed numbers cannot hold: enumeration, arithmetic, linear programmes."""

from __future__ import annotations

from functools import cache

import numpy as np

from synthetic import constraints as c
from synthetic.constraints import Block, Constraint, Moments, evaluate
from synthetic.part1 import base, model
from synthetic.part1.buyers import COARSE, GRID, enumerate_totals, nearest_sums, whole_sums
from synthetic.part1.population import Population
from synthetic.population import conflict
from synthetic.published import by_id
from synthetic.sample import systematic

SUPPORT = 800  # points of each kind that a joint certificate speaks of
WIDER = 20  # half-widths that the other numbers may miss in it


@cache
def collect() -> dict[str, str]:
    """Certificates that need no population, by published id."""
    return {
        **granular_means(),
        **granular_correlations(),
        **standard_errors(),
        **needed_mills(),
    }


def granular_means() -> dict[str, str]:
    """Means that no whole (or quarter) values of 498 buyers have."""
    n, number, found = model.buyers(), by_id(), {}
    grids = {f"t2.mean.{column}": GRID.get(column, 1.0) for column in (*COARSE, *GRID)}
    for id, step in {**grids, "p1.mean.units": 1.0, "p1.mean.categories": 1.0}.items():
        printed = number[id]
        if not len(whole_sums(printed, n, step)):
            near = ", ".join(f"{s * step / n:.5f}" for s in nearest_sums(printed, n, step))
            found[id] = (
                f"no sum of {n} whole values has a mean that prints {printed.printed.strip()}; "
                f"the nearest are {near}"
            )
    best = enumerate_totals()[0].sums
    for column in COARSE:
        printed = number[f"t2.mean.{column}"]
        if printed.id in found and best[column] != nearest_sums(printed, n)[0]:
            found[printed.id] += (
                f"; {best[column] / n:.5f} is taken because the other loses one more correlation"
            )
    return found


def granular_correlations() -> dict[str, str]:
    """Correlations among whole-number columns that no totals attain together with the others."""
    totals = enumerate_totals()
    best = totals[0]
    return {
        id: (
            f"of the {len(totals)} admissible whole totals of the coarse columns each forbids at "
            f"least {len(best.forbidden)} of their six correlations; the best forbids this one"
        )
        for id in best.forbidden
    }


def standard_errors() -> dict[str, str]:
    """Printed as standard deviations, read as standard errors of the mean."""
    n, number = model.buyers(), by_id()
    found = {}
    for column, factor in model.STANDARD_ERRORS.items():
        printed = number[f"t2.sd.{column}"]
        if factor != 1.0:
            found[printed.id] = (
                f"read as {printed.value * factor:.3f}, a standard error of the mean "
                f"(SD {model.moments()[column].sd:.3f} = {printed.value * factor:.3f} x sqrt({n}))"
            )
    return found


def needed_mills() -> dict[str, str]:
    """Levels of revenue that contradict panel A of Table 4.

    With the printed slopes, means and correlations every predicted revenue, and the intercept, is
    a constant less beta_lambda times the buyers' mean of lambda. Panel A's six cells agree on one
    value of that mean; the cells named here need another.
    """
    level, half_width = model.panel_a_mills()
    found = {}
    for id, (low, high) in model.mills_needed().items():
        if high < level - half_width or low > level + half_width:
            found[id] = (
                f"needs a mean of lambda among buyers in [{low:.3f}, {high:.3f}] given the printed "
                f"slopes, means and correlations; the six revenues of panel A need "
                f"[{level - half_width:.4f}, {level + half_width:.4f}]"
            )
    return found


def suspects() -> list[Constraint]:
    """Printed numbers that contradict others, read literally."""
    number, known = by_id(), model.moments()
    block = Block(lambda rows: rows["probability"], model.buyers() / model.customers())
    found = []
    for column in ("product_functionality", "product_age"):
        printed = number[f"t2.sd.{column}"]
        literal = Moments(known[column].mean, printed.value)
        found.append(c.spread(printed, column, literal, block, 1.0))
    return found


def conflicts(population: Population, seed: int = 1) -> dict[str, str]:
    """Irreducible infeasible subsets around the suspects, at the population's coefficients.

    Every other number may miss its print by `WIDER` half-widths, so that the contradiction owes
    nothing to the support's coarseness.

    Returns
    -------
    dict of str to str
        Sets of printed numbers that cannot all hold, none of which can be spared.
    """
    rng = np.random.default_rng(seed)
    near = systematic(population.weights, SUPPORT, rng)
    fresh, alike = base.draw(SUPPORT, rng), base.draw(SUPPORT, rng)
    known = model.moments()["product_age"]
    alike["product_age"] = rng.normal(known.mean, model.value("t2.sd.product_age"), SUPPORT)
    rows = {k: np.r_[v[near], fresh[k], alike[k]] for k, v in population.rows.items()}
    full = model.with_model(rows, population.truth)
    found = {}
    for suspect in suspects():
        others = [k for k in model.constraints() if k.id != suspect.id]
        system = evaluate([*others, suspect], full)
        half_width = system.half_width * np.r_[np.full(len(others), WIDER), 1.0]
        subset = conflict(system.F, system.target, half_width, [len(others)])
        if subset:
            names = ", ".join(system.ids[j] for j in subset if system.ids[j] != suspect.id)
            found[suspect.id] = (
                f"cannot hold together with {names}, though each of these may miss its print by "
                f"{WIDER} half-widths (irreducible infeasible subset on {3 * SUPPORT} support "
                "points at the population's coefficients)"
            )
    return found
