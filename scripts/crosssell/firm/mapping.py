"""From a firm's columns to ours: categories, units, numbers and dates, checked by columns.

A column is screened as a whole; Frictionless then says of each distinct value that failed which
rule of the Table Schema it breaks. The screen and Frictionless agree (a test holds them together).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from frictionless import Field

from crosssell.firm.configuration import Column
from crosssell.firm.problems import LINES_KEPT, Problem
from crosssell.firm.sources import Export

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
ISO = {
    "date": ("%Y-%m-%d",),
    "datetime": ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"),
}
ARROW = {
    "string": pa.string(),
    "integer": pa.float64(),
    "number": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s"),
}
#: Distinct failing values of a column that Frictionless is asked about.
DIAGNOSED = 2000


def convert(
    export: Export, table: str, field: Field, column: Column, *, hidden: bool = False
) -> tuple[pa.Array, list[Problem], np.ndarray]:
    """Convert one column and say what is wrong with it.

    Parameters
    ----------
    export : Export
    table : str
        Our table.
    field : frictionless.Field
        Our column.
    column : Column
        Where it comes from.
    hidden : bool
        Whether problems must not show values, as when identifiers are hashed.

    Returns
    -------
    values : Array, shape (n,)
        In our type and unit; null where the cell is empty or wrong.
    problems : list of Problem
    empty : ndarray of bool, shape (n,)
        Rows whose cell is empty.
    """
    theirs = _theirs(export, column)
    empty = theirs.is_null().to_numpy(zero_copy_only=False)
    mapped, unmapped = _map(theirs, column)
    values = _typed(mapped, field, column, export)
    wrong_type = _mask(pc.and_(mapped.is_valid(), values.is_null()))
    broken = _mask(_breaks(values, field))
    problems = []
    told = lambda mask, rule, mend: problems.append(
        _problem(export, table, field, column, theirs, mask, rule, mend, hidden)
    )
    if unmapped is not None and unmapped.any():
        listed = ", ".join(list(column.map or {})[:8])
        told(unmapped, f"is not in the category map ({listed})", "Add the category to `map`.")
    for mask, rule in _diagnose(mapped, values, wrong_type, broken, field):
        told(mask, *_wording(rule, field, column))
    return values, problems, empty


def _theirs(export: Export, column: Column) -> pa.Array:
    """Their cells without surrounding blanks; empty cells are null."""
    if column.column is None:
        return pa.array([column.value] * export.table.num_rows, pa.string())
    cells = export.table[column.column].combine_chunks()
    if pa.types.is_null(cells.type):
        return cells.cast(pa.string())
    if pa.types.is_string(cells.type):
        trimmed = pc.utf8_trim_whitespace(cells)
        blank = pc.equal(trimmed, "")
        return pc.if_else(blank, None, trimmed) if pc.any(blank).as_py() else trimmed
    if pa.types.is_floating(cells.type):
        return pc.if_else(pc.is_nan(cells), None, cells)
    return cells


def _map(theirs: pa.Array, column: Column) -> tuple[pa.Array, np.ndarray | None]:
    """Apply the category map; unmapped categories become null and are returned as a mask."""
    if column.map is None:
        return theirs, None
    keys = pa.array(list(column.map))
    position = pc.index_in(_as_text(theirs), keys)
    mapped = pa.array(list(column.map.values())).take(position)
    return mapped, _mask(pc.and_(theirs.is_valid(), position.is_null()))


def _as_text(values: pa.Array) -> pa.Array:
    """Values as text; whole numbers without a decimal point, as spreadsheets show them."""
    if (
        pa.types.is_floating(values.type)
        and pc.all(pc.equal(pc.floor(values), values), min_count=0).as_py()
    ):
        magnitude = pc.max(pc.abs(values)).as_py() or 0
        if magnitude < 2**53:
            values = values.cast(pa.int64())
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _typed(values: pa.Array, field: Field, column: Column, export: Export) -> pa.Array:
    """Values in our type and unit; null where they cannot be."""
    if field.type == "string":
        return _as_text(values)
    if field.type in ("number", "integer"):
        signs = (
            (export.decimal, export.thousands) if column.column and not column.map else (".", "")
        )
        numbers = _numbers(values, *signs)
        return pc.multiply(numbers, column.factor) if column.factor != 1.0 else numbers
    return _times(values, field.type, column.format or ISO[field.type])


def _numbers(values: pa.Array, decimal: str, thousands: str) -> pa.Array:
    if not pa.types.is_string(values.type):
        known = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        if pa.types.is_boolean(values.type):
            return values.cast(pa.int8()).cast(pa.float64())
        return values.cast(pa.float64()) if known else pa.nulls(len(values), pa.float64())
    if thousands:
        group = "[.]" if thousands == "." else thousands
        inside = pc.match_substring_regex(
            values, rf"^[+-]?[0-9]{{1,3}}({group}[0-9]{{3}})+([^0-9]|$)"
        )
        values = pc.if_else(inside, pc.replace_substring(values, thousands, ""), values)
    if decimal == ",":
        point = pc.match_substring(values, ".")
        values = pc.if_else(point, "?", pc.replace_substring(values, ",", "."))
    wellformed = pc.match_substring_regex(values, NUMBER)
    if not pc.all(wellformed, min_count=0).as_py():
        values = pc.if_else(wellformed, values, None)
    numbers = pc.replace_substring_regex(values, r"^\+", "").cast(pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _times(values: pa.Array, kind: str, formats: tuple[str, ...]) -> pa.Array:
    """Dates or times; null where a value is not one, such as 30 February."""
    target = ARROW[kind]
    if pa.types.is_temporal(values.type):
        naive = values.cast(pa.timestamp("us")) if pa.types.is_timestamp(values.type) else values
        return pc.cast(naive, target, safe=False) if kind == "date" else _to_seconds(naive)
    if not pa.types.is_string(values.type):
        return pa.nulls(len(values), target)
    # Arrow would also read a date alone as the midnight before it, which is no time of a contact.
    bare = kind == "datetime" and pc.any(pc.less_equal(pc.utf8_length(values), 10)).as_py()
    if formats == ISO[kind] and not bare:
        try:  # Arrow reads well-formed ISO dates many times faster
            return values.cast(target)
        except pa.ArrowInvalid:
            pass
    cells = pa.table({"cell": values})
    with duckdb.connect() as connection:
        connection.register("cells", cells)
        relation = connection.sql(
            "select try_strptime(cell, $formats::varchar[]) as moment from cells",
            params={"formats": list(formats)},
        )
        moments = relation.to_arrow_table()["moment"].combine_chunks()
    return pc.cast(moments, target, safe=False) if kind == "date" else _to_seconds(moments)


def _to_seconds(values: pa.Array) -> pa.Array:
    return pc.cast(values, pa.timestamp("s"), safe=False)


def _limit(field: Field, name: str) -> Any:
    """A constraint's bound in the type of the column."""
    bound = field.constraints.get(name)
    if bound is None or field.type in ("number", "integer"):
        return bound
    kind = datetime.date if field.type == "date" else datetime.datetime
    return kind.fromisoformat(str(bound))


