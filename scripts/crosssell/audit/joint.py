"""Joint feasibility: whether one population can have all of some numbers, or which ones clash."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linprog

from crosssell.audit.intervals import Interval, extremes
from crosssell.audit.registry import Outcome, Relation, RelationError, check

TOLERANCE = 1e-7  # elastic slack, in scaled units, below which rows count as met


class Rows:
    """Linear conditions ``A w <= 0`` on population weights w, each owed to printed numbers.

    ``owners[k]`` is the position, among the conditions, that row k belongs to.
    """

    def __init__(self, n: int) -> None:
        self.matrix: list[np.ndarray] = []
        self.owners: list[int] = []
        self.n = n

    def between(self, values: np.ndarray, bounds: Interval, owner: int) -> None:
        """Require the weighted mean of the values to lie within bounds."""
        scale = max(float(np.abs(values).max()), 1.0)
        for row in (values - bounds.high, bounds.low - values):
            self.matrix.append(row / scale)
            self.owners.append(owner)

    def zero_where(self, values: np.ndarray, owner: int) -> None:
        """Require the weighted mean of the values to be at most zero."""
        self.matrix.append(values / max(float(np.abs(values).max()), 1.0))
        self.owners.append(owner)


def slack(rows: np.ndarray) -> tuple[float, np.ndarray]:
    """Smallest possible largest violation of ``rows @ w <= 0`` by weights w, and multipliers.

    The multipliers y are non-negative and sum to one, and every support point has
    ``y @ rows >= slack``: where the slack is positive they prove that no weights exist.
    """
    k, n = rows.shape
    solution = linprog(
        np.r_[np.zeros(n), 1.0],
        A_ub=np.c_[rows, -np.ones(k)],
        b_ub=np.zeros(k),
        A_eq=np.r_[np.ones(n), 0.0][None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs",
    )
    if solution.status != 0:
        raise RelationError(f"The linear programme failed: {solution.message}", "Rescale its rows.")
    return float(solution.fun), -solution.ineqlin.marginals


def irreducible(rows: np.ndarray, owners: np.ndarray, keep_last: Sequence[int] = ()) -> list[int]:
    """Conditions that cannot hold together while any of them dropped lets the rest hold.

    Deletion filter over the conditions (the owners of rows); the ones in `keep_last` are tried
    last, so that they stay in the set where possible.

    References
    ----------
    Chinneck (2008), Feasibility and Infeasibility in Optimization, chapter 6.
    """
    multipliers = slack(rows)[1]
    support = set(owners[multipliers > TOLERANCE * 1e-2])
    # the multipliers' support is itself infeasible and usually much smaller
    kept = support if slack(rows[np.isin(owners, list(support))])[0] > TOLERANCE else set(owners)
    for owner in sorted(kept, key=lambda o: (o in keep_last, o)):
        rest = kept - {owner}
        if rest and slack(rows[np.isin(owners, list(rest))])[0] > TOLERANCE:
            kept = rest
    return sorted(int(owner) for owner in kept)


def points(r: Relation) -> dict[str, np.ndarray]:
    """Support points: the product of the variables' values, or the rows of a table."""
    if r.get("table"):
        columns, *entries = r["table"]
        return {name: np.array([entry[i] for entry in entries]) for i, name in enumerate(columns)}
    values = {
        name: np.arange(spec[0], spec[1] + spec[2] / 2, spec[2])
        for name, spec in (
            (name, [r.interval(x).middle for x in spec]) for name, spec in r["variables"].items()
        )
    }
    grid = np.array(list(itertools.product(*values.values())), dtype=float).T
    return dict(zip(values, grid, strict=True))


def _divisor(r: Relation, condition: Mapping[str, Any]) -> Interval:
    """Factor from a printed variance or covariance, of divisor n or n - 1, to that of divisor n."""
    n = r.interval(condition["n"]).low
    return Interval((n - 1) / n, 1.0)


