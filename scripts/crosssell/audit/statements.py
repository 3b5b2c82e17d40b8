"""Checks of what is said: the same number twice, derived figures, claims, definitions, places."""

from __future__ import annotations

import operator

import numpy as np

from crosssell.audit.intervals import Interval
from crosssell.audit.registry import Outcome, Relation, check

COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@check("inconsistent", "rounding intervals of one quantity meet")
def same(r: Relation) -> Outcome:
    """Numbers of one quantity printed in several places agree.

    Keys: numbers, the first being the reference.
    """
    first, *others = r["numbers"]
    reference = r.interval(first)
    apart = [x for x in others if not r.interval(x).meets(reference)]

    def printed(x: str | float) -> str:
        return r.number(x).printed if isinstance(x, str) else f"{x:g}"

    elsewhere = ", ".join(dict.fromkeys(map(printed, apart)))
    return Outcome(
        holds=not apart,
        implied=f"{reference}",
        size=max((r.interval(x).distance(reference) for x in apart), default=0.0),
        explanation=(
            f"Printed as {printed(first)} in one place and as {elsewhere} in another."
            if isinstance(first, str)
            else f"It should be {first:g} but is printed as {elsewhere}."
        )
        if apart
        else f"All {len(others) + 1} places agree.",
        certificate={"intervals": {str(x): [*_ends(r.interval(x))] for x in (first, *others)}},
        nearest={x: reference.middle for x in apart if isinstance(x, str)},
    )


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


@check("inconsistent", "interval arithmetic")
def derived(r: Relation) -> Outcome:
    """A printed figure follows from other printed numbers.

    Keys: number; sum_of, a list of products of ids and constants; optional over, a divisor of the
    same form.
    """
    printed, implied = r.of("number"), r.evaluate(r["sum_of"], r.get("over"))
    holds = implied.meets(printed)
    return Outcome(
        holds=holds,
        implied=f"{implied}",
        size=implied.distance(printed),
        explanation=f"The other printed numbers give {implied}; printed is "
        f"{r.number(r['number']).printed}.",
        certificate={"implied": [*_ends(implied)]},
        nearest={} if holds else {r["number"]: implied.clamp(printed.middle)},
    )


@check("inconsistent", "interval arithmetic")
def equal(r: Relation) -> Outcome:
    """Two figures derived from printed numbers agree.

    Keys: left and right, each with sum_of and optional over; a factor ``{probit: rate}`` is the
    normal quantile of a rate in per cent.
    """
    left, right = (r.evaluate(r[side]["sum_of"], r[side].get("over")) for side in ("left", "right"))
    return Outcome(
        holds=left.meets(right),
        implied=f"{left} and {right}",
        size=left.distance(right),
        explanation=f"One side gives {left}, the other {right}.",
        certificate={"left": [*_ends(left)], "right": [*_ends(right)]},
    )


@check("inconsistent", "interval arithmetic")
def order(r: Relation) -> Outcome:
    """A claimed order holds for some values that round to the printed ones.

    Keys: left, right (references or lists of products), is (one of < <= > >=).
    """
    left, right = r.evaluate(r["left"]), r.evaluate(r["right"])
    above = r["is"].startswith(">")
    best = (left.high, right.low) if above else (left.low, right.high)
    holds = bool(COMPARISONS[r["is"]](*best))
    return Outcome(
        holds=holds,
        implied=f"{left} against {right}",
        size=0.0 if holds else abs(best[0] - best[1]),
        explanation=f"A value of {left} is said to be {'larger' if above else 'smaller'} than one "
        f"of {right}.",
        certificate={"left": [*_ends(left)], "right": [*_ends(right)]},
    )


