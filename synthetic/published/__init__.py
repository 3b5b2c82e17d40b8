"""Every number the two essays print, as printed, with its place, precision and role.

The numbers stand in YAML beside this module, one line each: a file per table (``table1.yaml`` to
``table8.yaml``, which also hold the table's title, headings, row labels and notes) and a file per
text (``abstract.yaml``, ``part1.yaml``, ``part2.yaml``).  Damaged cells are kept damaged.  A text's
``outside`` list names the printed numbers that no data set of these studies bears on: those quoted
about other firms, interviews and counts of words.

Another paper's numbers are read in the same way from another folder.

References
----------
"Cross-selling in customer service", doctoral dissertation in two essays, Tables 1 to 8 and text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from crosssell.errors import CrossSellError

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.yaml"
RELATIONS_SCHEMA = HERE / "relations.schema.yaml"
NOT_NUMBERS = {"schema.yaml", "relations.yaml", "relations.schema.yaml"}

# units in which a number printed without decimals is a count, a code or the end of a scale
WHOLE = frozenset(
    "count code df year years months days minutes encounters points rank rating".split()
)


class PublishedError(CrossSellError, ValueError):
    """A file of printed numbers is not what the schema asks for."""


@dataclass(frozen=True)
class Place:
    """Where a number stands: a cell of a table, or a few words of a section."""

    table: int | None = None
    row: str = ""
    column: str = ""
    part: str = ""
    section: str = ""
    words: str = ""
    row_label: str = ""
    column_label: str = ""

    def __str__(self) -> str:
        """Say the place as a reader would look for it."""
        if self.table is None:
            return f"{self.section}: “{self.words}”"
        cell = ", ".join(filter(None, [self.row_label, self.column_label]))
        return f"Table {self.table}: {cell}{' (' + self.part + ')' if self.part else ''}"


@dataclass(frozen=True)
class Printed:
    """One printed number.

    Attributes
    ----------
    id : str
        Dot-separated name, unique.
    printed : str
        The string as printed, damage included.
    value : float
        Its value in the printed unit: "7.3 %" is 7.3, "$116, 448" is 116448, "four" is 4.
    decimals : int
        Printed decimals.
    half_width : float
        Half a unit of the last printed digit.
    stars : str
        Significance stars; an estimate carries its cell's.
    significance : str
        The significance stated in the text ("p<.05", "ns"), if any.
    p_interval : tuple of float or None
        The p-values that stars or statement allow, as (lowest, highest), read with the levels
        that the table or text distinguishes.
    comparison : str
        "<" where the printed number is an upper bound only, else "".
    study : str
        "part1", "part2" or "both".
    place : Place
        Where it stands.
    unit : str
        dollars, years, percent, correlation, coefficient, std_error, statistic, ...
    role : str
        "imposed" where the generator aims at it, "emergent" otherwise.
    """

    id: str
    printed: str
    value: float
    decimals: int
    half_width: float
    stars: str
    significance: str
    p_interval: tuple[float, float] | None
    comparison: str
    study: str
    place: Place
    unit: str
    role: str

    @property
    def exact(self) -> bool:
        """Whether it is a whole number that was counted or chosen, not rounded."""
        return self.decimals == 0 and self.unit in WHOLE

    @property
    def interval(self) -> tuple[float, float]:
        """Every value that rounds to what is printed, as (lowest, highest)."""
        if self.comparison == "<":
            return 0.0, self.value
        if self.exact:
            return self.value, self.value
        return self.value - self.half_width, self.value + self.half_width

    def matches(self, value: float) -> bool:
        """Whether a value rounds to the printed string; a tie may round either way."""
        low, high = self.interval
        slack = 1e-9 * max(1.0, abs(self.value)) * min(1.0, 10.0**-self.decimals)
        return low - slack <= value <= high + slack


@dataclass(frozen=True)
class Table:
    """A printed table's title, headings, row labels and notes, in printed order.

    ``columns`` and ``rows`` are mappings with ``key`` and ``label`` and, where printed, ``note``,
    ``group`` (a key of ``sections``), ``expected`` (hypothesised sign), ``type``, ``definition``,
    ``measure`` and ``number`` (of a hypothesis).
    """

    number: int
    study: str
    title: str
    stub: str
    columns: tuple[Mapping[str, str], ...]
    rows: tuple[Mapping[str, str], ...]
    sections: Mapping[str, str] = field(default_factory=dict)
    legend: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load(folder: Path | None = None) -> tuple[Printed, ...]:
    """Read every printed number.

    Parameters
    ----------
    folder : Path, optional
        Folder of YAML files; the essays' by default.

    Returns
    -------
    tuple of Printed
        In order of file and line.

    Raises
    ------
    PublishedError
        A file breaks the schema, a number cannot be read or an id comes twice.
    """
    return _load(Path(folder or HERE))


def by_id(folder: Path | None = None) -> dict[str, Printed]:
    """Every printed number by its id."""
    return {number.id: number for number in load(folder)}


def tables(folder: Path | None = None) -> dict[int, Table]:
    """Every table's layout by its number."""
    return {
        content["table"]: Table(
            number=content["table"],
            study=content["study"],
            title=content["title"],
            stub=content["stub"],
            columns=tuple(content["columns"]),
            rows=tuple(content["rows"]),
            sections=content.get("sections", {}),
            legend=content.get("legend", {}),
            notes=tuple(content.get("notes", ())),
        )
        for content in _files(Path(folder or HERE))
        if "table" in content
    }


