import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", "results", "logs", "*.egg-info", "__pycache__", ".*_cache"
)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """The project as an unpacked archive: no git, nothing made yet."""
    target = tmp_path_factory.mktemp("checkout") / "package"
    shutil.copytree(ROOT, target, ignore=LEFT_OUT)
    return target
