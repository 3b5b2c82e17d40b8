"""``python -m benchmarks [heckman] [nested_logit]``: print time ratios, keep them as CSV."""

from __future__ import annotations

import argparse
import csv
import importlib
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

# One thread for everybody, set before the numerical libraries start theirs.
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")})

from benchmarks.common import Ratio

MODULES = ("heckman", "nested_logit")
RESULTS = Path(__file__).parent / "results" / "ratios.csv"
HEADINGS = (
    "task (one thread, processor seconds)",
    "against",
    "ours",
    "theirs",
    "ratio",
    "goal",
    "",
)
LINE = "{:<44} {:<34} {:>10} {:>10} {:>8} {:>6}  {}"


def cells(row: Ratio) -> tuple[str, ...]:
    """Return one printed line's cells."""
    theirs, ratio = "skipped", ""
    if row.theirs is not None:
        theirs, ratio = f"{row.theirs:.4g}", f"{row.ratio:.1f}x"
    goal = "" if row.goal is None else f"{row.goal:g}x"
    return row.task, row.against, f"{row.ours:.4g}", theirs, ratio, goal, row.note


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="module", help=f"any of: {' '.join(MODULES)}")
    chosen = parser.parse_args().modules or MODULES
    if unknown := set(chosen) - set(MODULES):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    rows = []
    print(LINE.format(*HEADINGS).rstrip())
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"-- {module.TITLE}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            for row in module.compare(Path(scratch)):
                rows.append({**asdict(row), "ratio": row.ratio})
                print(LINE.format(*cells(row)).rstrip(), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print("Written to benchmarks/results/ratios.csv")


if __name__ == "__main__":
    main()
