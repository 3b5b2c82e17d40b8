"""Integer counts, systematic draws, minimum-norm moves and rounding by small programmes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.sample import SampleError, integer_counts, minimum_norm, round_rows, systematic


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.integers(0, 2**31))
def test_systematic_draws_come_floor_or_ceiling_times(size, seed):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=20)
    counts = np.bincount(systematic(weights, size, rng), minlength=20)
    expected = size * weights / weights.sum()
    assert counts.sum() == size
    assert (np.abs(counts - expected) < 1 + 1e-9).all()


def test_counts_meet_totals_and_stay_near():
    rng = np.random.default_rng(2)
    expected = rng.uniform(0, 30, 40)
    expected[:3] = 0
    value = rng.integers(0, 6, 40)
    total = round(expected.sum())
    wanted = round(float(value @ expected)) + 7
    counts = integer_counts(
        expected, np.vstack([np.ones(40), value]), [total, wanted], [total, wanted]
    )
    assert counts.sum() == total
    assert value @ counts == wanted
    assert (counts[:3] == 0).all()
    assert np.abs(counts - expected).max() < 6


def test_impossible_totals_are_refused():
    with pytest.raises(SampleError, match="no whole counts"):
        integer_counts([2.0, 2.0], [[2.0, 4.0]], [5.0], [5.0])  # an odd sum of even numbers


def test_moves_are_the_smallest():
    # a linear condition: the answer is the pseudo-inverse's
    rng = np.random.default_rng(3)
    A, x0 = rng.normal(size=(2, 9)), rng.normal(size=9)
    x = minimum_norm(lambda v: (A @ v - [1.0, -2.0], A), x0, longest=100)
    np.testing.assert_allclose(x - x0, np.linalg.pinv(A) @ (np.array([1.0, -2.0]) - A @ x0))


def test_moves_respect_bounds_and_solve_curved_conditions():
    x0 = np.linspace(0, 1, 30)

    def spread(v):
        dev = v - v.mean()
        return np.array([v.mean() - 0.55, dev @ dev / 30 - 0.1]), np.vstack(
            [np.full(30, 1 / 30), 2 * dev / 30]
        )

    x = minimum_norm(spread, x0, lower=0.0, upper=1.0)
    assert x.min() >= 0
    assert x.max() <= 1
    np.testing.assert_allclose(spread(x)[0], 0, atol=1e-9)
    with pytest.raises(SampleError, match="moves stopped"):
        minimum_norm(lambda v: (np.array([v.mean() - 2]), np.full((1, 30), 1 / 30)), x0, upper=1.0)


def test_rounding_keeps_conditions_that_nearest_rounding_breaks():
    rng = np.random.default_rng(4)
    exact = rng.uniform(0, 10, 300)
    weights = np.vstack([np.ones(300), rng.normal(size=(8, 300))])
    down = np.floor(exact)
    target, half = weights @ exact, np.full(9, 1.0)
    nearest = np.abs(weights @ np.rint(exact) - target)
    assert (nearest > half).any()
    up = round_rows(
        exact - down, weights, target - half - weights @ down, target + half - weights @ down
    )
    rounded = down + up
    assert (np.abs(weights @ rounded - target) <= half + 1e-9).all()
    assert np.abs(rounded - exact).max() < 1


def test_rounding_that_cannot_work_says_so():
    with pytest.raises(SampleError, match="rounding up or down"):
        round_rows([0.5, 0.5], [[2.0, 2.0]], [0.9], [1.1])
