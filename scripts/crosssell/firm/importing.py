"""A firm's exports read, mapped, checked and, only if all is well, written as raw tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from crosssell import io
from crosssell.firm import mapping, relations, soundness, sources, studies
from crosssell.firm.confidentiality import IDENTIFIERS, hash_identifiers, read_key
from crosssell.firm.configuration import Firm, raw_schemas
from crosssell.firm.problems import ImportProblemsError, Problem, errors
from crosssell.firm.shrinking import shrink
from crosssell.firm.sources import Export
from crosssell.measures import CULTURE_OF_COUNTRY, hofstede

INLINE = "the configuration's rows"


@dataclass
class Imported:
    """Raw tables and what was found on the way.

    Attributes
    ----------
    tables : dict of str to Table
        By name, in our columns, types and units.
    problems : list of Problem
        Errors and warnings; with errors the tables are incomplete.
    """

    tables: dict[str, pa.Table] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_firm(firm: Firm, models: Mapping[str, Mapping[str, Any]]) -> Imported:
    """Read and check everything a configuration names.

    Parameters
    ----------
    firm : Firm
    models : mapping
        Model specifications by study, which tell what the data must carry.

    Returns
    -------
    Imported
        With every problem found; nothing is raised for a problem of the data.
    """
    result = Imported()
    key = read_key(firm.key_file) if firm.key_file else None
    exports = _Exports(firm)
    for name in relations.ORDER:
        if name in firm.tables:
            table, problems = _table(firm, name, exports, key, result.tables)
            result.problems += problems
            if table is not None:
                result.tables[name] = table
    result.problems = exports.problems + result.problems
    if not errors(result.problems):
        result.problems += _design(firm, result.tables, models)
    return result


def import_firm(
    firm: Firm, models: Mapping[str, Mapping[str, Any]], folders: Mapping[str, Path]
) -> list[Problem]:
    """Write the raw tables of each study, if and only if there is nothing to mend.

    Parameters
    ----------
    firm : Firm
    models : mapping
        Model specifications by study.
    folders : mapping of str to Path
        Folder of the raw tables, by study.

    Returns
    -------
    list of Problem
        Warnings.

    Raises
    ------
    ImportProblemsError
        With every problem at once; nothing is written then.
    """
    found = read_firm(firm, models)
    if errors(found.problems):
        raise ImportProblemsError(firm.name, found.problems)
    for folder in folders.values():
        write_tables(found.tables, folder)
    return found.problems


def write_tables(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Write raw tables as CSV, each named after its table."""
    for name, table in tables.items():
        with io.replacing(folder / f"{name}.csv") as part:
            pa.csv.write_csv(_plain(table), part)


class _Exports:
    """Exports, each read once and let go after the last table that needs it."""

    def __init__(self, firm: Firm) -> None:
        self._files = firm.content["files"]
        self._uses: dict[str, int] = {}
        self._columns: dict[str, list[str]] = {}
        for name, spec in firm.tables.items():
            if "from" in spec:
                mapped = [c.column for c in firm.columns(name).values() if c.column is not None]
                known = self._columns.setdefault(spec["from"], [])
                wanted = [*known, *mapped, *spec.get("where", {})]
                self._columns[spec["from"]] = list(dict.fromkeys(wanted))
                self._uses[spec["from"]] = self._uses.get(spec["from"], 0) + 1
        self._read: dict[str, Export | None] = {}
        self.problems: list[Problem] = []

    def take(self, name: str) -> Export | None:
        """One export for one table; None if it cannot be read."""
        if name not in self._read:
            try:
                export = sources.read(name, self._files[name], self._columns[name])
                self.problems += export.problems
                self._read[name] = _without_blank_rows(export)
            except sources.UnreadableError as error:
                self.problems += sources.problems_of(error)
                self._read[name] = None
        export = self._read[name]
        self._uses[name] -= 1
        if self._uses[name] == 0:
            self._read[name] = None
        return export


def _without_blank_rows(export: Export) -> Export:
    """Blank lines are no rows."""
    filled = np.zeros(export.table.num_rows, dtype=bool)
    for column in export.table.columns:
        if column.null_count == 0:
            return export
        filled |= column.is_valid().to_numpy()
    return export.kept(filled)


def _inline(rows: list[Mapping[str, Any]], names: list[str]) -> Export:
    cells = {n: [None if row.get(n) is None else str(row[n]) for row in rows] for n in names}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in cells.items()})
    return Export(INLINE, table)


