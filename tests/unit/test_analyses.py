"""Analyses on small made-up data: what they say against the libraries and against each other."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crosssell import analyses, measures
from crosssell.analyses.interactions import interaction_rows
from crosssell.errors import SpecificationError
from crosssell.results import FIELDS

TERMS = {
    "outcome": "cross_sell_revenue",
    "selected": "purchase",
    "outcome_terms": [
        "risk_aversion",
        "product_functionality",
        "cross_sell_good",
        "risk_aversion:product_functionality",
    ],
    "selection_terms": ["risk_aversion", "product_functionality", "product_age"],
}
COUNTRIES = ["FRA", "DEU", "CHE"]


@pytest.fixture(scope="module")
def customers():
    """A selection model with known coefficients."""
    rng = np.random.default_rng(1)
    n = 3000
    data = pd.DataFrame(
        {
            "agent_id": rng.integers(0, 60, n).astype(str),
            "risk_aversion": rng.integers(0, 6, n),
            "product_functionality": rng.integers(1, 5, n),
            "product_age": rng.normal(0, 1, n),
        }
    )
    error = rng.multivariate_normal([0, 0], [[1, 6], [6, 100]], n)
    index = -1 + 0.3 * data["risk_aversion"] - 0.2 * data["product_functionality"]
    data["purchase"] = (index + data["product_age"] + error[:, 0] > 0).astype(int)
    good = rng.integers(0, 2, n)
    revenue = 100 + 5 * data["risk_aversion"] + 8 * good + error[:, 1]
    bought = data["purchase"] == 1
    data["cross_sell_good"] = np.where(bought, good, np.nan)
    data["cross_sell_revenue"] = revenue.where(bought)
    return data


@pytest.fixture(scope="module")
def encounters():
    """Encounters in customers in dyads."""
    rng = np.random.default_rng(2)
    n, per = 3000, 2
    customer = pd.DataFrame(
        {
            "customer_country": rng.choice(COUNTRIES, n // per),
            "agent_country": rng.choice(["SVK", "MAR"], n // per),
            "risk_aversion": rng.integers(0, 6, n // per),
        }
    )
    data = customer.loc[np.repeat(customer.index, per)].reset_index(names="customer_id")
    swiss = data["customer_country"] == "CHE"
    regions = rng.choice(["SWF", "SWG"], n)
    data["customer_culture"] = data["customer_country"].where(~swiss, regions)
    data["dyad"] = data["customer_country"] + "-" + data["agent_country"]
    data["agent_id"] = rng.integers(0, 40, n)
    data["duration"] = rng.gamma(2, 5, n)
    data["cultural_distance"] = measures.cultural_distance(
        data["customer_culture"], data["agent_country"]
    )
    eta = -1 + 0.1 * data["risk_aversion"] + 0.01 * (data["cultural_distance"] - 90)
    data["purchase"] = rng.binomial(1, stats.logistic.cdf(eta))
    return data


def run(data, **spec):
    result = analyses.run(data, spec, seed=3, bootstrap=30, holdout=12)
    assert not result.rows.duplicated(["equation", "term"]).any()
    assert set(FIELDS) >= set(result.rows) - {"equation", "term"}
    return result.rows.reindex(columns=["equation", "term", *FIELDS]).set_index(
        ["equation", "term"]
    )


def test_unknown_analyses_and_arguments_are_named():
    with pytest.raises(SpecificationError, match="heckmann"):
        analyses.run(pd.DataFrame(), {"analysis": "heckmann"})
    with pytest.raises(SpecificationError, match="tersm"):
        analyses.run(pd.DataFrame(), {"analysis": "ols", "outcome": "y", "tersm": []})


def test_descriptives_count_and_find_the_highest_correlation(customers):
    columns = ["purchase", "risk_aversion", "product_age"]
    rows = run(
        customers,
        analysis="descriptives",
        columns=columns,
        explanatory=["risk_aversion", "product_age"],
        count=["agent_id"],
    )["estimate"]
    assert rows["distinct", "agent_id"] == 60
    assert rows["rows_per", "agent_id"] == 50
    expected = customers[["risk_aversion", "product_age"]].corr().iloc[0, 1]
    assert rows["highest_correlation", "explanatory"] == pytest.approx(expected)
    assert rows["present", "purchase"] == 1


def test_two_groups_agree_with_scipy(customers):
    rows = run(customers, analysis="two_groups", outcome="product_age", group="purchase")
    one, zero = (customers.loc[customers["purchase"] == k, "product_age"] for k in (1, 0))
    for name, equal in (("student", True), ("welch", False)):
        test = stats.ttest_ind(one, zero, equal_var=equal)
        assert rows.at[("test", f"{name}.statistic"), "estimate"] == pytest.approx(test.statistic)
        assert rows.at[("test", f"{name}.df"), "estimate"] == pytest.approx(test.df)


def test_comparisons_have_both_tests_with_their_degrees_of_freedom(customers):
    small = {**TERMS, "outcome_terms": TERMS["outcome_terms"][:3]}
    rows = run(
        customers, analysis="heckman_comparisons", full=TERMS, restricted={"main_effects": small}
    )["estimate"]
    assert rows["lr", "main_effects.df"] == rows["wald", "main_effects.df"] == 1
    ratio = 2 * (rows["llf", "full"] - rows["llf", "main_effects"])
    assert rows["lr", "main_effects.statistic"] == pytest.approx(ratio)


def test_likelihood_fit_has_lambda_and_criteria(customers):
    rows = run(customers, analysis="heckman", method="ml", **TERMS)
    assert rows.at[("outcome", "mills_lambda"), "estimate"] == pytest.approx(6, abs=4)
    assert {("fit", "llf"), ("fit", "aic"), ("lr", "independence.p_value")} <= set(rows.index)
    assert ("fit", "llf") not in run(customers, analysis="heckman", **TERMS).index


def test_centring_leaves_interactions_alone(customers):
    plain, centred = (
        run(customers, analysis="heckman", centre=centre, **TERMS) for centre in (False, True)
    )
    key = ("outcome", "risk_aversion:product_functionality")
    np.testing.assert_allclose(plain.loc[key], centred.loc[key], rtol=1e-6)
    main = ("outcome", "risk_aversion")
    assert plain.at[main, "estimate"] != pytest.approx(centred.at[main, "estimate"])


def test_bootstrap_sets_every_kind_of_error_side_by_side(customers):
    rows = run(customers, analysis="heckman_bootstrap", cluster="agent_id", **TERMS)
    kinds = ["heckman.", "robust.", "cluster.", "cluster_bootstrap.", "bca.", ""]
    estimates = {rows.at[(f"{kind}outcome", "cross_sell_good"), "estimate"] for kind in kinds}
    assert len(estimates) == 1
    draws = rows.loc["replicate.outcome.cross_sell_good", "estimate"]
    assert len(draws) == 30
    assert draws.std() == pytest.approx(rows.at[("outcome", "cross_sell_good"), "std_error"])
    assert rows.at[("fit", "clusters"), "estimate"] == 60


def test_holdout_repeats_and_summarises(customers):
    rows = run(customers, analysis="heckman_holdout", share=0.75, **TERMS)["estimate"]
    assert len(rows["predicted"]) == 12
    assert rows["split", "predicted"] == rows["predicted", "0"]
    assert rows["mean", "difference"] == pytest.approx(rows["difference"].mean())
    assert 0 <= rows["share", "within_5"] <= rows["share", "within_20"] <= 1


def test_identification_knows_the_exclusion_restriction(customers):
    with_age = {**TERMS, "outcome_terms": [*TERMS["outcome_terms"], "product_age"]}
    rows = run(customers, analysis="heckman_identification", **with_age)
    assert rows.at[("diagnostics", "exclusions"), "estimate"] == 0
    errors = rows.loc["lambda", "std_error"]
    assert errors["product_age"] < errors["none"]


def test_interactions_do_not_depend_on_centring(customers):
    pairs = [["risk_aversion", "product_functionality"], ["risk_aversion", "cross_sell_good"]]
    terms = {**TERMS, "outcome_terms": [*TERMS["outcome_terms"], "risk_aversion:cross_sell_good"]}
    plain, centred = (
        run(customers, analysis="heckman_interactions", pairs=pairs, centre=centre, **terms)
        for centre in (False, True)
    )
    pd.testing.assert_frame_equal(plain, centred, rtol=1e-5, atol=1e-7)


def test_interactions_at_their_moderators_values():
    params = pd.Series({"x": 1.0, "z": 0.0, "x:z": 2.0, "intercept": 0.0})
    covariance = pd.DataFrame(0.01 * np.eye(4), params.index, params.index)
    data = pd.DataFrame({"x": [0.0, 1.0], "z": [0.0, 1.0]})
    rows = interaction_rows(params, covariance, data, [["x", "z"]]).set_index(["equation", "term"])
    assert rows.at[("effect.x|z", "1"), "estimate"] == pytest.approx(3)
    assert rows.at[("at", "x|z.low"), "estimate"] == pytest.approx(1)
    assert rows.at[("region", "x|z.share"), "estimate"] == 1


def test_selection_curve_has_every_combination_once(customers):
    hypotheses = {
        "H1": {"term": "risk_aversion", "sign": 1},
        "H1b": {"term": "risk_aversion", "sign": -1},
    }
    rows = run(
        customers,
        analysis="selection_curve",
        covariates=["product_age"],
        cluster="agent_id",
        hypotheses=hypotheses,
        **TERMS,
    )["estimate"]
    done = rows["fit", "estimated"] + rows["fit", "failed"]
    assert done == 3 * 2**5
    assert rows["hypothesis", "H1.same_sign"] == pytest.approx(
        1 - rows["hypothesis", "H1b.same_sign"]
    )


# ---------------------------------------------------------------------------------- Essay II

LOGIT = {
    "outcome": "purchase",
    "terms": ["risk_aversion", "cultural_distance", "risk_aversion:cultural_distance", "duration"],
    "groups": ["dyad", "customer_id"],
}


def test_rates_and_their_chi_square(encounters):
    rows = run(
        encounters, analysis="rates", outcome="purchase", by=["customer_country", "agent_country"]
    )["estimate"]
    french = encounters[encounters["customer_country"] == "FRA"]
    assert rows["customer_country", "FRA"] == pytest.approx(french["purchase"].mean())
    assert rows["chi_square", "customer_country.df"] == 2
    pair = french[french["agent_country"] == "MAR"]
    assert rows["n.customer_country~agent_country", "FRA~MAR"] == len(pair)


def test_nested_logit_and_plain_logit_share_their_terms(encounters):
    nested = run(encounters, analysis="nested_logit", **LOGIT)
    plain = run(encounters, analysis="logit", **LOGIT)
    assert list(nested.loc["outcome"].index) == list(plain.loc["outcome"].index)
    # Hardly any heterogeneity was put in: the two agree within a fraction of an error.
    apart = nested.loc["outcome", "estimate"] - plain.loc["outcome", "estimate"]
    assert (apart.abs() < 0.5 * plain.loc["outcome", "std_error"]).all()
    assert nested.at[("fit", "n"), "estimate"] == len(encounters)


def test_linear_probability_is_close_to_the_logit_on_its_scale(encounters):
    terms = ["risk_aversion", "duration"]
    linear = run(
        encounters,
        analysis="linear_probability",
        outcome="purchase",
        terms=terms,
        absorb=["dyad"],
        clusters=["customer_id", "agent_id"],
    )
    plain = run(encounters, analysis="logit", **LOGIT)
    apart = linear.loc["log_odds", "estimate"] - plain.loc["outcome", "estimate"].reindex(terms)
    assert (apart.abs() < 2 * plain.loc["outcome", "std_error"].reindex(terms)).all()


def test_distance_variants_rescale_the_distance(encounters):
    rows = run(
        encounters,
        analysis="distance_variants",
        formulas=["absolute", "euclidean"],
        scores=["region", "country"],
        **LOGIT,
    )["estimate"]
    for formula in ("absolute", "euclidean"):
        distance = measures.cultural_distance(
            encounters["customer_country"], encounters["agent_country"], formula
        )
        assert rows[f"distance.{formula}.country", "sd"] == pytest.approx(distance.std())
    base = run(encounters, analysis="nested_logit", **LOGIT)["estimate"]
    spread = encounters["cultural_distance"].std()
    assert rows["absolute.region", "cultural_distance"] == pytest.approx(
        base["outcome", "cultural_distance"] * spread, rel=1e-3
    )


def test_purchase_curve_leaves_out_what_is_not_identified(encounters):
    rows = run(
        encounters,
        analysis="purchase_curve",
        covariates=["duration"],
        ranges={"risk_aversion": [0, 4]},
        left_out={"customer_country": ["FRA"]},
        hypotheses={
            "H1b": {"term": "cultural_distance", "sign": 1},
            "H4": {"term": "risk_aversion:cultural_distance", "sign": 1},
        },
        **LOGIT,
    )["estimate"]
    # 3 samples x 3 formulas x (2 nested + 2 x 3 others); the linear model has no distance.
    assert rows["fit", "estimated"] == 3 * 3 * (2 + 2 * 3)
    assert rows["hypothesis", "H4.specifications"] == 3 * 3 * (2 + 2 * 3)
    assert rows["hypothesis", "H1b.specifications"] == 3 * 3 * (2 + 2 * 2)
    assert rows["hypothesis", "H1b.same_sign"] == 1
