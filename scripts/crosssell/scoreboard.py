"""The scoreboard as a picture and as a page: every printed number as a cell with its verdict."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from crosssell.audit import Number
from crosssell.fidelity import summary
from crosssell.verdicts import CANNOT_HOLD, CLOSE, DIFFERS, EXACT, MEANING, SAME_READING, VERDICTS

# light to dark, so that the order survives in grey; letters tell the verdicts apart in any case
COLOURS = {
    EXACT: "#d9f0d3",
    CLOSE: "#a6dba0",
    SAME_READING: "#fee090",
    DIFFERS: "#f4a582",
    CANNOT_HOLD: "#762a83",
}
LETTERS = {EXACT: "E", CLOSE: "C", SAME_READING: "S", DIFFERS: "D", CANNOT_HOLD: "X"}
LETTERS_ACROSS = 85  # letters of a heading that fit the width of a panel
TEXT_COLUMNS = 10  # cells in a row of the text's panel

Line = tuple[str, dict[int, Number]]  # a label and the numbers by position
Panel = tuple[list[str], list[Line]]  # headings by position, and lines


def picture(
    published: Iterable[Number], layouts: Mapping[int, Any], scores: pd.DataFrame
) -> Figure:
    """Every printed number as a cell, laid out as in its table and coloured by verdict.

    Parameters
    ----------
    published : iterable of Number
    layouts : mapping of int to a table's layout
        Each with number, title, rows and columns (see ``synthetic.published.tables``).
    scores : DataFrame
        From :func:`crosssell.fidelity.fidelity`.

    Returns
    -------
    Figure
        A panel per table that prints numbers and one per text; a letter names each verdict.
    """
    numbers = list(published)
    verdicts = dict(zip(scores["id"], scores["verdict"], strict=True))
    panels: list[tuple[str, Panel]] = []
    for table in sorted({n.place.table for n in numbers if n.place.table}):
        panels.append((f"Table {table}", _table_rows(numbers, layouts[table])))
    for study in sorted({n.study for n in numbers if not n.place.table}):
        here = [n for n in numbers if not n.place.table and n.study == study]
        panels.append((f"Text, {study}", _text_rows(here)))

    heights = [len(lines) + 3.0 for _, (_, lines) in panels]
    columns = _balance(heights, 3)
    tallest = max(sum(heights[k] for k in column) for column in columns)
    figure = Figure(figsize=(13, 0.2 * tallest + 0.6), layout="none")
    for position, column in enumerate(columns):
        top = 0.97
        for k in column:
            height = 0.93 * heights[k] / tallest
            axes = figure.add_axes((0.01 + position * 0.33, top - height, 0.315, height))
            _panel(axes, *panels[k], verdicts)
            top -= height
    figure.legend(
        handles=[
            Patch(facecolor=COLOURS[v], edgecolor="black", label=f"{LETTERS[v]}  {v}")
            for v in VERDICTS
        ],
        ncols=len(VERDICTS),
        loc="upper center",
        frameon=False,
    )
    return figure


def _table_rows(numbers: Sequence[Number], layout: Any) -> Panel:
    """Rows of a table, each number in its column; several numbers of a cell stand side by side."""
    order = {column["key"]: k for k, column in enumerate(layout.columns)}
    labels = {row["key"]: row["label"] for row in layout.rows}
    cells: dict[str, dict[tuple[int, int], Number]] = {key: {} for key in labels}
    for number in numbers:
        if number.place.table == layout.number:
            row = cells.setdefault(number.place.row, {})
            column = order.get(number.place.column, len(row))
            row[column, sum(c == column for c, _ in row)] = number
    slots = sorted({slot for row in cells.values() for slot in row})
    heads = [layout.columns[c]["label"] if k == 0 and c < len(order) else "" for c, k in slots]
    return (
        heads,
        [
            (labels.get(key, key), {slots.index(slot): number for slot, number in row.items()})
            for key, row in cells.items()
            if row
        ],
    )


def _text_rows(numbers: Sequence[Number]) -> Panel:
    """Numbers of a text by section, wrapped."""
    rows: list[Line] = []
    for section in dict.fromkeys(n.place.section for n in numbers):
        cells = [n for n in numbers if n.place.section == section]
        for start in range(0, len(cells), TEXT_COLUMNS):
            part = cells[start : start + TEXT_COLUMNS]
            rows.append((section if start == 0 else "", dict(enumerate(part))))
    return [], rows


def _balance(heights: Sequence[float], count: int) -> list[list[int]]:
    """Panels in columns of similar height, in order."""
    limit = sum(heights) / count
    columns: list[list[int]] = [[]]
    filled = 0.0
    for k, height in enumerate(heights):
        if filled + height / 2 > limit and len(columns) < count:
            columns.append([])
            filled = 0.0
        columns[-1].append(k)
        filled += height
    return columns


def _panel(axes: Axes, title: str, panel: Panel, verdicts: Mapping[str, str]) -> None:
    """Draw one panel: labels left, headings above, a coloured cell per number."""
    heads, lines = panel
    wide = max(6, *(max(cells) + 1 for _, cells in lines))
    label = 0.36
    width = (1 - label) / wide
    for x, head in enumerate(heads):
        if head:
            span = next((k for k, other in enumerate(heads[x + 1 :], 1) if other), wide - x)
            room = max(2, round(LETTERS_ACROSS * width * span))
            axes.text(label + x * width, -0.3, _short(head, room), fontsize=4.5, va="center")
    for y, (name, cells) in enumerate(lines):
        axes.text(label - 0.01, y + 0.5, _short(name, 34), ha="right", va="center", fontsize=5.5)
        for x, number in cells.items():
            kind = verdicts[number.id]
            axes.add_patch(
                Rectangle(
                    (label + x * width, y),
                    width,
                    1,
                    facecolor=COLOURS[kind],
                    edgecolor="white",
                    linewidth=0.8,
                )
            )
            axes.text(
                label + (x + 0.5) * width,
                y + 0.5,
                LETTERS[kind],
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if kind == CANNOT_HOLD else "black",
            )
    axes.set(xlim=(0, 1), ylim=(len(lines) + 1.0, -2.0))
    axes.text(label, -1.2, title, fontsize=8, fontweight="bold", va="center")
    axes.axis("off")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def svg(figure: Figure) -> str:
    """A figure as SVG markup with text kept as text, the same in every run."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scoreboard"}):
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()


