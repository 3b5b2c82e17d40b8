"""Checks of means, standard deviations, correlations and shares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from crosssell.audit.intervals import Interval, extremes, vertices
from crosssell.audit.registry import Outcome, Relation, check, show

EPS = 1e-9


def _sums(mean: Interval, n: int, grain: float) -> range:
    """Whole numbers k for which k * grain / n lies in the interval."""
    return range(
        math.ceil(mean.low * n / grain - EPS * n), math.floor(mean.high * n / grain + EPS * n) + 1
    )


def _sums_or_nearest(mean: Interval, n: int, grain: float = 1.0) -> list[int]:
    """Attainable sums, or the two around the mean where there is none."""
    found = list(_sums(mean, n, grain))
    below = math.floor(mean.middle * n / grain)
    return found or [below, below + 1]


@check("impossible", "Brown and Heathers (2017), The GRIM test")
def granularity(r: Relation) -> Outcome:
    """A mean of n multiples of a grain is a multiple of grain / n.

    Keys: mean, n; grain (default 1) or raters (the grain is one over their number).
    """
    mean, n = r.of("mean"), round(r.of("n").middle)
    grain = 1 / r.of("raters").middle if r.get("raters") else float(r.get("grain", 1))
    sums = _sums(mean, n, grain)
    below = math.floor(mean.middle * n / grain + EPS) * grain / n
    above = below + grain / n
    nearest = min((below, above), key=lambda x: mean.distance(Interval(x, x)))
    return Outcome(
        holds=len(sums) > 0,
        implied=f"{below:.6f} or {above:.6f}" if not sums else f"{sums[0] * grain / n:.6f}",
        size=mean.distance(Interval(nearest, nearest)),
        explanation=f"The mean of {n} values in steps of {grain:g} is a multiple of "
        f"{grain / n:.6f}, around the printed one {below:.6f} or {above:.6f}.",
        certificate={"n": n, "grain": grain, "below": below, "above": above},
        nearest={} if sums else {r["mean"]: nearest},
    )


@check("impossible", "Anaya (2016), The GRIMMER test")
def granular_sd(r: Relation) -> Outcome:
    """The standard deviation of n whole numbers follows from two whole sums of one parity.

    Keys: mean, sd, n.
    """
    mean, sd, n = r.of("mean"), r.of("sd"), round(r.of("n").middle)
    attainable = []
    for total in _sums_or_nearest(mean, n):
        fewest = _fewest_squares(total, n)
        for divisor in (n - 1, n):
            shift = total * total / n
            low = max(fewest, math.floor(sd.low**2 * divisor + shift) - 2)
            for squares in range(low, math.ceil(sd.high**2 * divisor + shift) + 3):
                if (squares - total) % 2 == 0:
                    attainable.append(math.sqrt((squares - shift) / divisor))
    gaps = [sd.distance(Interval(x, x)) for x in attainable]
    best = attainable[int(np.argmin(gaps))]
    return Outcome(
        holds=min(gaps) <= EPS,
        implied=f"{best:.6f}",
        size=min(gaps),
        explanation=f"The attainable standard deviation of {n} whole numbers nearest to the "
        f"printed one is {best:.6f}.",
        certificate={"n": n, "nearest": best},
        nearest={} if min(gaps) <= EPS else {r["sd"]: best},
    )


def _fewest_squares(total: int, n: int) -> int:
    """Smallest sum of squares of n whole numbers with this sum."""
    base, rest = divmod(total, n)
    return (n - rest) * base**2 + rest * (base + 1) ** 2


@check("impossible", "enumeration of whole-number sums")
def granular_correlation(r: Relation) -> Outcome:
    """Columns of whole numbers have granular correlations too.

    Every column's sum and sum of squares is a whole number that its printed moments allow; given
    those of two columns, their correlation moves in steps of n over the root of both spreads.
    All columns' choices are enumerated.

    Keys: n; columns, by name a mapping with mean and sd (an id or a pair of bounds), or mean alone
    for a 0/1 column; correlations, a list of triples of id and two columns.  Where no sum gives a
    printed mean, its two neighbours are tried.
    """
    n = round(r.of("n").middle)
    names = list(r["columns"])
    choices = [_sums_and_squares(r, r["columns"][name], n) for name in names]
    targets = [
        (r.interval(reference), names.index(x), names.index(y))
        for reference, x, y in r["correlations"]
    ]
    ids = [reference for reference, _, _ in r["correlations"]]
    best: list[tuple[float, float]] = []
    for choice in itertools.product(*choices):
        found = [_nearest_correlation(t, choice[x], choice[y], n) for t, x, y in targets]
        if not best or _badness(found) < _badness(best):
            best = found
    missed = [k for k, (gap, _) in enumerate(best) if gap > EPS]
    told = ", ".join(f"{best[k][1]:.6f}" for k in (missed or range(len(best))))
    nearest = {ids[k]: best[k][1] for k in missed}
    return Outcome(
        holds=not missed,
        implied=told,
        size=max(gap for gap, _ in best),
        explanation=f"With {n} cases no correlation of these whole numbers rounds to the printed "
        f"one; the nearest is {told}."
        if len(best) == len(missed) == 1
        else f"With {n} cases {len(best) - len(missed)} of these {len(best)} correlations of "
        f"whole numbers can be had at once"
        + (f", the others nearest at {told}." if missed else "."),
        certificate={"n": n, "choices": math.prod(map(len, choices)), "missed": list(nearest)},
        nearest=nearest,
    )


def _badness(found: list[tuple[float, float]]) -> tuple[int, float]:
    """Number of correlations missed, then their gaps."""
    return sum(gap > EPS for gap, _ in found), sum(gap for gap, _ in found)


def _nearest_correlation(
    printed: Interval, x: tuple[int, int], y: tuple[int, int], n: int
) -> tuple[float, float]:
    """Gap to, and value of, the attainable correlation nearest to the printed one."""
    (sx, qx), (sy, qy) = x, y
    scale = math.sqrt((n * qx - sx * sx) * (n * qy - sy * sy))
    centre = printed.middle * scale / n + sx * sy / n
    values = [(n * k - sx * sy) / scale for k in (math.floor(centre), math.ceil(centre))]
    return min((printed.distance(Interval(v, v)), v) for v in values)


def _sums_and_squares(r: Relation, column: Mapping[str, Any], n: int) -> list[tuple[int, int]]:
    """Sums and sums of squares that the printed mean and standard deviation allow."""
    sums = _sums_or_nearest(r.interval(column["mean"]), n)
    if "sd" not in column:
        return [(s, s) for s in sums]
    sd = r.interval(column["sd"])
    return [
        (s, q)
        for s in sums
        for divisor in (n - 1, n)
        for q in range(
            math.floor(sd.low**2 * divisor + s * s / n),
            math.ceil(sd.high**2 * divisor + s * s / n) + 1,
        )
        if (q - s) % 2 == 0
    ]


@check("impossible", "enumeration of whole-number sums")
def group_granularity(r: Relation) -> Outcome:
    """Two groups' means of whole numbers fit a total number of cases, and a t statistic fits both.

    Keys: means (two), total; optional t with low and high, the ends of the scale, and rate, the
    share expected in the second group in per cent (told, not judged).
    """
    first, second = (r.interval(mean) for mean in r["means"])
    total = round(r.of("total").middle)
    splits = [
        k
        for k in range(1, total)
        if len(_sums(first, total - k, 1.0)) and len(_sums(second, k, 1.0))
    ]
    if r.get("t"):
        splits = [k for k in splits if _t_fits(r, first, second, total - k, k)]
    told = ", ".join(map(str, splits[:4])) + (", ..." if len(splits) > 4 else "")
    expected = f"; {r.of('rate').middle / 100 * total:.0f} expected" if r.get("rate") else ""
    return Outcome(
        holds=bool(splits),
        implied=f"second group of {told}" if splits else "no split",
        size=0.0 if splits else min(first.high - first.low, second.high - second.low),
        explanation=f"Both means are attainable together when the second of the {total} cases' "
        f"groups has {told or 'no size at all'} cases{expected}.",
        certificate={"total": total, "smallest": splits[:4]},
    )


def _t_fits(r: Relation, first: Interval, second: Interval, n1: int, n2: int) -> bool:
    """Whether the pooled standard deviation behind a t statistic is possible on the scale."""
    t, low, high = r.of("t").magnitude, r.of("low").low, r.of("high").high
    gap = Interval(second.low - first.high, second.high - first.low).magnitude
    smallest = gap.low / t.high / math.sqrt(1 / n1 + 1 / n2)
    largest = max((m - low) * (high - m) for i in (first, second) for m in (i.low, i.high))
    return smallest**2 <= largest * (n1 + n2) / (n1 + n2 - 2)


@check("impossible", "Bhatia and Davis (2000), A better bound on the variance")
def spread(r: Relation) -> Outcome:
    """A variable between two bounds has at most the variance (mean - low)(high - mean).

    Keys: mean, sd, low, high; optional n (for the divisor n - 1) and grain (whole-number steps,
    which give a smallest standard deviation).
    """
    mean, sd, low, high = (r.of(key) for key in ("mean", "sd", "low", "high"))
    factor = 1.0
    if r.get("n"):
        n = r.of("n").middle
        factor = math.sqrt(n / (n - 1))
    ends = [max(0.0, (m - low.low) * (high.high - m)) for m in (mean.low, mean.high)]
    peak = (low.low + high.high) / 2
    if mean.low < peak < mean.high:
        ends.append((high.high - low.low) ** 2 / 4)
    largest = factor * math.sqrt(max(ends))
    smallest = 0.0
    if r.get("grain"):
        grain = float(r["grain"])
        parts = [(m - low.low) / grain % 1 for m in (mean.low, mean.high)]
        crosses = math.floor((mean.low - low.low) / grain) != math.floor(
            (mean.high - low.low) / grain
        )
        smallest = 0.0 if crosses else grain * math.sqrt(min(p * (1 - p) for p in parts))
    attainable = Interval(smallest, max(largest, smallest))
    inside = low.low <= mean.high and mean.low <= high.high
    holds = inside and attainable.distance(sd) <= EPS
    nearest: dict[Any, float] = {}
    if not holds:
        nearest[r["sd"]] = attainable.clamp(sd.middle)
        if sd.low > attainable.high and isinstance(r["high"], str) and mean.low > low.low:
            needed = min(m + (sd.low / factor) ** 2 / (m - low.low) for m in (mean.low, mean.high))
            nearest[r["high"]] = needed
    return Outcome(
        holds=holds,
        implied=f"{attainable}",
        size=attainable.distance(sd),
        explanation=f"Between {low} and {high} with this mean the standard deviation is at most "
        f"{attainable.high:.4f}" + (f" and at least {smallest:.4f}." if smallest else "."),
        certificate={"low": low.low, "high": high.high, "bound": attainable.high},
        nearest=nearest,
    )


@check("impossible", "variance of a 0/1 variable")
def binary_sd(r: Relation) -> Outcome:
    """A 0/1 variable's standard deviation is sqrt(p (1 - p)).

    Keys: mean, sd; optional n, to recognise a standard error of the mean.
    """
    mean, sd = r.of("mean"), r.of("sd")
    ends = [math.sqrt(max(p * (1 - p), 0)) for p in (mean.low, mean.high)]
    top = 0.5 if mean.low < 0.5 < mean.high else max(ends)
    n = r.of("n").middle if r.get("n") else math.inf
    implied = Interval(min(ends), top * (math.sqrt(n / (n - 1)) if n < math.inf else 1))
    holds = implied.distance(sd) <= EPS
    is_error = n < math.inf and implied.map(lambda s: s / math.sqrt(n)).meets(sd)
    return Outcome(
        holds=holds,
        implied=f"{implied}",
        size=implied.distance(sd),
        explanation=f"A 0/1 variable with this mean has a standard deviation of {implied}"
        + (f"; what is printed is that over the square root of {n:g}." if is_error else "."),
        certificate={"bound": [implied.low, implied.high], "standard_error": is_error},
        nearest={} if holds else {r["sd"]: implied.middle},
    )


@check("impossible", "Weyl's inequality; the eigenvector is the certificate")
def correlation_matrix(r: Relation) -> Outcome:
    """A correlation matrix has no negative eigenvalue.

    Keys: prefix of the ids (completed by .row.column), variables in order of the triangle.
    """
    names = r["variables"]
    k = len(names)
    middle, half = np.eye(k), np.zeros((k, k))
    for i in range(k):
        for j in range(i):
            cell = r.interval(f"{r['prefix']}.{names[i]}.{names[j]}")
            middle[i, j] = middle[j, i] = cell.middle
            half[i, j] = half[j, i] = (cell.high - cell.low) / 2
    values, vectors = np.linalg.eigh(middle)
    v = vectors[:, 0]
    best = float(values[0] + np.abs(v) @ half @ np.abs(v))
    return Outcome(
        holds=best >= -EPS,
        implied=f"smallest eigenvalue {values[0]:.4f}",
        size=max(0.0, -best),
        explanation=f"The smallest eigenvalue is {values[0]:.4f}; rounding could raise it "
        f"to {best:.4f} along its eigenvector.",
        certificate={"eigenvalue": float(values[0]), "eigenvector": v.round(6).tolist()},
    )


@check("impossible", "difference of group means within the bounds of the variable")
def binary_correlation(r: Relation) -> Outcome:
    """The correlation with a 0/1 variable is bounded by its rate and the other's range.

    With rate p the group means differ from the mean by no more than the bounds allow, so the
    correlation is at least -min((mean - low) sqrt(p/q), (high - mean) sqrt(q/p)) / sd, and at most
    the same with the two bounds exchanged.

    Keys: correlation, rate, mean, sd (left out where the other is 0/1 too), low, high; n, since
    the standard deviation may have the divisor n - 1.
    """
    printed, rate, mean = (r.of(key) for key in ("correlation", "rate", "mean"))
    low, high, n = r.of("low").low, r.of("high").high, r.of("n").middle
    sd = r.of("sd") if r.get("sd") else mean.map(lambda p: math.sqrt(p * (1 - p)))
    sd = Interval(sd.low * math.sqrt((n - 1) / n), sd.high)

    def reach(towards: float, odds: int) -> Interval:
        return extremes(
            lambda p, m, s: np.abs(m - towards) * (p / (1 - p)) ** (odds / 2) / s, rate, mean, sd
        )

    lowest = -min(reach(low, 1).high, reach(high, -1).high)
    highest = min(reach(high, 1).high, reach(low, -1).high)
    attainable = Interval(max(lowest, -1.0), min(highest, 1.0))
    holds = attainable.distance(printed) <= EPS
    return Outcome(
        holds=holds,
        implied=f"{attainable.low:.4f} to {attainable.high:.4f}",
        size=attainable.distance(printed),
        explanation=f"With this rate and these bounds the correlation lies between "
        f"{attainable.low:.4f} and {attainable.high:.4f}.",
        certificate={"bound": [attainable.low, attainable.high]},
        nearest={} if holds else {r["correlation"]: attainable.clamp(printed.middle)},
    )


@check("impossible", "moment space of a finite support")
def support(r: Relation) -> Outcome:
    """Mean and standard deviation of a variable that takes listed values only.

    Given the mean, the variance is largest on the two outermost values and smallest on the two
    neighbours of the mean.  Keys: mean, sd, values.
    """
    mean, sd = r.of("mean"), r.of("sd")
    values = np.unique(np.asarray(r["values"], dtype=float))
    inside = Interval(float(values[0]), float(values[-1]))
    if mean.distance(inside) > 0:
        edge = inside.clamp(mean.middle)
        return Outcome(
            holds=False,
            implied=f"mean {inside}",
            size=mean.distance(inside),
            explanation=f"The values run from {inside.low:g} to {inside.high:g}, so the mean "
            "cannot lie outside.",
            certificate={"values": values.tolist()},
            nearest={
                r["mean"]: edge,
                r["sd"]: min(sd.middle, (inside.high - inside.low) / 2),
            },
        )
    candidates = [m for m in (mean.low, mean.middle, mean.high) if inside.low <= m <= inside.high]
    k = [min(np.searchsorted(values, m, side="right"), len(values) - 1) for m in candidates]
    largest = max((m - inside.low) * (inside.high - m) for m in candidates)
    smallest = min(
        (m - values[i - 1]) * (values[i] - m) for m, i in zip(candidates, k, strict=True)
    )
    attainable = Interval(math.sqrt(max(smallest, 0.0)), math.sqrt(largest))
    holds = attainable.distance(sd) <= EPS
    return Outcome(
        holds=holds,
        implied=f"sd {attainable.low:.4f} to {attainable.high:.4f}",
        size=attainable.distance(sd),
        explanation=f"On these values and with this mean the standard deviation lies between "
        f"{attainable.low:.4f} and {attainable.high:.4f}.",
        certificate={"values": values.tolist(), "bound": [attainable.low, attainable.high]},
        nearest={} if holds else {r["sd"]: attainable.clamp(sd.middle)},
    )


@check("inconsistent", "mean and variance of the selected part of a population")
def selected(r: Relation) -> Outcome:
    """Shares of levels and selection rates give the selected cases' mean and standard deviation.

    Keys: levels, shares, rates, and mean or sd.
    """
    levels = np.asarray(r["levels"], dtype=float)
    boxes = [r.interval(x).map(lambda v: max(v, 0.0)) for x in (*r["shares"], *r["rates"])]
    corners = vertices(boxes)
    weights = corners[:, : len(levels)] * corners[:, len(levels) :]
    weights = weights[weights.sum(axis=1) > 0]

    def expected(values: np.ndarray) -> Interval:
        means = weights @ values / weights.sum(axis=1)
        return Interval(float(means.min()), float(means.max()))

    mean = expected(levels)
    if r.get("mean"):
        name, implied = r["mean"], mean
    else:
        # E(x - c)^2 bounds the variance from above for any c, and from below less (mean - c)^2
        name, square = r["sd"], expected((levels - mean.middle) ** 2)
        away = max(mean.high - mean.middle, mean.middle - mean.low)
        implied = Interval(math.sqrt(max(square.low - away**2, 0)), math.sqrt(square.high))
    printed = r.interval(name)
    holds = implied.distance(printed) <= EPS
    return Outcome(
        holds=holds,
        implied=f"{implied}",
        size=implied.distance(printed),
        explanation=f"Shares times rates imply {implied} for the selected cases.",
        certificate={"bound": [implied.low, implied.high]},
        nearest={} if holds else {name: implied.clamp(printed.middle)},
    )


@check("inconsistent", "critical value of a correlation")
def correlation_threshold(r: Relation) -> Outcome:
    """A correlation said to be significant at a level is significant at the sample size.

    Keys: threshold, level, n.
    """
    threshold, level, n = r.of("threshold"), float(r["level"]), r.of("n").middle
    t = -special.stdtrit(n - 2, level / 2)
    critical = t / math.sqrt(n - 2 + t * t)
    needed = math.ceil((t / threshold.high) ** 2 * (1 - threshold.high**2) + 2)
    holds = critical <= threshold.high
    return Outcome(
        holds=holds,
        implied=show(critical),
        size=max(0.0, critical - threshold.high),
        explanation=f"With {n:.0f} cases a correlation is significant at {level:g} from "
        f"{critical:.4f} on; the printed threshold needs at least {needed} cases.",
        certificate={"n": n, "critical": critical, "cases_needed": needed},
        nearest={} if holds else {r["threshold"]: critical},
    )


@check("inconsistent", "standard error of a proportion")
def sample_size(r: Relation) -> Outcome:
    """A proportion and its standard error imply the sample size.  Keys: mean, std_error, n."""
    implied = extremes(lambda p, e: p * (1 - p) / e**2, r.of("mean"), r.of("std_error"))
    n = r.of("n")
    holds = implied.distance(n) <= 1  # the divisor may be n - 1
    return Outcome(
        holds=holds,
        implied=f"{implied}",
        size=implied.distance(n),
        explanation=f"The standard error of this proportion implies {implied.low:.0f} to "
        f"{implied.high:.0f} cases.",
        certificate={"bound": [implied.low, implied.high]},
    )
