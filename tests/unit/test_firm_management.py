"""The management page, the policies' worth, and the telecom study's seven answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crosssell import io, management
from crosssell.analyses import policies, telecom
from crosssell.firm import configuration, shrinking, studies
from synthetic import desk
from synthetic import telecom as operator

ROOT = Path(__file__).resolve().parents[2]
SPECS = {
    name: io.read_yaml(ROOT / f"workflow/specs/{name}.yaml")
    for name in ("models", "samples", "tables", "figures")
}
OWN = io.read_yaml(ROOT / "workflow/specs/firm.yaml")


def models(name: str) -> tuple[configuration.Firm, dict]:
    firm = configuration.load(ROOT / f"config/{name}.yaml")
    return firm, shrinking.for_firm(SPECS, OWN, firm, "")[0]["models"]


def arguments(spec: dict) -> dict:
    return {key: value for key, value in spec.items() if key not in ("analysis", "samples")}


@pytest.fixture(scope="module")
def raw():
    return desk.make(4000)


@pytest.fixture(scope="module")
def answers():
    firm, specs = models("telecom")
    data = studies.build(operator.make(), firm, "telecom")
    rows = telecom.questions(data, **arguments(specs["telecom"]["hypothesized"])).rows
    return rows.set_index(["equation", "term"])


# ------------------------------------------------------------------------------------ the telecom


@pytest.mark.parametrize(
    "term", ["top_box", "concern_device", "evening", "own_mobile", "lifetime_value"]
)
def test_what_the_study_says_raises_sales_does(answers, term):
    assert answers.loc[("odds_ratio", term), "conf_low"] > 1


@pytest.mark.parametrize("term", ["waiting_minutes", "talking_minutes"])
def test_what_the_study_says_has_no_influence_has_none(answers, term):
    low, high = answers.loc[("odds_ratio", term), ["conf_low", "conf_high"]]
    assert low < 1 < high
    assert max(high, 1 / low) < 1.05, "an interval this wide would hold sizeable effects"


def test_the_concern_matters_and_slight_influences_are_slight(answers):
    assert answers.loc[("joint", "concern.p_value"), "estimate"] < 0.001
    for term in ("evening", "own_mobile"):
        assert answers.loc[("odds_ratio", term), "estimate"] < 1.3


def test_the_logit_finds_the_effects_the_calls_were_made_with(answers):
    for term, effect in (("top_box", 0.40), ("concern_device", 0.35), ("lifetime_value", 0.20)):
        row = answers.loc[("outcome", term)]
        assert abs(row["estimate"] - effect) < 3 * row["std_error"]


def test_marginal_effects_are_changes_of_the_purchase_rate():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.integers(0, 2, 4000), "customer_id": np.arange(4000)})
    data["y"] = (rng.random(4000) < 0.1 + 0.1 * data["x"]).astype(int)
    rows = telecom.questions(data, "y", ["x"], "customer_id").rows.set_index(["equation", "term"])
    difference = data.groupby("x")["y"].mean().diff().iloc[1]
    assert rows.loc[("marginal", "x"), "estimate"] == pytest.approx(difference, abs=1e-6)


# ---------------------------------------------------------------------------------- the policies


def test_expected_revenue_of_a_pitch_is_what_pitches_earn(raw):
    firm, specs = models("firm.example")
    data = studies.build(raw, firm, "part1")
    rows = policies.pitch_values(data, **arguments(specs["part1"]["pitch_values"])).rows
    segments = rows[rows["equation"] == "segment"].set_index("term")
    earned = data["cross_sell_revenue"].fillna(0).mean()
    assert segments.loc["all", "estimate"] == pytest.approx(earned, rel=0.03)
    size = rows[rows["equation"] == "segment.size"].set_index("term")["estimate"]
    risk = [term for term in segments.index if term.startswith("risk_aversion~")]
    weighted = np.average(segments.loc[risk, "estimate"], weights=size[risk])
    assert weighted == pytest.approx(segments.loc["all", "estimate"])


def test_the_worth_of_a_queue_is_the_difference_of_its_segments(raw):
    firm, specs = models("firm.example")
    data = studies.build(raw, firm, "part1")
    rows = policies.pitch_values(data, **arguments(specs["part1"]["pitch_values"])).rows
    table = rows.set_index(["equation", "term"])["estimate"]
    high = data["risk_aversion"] > data["risk_aversion"].median()
    share = {
        level: (data.loc[high, "risk_aversion"] == level).mean()
        for level in data.loc[high, "risk_aversion"].unique()
    }
    queue = sum(w * table["segment", f"risk_aversion~{level:g}"] for level, w in share.items())
    gain = policies.PER * (queue - table["segment", "all"])
    assert table["policy", "risk_averse_queue"] == pytest.approx(gain)


def test_routing_hands_out_the_same_agents_and_customers(raw):
    values, by = pd.Series([3.0, 1.0, 2.0, 9.0]), pd.Series([10.0, 30.0, 20.0, 5.0])
    within = pd.Series(["a", "a", "a", "b"])
    assert policies._paired(values, by, within).tolist() == [1.0, 3.0, 2.0, 9.0]


def test_routing_rates_average_to_the_purchase_rate(raw):
    firm, specs = models("firm.example")
    data = studies.build(raw, firm, "part2")
    rows = policies.routing(data, **arguments(specs["part2"]["routing"])).rows
    table = rows.set_index(["equation", "term"])["estimate"]
    assert table["segment", "all"] == pytest.approx(data["purchase"].mean(), rel=0.03)
    assert {"able_agents_to_distant_customers"} <= set(table["policy"].index)


# -------------------------------------------------------------------------------------- the page


def test_cuts_count_what_was_offered_sold_and_earned(raw):
    table = management.cuts(raw, 1)["Everything"].iloc[0]
    encounters, sales = raw["encounters"], raw["sales"]
    assert table["encounters"] == len(encounters)
    assert table["offers"] == encounters["offer_made"].sum()
    assert table["purchases"] == len(sales)
    assert table["revenue_per_offer"] == pytest.approx(sales["revenue"].sum() / table["offers"])
    assert table["conversion_low"] < table["conversion"] < table["conversion_high"]


def test_small_groups_show_nothing_and_take_another_with_them(raw):
    labels = pd.Series("large", index=raw["encounters"].index)
    labels.iloc[:1000], labels.iloc[-3:] = "middle", "tiny"
    table = management.cut(raw, labels, 10).set_index("group")
    assert table.loc[["tiny"]].isna().all(axis=None)
    assert table.isna().all(axis=1).sum() == 2


def test_the_page_needs_no_net_and_shows_no_identifier(raw):
    firm = configuration.load(ROOT / "config/firm.example.yaml")
    shown = management.panels(management.cuts(raw, 10), {})
    text = management.page(ROOT / "paper/templates", firm, shown, ["tables/table3.html"], ["Mind."])
    assert "http" not in text
    assert '<a href="tables/table3.html">table3</a>.' in text
    assert not any(name in text for name in raw["customers"]["customer_id"].head(50))


def test_every_policy_has_words():
    assert len(management.POLICIES) == 8
    assert all(rule and source for rule, source in management.POLICIES.values())
