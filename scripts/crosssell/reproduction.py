"""Which result answers which printed number.

A printed number in a table is answered by the same cell of the same table; one in the text by its
entry in ``workflow/specs/text.yaml``. Printed numbers are asked for their place only: their values
are not read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from crosssell.tables import Lookup, Numbers, lookup, rule_at


class Placed(Protocol):
    """What is asked of a printed number: its name, its place and its unit."""

    id: str
    place: Any
    unit: str


def answer(printed: Placed, tables: Mapping[str, Any], text: Mapping[str, Any]) -> Lookup | None:
    """Where the result stands that a printed number is compared with.

    Parameters
    ----------
    printed : Placed
    tables, text : mapping
        The specifications ``tables.yaml`` and ``text.yaml``.

    Returns
    -------
    Lookup or None
        None where no result answers it.
    """
    if printed.id in text:
        rule = text[printed.id]
        return Lookup(rule["fit"], rule["equation"], rule["term"], rule.get("field", "estimate"))
    place = printed.place
    if place.table is None:
        return None
    spec = tables[f"table{place.table}"]
    show = rule_at(spec, place.row, place.column).get("show", "")
    parts = re.findall(r"\{(\w+):", show)
    if not parts:
        return None
    # A cell with several numbers: the last word of the number's name says which it is.
    named = printed.id.rsplit(".", 1)[-1]
    return lookup(spec, place.row, place.column, named if named in parts else parts[0])


def reproduced(
    published: Iterable[Placed],
    tables: Mapping[str, Any],
    text: Mapping[str, Any],
    numbers: Numbers,
) -> dict[str, float]:
    """Values of this run by the names of the printed numbers, in the printed units.

    Returns
    -------
    dict of str to float
        Percentages are per hundred; what the run does not give is left out.
    """
    values = {}
    for printed in published:
        place = answer(printed, tables, text)
        value = np.nan if place is None else numbers(place)
        if not np.isnan(value):
            values[printed.id] = 100 * value if printed.unit == "percent" else value
    return values
