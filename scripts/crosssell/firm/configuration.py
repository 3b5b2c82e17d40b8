"""The configuration of a firm: checked against its schema, and asked what the data have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from frictionless import Schema

from crosssell import settings
from crosssell.errors import SpecificationError

SCHEMAS = Path(__file__).resolve().parents[3] / "workflow" / "schemas"
#: Names of units, and how many of ours one of theirs is.
UNITS = {
    "minutes": {"seconds": 1 / 60, "minutes": 1.0, "hours": 60.0},
    "years": {"days": 1 / 365.25, "months": 1 / 12, "years": 1.0},
    "dollars": {"cents": 0.01, "dollars": 1.0, "thousands": 1000.0},
}

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "null", "merge")}


class _PlainLoader(yaml.SafeLoader):
    """YAML in which only true and false are truth values: NO is Norway, yes and no are words."""


_PlainLoader.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN_TAGS]
    for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), ["t", "f"]
)


@cache
def raw_schemas() -> dict[str, Schema]:
    """Frictionless Table Schemas of the raw tables, by table."""
    content = yaml.safe_load((SCHEMAS / "raw.yaml").read_text(encoding="utf-8"))
    return {name: Schema.from_descriptor(schema) for name, schema in content.items()}


@dataclass(frozen=True)
class Column:
    """Where one column of a raw table comes from.

    Attributes
    ----------
    column : str or None
        Their column; None if every row has `value`.
    """

    column: str | None
    value: str | None = None
    map: Mapping[str, str] | None = None
    format: tuple[str, ...] = ()
    factor: float = 1.0


@dataclass(frozen=True)
class Firm:
    """A checked configuration.

    Attributes
    ----------
    path : str
        File it was read from.
    content : mapping
        The configuration as written.
    """

    path: str
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the firm; its results go to a folder of this name."""
        return self.content["name"]

    @property
    def studies(self) -> list[str]:
        """Studies that the data support."""
        return list(self.content["studies"])

    @property
    def tables(self) -> dict[str, Mapping[str, Any]]:
        """Raw tables and where they come from."""
        return dict(self.content["tables"])

    @property
    def minimum_cell(self) -> int:
        """Smallest group that is shown."""
        return self.content.get("confidentiality", {}).get("minimum_cell", 10)

    @property
    def key_file(self) -> str | None:
        """File of the secret for hashes of identifiers, if any."""
        return self.content.get("confidentiality", {}).get("key_file")

    @property
    def keep_rows(self) -> bool:
        """Whether files with rows stay after the run."""
        return self.content.get("confidentiality", {}).get("keep_rows", False)

    @property
    def minimum_buyers(self) -> int:
        """Buyers that a study must have."""
        return self.content.get("minimum_buyers", 50)

    @property
    def distance(self) -> str:
        """Formula of cultural distance, or none."""
        return self.content.get("measures", {}).get("cultural_distance", "absolute")

    @property
    def ability(self) -> str | None:
        """Configured definition of resolution ability, if any."""
        return self.content.get("measures", {}).get("agent_resolution_ability")

    def loss(self, kind: str) -> float:
        """Share of rows that may be lost to ``joins`` or ``missing`` cells."""
        return self.content.get("losses", {}).get(kind, 0.0)

    def exports(self) -> list[str]:
        """Files and databases that the configuration reads."""
        named = (
            spec.get("path") or spec.get("database") for spec in self.content["files"].values()
        )
        return sorted({path for path in named if path})

    def columns(self, table: str) -> dict[str, Column]:
        """Where the columns of a table come from, by our name."""
        spec = self.tables[table]
        if "rows" in spec:
            return {
                name: Column(name) for name in dict.fromkeys(k for r in spec["rows"] for k in r)
            }
        units = {field.name: field.custom.get("unit") for field in raw_schemas()[table].fields}
        return {name: _column(units[name], entry) for name, entry in spec["columns"].items()}

    def available(self) -> set[str]:
        """Columns that the data have, as ``table.column``."""
        return {f"{table}.{name}" for table in self.tables for name in self.columns(table)}


