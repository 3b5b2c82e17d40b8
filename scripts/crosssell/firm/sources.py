"""Reading a firm's exports by columns: text files, Parquet, Excel and databases.

Text files are read as text, so that a malformed cell can be told with its line instead of ending
the reading. Nothing is downloaded and nothing leaves the machine.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import difflib
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from crosssell.firm.problems import LINES_KEPT, Problem

TEXT_ENDINGS = (".csv", ".txt", ".tsv")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
CHUNK = 1 << 24
#: What exhausts a reader's patience: a header of more characters is not one.
LONGEST_HEADER = 1 << 20
BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, RuntimeError)


class UnreadableError(Exception):
    """A file cannot be read at all; carries the problem to tell."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass
class Export:
    """One export as read.

    Attributes
    ----------
    label : str
        What the user calls it.
    table : Table
        Columns under the firm's names: text from text files, native types otherwise.
    place : {"line", "row"}
        What the numbers of `lines` count.
    problems : list of Problem
        What was wrong with the file itself.
    """

    label: str
    table: pa.Table
    place: str = "row"
    problems: list[Problem] = field(default_factory=list)
    first_line: int = 1
    skipped: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    skipped_breaks: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    row_breaks: np.ndarray | None = None
    origin: np.ndarray | None = None
    ragged: list[tuple[int, str]] = field(default_factory=list)
    decimal: str = "."
    thousands: str = ""

    def kept(self, mask: np.ndarray) -> Export:
        """The same with some rows only, which keep their line numbers."""
        if mask.all():
            return self
        origin = np.flatnonzero(mask) if self.origin is None else self.origin[mask]
        return replace(self, table=self.table.filter(pa.array(mask)), origin=origin)

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of the lines on which rows (0-based) begin."""
        rows = rows if self.origin is None else self.origin[rows]
        # Rows that were skipped stand between those that were kept: number them all.
        before = np.searchsorted(self.skipped - np.arange(self.skipped.size), rows, side="right")
        breaks = np.r_[0, self.skipped_breaks.cumsum()][before]
        if self.row_breaks is not None:
            breaks = breaks + np.r_[0, self.row_breaks.cumsum()][rows]
        return self.first_line + rows + before + breaks


def read(name: str, spec: Mapping[str, Any], columns: Sequence[str]) -> Export:
    """Read the columns that the configuration uses from one export.

    Parameters
    ----------
    name : str
        Name under ``files``.
    spec : mapping
        Its entry.
    columns : sequence of str
        The firm's columns to read.

    Raises
    ------
    UnreadableError
        If the export cannot be read at all.
    """
    if "query" in spec:
        return _read_query(name, spec, columns)
    path = Path(spec["path"])
    label = str(path)
    endings = [ending.lower() for ending in path.suffixes]
    if not path.exists():
        near = difflib.get_close_matches(path.name, _siblings(path), n=1)
        hint = f" Did you mean {path.with_name(near[0])}?" if near else ""
        raise _unreadable(label, "does not exist", f"Mend files.{name}.path.{hint}")
    if not path.is_file():
        raise _unreadable(label, "is not a file", f"Name a file in files.{name}.path.")
    if path.stat().st_size == 0:
        raise _unreadable(label, "is empty", "Export it again.")
    kind = next((e for e in reversed(endings) if e not in COMPRESSED), "")
    if kind in TEXT_ENDINGS:
        return _read_text(label, path, spec, columns)
    if endings[-1:] == [".parquet"]:
        return _read_parquet(label, path, columns)
    if endings[-1:] in ([".xlsx"], [".xlsm"]):
        return _read_excel(label, path, spec, columns)
    raise _unreadable(
        label,
        "is of a kind that is not known by its ending",
        "Export it as .csv, .xlsx or .parquet.",
    )


def _siblings(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []


def _unreadable(label: str, rule: str, mend: str, **more: Any) -> UnreadableError:
    return UnreadableError(Problem(label, rule, mend, **more))


def missing_columns(label: str, wanted: Sequence[str], there: Sequence[str]) -> list[Problem]:
    """One problem per column that the configuration names and the export lacks."""
    problems = []
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            listed = ", ".join(there[:12]) + (" ..." if len(there) > 12 else "")
            hint = f'Did you mean "{near[0]}"?' if near else f"The file has: {listed}."
            problems.append(
                Problem(label, "is not a column of the file", f"Mend its name. {hint}", name)
            )
    return problems


# ------------------------------------------------------------------------------------ text files


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed."""
    ending = path.suffix.lower()
    if ending == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) != 1:
                raise zipfile.BadZipFile(f"it holds {len(members)} files instead of one")
            with archive.open(members[0]) as file:
                yield file
    elif ending == ".zst":
        with pa.input_stream(str(path), compression="zstd") as file:
            yield io.BufferedReader(file)  # Arrow would read its own files past the decoder
    else:
        opener = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(ending, open)
        with opener(path, "rb") as file:
            yield file


