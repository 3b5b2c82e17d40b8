"""Everything that is wrong with a firm's data, told at once and readable whatever the number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from crosssell.errors import DataError

#: Kinds of problems told on the terminal, and lines named for each.
KINDS_SHOWN = 25
LINES_SHOWN = 3
#: Lines of one kind that go to the CSV.
LINES_KEPT = 1000
WIDEST_VALUE = 60


class ImportProblemsError(DataError):
    """A firm's exports cannot be used as they are.

    Attributes
    ----------
    problems : tuple of Problem
    """

    def __init__(self, firm: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(describe(firm, self.problems))


@dataclass(frozen=True)
class Problem:
    """One kind of problem in one column, with every place it occurs.

    Attributes
    ----------
    file : str
        Their file as named in the configuration, with its path.
    rule : str
        What is wrong, as a predicate: "is not a number".
    mend : str
        What to do about it.
    column, measure : str
        Their column, and ours as ``table.column``.
    count : int
        Number of places.
    lines : sequence of int
        Lines (rows of databases and Parquet files) of the first places.
    cells : sequence of str
        Values at these places.
    place : {"line", "row"}
    warning : bool
        Whether the run goes on.
    """

    file: str
    rule: str
    mend: str
    column: str = ""
    measure: str = ""
    count: int = 1
    lines: Sequence[int] = ()
    cells: Sequence[str] = ()
    place: str = "line"
    warning: bool = False

    def __str__(self) -> str:
        """Two or three lines: where and what, the first places, the mend."""
        where = [self.file]
        if self.column:
            where.append(f'column "{_short(self.column)}"')
        if self.measure:
            where.append(f"our {self.measure}")
        times = f" ({self.count:,} times)" if self.count > 1 else ""
        text = f"{', '.join(where)}: {self.rule}{times}"
        shown = [self._place(i) for i in range(min(LINES_SHOWN, self._places()))]
        more = " ..." if self.count > len(shown) and shown else ""
        if shown:
            text += f"\n      {'; '.join(shown)}{more}"
        return f"{text}\n      Mend: {self.mend}"

    def _places(self) -> int:
        return max(len(self.lines), len(self.cells))

    def _place(self, index: int) -> str:
        line = f"{self.place} {self.lines[index]}" if index < len(self.lines) else ""
        value = f'"{_short(self.cells[index])}"' if index < len(self.cells) else ""
        return ": ".join(filter(None, [line, value]))


def _short(text: str) -> str:
    """Text on one line, cut where it is long, without signs that could steer a terminal."""
    plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return plain if len(plain) <= WIDEST_VALUE else plain[: WIDEST_VALUE - 3] + "..."


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Problems that stop the run."""
    return [problem for problem in problems if not problem.warning]


def describe(firm: str, problems: Sequence[Problem]) -> str:
    """A readable account, the most frequent kinds first within what stops the run."""
    stopping = errors(problems)
    places = sum(problem.count for problem in stopping)
    kinds = f"{len(stopping)} kind{'s' * (len(stopping) != 1)} of problem"
    head = f"The data of the firm {firm!r} have {kinds} in {places:,} place{'s' * (places != 1)}."
    ordered = sorted(problems, key=lambda problem: (problem.warning, -problem.count))
    lines = [f"{head} Nothing was written."] if stopping else []
    for number, problem in enumerate(ordered[:KINDS_SHOWN], 1):
        lines.append(f"{number:>3}. {'(warning) ' if problem.warning else ''}{problem}")
    if len(ordered) > KINDS_SHOWN:
        lines.append(f"     ... and {len(ordered) - KINDS_SHOWN} more kinds; the CSV has them all.")
    return "\n".join(lines)


def to_frame(problems: Iterable[Problem]) -> pd.DataFrame:
    """One row per place, at most `LINES_KEPT` of a kind; ``count`` is the number in all.

    Values that a spreadsheet would run as a formula get an apostrophe in front.
    """
    rows = []
    for problem in problems:
        for index in range(min(max(problem._places(), 1), LINES_KEPT)):
            value = problem.cells[index] if index < len(problem.cells) else ""
            rows.append(
                {
                    "severity": "warning" if problem.warning else "error",
                    "file": problem.file,
                    problem.place: problem.lines[index] if index < len(problem.lines) else None,
                    "column": _inert(problem.column),
                    "measure": problem.measure,
                    "value": _inert(value),
                    "rule": problem.rule,
                    "mend": problem.mend,
                    "count": problem.count,
                }
            )
    columns = "severity file line row column measure value rule mend count".split()
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"line": "Int64", "row": "Int64"})


def _inert(value: str) -> str:
    return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
