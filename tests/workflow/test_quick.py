"""The whole workflow on the quick configuration: what a user finds afterwards."""

import json
import os
import re
import stat
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pypdf import PdfReader

from crosssell.results import FIELDS, KEYS

from .conftest import snakemake

ROOT = Path(__file__).resolve().parents[2]

TABLES = [f"table{number}" for number in range(1, 9)]


@pytest.mark.parametrize("table", TABLES)
def test_each_table_is_set_in_three_formats_from_one_context(quick, table):
    text = pd.read_csv(quick / f"tables/{table}.csv", dtype=str, keep_default_na=False)
    tex = (quick / f"tables/{table}.tex").read_text()
    page = (quick / f"tables/{table}.html").read_text()
    assert len(text) >= 4
    for label in text.iloc[:, 0]:
        assert label in page.replace("&gt;", ">").replace("&amp;", "&")
    assert tex.count(r"\\") >= len(text)


def test_estimates_have_one_schema_and_a_sidecar(quick):
    paths = sorted((quick / "estimates").glob("*.csv"))
    assert len(paths) > 20
    for path in paths:
        table = pd.read_csv(path)
        assert list(table) == KEYS + FIELDS
        assert not table.duplicated(["equation", "term"]).any(), path.name
        assert table["estimate"].notna().any()
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert {"study", "model", "sample", "n", "seed", "versions"} <= set(sidecar)
        assert path.stem == ".".join(sidecar[key] for key in ("study", "model", "sample"))


def test_paper_is_a_pdf_with_every_table(quick):
    text = "".join(page.extract_text() for page in PdfReader(quick / "paper.pdf").pages)
    for number in range(1, 9):
        assert f"Table {number}" in text
    assert "??" not in text
    # Only the numbers of models that did not converge on so small a firm may be missing.
    places = yaml.safe_load((ROOT / "workflow/specs/text.yaml").read_text())
    cited = re.findall(r'num\("([^"]+)"\)', (ROOT / "paper/paper.tex.j2").read_text())
    failed = {
        path.stem
        for path in (quick / "estimates").glob("*.json")
        if "not_converged" in json.loads(path.read_text())
    }
    assert text.count("n/a") <= sum(places[key]["fit"] in failed for key in cited if key in places)


def test_report_holds_every_table_and_figure(quick):
    page = (quick / "report.html").read_text()
    for path in [*(quick / "tables").glob("*.html"), *(quick / "figures").glob("*.svg")]:
        assert path.name in page


def test_results_are_readable_by_their_owner_only(quick):
    open_to_others = [
        path
        for path in quick.rglob("*")
        if path.is_file() and stat.S_IMODE(os.stat(path).st_mode) & 0o077
    ]
    assert open_to_others == []


def test_second_run_has_nothing_to_do(quick, checkout):
    done = snakemake(checkout, "--configfile", "config/quick.yaml")
    assert "Nothing to be done" in done.stderr


def test_tables_do_not_depend_on_the_number_of_cores(quick, checkout):
    before = {path.name: path.read_bytes() for path in (quick / "tables").glob("*.csv")}
    arguments = ["--configfile", "config/quick.yaml", "--config", "results=results/one"]
    until = ["--until", "set_tables_part1", "set_tables_part2"]
    snakemake(checkout, *arguments, "--cores", "1", *until)
    after = {
        path.name: path.read_bytes() for path in (checkout / "results/one/tables").glob("*.csv")
    }
    assert after == before
