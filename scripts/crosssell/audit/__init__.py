"""The audit: what the printed numbers of a paper can and cannot be.

Relations between printed numbers are declared in YAML and judged by a registry of general checks
(:data:`CHECKS`).  A printed number stands for every value that rounds to it, and a finding holds
for all of them.  Nothing here knows a particular paper.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crosssell.audit import estimates, joint, moments, statements
from crosssell.audit.intervals import Interval
from crosssell.audit.registry import (
    CHECKS,
    Check,
    Number,
    Outcome,
    Relation,
    RelationError,
    check,
)

__all__ = [
    "CHECKS",
    "COLUMNS",
    "Certificate",
    "Check",
    "Interval",
    "Number",
    "Outcome",
    "Relation",
    "RelationError",
    "audit",
    "certificates",
    "check",
    "estimates",
    "expand",
    "joint",
    "moments",
    "statements",
    "untouched",
]

COLUMNS = [
    "id",
    "kind",
    "places",
    "printed",
    "implied",
    "verdict",
    "size",
    "explanation",
    "certificate",
    "numbers",
    "cannot_hold",
]


@dataclass(frozen=True)
class Certificate:
    """Why a printed number cannot hold.

    Attributes
    ----------
    finding : str
        Id of the audit's finding.
    nearest : float
        Nearest attainable value; nan where the finding names none.
    """

    finding: str
    nearest: float


def audit(published: Iterable[Number], relations: Mapping[str, Any]) -> pd.DataFrame:
    """Judge every declared relation.

    Parameters
    ----------
    published : iterable of Number
        The printed numbers, for instance ``synthetic.published.load()``.
    relations : mapping
        Content of a file of relations: a list under ``relations``.  An entry has an ``id``, a
        ``kind``, the check's keys, and optionally ``blames`` (ids that cannot hold where the
        relation fails, or a mapping from them to expressions for what the other numbers imply; by
        default those the check finds a nearest attainable value for), ``because`` (a sentence added
        to the explanation), ``failure`` (a failure's name in place of the check's) and ``for`` (a
        mapping of names to lists: one relation for every combination, ``{name}`` filled in).

    Returns
    -------
    DataFrame
        One row per relation: id, kind, places, printed, implied, verdict (consistent,
        inconsistent, impossible), size (distance in the printed unit), explanation, certificate
        (JSON), numbers and cannot_hold (ids, space-separated).

    Raises
    ------
    RelationError
        A relation names an unknown kind, number or key.
    """
    numbers = {number.id: number for number in published}
    rows = [_judge(Relation(**entry, numbers=numbers)) for entry in expand(relations)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    twice = table["id"][table["id"].duplicated()].tolist()
    if twice:
        raise RelationError(f"Relations with the same id: {', '.join(twice)}.", "Rename them.")
    return table


def expand(relations: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One entry (id, kind, arguments) per relation, ``for`` lists multiplied out."""
    for entry in relations["relations"]:
        names = entry.get("for", {})
        for values in itertools.product(*names.values()):
            filled = _fill(entry, dict(zip(names, values, strict=True)))
            yield {
                "id": filled["id"],
                "kind": filled["kind"],
                "arguments": {
                    key: value for key, value in filled.items() if key not in ("id", "kind", "for")
                },
            }


def _fill(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        for name, filling in names.items():
            if value == f"{{{name}}}":
                return filling
            value = value.replace(f"{{{name}}}", str(filling))
        return value
    if isinstance(value, Mapping):
        return {key: _fill(entry, names) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_fill(entry, names) for entry in value]
    return value


def _judge(relation: Relation) -> dict[str, Any]:
    if relation.kind not in CHECKS:
        raise RelationError(
            f"{relation.id}: no check is called {relation.kind}.",
            f"There are {', '.join(sorted(CHECKS))}.",
        )
    kind = CHECKS[relation.kind]
    outcome = kind.function(relation)
    ids = list(relation.used)
    printed = [relation.numbers[name] for name in ids]
    blames = {} if outcome.holds else relation.get("blames", outcome.nearest)
    nearest = dict(outcome.nearest)
    for name in blames:
        printed_value = relation.number(name).value
        if relation.get("blames") and isinstance(blames, Mapping):
            nearest[name] = relation.evaluate(blames[name]).clamp(printed_value)
    certificate = {
        "source": kind.source,
        "intervals": {name: list(relation.numbers[name].interval) for name in ids},
        **outcome.certificate,
        "nearest": nearest,
    }
    return {
        "id": relation.id,
        "kind": relation.kind,
        "places": "; ".join(str(number.place) for number in printed),
        "printed": "; ".join(number.printed for number in printed),
        "implied": outcome.implied,
        "verdict": "consistent" if outcome.holds else relation.get("failure", kind.failure),
        "size": float(outcome.size),
        "explanation": " ".join(filter(None, [outcome.explanation, relation.get("because")])),
        "certificate": json.dumps(_plain(certificate), allow_nan=False),
        "numbers": " ".join(ids),
        "cannot_hold": " ".join(blames),
    }


def _plain(value: Any) -> Any:
    """Value in JSON's types; infinities in words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Iterable):
        return [_plain(entry) for entry in value]
    return float(value) if math.isfinite(value) else str(value)


def certificates(findings: pd.DataFrame) -> dict[str, Certificate]:
    """Certificate of every printed number that cannot hold, by its id.

    Where several findings concern a number, one that names an attainable value comes first, and
    among these one that calls it impossible.
    """
    failed = findings[findings["cannot_hold"].str.len() > 0]
    order = failed["verdict"].map({"impossible": 0, "inconsistent": 1})
    found: dict[str, Certificate] = {}
    for row in failed.loc[order.sort_values(kind="stable").index].itertuples():
        nearest = json.loads(row.certificate)["nearest"]
        for name in row.cannot_hold.split():
            known = found.get(name)
            if known is None or (known.nearest != known.nearest and name in nearest):
                found[name] = Certificate(row.id, float(nearest.get(name, float("nan"))))
    return found


def untouched(published: Iterable[Number], findings: pd.DataFrame) -> list[str]:
    """Ids of printed numbers that no relation speaks of."""
    touched = set(" ".join(findings["numbers"]).split())
    return [number.id for number in published if number.id not in touched]