def outside(folder: Path | None = None) -> tuple[Mapping[str, str], ...]:
    """Printed numbers that no data set of the studies bears on, with the reason."""
    return tuple(
        entry for content in _files(Path(folder or HERE)) for entry in content.get("outside", ())
    )


def relations(folder: Path | None = None) -> dict[str, Any]:
    """Declared relations between the printed numbers, for ``crosssell.audit``.

    Parameters
    ----------
    folder : Path, optional
        Folder with ``relations.yaml``; the essays' by default.

    Raises
    ------
    PublishedError
        The file breaks its schema.
    """
    path = Path(folder or HERE) / "relations.yaml"
    content = _read(path)
    _check(path, content, RELATIONS_SCHEMA)
    return content


@cache
def _load(folder: Path) -> tuple[Printed, ...]:
    numbers: dict[str, Printed] = {}
    for content in _files(folder):
        for number in _numbers(content):
            if number.id in numbers:
                raise PublishedError(
                    f"The id {number.id} comes twice.", "Give each number its own."
                )
            numbers[number.id] = number
    return tuple(numbers.values())


@cache
def _files(folder: Path) -> tuple[dict[str, Any], ...]:
    """Content of every file of numbers, checked against the schema."""
    contents = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name not in NOT_NUMBERS:
            contents.append(_read(path))
            _check(path, contents[-1], SCHEMA)
    if not contents:
        raise PublishedError(f"No file of numbers in {folder}.", "Put at least one YAML there.")
    return tuple(contents)


def _check(path: Path, content: Any, schema: Path) -> None:
    """Raise a PublishedError that tells every breach of the schema."""
    problems = [
        f"{path.name}, {'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in jsonschema.Draft202012Validator(_read(schema)).iter_errors(content)
    ]
    if problems:
        raise PublishedError("\n".join(problems), f"{schema.name} describes every key.")


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _numbers(content: Mapping[str, Any]) -> Iterator[Printed]:
    """Numbers of one file: a number's keys override its group's, which override the file's."""
    labels = {
        kind: {entry["key"]: entry["label"] for entry in content.get(kind, ())}
        for kind in ("rows", "columns")
    }
    legend = content.get("legend", {})
    levels = tuple(sorted(content.get("levels", legend.values())))
    for group in content["groups"]:
        shared = {key: value for key, value in group.items() if key != "numbers"}
        for line in group["numbers"]:
            entry = {"study": content["study"], "part": "", **shared, **line}
            value, decimals = _value(entry)
            row, column = entry.get("row", ""), entry.get("column", "")
            yield Printed(
                id=entry["id"],
                printed=entry["printed"],
                value=value,
                decimals=decimals,
                half_width=0.5 * 10.0**-decimals,
                stars=entry.get("stars", ""),
                significance=entry.get("significance", ""),
                p_interval=_p_interval(entry, legend, levels),
                comparison=entry.get("comparison", ""),
                study=entry["study"],
                place=Place(
                    table=content.get("table"),
                    row=row,
                    column=column,
                    part=entry["part"],
                    section=entry.get("section", ""),
                    words=entry.get("words", ""),
                    row_label=labels["rows"].get(row, row),
                    column_label=labels["columns"].get(column, column),
                ),
                unit=entry["unit"],
                role=entry["role"],
            )


def _value(entry: Mapping[str, Any]) -> tuple[float, int]:
    """Value and decimals of a printed string, or of the value given for a number in words."""
    text = str(entry.get("value", entry["printed"]))
    digits = re.sub(r"[\s$,%]", "", text)
    if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", digits):
        raise PublishedError(
            f"{entry['id']}: {entry['printed']!r} is no number.",
            "Give its value with the key value, as for numbers in words.",
        )
    return float(digits), len(digits.partition(".")[2])


def _p_interval(
    entry: Mapping[str, Any], legend: Mapping[str, float], levels: tuple[float, ...]
) -> tuple[float, float] | None:
    """P-values that the stars or the statement allow.

    A coefficient without stars in a table that uses them is not significant at the weakest level.
    """
    stars, said = entry.get("stars", ""), entry.get("significance", "")
    if stars:
        highest = legend[stars]
    elif said and said != "ns":
        highest = float(said.replace(" ", "").removeprefix("p<"))
    elif said == "ns" or (legend and entry["unit"] == "coefficient"):
        return levels[-1], 1.0
    else:
        return None
    return max((level for level in levels if level < highest), default=0.0), highest
