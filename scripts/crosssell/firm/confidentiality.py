"""Confidentiality: keyed hashes of identifiers, and suppression of small cells.

References
----------
Hundepool, A. et al. (2012), *Statistical Disclosure Control*, chapter 4 (primary and secondary
suppression in tables of counts).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from crosssell.errors import SpecificationError
from crosssell.results import FIELDS

IDENTIFIERS = frozenset({"customer_id", "agent_id", "encounter_id", "sale_id"})
SHORTEST_SECRET = 16
#: Hexadecimal digits kept of a hash: 96 bits, so that ten million rows collide with odds of 1e-15.
DIGITS = 24


def read_key(path: str | Path) -> str:
    """A key of 256 bits from the secret in a file.

    Raises
    ------
    SpecificationError
        If the file is missing or its secret is too short.
    """
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise SpecificationError(
            f"confidentiality.key_file: {path} cannot be read ({error.strerror}).",
            "Write a secret into it, for example by: openssl rand -hex 32",
        ) from None
    if len(secret) < SHORTEST_SECRET:
        raise SpecificationError(
            f"confidentiality.key_file: the secret in {path} has {len(secret)} characters.",
            f"Write one of at least {SHORTEST_SECRET}, for example by: openssl rand -hex 32",
        )
    return hashlib.sha256(secret).hexdigest()


def hash_identifiers(values: pa.Array, key: str) -> pa.Array:
    """Replace identifiers by keyed hashes: the same one for the same key, and no way back without.

    Two nested rounds of SHA-256 with a key of fixed length (the construction of HMAC), by columns.

    Parameters
    ----------
    values : Array of str, shape (n,)
    key : str
        See `read_key`.

    Returns
    -------
    Array of str, shape (n,)
        Hexadecimal digits; null stays null.
    """
    inner, outer = (hashlib.sha256(f"{part}{key}".encode()).hexdigest() for part in "io")
    with duckdb.connect() as connection:
        connection.register("identifiers", pa.table({"value": values}))
        hashed = connection.sql(
            "select 'x' || left(sha256($outer || sha256($inner || value)), $digits) as value "
            "from identifiers",
            params={"inner": inner, "outer": outer, "digits": DIGITS},
        )
        return hashed.to_arrow_table()["value"].combine_chunks().cast(pa.string())


def suppressed(counts: np.ndarray, minimum: int) -> np.ndarray:
    """Groups to suppress so that no count under the minimum can be computed back from the total.

    Counts from 1 to ``minimum - 1`` are primary. The total is taken as published, so the smallest
    of the others are suppressed too, until what is hidden is at least two groups and ``minimum``
    rows together.

    Parameters
    ----------
    counts : ndarray of int, shape (n,)
    minimum : int

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    counts = np.asarray(counts)
    hidden = (counts > 0) & (counts < minimum)
    for place in np.argsort(counts, kind="stable"):
        if not hidden.any() or (hidden.sum() > 1 and counts[hidden].sum() >= minimum):
            break
        hidden[place] |= counts[place] > 0
    return hidden


#: Results that show single rows: extremes belong to one customer each.
OF_SINGLE_ROWS = frozenset({"min", "max"})


def protect(rows: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """Tidy estimates without what small groups would reveal.

    Extremes are left out. Where an analysis gives the sizes of groups (an equation ``n.<group>`` of
    rates, or ``<group>.size``), groups under the minimum lose every number, and further ones where
    the total would give them away; for rates, groups with few purchases (or refusals) do too.

    Parameters
    ----------
    rows : DataFrame
        Estimates in the schema of `crosssell.results`.
    minimum : int

    Returns
    -------
    DataFrame
        The same columns; suppressed terms keep their names and lose their numbers.
    """
    rows = rows[~rows["equation"].isin(OF_SINGLE_ROWS)].copy()
    for equation in rows["equation"].unique():
        group = equation.removeprefix("n.") if equation.startswith("n.") else None
        group = equation.removesuffix(".size") if equation.endswith(".size") else group
        if group is None:
            continue
        sizes = rows[rows["equation"] == equation].set_index("term")["estimate"]
        rates = rows[rows["equation"] == group].set_index("term")["estimate"].reindex(sizes.index)
        small: list[str] = []
        # Terms such as ``risk_aversion~3`` belong to one division of everybody each.
        for _, division in sizes.groupby([term.rpartition("~")[0] for term in sizes.index]):
            hide = suppressed(division.to_numpy(), minimum)
            if equation.startswith("n."):
                events = (rates[division.index] * division).round().fillna(0).to_numpy()
                hide |= suppressed(events, minimum)
                hide |= suppressed(division.to_numpy() - events, minimum)
            small += list(division.index[hide])
        of_group = rows["equation"].isin([equation, group])
        of_group |= rows["equation"].str.startswith(f"{group}.")
        rows.loc[of_group & rows["term"].isin(small), FIELDS] = np.nan
    return rows
