"""Verdicts, the comparison with a run, its summaries, picture and page."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crosssell.audit import Certificate, audit, certificates
from crosssell.fidelity import fidelity, hypotheses, indicators, summary, terminal
from crosssell.scoreboard import LETTERS, page, picture, svg
from crosssell.verdicts import MEANING, VERDICTS, verdict
from synthetic.published import by_id, load, relations, tables

TEMPLATE = Path(__file__).parents[2] / "paper" / "templates" / "scoreboard.html.j2"
PRINTED = by_id()
SLOPE = "t3.hypothesized.cross_sell_good.estimate"  # 21.573 (4.775)***


@pytest.mark.parametrize(
    ("name", "value", "options", "expected"),
    [
        (SLOPE, 21.57349, {}, "exact"),
        (SLOPE, 21.5736, {"std_error": 4.775}, "close"),
        (SLOPE, 26.3, {"std_error": 4.775}, "close"),
        (SLOPE, 30.0, {"std_error": 4.775, "p_value": 0.001}, "same reading"),
        (SLOPE, 30.0, {"std_error": 4.775, "p_value": 0.02}, "differs"),
        (SLOPE, -30.0, {"std_error": 4.775, "p_value": 0.001}, "differs"),
        (SLOPE, 30.0, {"std_error": 4.775, "p_value": 0.001, "impossible": True}, "cannot hold"),
        (SLOPE, 21.573, {"impossible": True}, "exact"),
        (SLOPE, math.nan, {}, "differs"),
        (SLOPE, math.nan, {"impossible": True}, "cannot hold"),
        ("t2.mean.cross_sell_revenue", 79.8, {}, "close"),
        ("t2.mean.cross_sell_revenue", 79.9, {}, "differs"),
        ("t3.hypothesized.failure_severity.estimate", 9.0, {"p_value": 0.4}, "same reading"),
        ("t3.hypothesized.failure_severity.estimate", 9.0, {"p_value": 1.0}, "same reading"),
        ("p1.model_test.main_effects", 0.03, {}, "exact"),
        ("p1.model_test.main_effects", 0.3, {}, "differs"),
        ("p1.acceptance_rate", 7.343, {}, "exact"),
        ("p1.customers", 6782, {}, "exact"),
        ("p1.customers", 6782.3, {}, "close"),
        ("t7.corr.risk_aversion.purchase", -0.0004, {}, "exact"),
        ("t7.corr.risk_aversion.purchase", 0.001, {}, "differs"),
    ],
)
def test_verdict(name, value, options, expected):
    assert verdict(PRINTED[name], value, **options) == expected


@pytest.fixture(scope="module")
def run():
    """A run that misses here and there."""
    rng = np.random.default_rng(5)
    reproduced = {
        name: number.value + rng.choice([0, 0, 0.3, 40]) * number.half_width * rng.normal()
        for name, number in PRINTED.items()
        if name != "p1.year"
    }
    findings = audit(load(), relations())
    scores = fidelity(load(), reproduced, certificates(findings), relations=relations(), seed=7)
    return reproduced, findings, scores


def test_every_printed_number_has_a_verdict(run):
    _, _, scores = run
    assert scores["id"].tolist() == [number.id for number in load()]
    assert scores["verdict"].isin(VERDICTS).all()
    assert (scores["seed"] == 7).all()
    assert set(scores["role"]) == {"imposed", "emergent"}
    missing = scores.set_index("id").loc["p1.year"]
    assert math.isnan(missing["reproduced"])
    assert missing["verdict"] == "differs"


def test_what_cannot_hold_names_its_certificate(run):
    _, findings, scores = run
    lost = scores[scores["verdict"] == "cannot hold"]
    assert len(lost) > 5
    assert lost["certificate"].isin(findings.loc[findings["verdict"] != "consistent", "id"]).all()


def test_a_number_of_the_text_shares_its_cells_standard_error():
    reproduced = {"p1.outcome.cross_sell_good": 25.0}
    plain = fidelity(load(), reproduced, {}).set_index("id")
    tied = fidelity(load(), reproduced, {}, relations=relations()).set_index("id")
    assert plain.at["p1.outcome.cross_sell_good", "verdict"] == "differs"
    assert tied.at["p1.outcome.cross_sell_good", "verdict"] == "close"


def test_a_number_printed_again_shares_the_certificate():
    found = {"t3.hypothesized.wald.df": Certificate("df", 15.0)}
    scores = fidelity(load(), {"p1.wald.df": 14.0}, found, relations=relations())
    row = scores.set_index("id").loc["p1.wald.df"]
    assert (row["verdict"], row["certificate"], row["nearest"]) == ("cannot hold", "df", 15.0)
    # an id that disagrees with the first place does not share it
    found = {"p1.mean.risk_aversion": Certificate("mean", 2.4)}
    scores = fidelity(load(), {}, found, relations=relations()).set_index("id")
    assert scores.at["t2.mean.risk_aversion", "certificate"] == ""


def test_significance_follows_from_the_reproduced_cell():
    stem = "t3.hypothesized.cross_sell_good."
    far = {stem + "estimate": 40.0, stem + "std_error": 9.0}
    scores = fidelity(load(), far, {}).set_index("id")
    assert scores.at[stem + "estimate", "verdict"] == "same reading"
    wald = {"t3.hypothesized.wald.statistic": 100.0, "t3.hypothesized.wald.df": 19}
    scores = fidelity(load(), wald, {}).set_index("id")
    assert scores.at["t3.hypothesized.wald.statistic", "verdict"] == "same reading"


def test_certificate_gives_the_nearest_value():
    found = {"t2.mean.product_functionality": Certificate("grim", 940 / 498)}
    scores = fidelity(load(), {"t2.mean.product_functionality": 1.8876}, found).set_index("id")
    row = scores.loc["t2.mean.product_functionality"]
    assert (row["verdict"], row["certificate"]) == ("cannot hold", "grim")
    assert row["nearest"] == pytest.approx(1.88755, abs=1e-5)


def test_summary_counts_every_number_once(run):
    table = summary(run[2])
    assert table.iloc[-1]["all"] == len(PRINTED)
    assert table.iloc[:-1]["all"].sum() == len(PRINTED)
    assert (table[list(VERDICTS)].sum(axis=1) == table["all"]).all()


def test_terminal_summary_fits_one_screen(run):
    text = terminal(run[2], run[1])
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert f"{len(run[1])} relations" in text


def test_indicators_by_hand():
    original = pd.DataFrame(
        {"hypothesis": ["a", "b", "c"], "estimate": [2.0, 0.5, 1.0], "std_error": [0.5, 1.0, 0.1]}
    )
    paths = pd.DataFrame(
        {
            "hypothesis": ["a", "a", "a", "b", "b"],
            "estimate": [3.0, 1.0, -2.0, 0.1, 5.0],
            "std_error": [1.0, 1.0, 0.5, 1.0, 1.0],
        }
    )
    table = indicators(original, paths).set_index("hypothesis")
    assert list(table.index) == ["a", "b"]
    a, b = table.loc["a"], table.loc["b"]
    assert a["significance_agreement"] == pytest.approx(1 / 3)
    assert a["relative_effect"] == pytest.approx(1 / 3)
    assert a["relative_z"] == pytest.approx(0.0)
    assert a["effect_variation"] == pytest.approx(np.std([3, 1, -2], ddof=1) / 0.5)
    assert a["z_variation"] == pytest.approx(np.std([3, 1, -4], ddof=1))
    assert b["significance_agreement"] == 0.5
    assert math.isnan(b["relative_effect"])


def test_hypotheses_carry_the_printed_estimates():
    table = hypotheses(load(), relations()).set_index("hypothesis")
    assert len(table) == 14
    assert table.at["Part I H4", "estimate"] == 21.573
    # the printed standard error .0000 gives way to the estimate over its t
    assert table.at["Part II H2", "std_error"] == pytest.approx(0.0002 / 14.92)


def test_picture_has_one_lettered_cell_per_number(run):
    figure = picture(load(), tables(), run[2])
    letters = [
        text.get_text()
        for axes in figure.axes
        for text in axes.texts
        if text.get_text() in LETTERS.values()
    ]
    assert len(letters) == len(PRINTED)
    counts = run[2]["verdict"].value_counts()
    assert {v: letters.count(LETTERS[v]) for v in counts.index} == counts.to_dict()
    for axes in figure.axes:  # no cell is drawn over another
        corners = [patch.get_xy() for patch in axes.patches]
        assert len(corners) == len(set(corners))
    assert svg(figure) == svg(figure)


def test_page_is_self_contained_and_complete(run):
    _, findings, scores = run
    table = hypotheses(load(), relations())
    html = page(
        TEMPLATE,
        scores,
        findings,
        figure_svg=svg(picture(load(), tables(), scores)),
        indicators=indicators(table, table),
    )
    body = re.sub(r'(xmlns(:\w+)?|rdf:\w+)="http[^"]*"', "", html)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    assert not re.search(r"(src|href)=\"(https?:)?//", body)
    assert "@import" not in html
    for name in [*scores["id"], *findings["id"]]:
        assert f"<td>{name}</td>" in html or f'id="f-{name}"' in html
    for words in MEANING.values():
        assert words in html
    assert html.count("aria-sort") >= 3
