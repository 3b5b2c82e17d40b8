import numpy as np
import pandas as pd
import pytest

from crosssell import design, samples
from crosssell.errors import DataError

DATA = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 1.0, 1.0, 0.0], "c": list("wxyz")})


def test_where_and_exclude():
    kept = samples.select(DATA, {"where": {"b": [1]}, "exclude": {"c": ["y"]}}, seed=1)
    assert kept["c"].tolist() == ["x"]


def test_a_split_has_two_parts_that_make_the_whole():
    data = pd.DataFrame({"i": np.arange(101)})
    first, rest = (
        samples.select(data, {"split": {"share": 0.75, "part": part}}, seed=5)["i"]
        for part in ("first", "rest")
    )
    assert (len(first), len(rest)) == (76, 25)
    assert sorted([*first, *rest]) == list(range(101))


@pytest.mark.parametrize("spec", [{"where": {"b": [7]}}, {"where": {"z": [1]}}])
def test_samples_that_cannot_be_are_errors(spec):
    with pytest.raises(DataError):
        samples.select(DATA, spec, seed=1)


def test_interactions_are_products_and_centring_comes_before_them():
    plain = design.regressors(DATA, ["a", "a:b"])
    assert plain.columns.tolist() == ["a", "a:b", "intercept"]
    assert plain["a:b"].tolist() == [0, 2, 3, 0]
    centred = design.regressors(DATA, ["a", "a:b"], centre=True)
    np.testing.assert_allclose(centred["a"].mean(), 0, atol=1e-15)
    np.testing.assert_allclose(centred["a:b"], (DATA["a"] - 2.5) * (DATA["b"] - 0.5))


def test_all_missing_columns_are_named():
    with pytest.raises(DataError, match=r"\['d', 'e'\]"):
        design.regressors(DATA, ["a", "d", "a:e"])