def _table(
    firm: Firm, name: str, exports: _Exports, key: str | None, known: Mapping[str, pa.Table]
) -> tuple[pa.Table | None, list[Problem]]:
    """One raw table, as far as it can be made, and its problems."""
    spec, schema, columns = firm.tables[name], raw_schemas()[name], firm.columns(name)
    export = _inline(spec["rows"], list(columns)) if "rows" in spec else exports.take(spec["from"])
    if export is None:
        return None, []
    for column, values in spec.get("where", {}).items():
        texts = mapping.texts(export, column)
        chosen = pc.is_in(texts, value_set=pa.array([str(value) for value in values]))
        export = export.kept(chosen.to_numpy(zero_copy_only=False))
    if export.table.num_rows == 0:
        problem = Problem(
            export.label,
            f"leaves no row for {name}",
            "Mend the values under `where`." if "where" in spec else "Export it again.",
            measure=name,
        )
        return None, [problem]
    arrays: dict[str, pa.Array] = {}
    empty: dict[str, np.ndarray] = {}
    problems: list[Problem] = []
    for field_name, column in columns.items():
        hidden = key is not None and field_name in IDENTIFIERS
        arrays[field_name], found, empty[field_name] = mapping.convert(
            export, name, schema.get_field(field_name), column, hidden=hidden
        )
        problems += found
        if hidden:
            arrays[field_name] = hash_identifiers(arrays[field_name], key)
    table = pa.table(arrays)
    rows = np.arange(table.num_rows)
    problems += mapping.empty_cells(export, name, columns, empty, firm.loss("missing"))
    complete = ~np.any(list(empty.values()), axis=0)
    if spec.get("distinct"):
        complete &= np.isin(rows, relations.distinct(table))
    table, rows = _filter(table, rows, complete)
    problems += relations.repeated_keys(table, name, schema, export, rows)
    kept = np.ones(table.num_rows, dtype=bool)
    for column, lost in relations.orphans(table, schema, known).items():
        if lost.any():
            theirs, bound = columns[column].column or "", firm.loss("joins")
            problems.append(
                relations.orphan_problem(column, lost, table, name, export, rows, bound, theirs)
            )
            kept &= ~lost
    table, rows = _filter(table, rows, kept)
    return table, problems


def _filter(table: pa.Table, rows: np.ndarray, mask: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    return (table, rows) if mask.all() else (table.filter(pa.array(mask)), rows[mask])


def _design(
    firm: Firm, tables: Mapping[str, pa.Table], models: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Problems of design, study by study; they show only in the joined data."""
    raw = to_pandas(tables)
    problems = _dates(raw) + _cultures(raw, firm)
    if errors(problems):
        return problems
    for study in firm.studies:
        smaller = shrink(models[study], set(studies.lacking(firm, study)))[0]
        problems += soundness.check(studies.build(raw, firm, study), firm, study, smaller)
    return problems


def _cultures(raw: Mapping[str, pd.DataFrame], firm: Firm) -> list[Problem]:
    """Countries that Hofstede did not score, where cultural distance is wanted."""
    if "part2" not in firm.studies or "cultural_distance" in studies.lacking(firm, "part2"):
        return []
    known = set(hofstede().index) | set(CULTURE_OF_COUNTRY)
    places = {
        "customers": "culture" if "culture" in raw["customers"] else "country",
        "agents": "country",
    }
    problems = []
    for table, column in places.items():
        counts = raw[table][column].value_counts()
        unknown = counts[~counts.index.isin(known)]
        if len(unknown):
            problems.append(
                Problem(
                    soundness.EVERYTHING,
                    f"has no scores in Hofstede's data: {', '.join(unknown.index[:8])}",
                    "Use the codes of scripts/crosssell/data/hofstede.csv (three letters), "
                    "or write `measures: {cultural_distance: none}`.",
                    measure=f"{table}.{column}",
                    count=int(unknown.sum()),
                )
            )
    return problems


def _dates(raw: Mapping[str, pd.DataFrame]) -> list[Problem]:
    """Contacts before the product was bought."""
    if "purchase_date" not in raw.get("customers", ()):
        return []
    bought = raw["customers"].set_index("customer_id")["purchase_date"]
    contact = raw["encounters"]["started_at"]
    early = contact.dt.normalize() < raw["encounters"]["customer_id"].map(bought)
    if not early.any():
        return []
    shown = raw["encounters"].loc[early, "encounter_id"].head(3).tolist()
    return [
        Problem(
            soundness.EVERYTHING,
            f"is later than the contact, for example in the encounters {', '.join(shown)}",
            "Correct the dates; look at their `format`, day and month may be exchanged.",
            measure="customers.purchase_date",
            count=int(early.sum()),
        )
    ]


def to_pandas(tables: Mapping[str, pa.Table]) -> dict[str, pd.DataFrame]:
    """Raw tables as frames; text stays in Arrow's memory."""
    frames = {}
    for name, table in tables.items():
        frame = table.to_pandas(date_as_object=False)
        texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
        frames[name] = frame.astype(dict.fromkeys(texts, "str"))
    return frames


def _plain(table: pa.Table) -> pa.Table:
    """Whole numbers without a decimal point, times as ISO 8601."""
    for index, column in enumerate(table.schema):
        values = table.column(index)
        if (
            pa.types.is_floating(column.type)
            and pc.all(pc.equal(pc.floor(values), values), min_count=0).as_py()
        ):
            table = table.set_column(index, column.name, values.cast(pa.int64()))
        if pa.types.is_timestamp(column.type):
            text = pc.strftime(values, format="%Y-%m-%dT%H:%M:%S")
            table = table.set_column(index, column.name, text)
    return table
