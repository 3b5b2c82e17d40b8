"""Every command that the README shows is run, or rehearsed where a test of minutes would not do."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMANDS = sorted(
    {line.split("#")[0].strip() for line in re.findall(r"^    (make.*|snakemake.*)$", README, re.M)}
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
# `make` and `make test` are what continuous integration runs, and the quick workflow is what
# test_quick.py looks at.
REHEARSED = {"make": "--dry-run", "snakemake": "--dry-run"}
RUN = {"make help", "make lint"}


@pytest.fixture(scope="module")
def with_environment(checkout, root):
    """The checkout with the environment that runs this test."""
    link = checkout / ".venv"
    if not link.exists() and (root / ".venv").exists():
        link.symlink_to(root / ".venv")
    return checkout


def test_the_readme_has_commands_to_check():
    assert {"make", "make test"} <= set(COMMANDS)
    assert len(COMMANDS) >= 8
    assert len(PYTHON) >= 1


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, with_environment):
    words = shlex.split(command)
    if words[0] == "make":
        # The environment is the one that runs this test; it must not be installed anew from here.
        words.append("--old-file=.venv/.installed")
    if command not in RUN:
        words.append(REHEARSED[words[0]])
    done = subprocess.run(
        words, cwd=with_environment, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("code", PYTHON)
def test_example_in_python(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()
