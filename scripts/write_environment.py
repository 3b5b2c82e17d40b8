"""Write environment.yml, the conda twin of pyproject.toml (run by `make lock`)."""

from pathlib import Path

from crosssell import environment

ROOT = Path(__file__).parents[1]
(ROOT / "environment.yml").write_text(environment.conda(ROOT / "pyproject.toml"), encoding="utf-8")