def _breaks(values: pa.Array, field: Field) -> pa.Array:
    """Mask of values that break a constraint of the schema."""
    constraints = field.constraints
    masks = []
    if field.type == "integer":
        masks.append(pc.not_equal(values, pc.floor(values)))
    if (low := _limit(field, "minimum")) is not None:
        masks.append(pc.less(values, pa.scalar(low, values.type)))
    if (high := _limit(field, "maximum")) is not None:
        masks.append(pc.greater(values, pa.scalar(high, values.type)))
    if "enum" in constraints:
        allowed = pa.array(constraints["enum"]).cast(values.type)
        masks.append(pc.and_(values.is_valid(), pc.invert(pc.is_in(values, allowed))))
    if "maxLength" in constraints:
        masks.append(pc.greater(pc.utf8_length(values), constraints["maxLength"]))
    if "pattern" in constraints:
        # Frictionless matches from the beginning to the end, and a point also matches a line break.
        pattern = f"(?s)^(?:{constraints['pattern']})$"
        masks.append(pc.invert(pc.match_substring_regex(values, pattern)))
    total = pa.array(np.zeros(len(values), dtype=bool))
    for mask in masks:
        total = pc.or_(total, pc.fill_null(mask, False))
    return total


def _mask(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)


def _diagnose(
    mapped: pa.Array, values: pa.Array, wrong_type: np.ndarray, broken: np.ndarray, field: Field
) -> Iterator[tuple[np.ndarray, str]]:
    """For each rule that is broken, the rows that break it."""
    if wrong_type.any():
        yield wrong_type, "type"
    if not broken.any():
        return
    rows = np.flatnonzero(broken)
    failing = values.take(pa.array(rows))
    distinct = failing.unique()
    rules = [_rule(value, field) for value in distinct.slice(0, DIAGNOSED).to_pylist()]
    # Beyond the first thousands, a value counts with the rule that most of those break.
    common = max(set(rules), key=rules.count)
    position = pc.index_in(failing, distinct.slice(0, DIAGNOSED)).to_numpy(zero_copy_only=False)
    of_row = np.array([*rules, common], dtype=object)[np.nan_to_num(position, nan=-1).astype(int)]
    for rule in dict.fromkeys(rules):
        mask = np.zeros(broken.size, dtype=bool)
        mask[rows[of_row == rule]] = True
        yield mask, rule