def conditions(r: Relation, support: Mapping[str, np.ndarray]) -> tuple[Rows, list[list[str]]]:
    """Rows of every condition and the ids each rests on.

    A condition has one of the keys mean, sd (with mean) or correlation (with x, y), the variable
    `of`, and optionally `where`, a mapping of variables to values that selects a group.  With sd or
    correlation it has `n`, the number of cases or the least there may be, since the divisor may be
    n - 1.
    """
    n = len(next(iter(support.values())))
    rows, ids = Rows(n), []
    for owner, condition in enumerate(r["conditions"]):
        inside = np.ones(n, dtype=bool)
        for name, value in condition.get("where", {}).items():
            inside &= support[name] == value
        if "correlation" in condition:
            x, y = (condition[side] for side in ("x", "y"))
            values = support[x["of"]] * support[y["of"]]
            parts = [condition["correlation"], x["mean"], x["sd"], y["mean"], y["sd"]]
            bounds = extremes(
                lambda c, mx, sx, my, sy, f: mx * my + c * sx * sy * f,
                *map(r.interval, parts),
                _divisor(r, condition),
            )
        elif "sd" in condition:
            parts = [condition["sd"], condition["mean"]]
            values = support[condition["of"]] ** 2
            sd, mean = map(r.interval, parts)
            bounds = extremes(
                lambda s, m, f: m**2 + s**2 * f, sd, mean.magnitude, _divisor(r, condition)
            )
        else:
            parts = [condition["mean"]]
            values, bounds = support[condition["of"]], r.interval(parts[0])
        if inside.all():
            rows.between(values, bounds, owner)
        else:
            rows.zero_where((values - bounds.high) * inside, owner)
            rows.zero_where((bounds.low - values) * inside, owner)
        ids.append(list(dict.fromkeys(parts)))
    return rows, ids


@check("impossible", "Farkas' lemma; deletion filter after Chinneck (2008)")
def joint(r: Relation) -> Outcome:
    """One population on these support points has all the numbers at once.

    Second moments and products of rounded numbers are bounded by their extremes, so a conflict is
    one whatever values were rounded.  After each conflict the member that stands first in
    `suspects` is dropped and the rest examined again.

    Keys: variables (name: [low, high, step]) or table (a heading, then rows), conditions,
    suspects.
    """
    support = points(r)
    rows, ids = conditions(r, support)
    matrix, owners = np.array(rows.matrix), np.array(rows.owners)
    suspects = list(r.get("suspects", ()))
    last = [k for k, names in enumerate(ids) if names[0] in suspects]
    conflicts: list[dict[str, Any]] = []
    active = set(owners.tolist())
    while active:
        chosen = np.isin(owners, list(active))
        excess, _ = slack(matrix[chosen])
        if excess <= TOLERANCE:
            break
        members = irreducible(matrix[chosen], owners[chosen], last)
        part = np.isin(owners, members)
        excess, multipliers = slack(matrix[part])
        conflicts.append(
            {
                "numbers": list(dict.fromkeys(name for k in members for name in ids[k])),
                "multipliers": multipliers.round(9).tolist(),
                "gap": excess,
            }
        )
        named = sorted(members, key=_rank(ids, suspects))
        active.discard(named[0])
    told = "; ".join(" + ".join(conflict["numbers"]) for conflict in conflicts)
    return Outcome(
        holds=not conflicts,
        implied=told or "all hold at once",
        size=max((conflict["gap"] for conflict in conflicts), default=0.0),
        explanation=f"These cannot hold together: {told}."
        if conflicts
        else f"One population on {len(next(iter(support.values())))} points has all "
        f"{len(ids)} of them.",
        certificate={"conflicts": conflicts, "conditions": len(ids)},
    )


def _rank(ids: list[list[str]], suspects: list[str]) -> Callable[[int], float]:
    return lambda k: suspects.index(ids[k][0]) if ids[k][0] in suspects else math.inf
