"""Figures show what the estimates say, and are the same file for the same estimates."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import yaml

from crosssell import figures
from crosssell.errors import SpecificationError
from crosssell.results import FIELDS, coefficients, values

mpl.use("agg")


def tidy(*rows):
    return pd.concat(rows).reindex(columns=["equation", "term", *FIELDS])


def test_every_specified_figure_has_its_function_and_arguments(root):
    import inspect

    specs = yaml.safe_load((root / "workflow/specs/figures.yaml").read_text())
    for name, spec in specs.items():
        known = inspect.signature(figures.FIGURES[spec["draw"]]).parameters
        assert {*spec.get("fits", {}), *spec.get("options", {})} <= set(known), name
        assert {"caption", "study", "title"} <= set(spec), name
        assert (root / f"workflow/report/{name}.rst").read_text().strip(), name


def test_every_figure_names_estimates_that_are_made(root):
    read = lambda name: yaml.safe_load((root / f"workflow/specs/{name}.yaml").read_text())
    made = {
        f"{study}.{name}.{sample}"
        for study, models in read("models").items()
        for name, model in models.items()
        for sample in model.get("samples", ["full"])
    }
    asked = {fit for spec in read("figures").values() for fit in spec.get("fits", {}).values()}
    assert asked <= made


def test_unknown_figures_and_arguments_are_named():
    with pytest.raises(SpecificationError, match="pie"):
        figures.draw({"draw": "pie"}, {}, {})
    with pytest.raises(SpecificationError, match="outcomes"):
        figures.draw({"draw": "framework", "options": {"outcomes": "y"}}, {}, {})


def test_the_same_figure_is_the_same_file(tmp_path):
    options = {
        "causes": [{"title": "Customer", "items": ["Risk aversion"], "label": "H1 +"}],
        "outcome": "Revenue",
        "covariates": ["Age"],
    }
    for ending in ("pdf", "svg", "png"):
        written = []
        for copy in ("a", "b"):
            made = figures.draw({"draw": "framework", "options": options}, {}, {})
            figures.save(made, tmp_path / copy, ending)
            written.append((tmp_path / copy).read_bytes())
        assert written[0] == written[1]
        assert len(written[0]) > 1000


def test_framework_shows_every_word():
    options = {
        "causes": [
            {"title": "Agent", "items": ["Ability"]},
            {"title": "Customer", "items": ["Age"]},
        ],
        "outcome": "Purchase",
        "moderator": {"title": "Distance", "label": "H1", "effects": ["H2 +", "H3 −"]},
    }
    (axis,) = figures.draw({"draw": "framework", "options": options}, {}, {}).axes
    shown = {text.get_text() for text in axis.texts}
    assert shown == {
        "Agent",
        "Ability",
        "Customer",
        "Age",
        "Purchase",
        "Distance",
        "H1",
        "H2 +",
        "H3 −",
    }


def test_coefficients_are_in_printed_standard_errors():
    rows = tidy(coefficients("outcome", [4.0], [1.0], ["x"]))
    printed = {"t.x.estimate": 6.0, "t.x.std_error": 2.0}
    made = figures.draw(
        {
            "draw": "coefficients",
            "fits": {"estimates": "f"},
            "options": {"prefix": "t", "terms": {"x": "X"}},
        },
        {"f": rows},
        printed,
    )
    points = {
        line.get_marker(): line.get_xdata()[0]
        for line in made.axes[0].lines
        if line.get_marker() != "None"
    }
    assert points["o"] == 3.0
    assert points["s"] == 2.0


def test_coefficients_without_a_usable_printed_error_use_their_own():
    rows = tidy(coefficients("outcome", [4.0], [0.5], ["x"]))
    printed = {"t.x.estimate": 6.0, "t.x.std_error": 0.0}
    made = figures.draw(
        {
            "draw": "coefficients",
            "fits": {"estimates": "f"},
            "options": {"prefix": "t", "terms": {"x": "X"}},
        },
        {"f": rows},
        printed,
    )
    assert [line.get_xdata()[0] for line in made.axes[0].lines if line.get_marker() == "s"] == [8.0]


def test_interactions_draw_boundaries_inside_the_data_only():
    pair = "x|z"
    grid = np.linspace(0, 10, 11)
    rows = tidy(
        coefficients(f"effect.{pair}", grid - 5, np.ones(11), [f"{z:g}" for z in grid]),
        values("region", {f"{pair}.low": 3.0, f"{pair}.high": 12.0}),
    )
    made = figures.draw(
        {
            "draw": "interactions",
            "fits": {"effects": "f"},
            "options": {"unit": "$", "panels": [{"pair": pair, "title": "H", "along": "Z"}]},
        },
        {"f": rows},
        {},
    )
    dashed = [line for line in made.axes[0].lines if line.get_color() == figures.ACCENT]
    assert [line.get_xdata()[0] for line in dashed] == [3.0]
    (heavy,) = [line for line in made.axes[0].lines if line.get_linewidth() == 1.8]
    np.testing.assert_array_equal(np.isnan(heavy.get_ydata()), np.abs(grid - 5) < 1.96)


def test_purchase_rates_show_every_pair_and_the_overall_rate():
    rates = tidy(
        values("c~a", {"FRA~MAR": 0.04, "DEU~SVK": 0.02}, conf_low={"FRA~MAR": 0.03}, conf_high={}),
        values("n.c~a", {"FRA~MAR": 3000.0, "DEU~SVK": 1000.0}),
        values("c", {"FRA": 0.04, "DEU": 0.02}),
        values("n.c", {"FRA": 3000.0, "DEU": 1000.0}),
        values("n.a", {"MAR": 3000.0, "SVK": 1000.0}),
    )
    made = figures.draw(
        {
            "draw": "purchase_rates",
            "fits": {"rates": "f"},
            "options": {
                "rows": "c",
                "columns": "a",
                "labels": {"FRA": "France"},
                "row_title": "R",
                "column_title": "C",
            },
        },
        {"f": rates},
        {},
    )
    (axis,) = made.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["France", "DEU"]
    assert sorted(float(c.get_offsets()[0, 0]) for c in axis.collections) == [2.0, 4.0]
    assert "all: 3.5%" in {text.get_text() for text in axis.texts}


def curve_rows():
    names = ["two_step/dollars", "ml/dollars", "two_step/log", "ml/log"]
    rows = [
        coefficients(name, [estimate], [1.0], ["x"])
        for name, estimate in zip(names, [3.0, -1.0, 0.5, 2.5], strict=True)
    ]
    shares = values("hypothesis", {"H1.supporting": 0.5, "H1.opposing": 0.0})
    return tidy(*rows, shares)


def test_curves_sort_specifications_and_mark_the_significant():
    hypotheses = {"H1": {"term": "x", "label": "X", "expected": "+"}}
    made = figures.draw(
        {"draw": "curves", "fits": {"estimates": "f"}, "options": {"hypotheses": hypotheses}},
        {"f": curve_rows()},
        {},
    )
    faint, strong = made.axes[0].lines[:2]
    np.testing.assert_array_equal(faint.get_ydata(), [-1.0, 0.5])
    np.testing.assert_array_equal(strong.get_ydata(), [2.5, 3.0])
    assert made.axes[0].get_xlabel() == "50% for, 0% against"


def test_curve_shows_the_choices_behind_each_estimate():
    options = {
        "term": "x",
        "label": "H1",
        "choices": {"Estimator": ["two_step", "ml"], "Outcome": ["dollars", "log"]},
        "words": {"two_step": "two-step"},
    }
    made = figures.draw(
        {"draw": "curve", "fits": {"estimates": "f"}, "options": options}, {"f": curve_rows()}, {}
    )
    bottom = made.axes[1]
    assert [label.get_text() for label in bottom.get_yticklabels()] == [
        "two-step",
        "ml",
        "dollars",
        "log",
    ]
    # In order of the estimate: ml/dollars, two_step/log, ml/log, two_step/dollars.
    two_step = bottom.collections[0].get_segments()
    assert [segment[0][0] for segment in two_step] == [1.0, 3.0]


def test_holdout_marks_the_printed_split():
    rows = tidy(
        values("predicted", {"0": 70.0, "1": 80.0, "2": 75.0}),
        values("observed", {"0": 72.0, "1": 76.0, "2": 74.0}),
        values("difference", {"0": -2.0, "1": 4.0, "2": 1.0}),
    )
    options = {"predicted": "p", "observed": "o"}
    made = figures.draw(
        {"draw": "holdout", "fits": {"estimates": "f"}, "options": options},
        {"f": rows},
        {"p": 93.0, "o": 97.0},
    )
    (diamond,) = [line for line in made.axes[0].lines if line.get_marker() == "D"]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (97.0, 93.0)
