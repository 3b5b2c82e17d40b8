"""Joint feasibility: whether one population can have all of some numbers, or which ones clash."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from crosssell.audit.intervals import Interval, extremes
from crosssell.audit.registry import Outcome, Relation, RelationError, check, show

TOLERANCE = 1e-7  # elastic slack, in scaled units, below which rows count as met


@dataclass(frozen=True)
class Condition:
    """A printed moment of a population: the mean of some values within a group lies in bounds.

    Attributes
    ----------
    ids : tuple of str
        Printed numbers it rests on; the first is the one it states.
    values : ndarray, shape (n,)
        Value at every support point.
    inside : ndarray of bool, shape (n,)
        Whether the point belongs to the group.
    bounds : Interval
        Means that the printed numbers allow.
    printed : callable
        The stated number that belongs to a mean.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    inside: np.ndarray
    bounds: Interval
    printed: Callable[[float], float]

    @property
    def rows(self) -> np.ndarray:
        """Rows A of the condition ``A @ weights <= 0``, shape (2, n)."""
        rows = np.array([self.values - self.bounds.high, self.bounds.low - self.values])
        return rows * self.inside / max(float(np.abs(self.values).max()), 1.0)


def slack(rows: np.ndarray) -> tuple[float, np.ndarray]:
    """Smallest possible largest violation of ``rows @ w <= 0`` by weights w, and multipliers.

    The multipliers y are non-negative and sum to one, and every support point has
    ``y @ rows >= slack``: where the slack is positive they prove that no weights exist.
    """
    from scipy.optimize import linprog

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


def _correlation(moment: float, shift: float, scale: float) -> float:
    return (moment - shift) / scale


def _sd(moment: float, shift: float) -> float:
    return math.sqrt(max(moment - shift, 0.0))


def conditions(r: Relation, support: Mapping[str, np.ndarray]) -> list[Condition]:
    """Declared conditions on the support points.

    A condition has one of the keys mean, sd (with mean) or correlation (with x, y), the variable
    `of`, and optionally `where`, a mapping of variables to values that selects a group.  With sd or
    correlation it has `n`, the number of cases or the least there may be, since the divisor may be
    n - 1.
    """
    found = []
    for condition in r["conditions"]:
        inside = np.ones(len(next(iter(support.values()))), dtype=bool)
        for name, value in condition.get("where", {}).items():
            inside &= support[name] == value
        if "correlation" in condition:
            x, y = (condition[side] for side in ("x", "y"))
            values = support[x["of"]] * support[y["of"]]
            ids = (condition["correlation"], x["mean"], x["sd"], y["mean"], y["sd"])
            boxes = [*map(r.interval, ids), _divisor(r, condition)]
            bounds = extremes(lambda c, mx, sx, my, sy, f: mx * my + c * sx * sy * f, *boxes)
            _, mx, sx, my, sy, _ = (box.middle for box in boxes)
            printed = partial(_correlation, shift=mx * my, scale=sx * sy)
        elif "sd" in condition:
            ids = (condition["sd"], condition["mean"])
            values = support[condition["of"]] ** 2
            sd, mean = map(r.interval, ids)
            boxes = [sd, mean.magnitude, _divisor(r, condition)]
            bounds = extremes(lambda s, m, f: m**2 + s**2 * f, *boxes)
            printed = partial(_sd, shift=mean.middle**2)
        else:
            ids = (condition["mean"],)
            values, bounds = support[condition["of"]], r.interval(condition["mean"])
            printed = float
        found.append(Condition(tuple(dict.fromkeys(ids)), values, inside, bounds, printed))
    return found


def _attainable(condition: Condition, rest: np.ndarray) -> Interval:
    """Numbers that the condition could state given the rows of the others."""
    from scipy.optimize import linprog

    n = len(condition.values)
    ends = [
        linprog(
            sign * condition.values,
            A_ub=rest,
            b_ub=np.zeros(len(rest)),
            A_eq=np.ones((1, n)),
            b_eq=[1.0],
            method="highs",
        )
        for sign in (1.0, -1.0)
    ]
    low, high = (condition.printed(float(condition.values @ end.x)) for end in ends)
    return Interval(low, high)


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
    all_conditions = conditions(r, support)
    matrix = np.vstack([condition.rows for condition in all_conditions])
    owners = np.repeat(np.arange(len(all_conditions)), 2)
    suspects = list(r.get("suspects", ()))
    rank = {
        k: suspects.index(condition.ids[0]) if condition.ids[0] in suspects else math.inf
        for k, condition in enumerate(all_conditions)
    }
    last = [k for k in rank if rank[k] < math.inf]
    conflicts: list[dict[str, Any]] = []
    dropped: list[int] = []
    active = set(rank)
    while active:
        chosen = np.isin(owners, list(active))
        if slack(matrix[chosen])[0] <= TOLERANCE:
            break
        members = irreducible(matrix[chosen], owners[chosen], last)
        excess, multipliers = slack(matrix[np.isin(owners, members)])
        names = [name for k in members for name in all_conditions[k].ids]
        conflicts.append(
            {
                "numbers": list(dict.fromkeys(names)),
                "multipliers": multipliers.round(9).tolist(),
                "gap": excess,
            }
        )
        dropped.append(min(members, key=rank.__getitem__))
        active.discard(dropped[-1])
    nearest = {}
    for k in dropped:
        condition = all_conditions[k]
        if condition.inside.all():
            range_ = _attainable(condition, matrix[np.isin(owners, list(active))])
            name = condition.ids[0]
            nearest[name] = range_.clamp(r.interval(name).middle)
    told = "; ".join(" + ".join(conflict["numbers"]) for conflict in conflicts)
    bounds = "".join(
        f" Given the rest, {name} is {show(v)} at best." for name, v in nearest.items()
    )
    return Outcome(
        holds=not conflicts,
        implied=told or "all hold at once",
        size=max(
            (abs(v - r.interval(name).middle) for name, v in nearest.items()),
            default=max((conflict["gap"] for conflict in conflicts), default=0.0),
        ),
        explanation=f"These cannot hold together: {told}.{bounds}"
        if conflicts
        else f"One population on {len(support[next(iter(support))])} points has all "
        f"{len(all_conditions)} of them.",
        certificate={"conflicts": conflicts, "conditions": len(all_conditions)},
        nearest=nearest,
    )
