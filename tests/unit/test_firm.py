"""Another firm's data: reading, mapping, checking and shrinking."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import stat
import sys
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crosssell import io
from crosssell.errors import SpecificationError
from crosssell.firm import (
    configuration,
    dictionary,
    importing,
    mapping,
    problems,
    shrinking,
    sources,
    studies,
)
from crosssell.firm.configuration import Column, Firm, raw_schemas

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/scripts"))
import firm_exports  # noqa: E402

SPECS = {
    name: io.read_yaml(ROOT / f"workflow/specs/{name}.yaml")
    for name in ("models", "samples", "tables", "figures")
}
OWN = io.read_yaml(ROOT / "workflow/specs/firm.yaml")


@pytest.fixture(scope="module")
def made():
    return firm_exports.tables(1500)


@pytest.fixture
def written(tmp_path, made):
    path = firm_exports.write(tmp_path, made)
    return path, yaml.safe_load(path.read_text(encoding="utf-8"))


def load(path: Path, content: dict) -> Firm:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return configuration.load(path)


def read(firm: Firm) -> importing.Imported:
    models = shrinking.for_firm(SPECS, OWN, firm, "")[0]["models"]
    return importing.read_firm(firm, models)


# ---------------------------------------------------------------------------- the screen's verdict

CHECKED = [
    (table, field)
    for table, schema in raw_schemas().items()
    for field in schema.fields
    if field.type != "string" or field.constraints.keys() & {"enum", "pattern"}
]
MOMENT = next((table, field) for table, field in CHECKED if field.type == "datetime")
CELLS = st.one_of(
    st.text("0123456789.+-eE", min_size=1, max_size=9),
    st.integers(-2000, 2000).map(str),
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat()),
    st.sampled_from(["good", "FRA", "fra", "=A1", "2021-02-30", "2021-02-29", "abc", "A-1"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(CELLS, min_size=1, max_size=30), st.sampled_from(CHECKED))
@example(["2000-01-01"], MOMENT)  # a date alone is no time
def test_the_screen_by_columns_agrees_with_frictionless(cells, checked):
    table, field = checked
    export = sources.Export("file", pa.table({"cell": pa.array(cells, pa.string())}))
    _, found, _ = mapping.convert(export, table, field, Column("cell"))
    rejected = {int(line) - 1 for problem in found for line in problem.lines}
    for row, cell in enumerate(cells):
        if field.type == "integer" and set(cell) & set(".eE"):
            continue  # spreadsheets write whole numbers as 3.0; Frictionless does not read them
        judged = field.read_cell(cell)
        assert (row in rejected) == bool(judged[1]), (field.name, cell, judged)


# ------------------------------------------------------------------------------- files of all kinds


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".csv", bytes),
        (".csv.gz", gzip.compress),
        (".csv.bz2", bz2.compress),
        (".csv.xz", lzma.compress),
        (".csv.zst", lambda content: pa.Codec("zstd").compress(content, asbytes=True)),
    ],
)
def test_text_files_are_read_packed_or_not(tmp_path, ending, pack):
    path = tmp_path / f"x{ending}"
    path.write_bytes(pack("a;b\n1;ü\n2;\n".encode("cp1252")))
    export = sources.read(
        "x", {"path": str(path), "delimiter": ";", "encoding": "cp1252"}, ["b", "a"]
    )
    assert export.table.to_pydict() == {"b": ["ü", None], "a": ["1", "2"]}


def test_zip_utf16_excel_parquet_and_databases_are_read(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "unused": [0, 0]})
    with zipfile.ZipFile(tmp_path / "z.csv.zip", "w") as archive:
        archive.writestr("inside.csv", frame.to_csv(index=False))
    (tmp_path / "u.csv").write_bytes(frame.to_csv(index=False).encode("utf-16"))
    frame.to_excel(tmp_path / "e.xlsx", index=False, sheet_name="Data")
    frame.to_parquet(tmp_path / "p.parquet")
    with sqlite3.connect(tmp_path / "s.db") as connection:
        frame.to_sql("t", connection, index=False)
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select * from frame")
    specs = [
        {"path": str(tmp_path / "z.csv.zip")},
        {"path": str(tmp_path / "u.csv"), "encoding": "utf-16"},
        {"path": str(tmp_path / "e.xlsx"), "sheet": "Data"},
        {"path": str(tmp_path / "p.parquet")},
        {"address": f"sqlite:///{tmp_path}/s.db", "query": "select * from t"},
        {"database": str(tmp_path / "d.duckdb"), "query": "select * from t"},
        {"query": f"select * from '{tmp_path}/p.parquet'"},
    ]
    for spec in specs:
        export = sources.read("x", spec, ["a", "b"])
        text = [mapping.texts(export, name).to_pylist() for name in ("a", "b")]
        assert text == [["1", "2"], ["x", None]], spec


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,2\n\n3,"two\nlines"\n4\n5,6\n"7\n8",9\n10,11\n', encoding="utf-8")
    export = sources.read("x", {"path": str(path)}, ["a"])
    rows = {value: row for row, value in enumerate(export.table["a"].to_pylist())}
    lines = {value: int(export.lines(np.array([row]))[0]) for value, row in rows.items()}
    assert lines == {"1": 2, None: 3, "3": 4, "5": 7, "7\n8": 8, "10": 10}
    assert list(export.problems[0].lines) == [6]


# ------------------------------------------------------------------------------------------ mapping


def converted(cells, table, name, column, **signs):
    export = sources.Export("file", pa.table({"cell": pa.array(cells)}), **signs)
    field = raw_schemas()[table].get_field(name)
    values, found, _ = mapping.convert(export, table, field, column)
    return values.to_pylist(), found


def test_units_categories_and_signs_are_translated():
    seconds = Column("cell", factor=1 / 60)
    assert converted(["90", "60"], "encounters", "minutes", seconds)[0] == [1.5, 1.0]
    german = {"decimal": ",", "thousands": "."}
    assert converted(["1.234,5", "7"], "sales", "revenue", Column("cell"), **german)[0] == [
        1234.5,
        7,
    ]
    yes = Column("cell", map={"ja": "1", "nein": "0"})
    assert converted(["ja", "nein"], "encounters", "offer_made", yes)[0] == [1, 0]
    number = Column("cell", map={"1": "good", "2": "service"})
    assert converted([1.0, 2.0], "sales", "product_type", number)[0] == ["good", "service"]


def test_an_unmapped_category_is_told():
    _, found = converted(
        ["vielleicht"], "encounters", "offer_made", Column("cell", map={"ja": "1"})
    )
    assert "not in the category map" in found[0].rule


@pytest.mark.parametrize(
    ("cell", "pattern"),
    [("28.02.2021 09:30", "%d.%m.%Y %H:%M"), ("02/28/2021 09:30 AM", "%m/%d/%Y %I:%M %p")],
)
def test_times_are_read_by_their_format(cell, pattern):
    values, found = converted([cell], "encounters", "started_at", Column("cell", format=(pattern,)))
    assert not found
    assert str(values[0]) == "2021-02-28 09:30:00"


def test_yes_no_and_norway_are_words(tmp_path, written):
    path, content = written
    text = yaml.safe_dump(content).replace(
        "country: country", "country: {column: country, map: {NO: NOR, yes: FRA}}"
    )
    path.write_text(text, encoding="utf-8")
    columns = configuration.load(path).columns("customers")
    assert columns["country"].map == {"NO": "NOR", "yes": "FRA"}


# ----------------------------------------------------------------------------------------- checking


def test_sound_exports_become_the_raw_tables_they_were_made_from(written, made, tmp_path):
    firm = load(*written)
    folder = tmp_path / "raw"
    importing.import_firm(firm, SPECS["models"], {"part1": folder})
    raw = io.read_raw(sorted(folder.glob("*.csv")))
    for name in firm_exports.TABLES:
        expected = made[name]
        got = raw[name][list(expected)]
        got = got.assign(**{c: got[c].str.replace("T", " ") for c in ("started_at",) if c in got})
        pd.testing.assert_frame_equal(got, expected, check_dtype=False)


def test_nothing_is_written_when_anything_is_wrong(written, tmp_path):
    path, content = written
    sales = tmp_path / "sales.csv"
    sales.write_text(sales.read_text(encoding="utf-8") + "S,E,gadget,x,1,1,1\n", encoding="utf-8")
    folder = tmp_path / "raw"
    with pytest.raises(problems.ImportProblemsError, match="Nothing was written") as caught:
        importing.import_firm(load(path, content), SPECS["models"], {"part1": folder})
    assert not folder.exists()
    rules = {problem.measure for problem in caught.value.problems}
    assert {"sales.product_type", "sales.revenue", "sales.encounter_id"} <= rules


def test_thousands_of_problems_stay_readable(written, tmp_path):
    path, content = written
    encounters = tmp_path / "encounters.csv"
    frame = pd.read_csv(encounters, dtype=str)
    frame["minutes"], frame["started_at"] = "x", "yesterday"
    frame.to_csv(encounters, index=False)
    found = read(load(path, content)).problems
    text = problems.describe("small", found)
    assert len(text.splitlines()) < 20
    assert "(1,500 times)" in text
    assert len(problems.to_frame(found)) == 2 * problems.LINES_KEPT


@pytest.mark.parametrize(("allowed", "stops"), [(0.0, True), (0.5, False)])
def test_rows_lost_in_joins_are_counted_and_bounded(written, tmp_path, allowed, stops):
    path, content = written
    customers = tmp_path / "customers.csv"
    lines = customers.read_text(encoding="utf-8").splitlines()
    customers.write_text("\n".join(lines[: -len(lines) // 10]) + "\n", encoding="utf-8")
    content["losses"] = {"joins": allowed}
    found = read(load(path, content))
    lost = [p for p in found.problems if p.measure == "encounters.customer_id"]
    assert len(lost) == 1
    assert lost[0].warning != stops
    if not stops:
        assert found.tables["encounters"].num_rows == 1500 - lost[0].count


def test_a_single_pair_of_countries_is_a_problem_of_design(written, tmp_path):
    path, content = written
    for name in ("customers", "agents"):
        frame = pd.read_csv(tmp_path / f"{name}.csv", dtype=str).assign(country="FRA")
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    told = problems.describe("small", read(load(path, content)).problems)
    assert "FRA-FRA everywhere" in told
    content["measures"] = {"cultural_distance": "none"}
    del content["tables"]["agents"]["columns"]["country"]
    assert not problems.errors(read(load(path, content)).problems)


def test_a_measure_that_separates_buyers_is_told(written, tmp_path, made):
    path, content = written
    buyers = made["encounters"].set_index("encounter_id").loc[made["sales"]["encounter_id"]]
    sold = made["encounters"]["customer_id"].isin(buyers["customer_id"]).astype(int)
    made["encounters"].assign(offer_related=sold).to_csv(tmp_path / "encounters.csv", index=False)
    told = problems.describe("small", read(load(path, content)).problems)
    assert "part1.cross_sell_related: separates buyers" in told


def test_no_exclusion_restriction_is_a_warning(written):
    found = read(load(*written)).problems
    assert [p.warning for p in found if "exclusion restriction" in p.rule] == [True]


def test_formulas_in_the_account_of_problems_are_inert():
    told = problems.Problem("f.csv", "is bad", "Mend it.", "=x", "a.b", cells=["=1+1"], lines=[2])
    frame = problems.to_frame([told])
    assert frame.loc[0, ["column", "value"]].tolist() == ["'=x", "'=1+1"]


def test_identifiers_are_hashed_on_reading_and_joins_still_hold(written, tmp_path):
    path, content = written
    key = tmp_path / "key"
    key.write_text("a secret of more than sixteen signs", encoding="utf-8")
    content["confidentiality"] = {"key_file": str(key)}
    found = read(load(path, content))
    assert not problems.errors(found.problems)
    for table in found.tables.values():
        for name in mapping_ids(table):
            assert all(value.startswith("x") for value in table[name].to_pylist())


def mapping_ids(table: pa.Table) -> list[str]:
    return [n for n in table.column_names if n.endswith("_id")]


def test_files_are_readable_by_their_owner_only(tmp_path, written):
    import os

    before = os.umask(0o077)
    try:
        importing.write_tables({"t": pa.table({"a": [1]})}, tmp_path / "out")
    finally:
        os.umask(before)
    mode = (tmp_path / "out" / "t.csv").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


# ---------------------------------------------------------------------------------------- shrinking

MODEL = {
    "analysis": "heckman",
    "outcome": "revenue",
    "outcome_terms": ["a", "b", "a:b", "c"],
    "selection_terms": ["a", "b"],
}


def test_a_lacking_column_takes_its_products_along():
    models, notes = shrinking.shrink({"m": MODEL}, {"b"})
    assert models["m"]["outcome_terms"] == ["a", "c"]
    assert models["m"]["selection_terms"] == ["a"]
    assert notes == {"m": ["b", "a:b"]}
    assert MODEL["outcome_terms"] == ["a", "b", "a:b", "c"]


def test_a_model_without_outcome_or_terms_is_left_out():
    assert shrinking.shrink({"m": MODEL}, {"revenue"}) == ({}, {"m": None})
    assert shrinking.shrink({"m": MODEL}, {"a", "b"}) == ({}, {"m": None})


def test_nothing_lacking_changes_nothing():
    assert shrinking.shrink(SPECS["models"]["part1"], set()) == (SPECS["models"]["part1"], {})


def test_a_comparison_loses_what_is_no_smaller_any_more():
    small = {**MODEL, "outcome_terms": ["a", "c"], "selection_terms": ["a"]}
    spec = {"analysis": "compare", "full": MODEL, "restricted": {"without_b": small}}
    assert shrinking.shrink({"m": spec}, {"b"}) == ({}, {"m": None})


OPTIONAL = [
    (table, field.name)
    for table in firm_exports.TABLES
    for field in raw_schemas()[table].fields
    if not field.custom.get("requiredFor") and field.name not in raw_schemas()[table].primary_key
]


@pytest.mark.parametrize(("table", "column"), OPTIONAL)
def test_any_optional_column_may_be_left_out(written, table, column):
    path, content = written
    if column not in content["tables"][table]["columns"]:
        pytest.skip("the example has no such column")
    del content["tables"][table]["columns"][column]
    firm = load(path, content)
    found = read(firm)
    assert not problems.errors(found.problems), problems.describe("small", found.problems)
    raw = importing.to_pandas(found.tables)
    for study in firm.studies:
        data = studies.build(raw, firm, study)
        assert not set(studies.lacking(firm, study)) & set(data)
        models = shrinking.for_firm(SPECS, OWN, firm, "")[0]["models"][study]
        assert set(shrinking.columns_of(models["hypothesized"])) <= set(data)


def test_whole_tables_may_be_left_out_and_the_tables_say_so(written):
    path, content = written
    for table in ("failures", "models", "survey"):
        del content["tables"][table]
    del content["tables"]["encounters"]["columns"]["failure_code"]
    del content["tables"]["customers"]["columns"]["model"]
    firm = load(path, content)
    assert not problems.errors(read(firm).problems)
    specs, changes = shrinking.for_firm(SPECS, OWN, firm, "layouts")
    assert "table4" not in specs["tables"]
    note = specs["tables"]["table3"]["notes"][-1]
    assert "product functionality (needs customers.model, models.rank)" in note
    from crosssell.tables import layout

    change = changes["table3"]
    smaller = shrinking.shrink_layout(
        layout(ROOT / change["layout"]), set(change["lacking"]), change["lost_columns"], set()
    )
    rows = {row["key"] for row in smaller["rows"]}
    assert not any("functionality" in row for row in rows)
    assert "risk_aversion" in rows


def test_a_column_of_a_table_goes_with_its_estimate(written):
    specs, changes = shrinking.for_firm(SPECS, OWN, load(*written), "layouts")
    assert changes["table8"]["lost_columns"] == ["excluded_country"]
    path, content = written
    specs, changes = shrinking.for_firm(
        SPECS, OWN, load(path, content | {"leave_out": ["DEU"]}), "layouts"
    )
    assert changes["table8"]["lost_columns"] == []
    assert specs["samples"]["part2"]["without_deu"] == {"exclude": {"customer_country": ["DEU"]}}


# -------------------------------------------------------------------------------- text and examples


@pytest.mark.parametrize("name", ["firm.example", "telecom"])
def test_the_examples_configurations_are_valid(name):
    assert configuration.load(ROOT / f"config/{name}.yaml").studies


def test_every_mistake_of_a_configuration_is_told_at_once(written):
    path, content = written
    content["tables"]["sales"]["columns"] = {"sale_id": "sale_id", "colour": "x"}
    content["tables"]["encounters"]["from"] = "encounter"
    with pytest.raises(SpecificationError) as caught:
        load(path, content)
    text = str(caught.value)
    assert "colour" in text
    assert "did you mean encounters?" in text
    assert "revenue is missing" in text


def test_the_data_dictionary_is_up_to_date():
    stored = (ROOT / "docs/data_dictionary.md").read_text(encoding="utf-8")
    assert stored == dictionary.markdown(), "run: python -m crosssell.firm.dictionary"
