"""What the estimators share: checks, inference, summaries."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from crosssell import errors, estimation


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(50, 3)), columns=list("abc")).assign(one=1.0)


def test_frames_from_arrays_series_and_frames(frame):
    assert list(estimation.as_frame(np.ones((3, 2)), "x")) == ["x0", "x1"]
    assert list(estimation.as_frame(frame["a"], "x")) == ["a"]
    nullable = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    assert_allclose(estimation.as_frame(nullable, "x"), [[1, 1], [np.nan, 0]])
    with pytest.raises(errors.DataError, match="named a"):
        estimation.as_frame(frame[["a", "a"]], "x")
    with pytest.raises(errors.DataError, match="word is not numeric"):
        estimation.as_frame(frame.assign(word="yes"), "x")


def test_factor_makes_columns_orthonormal_in_blocks(frame, monkeypatch):
    monkeypatch.setattr(estimation, "_QR_BLOCK", 7)
    basis = frame.to_numpy() @ np.linalg.inv(estimation.check_rank(frame, "the equation"))
    assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)


def test_collinear_columns_are_named_with_their_partners(frame):
    spoilt = frame.assign(d=frame["a"] - 2 * frame["c"])
    with pytest.raises(errors.CollinearityError) as caught:
        estimation.check_rank(spoilt, "the equation")
    assert caught.value.columns == ("d", "a", "c")
    with pytest.raises(errors.NoVariationError, match="as has one"):
        estimation.check_rank(frame.assign(two=2.0), "the equation")
    with pytest.raises(errors.DataError, match="4 columns but only 3 rows"):
        estimation.check_rank(frame.head(3), "the equation")


def test_badly_scaled_columns_are_no_collinearity(frame):
    estimation.check_rank(frame.assign(a=frame["a"] * 1e9, year=2000 + frame["b"] ** 2 / 10), "it")


def test_missing_and_infinite_values_are_counted(frame):
    frame.loc[[3, 5], "b"] = np.nan
    with pytest.raises(
        errors.MissingValuesError, match=r"b \(2 of 50 rows, first at row label 3\)"
    ):
        estimation.check_finite(frame, "the equation")
    with pytest.raises(errors.InfiniteValuesError, match="infinite values: a"):
        estimation.check_finite(frame.fillna(0).assign(a=-np.inf), "the equation")


def test_binary_columns_and_groups():
    assert estimation.check_binary(pd.Series([True, False], name="s"), "it").tolist() == [1, 0]
    with pytest.raises(errors.DataError, match=r"also takes 2\.0"):
        estimation.check_binary(pd.Series([0, 1, 2], name="s"), "it")
    with pytest.raises(errors.NoVariationError):
        estimation.check_binary(pd.Series([1, 1], name="s"), "it")
    assert estimation.group_codes(["b", "a", "b"], 3).tolist() == [0, 1, 0]
    with pytest.raises(errors.MissingValuesError):
        estimation.group_codes(["b", None], 2)
    with pytest.raises(errors.DataError, match="3 labels for 2 rows"):
        estimation.group_codes([1, 2, 3], 2)


def test_formula_keeps_rows_and_evaluates_new_ones(frame):
    data = frame.assign(g=["u", "v"] * 25, y=1.0)
    data.loc[0, "a"] = np.nan
    left, right, spec = estimation.formula_frames("y ~ a:b + C(g)", data)
    assert list(left) == ["y"]
    assert list(right) == ["intercept", "C(g)[T.v]", "a:b"]
    assert len(right) == 50
    again = estimation.formula_rows(spec, data.iloc[4:5])
    assert_allclose(again, right.iloc[4:5])


def test_inference_from_estimates_and_covariance():
    index = estimation.Estimates.index({"outcome": ["a", "b"], "variance": ["c"]})
    covariance = np.diag([1.0, 4.0, 9.0])
    fit = estimation.Estimates(pd.Series([1.0, -4.0, 0.5], index=index), covariance)
    assert_allclose(fit.bse, [1, 2, 3])
    assert_allclose(fit.tvalues["outcome", "b"], -2)
    assert_allclose(fit.pvalues["outcome", "b"], 2 * stats.norm.cdf(-2))
    assert_allclose(fit.conf_int(0.1).loc[("outcome", "a")], [1 - 1.6448536, 1 + 1.6448536])
    assert_allclose(fit.cov_params().loc["variance", "variance"], [[9]])
    test = estimation.wald(np.array([1.0, -4.0]), covariance[:2, :2])
    assert_allclose([test.statistic, test.df, test.pvalue], [5, 2, stats.chi2.sf(5, 2)])
    assert str(test) == "Wald: chi2(2) = 5.0000, p = 0.0821"


def test_likelihood_ratio_refuses_models_that_are_not_nested():
    assert estimation.likelihood_ratio(-10.0, -8.0, 2).statistic == 4
    for arguments in ((-8.0, -10.0, 2), (-10.0, -8.0, 0)):
        with pytest.raises(errors.SpecificationError, match="cannot be nested"):
            estimation.likelihood_ratio(*arguments)


def test_summary_escapes_names():
    index = estimation.Estimates.index({"out_come": ["a_b & <c>"]})
    fit = estimation.Estimates(pd.Series([1e-5], index=index), np.eye(1))
    summary = estimation.Summary("A title", {"Rows": 3, "AIC": 1.5}, fit.to_frame(), ["A note"])
    assert r"a\_b \& \textless{}c\textgreater{}" in summary.as_latex()
    assert "a_b &amp; &lt;c&gt;" in summary.as_html()
    assert summary._repr_html_() == summary.as_html()
    for text in (str(summary), summary.as_latex(), summary.as_html()):
        assert "1.000e-05" in text
        assert "1.5000" in text
        assert "A note" in text