def _read_text(label: str, path: Path, spec: Mapping[str, Any], columns: Sequence[str]) -> Export:
    encoding = spec.get("encoding", "utf-8")
    default = "\t" if ".tsv" in [ending.lower() for ending in path.suffixes] else ","
    delimiter = spec.get("delimiter", default)
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise _unreadable(
            label, f"has the unknown encoding {encoding!r}", "Write utf-8, cp1252 or utf-16."
        ) from None
    try:
        breaks = _check_bytes(label, path, encoding)
        names, first_line = _header(label, path, encoding, delimiter)
        problems = _check_header(label, names, delimiter, columns)
        if problems:
            raise UnreadableError(problems[0]) if len(problems) == 1 else _SeveralError(problems)
        export = _read_rows(
            label, path, spec | {"encoding": encoding}, delimiter, names, columns, first_line
        )
    except (pa.ArrowInvalid, UnicodeError) as error:
        first = str(error).splitlines()[0][:200]
        raise _unreadable(
            label, f"cannot be read as a table ({first})", "Export it again as UTF-8 CSV."
        ) from None
    except BROKEN as error:
        raise _unreadable(
            label, f"cannot be opened or is damaged ({error})", "Export or copy it again."
        ) from None
    records = export.table.num_rows + export.skipped.size + int(export.skipped_breaks.sum())
    if breaks > records + first_line - 1:
        # Some quoted cell runs over several lines: count them, for the line numbers.
        whole = _read_rows(
            label, path, spec | {"encoding": encoding}, delimiter, names, names, first_line
        )
        counts = [
            pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy()
            for column in whole.table.columns
        ]
        export.row_breaks = np.sum(counts, axis=0, dtype=np.int64)
    if export.ragged:
        export.problems.append(_ragged(export, len(names)))
    return export


def _ragged(export: Export, width: int) -> Problem:
    """Tell of rows that do not have the header's width."""
    number = np.arange(len(export.ragged))
    kept_before = export.skipped[: number.size] - number
    lines = export.first_line + export.skipped[: number.size]
    lines = lines + np.r_[0, export.skipped_breaks.cumsum()][: number.size]
    if export.row_breaks is not None:
        lines = lines + np.r_[0, export.row_breaks.cumsum()][kept_before]
    return Problem(
        export.label,
        f"has rows that do not have the header's {width} columns",
        "Quote cells that hold the delimiter or a quotation mark, and close every quotation.",
        count=int(export.skipped.size),
        lines=lines.tolist(),
        cells=[f"{columns} columns: {text}" for columns, text in export.ragged],
    )