def _column(our_unit: str | None, entry: str | Mapping[str, Any]) -> Column:
    if isinstance(entry, str):
        return Column(entry)
    factor = entry.get("factor", 1.0)
    if "unit" in entry:
        factor *= UNITS[our_unit][entry["unit"]]
    formats = entry.get("format", ())
    return Column(
        entry.get("column"),
        str(entry["value"]) if "value" in entry else None,
        {str(k): str(v) for k, v in entry["map"].items()} if "map" in entry else None,
        (formats,) if isinstance(formats, str) else tuple(formats),
        factor,
    )


def load(path: str | Path) -> Firm:
    """Read and check a firm's configuration.

    Raises
    ------
    SpecificationError
        Naming every mistake of the configuration at once.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = _with_text_keys(yaml.load(text, _PlainLoader))
    except FileNotFoundError:
        raise SpecificationError(
            f"There is no firm configuration {str(path)!r}.",
            "Copy config/firm.example.yaml and name the copy in the key `firm`.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} cannot be read ({error}).", "Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise SpecificationError(
            f"{path} is not YAML: {' '.join(str(error).split())}.",
            "Mind indentation, colons and quotation marks near that place.",
        ) from None
    if not isinstance(content, dict):
        raise SpecificationError(
            f"{path} is empty or not a mapping of keys.", "Start from config/firm.example.yaml."
        )
    settings.check(content, SCHEMAS / "firm.yaml")
    problems = _contradictions(content)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SpecificationError(f"{path} has mistakes:\n{listed}")
    return Firm(str(path), content)


def _with_text_keys(content: Any) -> Any:
    """The same with every key as text, as the schema expects."""
    if isinstance(content, dict):
        return {str(key): _with_text_keys(value) for key, value in content.items()}
    return [_with_text_keys(item) for item in content] if isinstance(content, list) else content


def _contradictions(content: Mapping[str, Any]) -> list[str]:
    """What the schema cannot say: names that must exist elsewhere, and columns a study needs."""
    problems = []
    schemas = raw_schemas()
    for table, spec in content["tables"].items():
        fields = {field.name: field for field in schemas[table].fields}
        named = list(spec.get("columns", {}))
        if "rows" in spec:
            named = list(dict.fromkeys(key for row in spec["rows"] for key in row))
        if "from" in spec and spec["from"] not in content["files"]:
            problems.append(
                f"tables.{table}.from: there is no file {spec['from']!r}; "
                f"{_suggest(spec['from'], content['files'])}"
            )
        for name in named:
            if name not in fields:
                problems.append(
                    f"tables.{table}: there is no column {name!r}; {_suggest(name, fields)}"
                )
        for name in schemas[table].primary_key:
            if name not in named:
                problems.append(f"tables.{table}: the key column {name} must be mapped.")
        for name, entry in spec.get("columns", {}).items():
            unit = entry.get("unit") if isinstance(entry, dict) else None
            known = UNITS.get(fields[name].custom.get("unit"), {}) if name in fields else {}
            if unit is not None and unit not in known:
                listed = ", ".join(known) or "none; use `factor`"
                problems.append(
                    f"tables.{table}.columns.{name}.unit: {unit!r} is unknown; there are: {listed}."
                )
    for table, schema in schemas.items():
        mapped = content["tables"].get(table, {})
        names = set(mapped.get("columns", {})) | {key for r in mapped.get("rows", []) for key in r}
        for field in schema.fields:
            needed = [s for s in field.custom.get("requiredFor", []) if s in content["studies"]]
            if needed and field.name not in names:
                problems.append(
                    f"tables.{table}.columns.{field.name} is missing and {needed[0]} cannot do "
                    f"without it ({field.description.rstrip('.')}). "
                    f"Write: {field.name}: <your column>"
                )
    return problems


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}."
