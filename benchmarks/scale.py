"""``python -m benchmarks.scale [100000 1000000 10000000]``: time and memory of a firm of any size.

For each number of encounters a synthetic service desk is made and exported; then, in a process of
its own, the exports are read, mapped and validated, written as raw tables, built into Essay II's
analysis table, and the three-level logit is fitted. Printed: seconds of each step, and the largest
memory of the process.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = "2"
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
STEPS = ("validate", "write", "build", "fit")
RESULTS = Path(__file__).parent / "results" / "scale.csv"
SPECS = Path(__file__).resolve().parents[1] / "workflow" / "specs"
TABLES = ("customers", "models", "encounters", "failures", "agents", "agent_days", "sales")


def export(encounters: int, folder: Path) -> None:
    """Write a desk's tables as exports: the two long ones as CSV, the others as Parquet."""
    import pyarrow as pa
    import pyarrow.csv

    from synthetic import desk

    for name, table in desk.make(encounters).items():
        if name in ("encounters", "customers"):
            text = table.select_dtypes("datetime").apply(
                lambda c: c.dt.strftime("%d.%m.%Y %H:%M:%S")
            )
            frame = pa.Table.from_pandas(table.assign(**text), preserve_index=False)
            pa.csv.write_csv(frame, folder / f"{name}.csv")
        elif name in TABLES:
            table.to_parquet(folder / f"{name}.parquet", index=False)


def configuration(folder: Path) -> dict:
    """Configuration that reads the exports."""
    from crosssell.firm.configuration import raw_schemas

    moment = "%d.%m.%Y %H:%M:%S"
    tables = {}
    for name in TABLES:
        columns = {field.name: field.name for field in raw_schemas()[name].fields}
        for absent in ("culture", "lifetime_value", "waiting_minutes", "concern", "source"):
            columns.pop(absent, None)
        for date in ("started_at", "purchase_date"):
            if date in columns:
                columns[date] = {"column": date, "format": moment}
        tables[name] = {"from": name, "columns": columns}
    endings = {name: "csv" if name in ("encounters", "customers") else "parquet" for name in TABLES}
    files = {name: {"path": str(folder / f"{name}.{end}")} for name, end in endings.items()}
    return {"name": "scale", "studies": ["part2"], "files": files, "tables": tables}


def run(folder: Path) -> dict[str, float]:
    """Everything from exports to estimates; seconds of each step and gigabytes at the most."""
    import pandas as pd
    import pyarrow as pa

    from crosssell import analyses, io
    from crosssell.firm import importing, shrinking, studies
    from crosssell.firm.configuration import Firm
    from crosssell.firm.problems import errors

    firm = Firm("scale", configuration(folder))
    specs = {name: io.read_yaml(SPECS / f"{name}.yaml") for name in ("models", "samples")}
    own = io.read_yaml(SPECS / "firm.yaml")
    specs |= {"tables": {}, "figures": io.read_yaml(SPECS / "figures.yaml")}
    models = shrinking.for_firm(specs, own, firm, "")[0]["models"]
    marks = [time.perf_counter()]
    found = importing.read_firm(firm, models)
    assert not errors(found.problems), found.problems
    marks.append(time.perf_counter())
    importing.write_tables(found.tables, folder / "raw")
    del found
    pa.default_memory_pool().release_unused()
    marks.append(time.perf_counter())
    raw = io.read_raw([folder / "raw" / f"{name}.csv" for name in firm.tables])
    io.write_parquet(studies.build(raw, firm, "part2"), folder / "analysis.parquet")
    del raw
    marks.append(time.perf_counter())
    data = pd.read_parquet(folder / "analysis.parquet")
    analyses.run(data, models["part2"]["hypothesized"])
    marks.append(time.perf_counter())
    seconds = {s: b - a for s, a, b in zip(STEPS, marks, marks[1:], strict=False)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return seconds | {"processor": spent.ru_utime + spent.ru_stime, "gigabytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("encounters", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make:
        export(chosen.encounters[0], Path(chosen.make))
        return
    if chosen.child:
        print(json.dumps(run(Path(chosen.child))))
        return
    environment = os.environ | {f"{n}_NUM_THREADS": THREADS for n in ("OMP", "OPENBLAS", "NUMBA")}
    rows = []
    names = ["encounters", *STEPS, "total", "processor", "gigabytes"]
    print("".join(f"{name:>12}" for name in names))
    for size in chosen.encounters:
        with tempfile.TemporaryDirectory() as folder:
            call = [sys.executable, "-m", "benchmarks.scale"]
            subprocess.run([*call, str(size), "--make", folder], check=True, env=environment)
            child = [*call, "--child", folder]
            done = subprocess.run(
                child, check=True, env=environment, stdout=subprocess.PIPE, text=True
            )
        row = {"encounters": size, **json.loads(done.stdout)}
        row["total"] = sum(row[step] for step in STEPS)
        rows.append({name: row[name] for name in names})
        print(f"{size:>12,}" + "".join(f"{row[name]:>12.1f}" for name in names[1:]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