class _SeveralError(UnreadableError):
    """More than one problem makes a file unreadable."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


def problems_of(error: UnreadableError) -> tuple[Problem, ...]:
    """Problems that an unreadable file carries."""
    return getattr(error, "problems", (error.problem,))


def _check_bytes(label: str, path: Path, encoding: str) -> int:
    """Check that every byte can be decoded and return the number of line breaks."""
    decoder = codecs.getincrementaldecoder(encoding)()
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    breaks = 0
    with _open(path) as file:
        first = True
        while True:
            chunk = file.read(CHUNK)
            if first:
                _check_signature(label, chunk, wide)
                first = False
            if not wide and b"\0" in chunk:
                line = breaks + chunk[: chunk.index(b"\0")].count(b"\n") + 1
                raise _unreadable(
                    label, "holds a zero byte, so it is not text", "Export it again.", lines=[line]
                )
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = breaks + error.object[: error.start].count(b"\n") + 1
                raise _unreadable(
                    label,
                    f"is not {encoding}: byte 0x{error.object[error.start]:02x} cannot be decoded",
                    "Write the file's true encoding at the file, often `encoding: cp1252`.",
                    lines=[line],
                ) from None
            if not chunk:
                return breaks
            breaks += text.count("\n") if wide else chunk.count(b"\n")


def _check_signature(label: str, start: bytes, wide: bool) -> None:
    if not start.strip():
        raise _unreadable(label, "is empty", "Export it again.")
    signatures = {b"PK\x03\x04": "an Excel or ZIP file", b"\x1f\x8b": "a gzip file"}
    signatures |= {b"PAR1": "a Parquet file", b"%PDF": "a PDF file", b"<!DO": "a web page"}
    for signature, kind in signatures.items():
        if start.startswith(signature):
            raise _unreadable(
                label, f"is {kind} under another ending", "Rename it or export it as CSV."
            )
    if not wide and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _unreadable(label, "is UTF-16", "Write `encoding: utf-16` at this file.")


def _header(label: str, path: Path, encoding: str, delimiter: str) -> tuple[list[str], int]:
    """Names of the columns, and the line on which data begin."""
    with _open(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, newline="")
        reader = csv.reader(io.StringIO(text.read(LONGEST_HEADER)), delimiter=delimiter)
        try:
            names = next(reader)
        except csv.Error as error:
            raise _unreadable(
                label, f"has a header that cannot be read ({error})", "Export it again.", lines=[1]
            ) from None
        line = reader.line_num + 1
        text.detach()
    return [name.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") for name in names], line


def _check_header(
    label: str, names: Sequence[str], delimiter: str, columns: Sequence[str]
) -> list[Problem]:
    if len(names) == 1 and len(columns) > 1:
        for other in (";", ",", "\t", "|"):
            if other != delimiter and other in names[0]:
                return [
                    Problem(
                        label,
                        f"has one column when divided at {delimiter!r}",
                        f"It seems to be divided at {other!r}: write `delimiter: {other!r}`.",
                        lines=[1],
                        cells=[names[0]],
                    )
                ]
    repeated = sorted({name for name in names if names.count(name) > 1 and name in columns})
    problems = [
        Problem(label, "stands twice in the header", "Rename one of the two.", name, lines=[1])
        for name in repeated
    ]
    return problems + missing_columns(label, columns, names)


def _read_rows(
    label: str,
    path: Path,
    spec: Mapping[str, Any],
    delimiter: str,
    names: Sequence[str],
    columns: Sequence[str],
    first_line: int,
) -> Export:
    """Read the rows as text; rows of the wrong width are set aside and told."""
    skipped: list[int] = []
    breaks: list[int] = []
    widths: list[tuple[int, str]] = []

    def set_aside(row: pa.csv.InvalidRow) -> str:
        skipped.append(row.number - first_line)
        breaks.append(row.text.count("\n"))
        if len(widths) < LINES_KEPT:
            widths.append((row.actual_columns, row.text))
        return "skip"

    # Unused columns may repeat a name: number them, so that every name is one column.
    unique = [n if n in columns and n else f"{n}\0{i}" for i, n in enumerate(names)]
    wanted = unique if len(columns) == len(names) else list(columns)
    with _open(path) as file:
        encoding = codecs.lookup(spec["encoding"]).name
        if encoding not in ("utf-8", "ascii"):
            file = codecs.EncodedFile(file, "utf-8", encoding)
        table = pa.csv.read_csv(
            pa.PythonFile(file, mode="r"),
            pa.csv.ReadOptions(
                use_threads=False, column_names=unique, skip_rows=first_line - 1, block_size=CHUNK
            ),
            pa.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=set_aside,
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(unique, pa.string()),
                include_columns=wanted,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    export = Export(
        label,
        table,
        "line",
        first_line=first_line,
        skipped=np.array(skipped, dtype=np.int64),
        skipped_breaks=np.array(breaks, dtype=np.int64),
        decimal=spec.get("decimal", "."),
        thousands=spec.get("thousands", ""),
    )
    if table.num_rows == 0 and not skipped:
        raise _unreadable(label, "has a header and no rows", "Export it again with its data.")
    export.ragged = widths
    return export


# --------------------------------------------------------------------- Parquet, Excel, databases


def _read_parquet(label: str, path: Path, columns: Sequence[str]) -> Export:
    try:
        file = pa.parquet.ParquetFile(path)
        problems = missing_columns(label, columns, file.schema_arrow.names)
        if problems:
            raise _SeveralError(problems)
        return _native(label, file.read(columns=list(columns)))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(
            label, f"cannot be read as Parquet ({error})", "Export it again."
        ) from None


def _read_excel(label: str, path: Path, spec: Mapping[str, Any], columns: Sequence[str]) -> Export:
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets through whatever its XML and ZIP parsers raise
        raise _unreadable(
            label, f"cannot be read as Excel ({error})", "Save it again as .xlsx."
        ) from None
    name = spec.get("sheet", book.sheetnames[0])
    if name not in book.sheetnames:
        raise _unreadable(
            label, f"has no sheet {name!r}", f"There are: {', '.join(book.sheetnames)}."
        )
    rows = list(book[name].iter_rows(values_only=True))
    book.close()
    if not rows:
        raise _unreadable(
            label, f"has nothing on its sheet {name!r}", "Name the sheet with the data."
        )
    names = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    problems = _check_header(label, names, ",", columns)
    if problems:
        raise _SeveralError(problems)
    if len(rows) == 1:
        raise _unreadable(label, "has a header and no rows", "Export it again with its data.")
    cells = dict(zip(names, zip(*rows[1:], strict=True), strict=True))
    table = pa.table({name: _excel_column(cells[name]) for name in columns})
    export = _native(label, table)
    export.first_line = 2
    return export


def _excel_column(cells: Sequence[Any]) -> pa.Array:
    """Cells of one kind in their own type; a mixture as text."""
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if cell is None else str(cell) for cell in cells])


def _read_query(name: str, spec: Mapping[str, Any], columns: Sequence[str]) -> Export:
    label = f"{spec.get('database') or 'query'} (files.{name})"
    if "address" in spec:
        label = f"database (files.{name})"
        table = _query_address(label, spec)
    else:
        table = _query_duckdb(label, spec)
    problems = missing_columns(label, columns, table.column_names)
    if problems:
        raise _SeveralError(problems)
    if table.num_rows == 0:
        raise _unreadable(label, "gives no rows", "Mend the query.")
    return _native(label, table.select(list(columns)))


def _query_duckdb(label: str, spec: Mapping[str, Any]) -> pa.Table:
    import duckdb

    database = spec.get("database", ":memory:")
    if database != ":memory:" and not Path(database).is_file():
        raise _unreadable(label, "does not exist", "Mend the path of the database.")
    # Extensions would be fetched from the net: what DuckDB has built in must do.
    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    try:
        with duckdb.connect(
            database, read_only=database != ":memory:", config=offline
        ) as connection:
            return connection.sql(spec["query"]).to_arrow_table()
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise _unreadable(label, f"cannot be queried ({first})", "Mend the query.") from None


def _query_address(label: str, spec: Mapping[str, Any]) -> pa.Table:
    import sqlalchemy

    address = os.path.expandvars(spec["address"])
    try:
        engine = sqlalchemy.create_engine(address)
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(sqlalchemy.text(spec["query"]))
            names = list(result.keys())
            parts = [
                dict(zip(names, map(list, zip(*part, strict=True)), strict=True))
                for part in result.partitions(100_000)
            ]
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        first = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise _unreadable(
            label, f"cannot be queried ({first})", "Mend the address, its driver or the query."
        ) from None
    columns = {name: [cell for part in parts for cell in part[name]] for name in names}
    return pa.table({name: _excel_column(cells) for name, cells in columns.items()})


def _native(label: str, table: pa.Table) -> Export:
    """An export whose columns keep their types, save those that only Arrow distinguishes."""
    for index, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        table = table.set_column(index, table.column_names[index], column)
    return Export(label, table)
