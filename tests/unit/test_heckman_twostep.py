"""The batched two-step engine's kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from crosssell import twostep


def test_table_of_mills_ratios_is_accurate_everywhere():
    x = np.concatenate([np.linspace(-60, 40, 200_001), [-10.0, 10.0, np.nextafter(10.0, 0)]])
    exact = twostep.mills(x)
    found = twostep._mills_many(x[None], twostep._TABLE)[0]
    # In the right tail the ratio itself is tiny; what enters the sums is its absolute value.
    assert_allclose(found, exact, rtol=1e-14, atol=3e-14)


def test_mills_ratio_in_both_tails():
    x = np.array([-40.0, -5.0, 0.0, 5.0])
    logs = -0.5 * x**2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(x)
    assert_allclose(twostep.mills(x), np.exp(logs), rtol=1e-12)
    assert twostep.mills(np.array([50.0]))[0] == 0


def test_packed_systems_are_solved():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(20, 6, 4))
    matrices = np.einsum("bni,bnj->bij", roots, roots)
    right = rng.normal(size=(20, 4))
    i, j = np.tril_indices(4)
    packed = matrices[:, i, j].copy()
    least = twostep._factor(packed, 4)
    assert_allclose(
        twostep._solve(packed, right), np.linalg.solve(matrices, right[..., None])[..., 0]
    )
    assert_allclose(least, [np.diagonal(np.linalg.cholesky(m)).min() ** 2 for m in matrices])
    assert twostep._factor(np.array([[1.0, 1.0, 1.0]]), 2)[0] == 0


def test_products_are_packed_row_by_row():
    columns = np.array([[2.0, 3.0, 5.0]])
    assert twostep.pairwise_products(columns).tolist() == [[4, 6, 9, 10, 15, 25]]


def test_step_halving_reaches_the_maximum_from_far_away():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(400), rng.normal(size=400)])
    signed = X * np.where(X @ [0.3, 1.0] + rng.normal(size=400) > 0, 1, -1)[:, None]
    near = twostep.probit(signed)
    far = twostep.probit(signed, start=np.array([-6.0, -9.0]))
    assert near.converged
    assert far.converged
    assert_allclose(far.coefficients, near.coefficients, rtol=1e-9)
    assert_allclose(near.llf, special.log_ndtr(signed @ near.coefficients).sum())


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_probit_without_a_maximum_does_not_converge(shift):
    x = np.linspace(-1, 1, 200)
    signed = np.column_stack([np.ones(200), x + shift]) * np.where(x > 0.1, 1, -1)[:, None]
    assert not twostep.probit(signed).converged
