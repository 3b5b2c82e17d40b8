"""Reading and writing: raw tables, analysis tables and results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crosssell.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = (
    "customer_id agent_id encounter_id sale_id country culture model failure_code rater "
    "product_type purchase_date started_at date"
).split()
VERSIONED = ("python", "numpy", "pandas", "scipy", "statsmodels", "linearmodels", "numba")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its place only when the block succeeds.

    A job that is killed therefore never leaves half a result behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table at full precision, without its index."""
    with replacing(path) as part:
        table.to_csv(part, index=False)


def write_text(text: str, path: str | os.PathLike) -> None:
    """Write a text file in UTF-8."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write a mapping as indented JSON; numbers of numpy become plain ones."""
    plain = lambda value: value.item()
    write_text(json.dumps(content, indent=2, default=plain) + "\n", path)


def write_parquet(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table as Parquet."""
    with replacing(path) as part:
        table.to_parquet(part, index=False)


def write_yaml(content: Any, path: str | os.PathLike) -> None:
    """Write plain types as YAML, in their order."""
    write_text(yaml.safe_dump(content, sort_keys=False), path)


def read_yaml(path: str | os.PathLike) -> Any:
    """Content of a YAML file (plain types only)."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def read_raw(paths: Iterable[str | os.PathLike]) -> dict[str, pd.DataFrame]:
    """Raw tables by name, from CSV files named after them.

    Identifiers and codes are read as text, so that ``007`` stays ``007``.

    Raises
    ------
    DataError
        If a file does not exist.
    """
    import pandas as pd

    as_text = dict.fromkeys(TEXT_COLUMNS, str)
    tables = {}
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path} is missing. Put the file there or mend its path.")
        # "NA" is Namibia in some exports: only the empty cell is a missing value.
        tables[path.stem] = pd.read_csv(path, dtype=as_text, keep_default_na=False, na_values=[""])
    return tables


def versions() -> dict[str, str]:
    """Versions of the software that estimates depend on."""
    import platform

    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in VERSIONED[1:]
    }
