"""Killed at ten random moments, the workflow goes on and gives the same tables."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["Snakefile", "workflow", "scripts", "synthetic", "config", "paper", "profiles"]
PARTS += ["environment.yml"]
KILLS = 10
COMMAND = [
    sys.executable,
    "-m",
    "snakemake",
    "--cores",
    "2",
    "--config",
    "firm=config/telecom.yaml",
]
RESULTS = Path("results/telecom")


def copy(folder: Path) -> Path:
    """The package's tree, so that nothing of the user's own results is touched."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    # Fewer calls than the example has: the moments matter here, not the numbers.
    path = folder / "synthetic/telecom.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("calls: int = 100_000", "calls: int = 6_000"), encoding="utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    paths = f"{folder / 'scripts'}{os.pathsep}{folder}"
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
    return os.environ | threads | {"PYTHONPATH": paths}


def run(folder: Path, *more: str) -> None:
    done = subprocess.run(
        [*COMMAND, *more], cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def outputs(folder: Path) -> dict[str, bytes]:
    """Everything that was made, save times and versions."""
    made = folder / RESULTS
    endings = {".csv", ".html", ".tex", ".yaml"}
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in sorted(made.rglob("*"))
        if path.suffix in endings
    }


@pytest.mark.timeout(1800)
def test_killed_ten_times_it_resumes_and_gives_the_same_tables(tmp_path):
    whole, broken = copy(tmp_path / "whole"), copy(tmp_path / "broken")
    start = time.monotonic()
    run(whole)
    duration = time.monotonic() - start
    rng = random.Random(1)
    for kill in range(KILLS):
        last = kill == KILLS - 1
        process = subprocess.Popen(
            # Only the last one leaves a lock: to take it away costs as much as a start.
            COMMAND if last else [*COMMAND, "--nolock"],
            cwd=broken,
            env=environment(broken),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0, duration / 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert (
            not list((broken / "results").rglob("*.part"))
            or not (broken / RESULTS / "management.html").exists()
        )
    run(broken, "--unlock")
    run(broken)
    assert outputs(broken) == outputs(whole)
    rows = [path for path in (broken / RESULTS).rglob("*") if path.suffix == ".parquet"]
    assert rows == [], "files with rows must be gone"


@pytest.mark.timeout(600)
def test_a_wrong_export_stops_the_workflow_without_a_result(tmp_path):
    folder = copy(tmp_path / "tree")
    run(folder, "--until", "make_telecom_exports")
    calls = folder / "results/exports/telecom/calls.txt"
    text = calls.read_text(encoding="utf-8")
    calls.write_text(text.replace("|on-net|", "|satellite|", 3), encoding="utf-8")
    done = subprocess.run(
        COMMAND, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert 'column "network", our encounters.source: is not in the category map' in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((folder / RESULTS).rglob("*.csv"))
    assert not (folder / RESULTS / "management.html").exists()
    problems = (folder / "logs/results/telecom/problems.csv").read_text(encoding="utf-8")
    assert problems.count("satellite") == 3
