"""What the audit says of the two essays, and that it and the scoreboard notice every change."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crosssell.audit import audit, certificates, untouched
from crosssell.fidelity import fidelity
from crosssell.measures import cultural_distance
from synthetic.published import PublishedError, load, relations

PUBLISHED = load()
RELATIONS = relations()


@pytest.fixture(scope="module")
def findings():
    return audit(PUBLISHED, RELATIONS).set_index("id")


# Worked out by hand from the printed tables and text.
IMPOSSIBLE = {
    "granularity.t2.product_functionality",
    "granularity.t2.agent_resolution_ability",
    "granularity.t2.cross_sell_related",
    "granularity.purchased.units",
    "granular_correlation.risk_aversion.cross_sell_good",
    "granular_correlation.cross_sell_good.cross_sell_related",
    "granular_correlation.whole_numbers",
    "spread.t7.risk_aversion",
    "spread.t7.duration",
    "spread.t7.product_value",
    "binary_sd.t2.cross_sell_good",
    "binary_sd.t2.cross_sell_related",
    "binary_correlation.purchase.agent_resolution_ability",
    "order.categories",
    "support.united_states",
    "support.euclidean.austria",
    "joint.distance",
    "joint.purchase",
}
INCONSISTENT = {
    "same.outcome.product_functionality",
    "same.outcome.product_functionality:agent_resolution_ability",
    "same.mean.p1.cross_sell_revenue",
    "same.mean.p2.risk_aversion",
    "same.p1.agent_resolution_ability.max",
    "same.p2.risk_aversion.min",
    "same.sources.p2",
    "same.holdout.observed",
    "derived.purchase_mean",
    "derived.dollars.total_ra1_ra0",
    "derived.dollars.total_ra4_ra1",
    "derived.dollars.total_pf12_pf34",
    "derived.dollars.ra5pf4_ra0pf1",
    "equal.revenue_at_means",
    "rank.second_largest_segment",
    "significance.t3.hypothesized.intercept",
    "significance.t3.hypothesized.risk_aversion:product_functionality",
    "significance.t3.main_effects.cross_sell_related",
    "significance.p2.logit.failure_severity",
    "degrees_of_freedom.hypothesized",
    "degrees_of_freedom.main_effects",
    "degrees_of_freedom.covariates",
    "nested_statistics.covariates.main_effects",
    "nested_statistics.covariates.hypothesized",
    "intercept.hypothesized",
    "likelihood_scale.hypothesized",
    "correlation_threshold.p01",
    "correlation_threshold.p05",
    "regressor_sd.product_age",
    "selected.sd.product_functionality",
    "linear_steps.a.revenue",
    "linear_steps.b.revenue.text",
    "sign.p1.probit.product_functionality:agent_resolution_ability",
    "claim.same_results.failure_severity:cultural_distance",
    "claim.same_results.risk_aversion:cultural_distance",
    "claim.same_results.product_value",
    "cross_reference.effect_size",
    "present.cross_sell_good",
    "statements.distance",
    "statements.risk_aversion",
}
CONSISTENT = {
    "granularity.t2.risk_aversion",
    "granularity.t2.failure_severity",
    "granularity.t2.cross_sell_good",
    "spread.t2.risk_aversion",
    "binary_sd.t7.purchase",
    "correlation_matrix.t2",
    "correlation_matrix.t7",
    "regressor_sd.product_price",
    "selected.mean.product_functionality",
    "sample_size.cross_sell_good",
    "derived.mean.risk_aversion",
    "derived.mean.product_functionality",
    "derived.acceptance_rate",
    "derived.intro.risk_averse",
    "derived.intro.functionality",
    "linear_steps.a.revenue.above_0",
    "linear_steps.b.revenue",
    "intercept.covariates",
    "support.france",
    "support.belgium",
    "rank.highest_correlation.t2",
    "t_value.failure_severity",
}


def test_impossible_numbers_are_those_worked_out(findings):
    assert set(findings.index[findings["verdict"] == "impossible"]) == IMPOSSIBLE


def test_contradictions_worked_out_are_found(findings):
    assert set(findings.loc[sorted(INCONSISTENT), "verdict"]) == {"inconsistent"}


def test_what_holds_is_left_alone(findings):
    assert set(findings.loc[sorted(CONSISTENT), "verdict"]) == {"consistent"}


def test_bounds_worked_out(findings):
    def certificate(name):
        return json.loads(findings.at[name, "certificate"])

    correlation = certificate("binary_correlation.purchase.agent_resolution_ability")
    assert correlation["bound"][0] == pytest.approx(-0.1157, abs=1e-4)
    assert certificate("spread.t7.duration")["bound"] == pytest.approx(19.18, abs=0.01)
    members = certificate("joint.distance")["conflicts"][0]["numbers"]
    assert "t7.sd.cultural_distance" in members
    # the four agent rows and the overall mean are enough
    assert not [m for m in members if re.search("austria|belgium|france|germany|kingdom|switz", m)]
    nearest = certificate("granularity.t2.product_functionality")["nearest"]
    assert nearest["t2.mean.product_functionality"] == pytest.approx(940 / 498)
    whole = certificate("granular_correlation.whole_numbers")
    assert len(whole["missed"]) == 3


def test_every_finding_has_intervals_and_a_sentence(findings):
    for row in findings.itertuples():
        certificate = json.loads(row.certificate)
        assert certificate["source"]
        assert row.explanation.endswith(".")
        if row.kind != "statements":
            assert certificate["intervals"], row.Index
            assert row.places


def test_few_numbers_stand_alone(findings):
    # these are tied to no other printed number
    assert set(untouched(PUBLISHED, findings.reset_index())) == {
        "p1.year",
        "p1.mean.good_price",
        "p1.mean.service_price",
        "p1.holdout.predicted",
        "p1.bootstrap.replicates",
        "p1.survey.ability_slope",
        "p2.months",
        "p2.year",
        "p2.excluded_countries",
    }


def test_declared_distances_are_those_of_the_measures():
    codes = {
        "austria": ["AUT"],
        "belgium": ["BEL", "BEF", "BEN"],
        "france": ["FRA"],
        "germany": ["DEU"],
        "united_kingdom": ["GBR"],
        "united_states": ["USA"],
        "switzerland": ["CHE", "SWF", "SWG"],
    }
    agents = {"slovakia": "SVK", "india": "IND", "tunisia": "TUN", "morocco": "MAR"}
    heading, *rows = RELATIONS["lists"]["distances"]
    declared = pd.DataFrame(rows, columns=heading)
    expected = {
        (customer, agent, cultural_distance(pd.Series([code]), pd.Series([agents[agent]]))[0])
        for customer, of in codes.items()
        for code in of
        for agent in agents
    }
    assert set(declared.itertuples(index=False, name=None)) == expected
    entries = {e["id"]: e for e in RELATIONS["relations"]}
    for side, names in (("customer", codes), ("agent", agents)):
        for name in names:
            values = set(entries[f"support.{name}"]["values"])
            assert values == set(declared.loc[declared[side] == name, "distance"])


def test_relations_are_checked_against_their_schema(tmp_path):
    (tmp_path / "relations.yaml").write_text("relations: [{id: a, kind: same, blame: [b]}]")
    with pytest.raises(PublishedError, match="blame"):
        relations(tmp_path)


# ------------------------------------------------------------------ change any digit


def _changed(number, rng):
    """The number with one printed digit one unit up or down."""
    places = [m.start() for m in re.finditer(r"\d", number.printed)]
    place = int(rng.choice(places))
    digit = int(number.printed[place])
    step = 1 if digit == 0 else -1 if digit == 9 else int(rng.choice([-1, 1]))
    printed = number.printed[:place] + str(digit + step) + number.printed[place + 1 :]
    return replace(number, printed=printed, value=float(re.sub(r"[\s$,%]", "", printed)))


def test_a_change_of_any_printed_digit_is_noticed(findings):
    """A run that reproduces every printed number, against 40 numbers each misprinted by a unit."""
    rng = np.random.default_rng(20100401)
    reproduced = {n.id: n.value if n.comparison != "<" else n.value - 1e-3 for n in PUBLISHED}
    first = fidelity(PUBLISHED, reproduced, certificates(findings.reset_index()))
    digits = [n for n in PUBLISHED if re.search(r"\d", n.printed)]
    chosen = rng.choice(len(digits), size=40, replace=False)
    by_audit = 0
    for k in chosen:
        other = _changed(digits[k], rng)
        numbers = [other if n.id == other.id else n for n in PUBLISHED]
        audited = audit(numbers, RELATIONS)
        scores = fidelity(numbers, reproduced, certificates(audited))
        verdicts = audited.set_index("id")["verdict"]
        noticed = not verdicts.equals(findings["verdict"])
        by_audit += noticed
        assert noticed or not scores["verdict"].equals(first["verdict"]), other.id
    # the audit alone, without any run, notices a good part
    assert by_audit >= 10
