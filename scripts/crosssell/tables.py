"""Tables: one schema for all of them, filled from estimates and set in three formats.

A *layout* says how a table looks (title, stub, columns, rows, notes); a *specification* says where
each cell comes from. The layouts of Tables 1 to 8 are those printed; their numbers are never read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from crosssell.errors import SpecificationError
from crosssell.io import read_yaml
from crosssell.results import FIELDS

MINUS = "\N{MINUS SIGN}"
LAYOUT_KEYS = ("title", "stub", "columns", "sections", "rows", "notes", "legend")


@dataclass(frozen=True)
class Column:
    """Heading of a column and the line beneath it."""

    label: str
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line: a label with its cells, or a heading without any."""

    label: str
    cells: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table as text, ready to be set; the same for every format."""

    name: str
    title: str
    stub: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    numeric: bool = True


@dataclass(frozen=True)
class Lookup:
    """Where one number of a cell stands among the estimates."""

    fit: str
    equation: str
    term: str
    field: str


def layout(path: str | Path) -> dict[str, Any]:
    """Layout of a printed table, without its numbers."""
    content = read_yaml(path)
    return {key: content[key] for key in LAYOUT_KEYS if key in content}


def lookup(spec: Mapping[str, Any], row: str, column: str, part: str) -> Lookup | None:
    """Where a table's specification takes one number of one cell from.

    Parameters
    ----------
    spec : mapping
        ``cells`` is a list of rules, each with an ``at`` pattern ``column/row`` (shell wildcards)
        and any of ``fit``, ``equation``, ``term`` and ``fields``. Later rules refine earlier ones;
        ``term`` and ``equation`` may use ``{row}``, ``{column}`` and ``{part}``.
    row, column : str
        Keys of the layout.
    part : str
        Name of the number within the cell, such as ``estimate``, ``std_error`` or ``df``.

    Returns
    -------
    Lookup or None
        None where the cell is empty.
    """
    rule = rule_at(spec, row, column)
    if "fit" not in rule:
        return None
    names = {"row": row, "column": column, "part": part}
    # In segment tables rows are grouped ("a.3"): a rule may use the group and the rest apart.
    names["group"], _, names["level"] = row.rpartition(".")
    field = rule.get("fields", {}).get(part, part if part in FIELDS else "estimate")
    return Lookup(
        rule["fit"],
        rule["equation"].format(**names),
        rule.get("term", "{row}").format(**names),
        field,
    )


def rule_at(spec: Mapping[str, Any], row: str, column: str) -> dict[str, Any]:
    """Every rule that fits a cell, merged in order."""
    merged: dict[str, Any] = {}
    for rule in spec.get("cells", []):
        if fnmatchcase(f"{column}/{row}", rule["at"]):
            merged |= {key: value for key, value in rule.items() if key != "at"}
    return merged


class Numbers:
    """Estimates of many fits, looked up by fit, equation, term and field.

    Parameters
    ----------
    fits : mapping of str to DataFrame
        Tidy estimates by ``study.model.sample``.
    """

    def __init__(self, fits: Mapping[str, pd.DataFrame]) -> None:
        self._fits = {
            name: rows.set_index(["equation", "term"])[FIELDS] for name, rows in fits.items()
        }

    def __call__(self, place: Lookup) -> float:
        """Value at a place; nan where a fit has no such term.

        Raises
        ------
        SpecificationError
            If the fit was not made.
        """
        if place.fit not in self._fits:
            raise SpecificationError(
                f"a table or text asks for the fit {place.fit!r}, which was not made.",
                "Add the model and sample to workflow/specs/models.yaml or mend the name.",
            )
        rows = self._fits[place.fit]
        key = (place.equation, place.term)
        return float(rows.at[key, place.field]) if key in rows.index else np.nan


def format_number(value: float, form: str) -> str:
    """Format a number for print: ``form`` is a number of decimals, then ``%`` or ``$`` if wanted.

    A proportion below one loses its leading zero, as in the essays. Percentages are of proportions.

    >>> format_number(0.0731, "1%"), format_number(-0.5, "3"), format_number(1234.5, "0$")
    ('7.3%', '−.500', '$1,234')
    """
    if np.isnan(value):
        return ""
    decimals, unit = int(form[0]), form[1:]
    text = f"{abs(100 * value if unit == '%' else value):,.{decimals}f}"
    sign = MINUS if value < 0 and float(text.replace(",", "")) != 0 else ""
    if unit == "%":
        return f"{sign}{text}%"
    if unit == "$":
        return f"{sign}${text}"
    return sign + (text[1:] if text.startswith("0.") else text)


def stars(p_value: float, legend: Mapping[str, float]) -> str:
    """Stars of a p-value under a table's legend ('' when none apply)."""
    earned = [mark for mark, level in legend.items() if p_value < level]
    return max(earned, key=len, default="")