def page(
    template: str | Path,
    scores: pd.DataFrame,
    findings: pd.DataFrame,
    *,
    figure_svg: str = "",
    indicators: pd.DataFrame | None = None,
) -> str:
    """One self-contained HTML page: summary, picture, sortable and filterable tables.

    Parameters
    ----------
    template : path
        The jinja2 template.
    scores, findings : DataFrame
        From :func:`crosssell.fidelity.fidelity` and :func:`crosssell.audit.audit`.
    figure_svg : str
        The picture as SVG markup, embedded as it is.
    indicators : DataFrame, optional
        From :func:`crosssell.fidelity.indicators`.

    Returns
    -------
    str
    """
    path = Path(template)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template(path.name).render(
        meaning=MEANING,
        colours=COLOURS,
        letters=LETTERS,
        summary=summary(scores).to_dict("records"),
        scores=scores.to_dict("records"),
        findings=[
            {**row, "certificate": json.dumps(json.loads(row["certificate"]), indent=1)}
            for row in findings.to_dict("records")
        ],
        indicators=[] if indicators is None else indicators.to_dict("records"),
        figure_svg=figure_svg[figure_svg.find("<svg") :] if figure_svg else "",
    )


def _number(value: float) -> str:
    """A number to seven significant digits, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    return f"{value:.7g}"