def _rule(value: Any, field: Field) -> str:
    """The rule of the schema that a value breaks, as Frictionless sees it."""
    if field.type == "integer":
        if value != int(value):
            return "whole"
        value = int(value)
    notes = field.read_cell(value)[1]
    return next(iter(notes), "type")


def _wording(rule: str, field: Field, column: Column) -> tuple[str, str]:
    """What is wrong, and what to do."""
    constraints = field.constraints
    unit = f" {field.custom['unit']}" if "unit" in field.custom else ""
    nouns = {
        "number": "a number",
        "integer": "a whole number",
        "date": "a date",
        "datetime": "a time",
    }
    if rule == "type" and field.type in ISO:
        formats = " or ".join(column.format or ISO[field.type][:1])
        return (
            f"is not {nouns[field.type]} of the calendar in the format {formats}",
            "Correct the cell, or write the `format` of this column.",
        )
    texts = {
        "type": (
            f"is not {nouns.get(field.type, 'text')}",
            "Correct the cell, or say at the file which `decimal` and `thousands` signs it uses.",
        ),
        "whole": ("is not a whole number", "Correct the cell."),
        "minimum": (
            f"is below {constraints.get('minimum')}{unit}",
            "Correct the cell, or write the column's `unit`.",
        ),
        "maximum": (
            f"is above {constraints.get('maximum')}{unit}",
            "Correct the cell, or write the column's `unit`.",
        ),
        "enum": (
            f"is none of {', '.join(map(str, constraints.get('enum', [])))}",
            "Correct the cell, or translate your categories with `map`.",
        ),
        "maxLength": (
            f"has more than {constraints.get('maxLength')} characters",
            "Correct the cell; a quotation mark may be missing.",
        ),
        "pattern": (
            "is not a country's code of three capital letters"
            if constraints.get("pattern") == "[A-Z]{3}"
            else "begins like a formula (=, +, -, @)",
            "Translate countries with `map`, such as Germany: DEU."
            if constraints.get("pattern") == "[A-Z]{3}"
            else "Take the sign away or quote it in the export; formulas are never taken over.",
        ),
    }
    return texts[rule]


def _problem(
    export: Export,
    table: str,
    field: Field,
    column: Column,
    theirs: pa.Array,
    mask: np.ndarray,
    rule: str,
    mend: str,
    hidden: bool,
) -> Problem:
    rows = np.flatnonzero(mask)
    kept = rows[:LINES_KEPT]
    return Problem(
        export.label,
        rule,
        mend,
        column.column or f"value: {column.value}",
        f"{table}.{field.name}",
        count=int(rows.size),
        lines=export.lines(kept).tolist(),
        cells=[] if hidden else _as_text(theirs.take(pa.array(kept))).to_pylist(),
        place=export.place,
    )


def texts(export: Export, column: str) -> pa.Array:
    """One of their columns as text."""
    return _as_text(_theirs(export, Column(column)))


def empty_cells(
    export: Export,
    table: str,
    columns: Mapping[str, Column],
    empty: Mapping[str, np.ndarray],
    bound: float,
) -> list[Problem]:
    """One problem per column with empty cells; a warning where they are within the bound."""
    problems = []
    for name, mask in empty.items():
        rows = np.flatnonzero(mask)
        within = rows.size <= bound * mask.size
        if rows.size:
            problems.append(
                Problem(
                    export.label,
                    f"is empty in {rows.size / mask.size:.2%} of the rows, "
                    f"and losses.missing allows {bound:.2%}",
                    "The rows are left out."
                    if within
                    else "Fill the cells, leave the column out of the configuration, or raise "
                    "losses.missing.",
                    columns[name].column or "",
                    f"{table}.{name}",
                    count=int(rows.size),
                    lines=export.lines(rows[:LINES_KEPT]).tolist(),
                    place=export.place,
                    warning=within,
                )
            )
    return problems
