from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crosssell import predictions as p
from synthetic.published import by_id

OUTCOME = {
    key.split(".")[2]: number.value
    for key, number in by_id().items()
    if key.startswith("t3.hypothesized.") and key.endswith(".estimate")
}
LAMBDA = OUTCOME.pop("mills_lambda")
MEANS = {
    key.removeprefix("t2.mean."): number.value
    for key, number in by_id().items()
    if key.startswith("t2.mean.")
}
ACCEPTED = by_id()["p1.purchases"].value / by_id()["p1.customers"].value


def printed(segment):
    return by_id()[f"t4.{segment}.revenue"]


def revenues(intercept=-72.5):
    slopes = OUTCOME | {"intercept": intercept}
    return p.printed_revenues(slopes, MEANS, p.average_correction(LAMBDA, ACCEPTED))


def test_panel_a_comes_back_from_the_printed_coefficients():
    found = revenues()
    for level in range(6):
        assert printed(f"a.{level}").matches(found[f"a.{level}"])


@pytest.mark.parametrize(("panel", "levels"), [("a", range(6)), ("b", range(1, 5))])
def test_steps_are_the_printed_ones_whatever_the_intercept(panel, levels):
    # Two rounded dollars differ by at most one dollar from the difference they stand for.
    for intercept in (-100.0, 0.0):
        found = revenues(intercept)
        for low, high in pairwise(levels):
            step = found[f"{panel}.{high}"] - found[f"{panel}.{low}"]
            difference = printed(f"{panel}.{high}").value - printed(f"{panel}.{low}").value
            assert abs(step - difference) <= 1


def test_no_intercept_gives_the_levels_of_both_panels():
    # The same customer (risk aversion 2.5, functionality 1.887) is worth 98.7 in one panel and
    # 58.5 in the other.
    apart = [revenues()[f"b.{k}"] - printed(f"b.{k}").value for k in range(1, 5)]
    assert min(apart) > 39
    assert max(apart) < 41


def test_unit_change_is_a_difference_of_predictions():
    slopes = {"x": 2.0, "z": -1.0, "x:z": 0.5, "intercept": 10.0}
    assert p.unit_change(slopes, "x", {"x": 7.0, "z": 4.0}) == pytest.approx(2 + 0.5 * 4)
    assert p.linear_predictor(slopes, {"x": 3.0, "z": 4.0}) == pytest.approx(10 + 6 - 4 + 6)
    assert p.linear_predictor(slopes, {"x": 3.0, "z": 4.0}, ["x:z"]) == pytest.approx(12)


def test_correction_at_the_overall_rate():
    z = stats.norm.ppf(0.2)
    assert p.average_correction(10.0, 0.2) == pytest.approx(10 * stats.norm.pdf(z) / 0.2)


def test_differences_and_totals_by_hand():
    worth = dict.fromkeys(p.SEGMENTS, 0.0) | {"a.0": 3.0, "a.1": 32.0, "b.1": 81.0, "b.3": 30.0}
    shares = dict.fromkeys(p.SEGMENTS, 0.0) | {"a.0": 0.02, "a.1": 0.36, "b.1": 0.1, "b.3": 0.2}
    found = p.dollar_differences(worth, shares, 1000)
    assert found["ra1_ra0"] == 29
    assert found["total_ra1_ra0"] == pytest.approx(1000 * (0.36 * 32 - 0.02 * 3))
    assert found["total_pf12_pf34"] == pytest.approx(1000 * (0.1 * 81 - 0.2 * 30))


def test_shares_count_customers():
    customers = pd.DataFrame({"risk_aversion": [0, 1, 1, 5], "product_functionality": [1, 1, 2, 4]})
    shares = p.segment_shares(customers)
    assert (shares["a.1"], shares["b.1"], shares["c.ra1_pf1"]) == (0.5, 0.5, 0.25)


def test_delta_method_is_exact_for_linear_functions():
    weights = np.array([[1.0, 2.0], [0.0, -3.0]])
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    params = np.array([1.0, 4.0])
    rows = p.delta_method("e", lambda theta: weights @ theta, params, covariance, ["a", "b"])
    expected = np.sqrt(np.diag(weights @ covariance @ weights.T))
    np.testing.assert_allclose(rows["std_error"], expected, rtol=1e-8)
    np.testing.assert_allclose(rows["estimate"], weights @ params)


def test_segments_at_means_are_the_two_equations():
    params = np.array([0.2, -0.3, 0.1, 5.0, 2.0, 10.0])  # risk, functionality, 1; risk, 1; lambda
    model = p.SelectionModel(
        ["risk_aversion", "product_functionality"], ["risk_aversion"], params, np.eye(6)
    )
    customers = pd.DataFrame({"risk_aversion": [2.0], "product_functionality": [3.0]})
    found = dict(zip(p.segment_terms(), model.segments(customers)(params), strict=True))
    index = 0.2 * 4 - 0.3 * 3 + 0.1
    probability = stats.norm.cdf(index)
    revenue = 5 * 4 + 2 + 10 * stats.norm.pdf(index) / probability
    assert found["a.4.acceptance"] == pytest.approx(probability)
    assert found["a.4.revenue"] == pytest.approx(revenue)
    assert found["a.4.expected"] == pytest.approx(probability * revenue)


def test_conditional_effects_agree_with_a_derivative():
    params = pd.Series({"x": 1.0, "z": 2.0, "x:z": 0.5, "x:w": -1.0, "intercept": 3.0})
    covariance = pd.DataFrame(np.diag([1.0, 1.0, 0.04, 0.25, 1.0]), params.index, params.index)
    rows = p.conditional_effects("e", params, covariance, "x", "z", np.array([0.0, 4.0]), {"w": 2})
    np.testing.assert_allclose(rows["estimate"], [1 - 2, 1 + 2 - 2])
    np.testing.assert_allclose(rows["std_error"], np.sqrt([1 + 1, 1 + 16 * 0.04 + 1]))


@given(
    effect=st.floats(-3, 3),
    slope=st.floats(-2, 2),
    variance=st.floats(0.05, 2),
    slope_variance=st.floats(0.05, 2),
    correlation=st.floats(-0.95, 0.95),
)
def test_region_says_where_the_effect_is_significant(
    effect, slope, variance, slope_variance, correlation
):
    covariance = correlation * np.sqrt(variance * slope_variance)
    region = p.johnson_neyman(effect, slope, variance, slope_variance, covariance)
    values = np.linspace(-20, 20, 401)
    error = np.sqrt(variance + 2 * values * covariance + values**2 * slope_variance)
    ratio = np.abs(effect + slope * values) / error
    clear = np.abs(ratio - stats.norm.isf(0.025)) > 1e-6
    np.testing.assert_array_equal(
        region.holds(values)[clear], (ratio > stats.norm.isf(0.025))[clear]
    )
