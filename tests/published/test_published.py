"""The transcription is complete, legible and consistent with itself."""

import re
from collections import Counter

import pytest
import yaml

from synthetic.published import (
    HERE,
    SCHEMA,
    PublishedError,
    by_id,
    load,
    outside,
    tables,
)

PRINTED = by_id()
TABLES = tables()


def test_counts_by_table_and_text():
    counts = Counter(number.place.table or number.id.split(".")[0] for number in load())
    assert counts == {
        1: 9,
        2: 65,  # 9 means, 9 standard deviations, 45 correlations, 2 in the note
        3: 68,  # 31 cells of two numbers, and 3 x 2 for the Wald statistics
        4: 48,  # 16 rows of three
        5: 4,
        7: 42,  # 7 means, 7 standard deviations, 28 correlations
        8: 50,  # 10 rows of five
        "abstract": 3,
        "intro1": 4,
        "p1": 95,
        "intro2": 3,
        "p2": 79,
    }
    assert len(outside()) == 19


def test_ids_are_unique_and_agree_with_the_place():
    ids = [number.id for number in load()]
    assert len(ids) == len(set(ids))
    for number in load():
        head = number.id.split(".")[0]
        if number.place.table:
            assert head == f"t{number.place.table}"
            assert number.place.row
            assert number.place.row in number.id or number.place.row == "note"
        else:
            assert head in {"abstract", "intro1", "intro2", "p1", "p2"}
            assert number.place.words
            assert number.place.section


@pytest.mark.parametrize("number", load(), ids=lambda number: number.id)
def test_value_decimals_and_half_width_follow_from_the_string(number):
    clean = re.sub(r"[^\d.\-]", "", number.printed)
    if re.search(r"\d", number.printed):
        assert float(clean) == number.value
        assert number.decimals == len(clean.partition(".")[2])
        assert f"{abs(number.value):.{number.decimals}f}".lstrip("0") == clean.strip("-").lstrip(
            "0"
        )
    else:
        assert number.value > 0
    assert number.half_width == pytest.approx(0.5 * 10**-number.decimals)
    assert number.matches(number.value if not number.comparison else number.value / 2)
    assert not number.matches(number.value + 1.01 * 10**-number.decimals)


@pytest.mark.parametrize("table", [2, 7])
def test_correlations_fill_a_lower_triangle_in_row_order(table):
    variables = [row["key"] for row in TABLES[table].rows]
    expected = [
        f"t{table}.corr.{row}.{column}"
        for i, row in enumerate(variables)
        for column in variables[: i + 1]
    ]
    found = [number.id for number in load() if number.id.startswith(f"t{table}.corr.")]
    assert found == expected
    assert all(PRINTED[f"t{table}.corr.{name}.{name}"].value == 1 for name in variables)
    assert all(PRINTED[name].decimals == 3 for name in expected)
    for moment in ("mean", "sd"):
        assert [n.place.row for n in load() if n.id.startswith(f"t{table}.{moment}.")] == variables


@pytest.mark.parametrize(
    ("table", "column", "filled"),
    [
        (3, "hypothesized", 16),
        (3, "main_effects", 9),
        (3, "covariates", 6),
        (8, "hypothesized", 10),
        (8, "excluded_country", 10),
    ],
)
def test_every_estimate_has_its_standard_error(table, column, filled):
    parts = {
        part: [n for n in load() if n.id.startswith(f"t{table}.{column}.") and n.id.endswith(part)]
        for part in (".estimate", ".std_error")
    }
    rows = {part: [n.place.row for n in numbers] for part, numbers in parts.items()}
    assert len(rows[".estimate"]) == filled
    assert rows[".estimate"] == rows[".std_error"]
    order = [row["key"] for row in TABLES[table].rows]
    assert sorted(rows[".estimate"], key=order.index) == rows[".estimate"]
    assert all(number.value >= 0 and not number.stars for number in parts[".std_error"])
    assert all(number.p_interval for number in parts[".estimate"])


def test_table_4_has_three_cells_in_every_row():
    for row in TABLES[4].rows:
        cells = [
            PRINTED[f"t4.{row['key']}.{c}"].printed for c in ("acceptance", "revenue", "share")
        ]
        assert re.fullmatch(r"\d+% \$\d+ [\d.]+%", " ".join(cells))


def test_definition_tables_print_their_numbers_in_their_measure():
    for table in (1, 5):
        measures = {row["key"]: row["measure"] for row in TABLES[table].rows}
        for number in load():
            if number.place.table == table:
                assert re.search(rf"\b{number.printed}\b", measures[number.place.row])


def test_text_numbers_whose_words_quote_a_number_quote_the_printed_one():
    for number in load():
        words = number.place.words
        if number.place.table is None and number.printed in words:
            assert re.search(rf"(?<![\d.]){re.escape(number.printed)}(?![\d])", words)


def test_damage_is_kept():
    assert PRINTED["t3.main_effects.cross_sell_related.estimate"].printed == "978"
    assert PRINTED["t2.mean.cross_sell_related"].printed == ". 567"
    assert PRINTED["t2.sd.product_functionality"].printed == ".400"
    assert PRINTED["p1.dollars.total_ra1_ra0"].printed == "$116, 448"


def test_significance_reads_stars_and_statements():
    assert PRINTED["t3.hypothesized.mills_lambda.estimate"].p_interval == (0.05, 0.10)
    assert PRINTED["t3.hypothesized.failure_severity.estimate"].p_interval == (0.10, 1)
    assert PRINTED["t8.hypothesized.failure_severity.estimate"].p_interval == (0.01, 0.05)
    assert PRINTED["p2.logit.failure_severity"].p_interval == (0.0001, 0.001)
    assert PRINTED["t2.mean.risk_aversion"].p_interval is None


def test_layouts_name_every_cell():
    for number in load():
        if number.place.table and number.place.row != "note":
            layout = TABLES[number.place.table]
            assert number.place.row in {row["key"] for row in layout.rows}
            assert number.place.column in {column["key"] for column in layout.columns} | {"wald"}


def test_every_key_of_the_schema_is_described_and_no_other_is_allowed():
    def walk(node):
        if isinstance(node, dict):
            if "properties" in node:
                assert node["additionalProperties"] is False
                for name, entry in node["properties"].items():
                    assert "description" in entry or "$ref" in entry, name
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(yaml.safe_load(SCHEMA.read_text("utf-8")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["groups"][0].update(colour="red"), "colour"),
        (lambda c: c["groups"][0]["numbers"][0].update(printed="many"), "no number"),
        (lambda c: c["groups"][0]["numbers"].append(c["groups"][0]["numbers"][0]), "twice"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    content = yaml.safe_load((HERE / "abstract.yaml").read_text("utf-8"))
    change(content)
    (tmp_path / "text.yaml").write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(PublishedError, match=message):
        load(tmp_path)
