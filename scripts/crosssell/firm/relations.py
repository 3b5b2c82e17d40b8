"""Keys and joins between raw tables: what repeats, what refers to nothing, and how much is lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from frictionless import Schema

from crosssell.firm.problems import LINES_KEPT, Problem
from crosssell.firm.sources import Export

#: Tables in an order in which each comes after those it refers to.
ORDER = ["models", "agents", "agent_days", "failures", "customers", "encounters", "sales", "survey"]


def repeated_keys(
    table: pa.Table, name: str, schema: Schema, export: Export, rows: np.ndarray
) -> list[Problem]:
    """The problem of rows that repeat a primary key, if there are any.

    Parameters
    ----------
    table : Table, shape (n, k)
        A raw table.
    name : str
    schema : Schema
    export : Export
        Where it comes from.
    rows : ndarray, shape (n,)
        Rows of the export that became its rows.

    Returns
    -------
    list of Problem
    """
    keys = table.select(schema.primary_key)
    codes = _codes(keys)
    first_seen = np.unique(codes, return_index=True)[1]
    again = np.ones(len(codes), dtype=bool)
    again[first_seen] = False
    if not again.any():
        return []
    places = np.flatnonzero(again)
    kept = places[:LINES_KEPT]
    text = [" / ".join(map(str, row.values())) for row in keys.take(pa.array(kept)).to_pylist()]
    return [
        Problem(
            export.label,
            f"repeats a key that must be unique; joins would multiply rows of {name}",
            "Keep one row of each key, or write `distinct: true` if the repeated rows are alike.",
            "",
            ", ".join(f"{name}.{key}" for key in schema.primary_key),
            count=int(places.size),
            lines=export.lines(rows[kept]).tolist(),
            cells=text,
            place=export.place,
        )
    ]


def _codes(keys: pa.Table) -> np.ndarray:
    """A whole number per row that is the same for the same key."""
    total = np.zeros(keys.num_rows, dtype=np.int64)
    for column in keys.columns:
        encoded = column.combine_chunks().dictionary_encode()
        total = total * (len(encoded.dictionary) + 1) + encoded.indices.to_numpy(
            zero_copy_only=False
        ).astype(np.int64)
    return total


def distinct(table: pa.Table) -> np.ndarray:
    """Positions of the rows that are not alike to an earlier one in every column."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in table.column_names:
        pair = pa.table({"so_far": codes, "next": table[name]})
        codes = np.unique(_codes(pair), return_inverse=True)[1]
    return np.sort(np.unique(codes, return_index=True)[1])


def orphans(
    table: pa.Table, schema: Schema, tables: Mapping[str, pa.Table]
) -> dict[str, np.ndarray]:
    """Rows that refer to a row the other table lacks, as a mask by our column.

    References to tables or columns that the firm does not have are not checked.
    """
    found = {}
    for key in schema.foreign_keys:
        (column,), other = key["fields"], key["reference"]["resource"]
        (target,) = key["reference"]["fields"]
        if other not in tables or column not in table.column_names:
            continue
        known = pc.is_in(table[column], value_set=tables[other][target].combine_chunks())
        lost = pc.and_(table[column].is_valid(), pc.invert(known))
        found[column] = lost.to_numpy()
    return found


def orphan_problem(
    column: str,
    mask: np.ndarray,
    table: pa.Table,
    name: str,
    export: Export,
    rows: np.ndarray,
    bound: float,
    theirs: str,
) -> Problem:
    """Tell of rows lost in a join; a warning as long as they are within the bound."""
    places = np.flatnonzero(mask)
    share = places.size / len(mask)
    kept = places[:LINES_KEPT]
    within = share <= bound
    return Problem(
        export.label,
        f"refers to a row that does not exist: {share:.2%} of the rows of {name} are lost in the "
        f"join, and losses.joins allows {bound:.2%}",
        "The rows are left out."
        if within
        else "Complete the other file, correct the references, or raise losses.joins.",
        theirs,
        f"{name}.{column}",
        count=int(places.size),
        lines=export.lines(rows[kept]).tolist(),
        cells=[str(value) for value in table[column].take(pa.array(kept)).to_pylist()],
        place=export.place,
        warning=within,
    )
