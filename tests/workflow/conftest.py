import os
import subprocess
import sys
from pathlib import Path

import pytest


def snakemake(folder: Path, *arguments: str, check: bool = True, **variables: str):
    """Run snakemake in a folder and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="session")
def quick(checkout) -> Path:
    """Results of the whole workflow on the quick configuration."""
    snakemake(checkout, "--configfile", "config/quick.yaml")
    return checkout / "results/quick"
