"""What every benchmark module shares: timing, R when present, one row per comparison.

A benchmark module has a ``TITLE`` and a function ``compare(scratch: Path) -> Iterator[Ratio]`` that
yields its comparisons as they finish; ``scratch`` is an empty folder for files handed to R.
"""

from __future__ import annotations

import csv
import gc
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")
R_SCRIPTS = Path(__file__).parent / "r"


@dataclass(frozen=True)
class Ratio:
    """One comparison: the same task on the same data by this package and by other software.

    Seconds are processor seconds (user plus system) of one thread, so that a busy machine
    disturbs them little. ``theirs`` is None where the other software is absent.
    """

    task: str
    against: str
    ours: float
    theirs: float | None
    goal: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.theirs / self.ours


def seconds(function: Callable[[], T], repeats: int = 3, warm_up: bool = True) -> tuple[float, T]:
    """Return the least processor time of several runs, and the last result.

    The least is the run that other programs disturbed least. A warm-up run keeps the compilation
    of numba functions out of the figures.
    """
    if warm_up:
        function()
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def write_columns(path: Path, columns: Mapping[str, Iterable[float]]) -> None:
    """Write columns of numbers as CSV for R."""
    names = list(columns)
    table = np.column_stack([np.asarray(columns[name], dtype=float) for name in names])
    np.savetxt(path, table, delimiter=",", header=",".join(names), comments="", fmt="%.17g")


def run_r(
    script: str, *arguments: object, packages: Iterable[str] = (), timeout: float = 3600
) -> dict[str, float] | None:
    """Run ``benchmarks/r/<script>`` and return the numbers it prints as lines of ``name,value``.

    Returns
    -------
    dict or None
        None when R or one of `packages` is not installed.
    """
    program = shutil.which("Rscript")
    if program is None or not all(has_r_package(name) for name in packages):
        return None
    command = [program, "--vanilla", str(R_SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{script} failed: {done.stderr.strip()}")
    return {name: float(value) for name, value in csv.reader(done.stdout.splitlines())}


def has_r_package(name: str) -> bool:
    """Say whether an R package is installed."""
    question = f'quit(status = as.integer(!requireNamespace("{name}", quietly = TRUE)))'
    done = subprocess.run(["Rscript", "--vanilla", "-e", question], capture_output=True)
    return done.returncode == 0