def build(name: str, layout: Mapping[str, Any], spec: Mapping[str, Any], numbers: Numbers) -> Table:
    """Fill a layout with numbers.

    Parameters
    ----------
    name : str
        Name of the table, such as ``table3``.
    layout : mapping
        Keys ``title``, ``stub``, ``columns``, ``sections`` (headings of groups of rows), ``rows``,
        ``notes`` and ``legend``.
    spec : mapping
        See `lookup`; a rule's ``show`` is the cell's form, in which ``{part:form}`` stands for a
        number and ``{stars}`` for its stars. Its ``words``, if any, are shown instead: the word for
        each value that a coded number can take.
    numbers : Numbers

    Returns
    -------
    Table
    """
    legend = layout.get("legend", {})
    rows: list[Row] = []
    group = None
    for row in layout["rows"]:
        if row.get("group") != group:
            group = row.get("group")
            if group in layout.get("sections", {}):
                rows.append(Row(layout["sections"][group]))
        cells = [_cell(row, column["key"], spec, numbers, legend) for column in layout["columns"]]
        rows.append(Row(row["label"], cells))
    notes = [note.format_map(_Lazy(spec, numbers)) for note in layout.get("notes", [])]
    columns = [Column(column["label"], column.get("note", "")) for column in layout["columns"]]
    return Table(
        name,
        layout["title"],
        layout["stub"],
        columns,
        rows,
        notes + list(spec.get("notes", [])),
        numeric=not spec.get("text", False),
    )


class _Lazy(dict):
    """Numbers of a note, looked up when the note names them."""

    def __init__(self, spec: Mapping[str, Any], numbers: Numbers) -> None:
        super().__init__()
        self.spec, self.numbers = spec, numbers

    def __missing__(self, key: str) -> str:
        rule = self.spec["note_numbers"][key]
        place = Lookup(rule["fit"], rule["equation"], rule["term"], rule.get("field", "estimate"))
        return format_number(self.numbers(place), str(rule["form"]))


def _cell(
    row: Mapping[str, Any],
    column: str,
    spec: Mapping[str, Any],
    numbers: Numbers,
    legend: Mapping[str, float],
) -> str:
    """Text of one cell."""
    if column in row:
        return str(row[column])
    rule = rule_at(spec, row["key"], column)
    if "fit" not in rule:
        return ""
    value = lambda part: numbers(lookup(spec, row["key"], column, part))
    if "words" in rule:
        return str(rule["words"].get(value("estimate"), ""))
    parts = re.findall(r"\{(\w+):([^}]+)\}", rule["show"])
    if all(np.isnan(value(part)) for part, _ in parts):
        return ""
    text = re.sub(r"\{(\w+):([^}]+)\}", lambda m: format_number(value(m[1]), m[2]), rule["show"])
    text = text.replace(" ()", "")  # of a number without its standard error
    return text.replace("{stars}", stars(value("p_value"), legend) if "{stars}" in text else "")


_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    MINUS: r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\leq}",
    "±": r"\ensuremath{\pm}",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{EN DASH}": "--",
}


def tex_escape(text: object) -> str:
    """Escape text for LaTeX."""
    return "".join(_TEX.get(sign, sign) for sign in str(text))


def environment(folder: str | Path, kind: str) -> jinja2.Environment:
    """Template environment for ``tex`` (delimiters that LaTeX does not use) or ``html``."""
    options: dict[str, Any] = {
        "loader": jinja2.FileSystemLoader(folder),
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    if kind == "html":
        return jinja2.Environment(autoescape=True, **options)
    made = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        autoescape=False,
        **options,
    )
    made.filters["tex"] = tex_escape
    return made


def to_csv(table: Table) -> pd.DataFrame:
    """The table as a frame of text, headings included."""
    width = len(table.columns)
    header = [" ".join(filter(None, [c.label, c.note])) for c in table.columns]
    content = [[row.label, *row.cells, *[""] * (width - len(row.cells))] for row in table.rows]
    return pd.DataFrame(content, columns=[table.stub, *header])


def renderers(folder: str | Path) -> dict[str, Callable[[Table], str]]:
    """Functions that set a table, by file ending."""
    tex = environment(folder, "tex").get_template("table.tex.j2")
    notes = environment(folder, "tex").get_template("notes.tex.j2")
    page = environment(folder, "html").get_template("table.html.j2")
    return {
        "tex": lambda table: tex.render(table=table),
        "notes.tex": lambda table: notes.render(table=table),
        "html": lambda table: page.render(table=table),
        "csv": lambda table: to_csv(table).to_csv(index=False),
    }
