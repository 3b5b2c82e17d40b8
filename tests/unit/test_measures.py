import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosssell import measures
from crosssell.errors import DataError


@pytest.mark.parametrize(
    ("customer", "agent", "distance"),
    # Differences of Hofstede's scores added up by hand; Tunisia is scored as the Arab countries.
    [("AUT", "SVK", 146), ("FRA", "MAR", 55), ("DEU", "IND", 96), ("USA", "TUN", 124)],
)
def test_cultural_distance_is_the_sum_of_absolute_differences(customer, agent, distance):
    assert measures.cultural_distance(pd.Series([customer]), pd.Series([agent])) == [distance]


def test_other_distance_formulas():
    sides = pd.Series(["AUT", "FRA"]), pd.Series(["SVK", "MAR"])
    scores = measures.hofstede()
    difference = scores.loc[["AUT", "FRA"]].to_numpy() - scores.loc[["SVK", "MAR"]].to_numpy()
    euclidean = measures.cultural_distance(*sides, "euclidean")
    np.testing.assert_allclose(euclidean, np.linalg.norm(difference, axis=1))
    kogut_singh = measures.cultural_distance(*sides, "kogut_singh")
    np.testing.assert_allclose(kogut_singh, (difference**2 / scores.var().to_numpy()).mean(axis=1))


def test_unknown_culture_is_named():
    with pytest.raises(DataError, match="ATLANTIS"):
        measures.cultural_distance(pd.Series(["ATLANTIS"]), pd.Series(["FRA"]))


@given(
    volumes=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 50)),
        min_size=1,
        unique_by=lambda v: v[:2],
    ),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=1),
    days=st.integers(1, 3),
)
def test_resolved_before_equals_the_plain_sum(volumes, asked, days):
    start = pd.Timestamp("2009-02-27")  # the window crosses the end of a month
    agent_days = pd.DataFrame(volumes, columns=["agent_id", "day", "resolved"])
    agent_days["date"] = start + pd.to_timedelta(agent_days["day"], unit="D")
    agent = pd.Series([a for a, _ in asked])
    date = start + pd.to_timedelta(pd.Series([d for _, d in asked]), unit="D")
    date += pd.Timedelta(hours=13)  # the time of day does not matter
    plain = [
        sum(v for b, e, v in volumes if b == a and d - days <= e < d)
        if any(b == a for b, _, _ in volumes)
        else np.nan
        for a, d in asked
    ]
    np.testing.assert_array_equal(measures.resolved_before(agent_days, agent, date, days), plain)


def raw_of_three_customers():
    """Customer 1 is pitched twice and buys the second time; 2 never buys; 3 is not pitched."""
    return {
        "customers": pd.DataFrame(
            {
                "customer_id": ["1", "2", "3"],
                "country": ["FRA", "BEL", "FRA"],
                "culture": ["FRA", "BEF", "FRA"],
                "model": ["low", "high", "low"],
                "purchase_date": ["2007-01-01", "2006-12-31", "2007-01-01"],
                "warranty_years": [2, 0, 1],
                "gross_margin": [10.5, 20.0, 30.0],
            }
        ),
        "models": pd.DataFrame({"model": ["low", "high"], "rank": [1, 4]}),
        "encounters": pd.DataFrame(
            {
                "encounter_id": ["a", "b", "c", "d"],
                "customer_id": ["1", "1", "2", "3"],
                "agent_id": ["x", "y", "x", "x"],
                "started_at": [
                    "2007-01-11T09:00",
                    "2007-01-12T23:59",
                    "2007-01-03T00:01",
                    "2007-02-01T08:00",
                ],
                "minutes": [5, 6, 7, 8],
                "failure_code": ["f", "g", "f", "f"],
                "offer_made": [1, 1, 1, 0],
                "offer_related": [0, 1, 0, 0],
            }
        ),
        "failures": pd.DataFrame(
            {
                "failure_code": list("ffffgggg"),
                "rater": list("12341234"),
                "severity": [1, 2, 3, 4, 7, 7, 7, 6],
            }
        ),
        "agents": pd.DataFrame({"agent_id": ["x", "y"], "country": ["MAR", "TUN"], "rank": [3, 9]}),
        "agent_days": pd.DataFrame(
            {"agent_id": ["x", "y"], "date": ["2007-01-10", "2007-01-11"], "resolved": [40, 30]}
        ),
        "sales": pd.DataFrame(
            {
                "sale_id": ["s", "t"],
                "encounter_id": ["b", "b"],
                "product_type": ["service", "good"],
                "revenue": [30.0, 12.5],
                "list_price": [30.0, 10.0],
                "units": [1, 2],
                "categories": [1, 1],
            }
        ),
        "survey": pd.DataFrame({"encounter_id": ["c"], "satisfaction": [8]}),
    }


