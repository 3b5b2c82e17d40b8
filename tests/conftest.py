import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", "results", "logs", "*.egg-info", "__pycache__", ".*_cache"
)

# Files that take minutes: they start first, one on each processor, and short ones fill the rest.
LONG = ["test_quick", "test_firm_resume", "test_part1_firm"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """The project as an unpacked archive: no git, nothing made yet."""
    target = tmp_path_factory.mktemp("checkout") / "package"
    shutil.copytree(ROOT, target, ignore=LEFT_OUT)
    return target
