"""Why some of Part I's printed numbers cannot hold: enumeration, linear programmes."""

from __future__ import annotations

from functools import cache

from synthetic.part1 import model
from synthetic.part1.buyers import COARSE, GRID, enumerate_totals, nearest_sums, whole_sums
from synthetic.published import by_id


@cache
def collect() -> dict[str, str]:
    """Certificate by published id."""
    return {**granular_means(), **granular_correlations(), **standard_errors()}


def granular_means() -> dict[str, str]:
    """Means that no whole (or quarter) values of 498 buyers have."""
    n, number, found = model.buyers(), by_id(), {}
    grids = {f"t2.mean.{c}": GRID.get(c, 1.0) for c in (*COARSE, *GRID)}
    for id, step in {**grids, "p1.mean.units": 1.0, "p1.mean.categories": 1.0}.items():
        printed = number[id]
        if not len(whole_sums(printed, n, step)):
            near = nearest_sums(printed, n, step)[0] * step / n
            found[id] = (
                f"no sum of {n} whole values prints {printed.printed}; "
                f"the nearest mean is {near:.5f}"
            )
    return found


def granular_correlations() -> dict[str, str]:
    """Correlations among whole-number columns that no totals attain together with the others."""
    totals = enumerate_totals()
    best = totals[0]
    least = len(best.forbidden)
    return {
        id: (
            f"of {len(totals)} admissible whole totals of the coarse columns each forbids at least "
            f"{least} of their six correlations; the best forbids this one"
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
            sd = model.moments()[column].sd
            found[printed.id] = (
                f"read as {printed.value * factor:.3f}, a standard error of the mean "
                f"(SD {sd:.3f} = {printed.value * factor:.3f} x sqrt({n}))"
            )
    return found