def test_part1_has_one_row_per_pitched_customer_with_the_sale_that_counts():
    table = measures.build(raw_of_three_customers(), "part1").set_index("customer_id")
    assert list(table.index) == ["1", "2"]
    one, two = table.loc["1"], table.loc["2"]
    assert (one["purchase"], one["cross_sell_revenue"], one["cross_sell_good"]) == (1, 42.5, 1)
    assert (one["units"], one["list_price"]) == (3, 20.0)
    assert (one["product_age"], one["agent_resolution_ability"]) == (11, 9)
    assert (one["failure_severity"], one["cross_sell_related"]) == (6.75, 1)
    assert (two["purchase"], two["product_age"], two["product_functionality"]) == (0, 3, 4)
    assert two["failure_severity"] == 2.5
    assert two["satisfaction"] == 8
    assert np.isnan(two["cross_sell_revenue"])
    assert np.isnan(two["cross_sell_good"])


def facts(raw, study):
    return measures.facts(raw, study).rows.set_index(["equation", "term"])["estimate"]


def test_facts_are_of_the_raw_sources():
    raw = raw_of_three_customers()
    found = facts(raw, "part1")
    assert found["distinct", "failures.rater"] == 4
    assert found["distinct", "failures.severity"] == 6  # nobody gave a 5
    assert (found["min", "failures.severity"], found["max", "failures.severity"]) == (1, 7)
    assert (found["min", "survey.satisfaction"], found["max", "survey.satisfaction"]) == (8, 8)
    assert found["distinct", "models.rank"] == 2
    assert found["period", "months"] == 2  # February's encounter was without an offer
    assert (found["period", "first"], found["period", "last"]) == (2007, 2007)
    raw["failures"] = raw["failures"].assign(rater="one", severity=3)
    assert facts(raw, "part1")["distinct", "failures.rater"] == 1
    assert facts(raw, "part1")["max", "failures.severity"] == 3


def test_facts_of_essay_two_are_of_its_measures():
    raw = raw_of_three_customers()
    found = facts(raw, "part2")
    assert (found["day", "first"], found["day", "last"]) == (2, 1)
    assert found["dimensions", "cultural_distance"] == 4
    assert "day" not in facts(raw, "part1").index
    del raw["survey"]
    assert ("min", "survey.satisfaction") not in facts(raw, "part2").index


def test_days_counted_follow_the_measure(monkeypatch):
    assert measures.days_counted() == [1, 2]
    original = measures.resolved_before
    longer = lambda *tables: original(*tables, days=3)
    monkeypatch.setattr(measures, "resolved_before", longer)
    assert measures.days_counted() == [1, 2, 3]


def test_part2_has_one_row_per_pitched_encounter():
    table = measures.build(raw_of_three_customers(), "part2").set_index("encounter_id")
    assert list(table.index) == ["a", "b", "c"]
    assert table["purchase"].tolist() == [0, 1, 0]
    assert table["dyad"].tolist() == ["FRA-MAR", "FRA-TUN", "BEL-MAR"]
    assert table["agent_resolution_ability"].tolist() == [40, 30, 0]
    assert table["cultural_distance"].tolist() == [55, 73, 67 - 67 + 3 + 26 + 7 + 25 - 0]


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("customers", lambda t: t[t["customer_id"] != "2"], "'2'"),
        ("models", lambda t: pd.concat([t, t]), "models.model must be unique"),
        ("failures", lambda t: t[t["failure_code"] != "g"], "'g'"),
        ("agents", lambda t: t[t["agent_id"] != "y"], "'y'"),
    ],
)
def test_broken_keys_are_errors_that_name_them(table, change, named):
    raw = raw_of_three_customers()
    raw[table] = change(raw[table])
    with pytest.raises(DataError, match=named):
        measures.build(raw, "part1")