@check("inconsistent", "order of printed numbers")
def rank(r: Relation) -> Outcome:
    """A number has the claimed place among others, from the largest down.

    Keys: number, among, place (1 for the largest); absolute (true to compare magnitudes).
    """

    def size(name: str) -> Interval:
        interval = r.interval(name)
        return interval.magnitude if r.get("absolute") else interval

    own, place = size(r["number"]), r["place"]
    others = [size(name) for name in r["among"] if name != r["number"]]
    surely_above = sum(o.low > own.high for o in others)
    possibly_above = sum(o.high > own.low for o in others)
    holds = surely_above < place <= possibly_above + 1
    return Outcome(
        holds=holds,
        implied=f"place {surely_above + 1}"
        + (f" to {possibly_above + 1}" if possibly_above > surely_above else ""),
        size=float(max(surely_above + 1 - place, place - possibly_above - 1, 0)),
        explanation=f"{surely_above} of the others are larger; the claim is place {place}.",
        certificate={"larger": [surely_above, possibly_above]},
    )


@check("inconsistent", "sign of a printed number")
def sign(r: Relation) -> Outcome:
    """A number has the sign that words or a hypothesis give it.

    Keys: number, claim (positive or negative).
    """
    value = r.of("number")
    positive = r["claim"] == "positive"
    holds = value.high > 0 if positive else value.low < 0
    return Outcome(
        holds=holds,
        implied=f"{value}",
        size=0.0 if holds else value.magnitude.low,
        explanation=f"Said to be {r['claim']}, printed as {r.number(r['number']).printed}.",
        certificate={"interval": [*_ends(value)]},
    )


@check("inconsistent", "list of attainable values")
def attained(r: Relation) -> Outcome:
    """A number is one of the values it can take; an upper bound is judged by its end.

    Keys: number, values.
    """
    number = r.number(r["number"])
    printed = Interval(number.value, number.value) if number.comparison else r.of("number")
    values = np.asarray(r["values"], dtype=float)
    gaps = [printed.distance(Interval(v, v)) for v in values]
    best = float(values[int(np.argmin(gaps))])
    return Outcome(
        holds=min(gaps) == 0,
        implied=f"{best:g}",
        size=min(gaps),
        explanation=f"The nearest of the {len(values)} values it can take is {best:g}.",
        certificate={"values": sorted(values.tolist())},
        nearest={} if min(gaps) == 0 else {r["number"]: best},
    )


@check("inconsistent", "place of a printed number")
def cross_reference(r: Relation) -> Outcome:
    """A table cited for a number is the table that has it.  Keys: number, found, cited."""
    r.number(r["number"])
    table = r.number(r["found"]).place.table
    return Outcome(
        holds=table == r["cited"],
        implied=f"Table {table}",
        size=0.0,
        explanation=f"Table {r['cited']} is cited; the number stands in Table {table}.",
        certificate={"cited": r["cited"], "found": table},
    )


@check("inconsistent", "presence of a printed number")
def present(r: Relation) -> Outcome:
    """A term that the text says a model contains is printed.

    Keys: expected, the id it would have; beside, an id printed next to it.
    """
    r.number(r["beside"])
    holds = r["expected"] in r.numbers
    return Outcome(
        holds=holds,
        implied="printed" if holds else "not printed",
        size=0.0,
        explanation="The term is printed." if holds else "The cell the text speaks of is empty.",
        certificate={"expected": r["expected"]},
    )


@check("inconsistent", "reading")
def statements(r: Relation) -> Outcome:
    """Two places say the same of one thing.

    Keys: says, a list of mappings with where and what (the gist, in words or a number; no
    rounding is involved), and numbers, ids concerned, if any.
    """
    for name in r.get("numbers", ()):
        r.number(name)
    gists = [str(entry["what"]) for entry in r["says"]]
    told = "; ".join(f"{entry['where']}: {entry['what']}" for entry in r["says"])
    return Outcome(
        holds=len(set(gists)) == 1,
        implied=told,
        size=0.0,
        explanation=f"The places say: {told}.",
        certificate={"says": r["says"]},
    )
