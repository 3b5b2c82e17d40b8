import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosssell import tables
from crosssell.errors import SpecificationError
from crosssell.results import FIELDS, coefficients

LAYOUT = {
    "title": "A <title> & more",
    "stub": "Variable",
    "columns": [{"key": "one", "label": "Column 1", "note": "(a)"}, {"key": "two", "label": "2 %"}],
    "sections": {"main": "Main effects"},
    "rows": [
        {"key": "x", "label": "Effect of x_1", "group": "main"},
        {"key": "y", "label": "Effect of y", "group": "main"},
    ],
    "legend": {"***": 0.01, "**": 0.05, "*": 0.1},
    "notes": ["{rows} rows."],
}
SPEC = {
    "cells": [
        {
            "at": "*/*",
            "fit": "s.m.full",
            "equation": "outcome",
            "show": "{estimate:3} ({std_error:2}){stars}",
        },
        {"at": "two/*", "equation": "other"},
    ],
    "note_numbers": {"rows": {"fit": "s.m.full", "equation": "n", "term": "all", "form": 0}},
}


def numbers():
    rows = pd.concat(
        [
            coefficients("outcome", [-0.5, 1.25], [0.1, 0.7], ["x", "y"]),
            pd.DataFrame({"equation": ["n"], "term": ["all"], "estimate": [1234.0]}),
        ]
    )
    return tables.Numbers({"s.m.full": rows.reindex(columns=["equation", "term", *FIELDS])})


def test_cells_follow_the_rules_and_missing_terms_stay_empty():
    table = tables.build("t", LAYOUT, SPEC, numbers())
    assert [row.label for row in table.rows] == ["Main effects", "Effect of x_1", "Effect of y"]
    assert table.rows[1].cells == ["−.500 (.10)***", ""]
    assert table.rows[2].cells == ["1.250 (.70)*", ""]
    assert table.notes == ["1,234 rows."]


def test_a_fit_that_was_not_made_is_an_error():
    spec = {"cells": [{**SPEC["cells"][0], "fit": "s.m.gone"}]}
    with pytest.raises(SpecificationError, match=r"s\.m\.gone"):
        tables.build("t", LAYOUT, spec, numbers())


def test_formats_share_their_text_and_escape_it(root):
    table = tables.build("t", LAYOUT, SPEC, numbers())
    made = {
        end: render(table) for end, render in tables.renderers(root / "paper/templates").items()
    }
    assert r"Effect of x\_1" in made["tex"]
    assert r"2 \%" in made["tex"]
    assert r"\ensuremath{-}.500" in made["tex"]
    assert "A &lt;title&gt; &amp; more" in made["html"]
    assert "−.500 (.10)***" in made["html"]
    assert "−.500 (.10)***" in made["csv"]


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.0731, "1%", "7.3%"),
        (-0.5, "3", "−.500"),
        (-0.0004, "3", ".000"),
        (1234.5, "2$", "$1,234.50"),
        (-45.0, "0$", "−$45"),
        (1.0, "3", "1.000"),
        (np.nan, "3", ""),
    ],
)
def test_number_formats(value, form, text):
    assert tables.format_number(value, form) == text


@given(st.floats(-1e6, 1e6, allow_nan=False), st.integers(0, 6))
def test_a_printed_number_reads_back_within_half_its_last_digit(value, decimals):
    text = tables.format_number(value, str(decimals)).replace("−", "-").replace(",", "")
    assert abs(float(text) - value) <= 0.5 * 10**-decimals * (1 + 1e-9)


@given(st.text())
def test_tex_escape_leaves_no_bare_special_sign(text):
    escaped = tables.tex_escape(text)
    for sign in "&%#_$":
        assert escaped.count(sign) == escaped.count("\\" + sign)


def test_stars_are_the_strictest_that_apply():
    legend = {"***": 0.01, "**": 0.05, "*": 0.1}
    assert [tables.stars(p, legend) for p in (0.001, 0.02, 0.07, 0.2, np.nan)] == [
        "***",
        "**",
        "*",
        "",
        "",
    ]
