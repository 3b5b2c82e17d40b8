"""Maximum entropy tilting, elastic programmes and irreducible conflicts on small made-up cases."""

import numpy as np
import pytest

from synthetic.population import PopulationError, conflict, elastic_programme, tilt


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(3, 20_000))


def test_tilt_of_a_normal_mean_is_the_exponential_family(points):
    x = points[0]
    fit = tilt(x[None], np.ones(x.size), [0.5], [1e-6], 1e6)
    # a normal tilted to another mean keeps its variance; the dual is mean / variance
    assert fit.converged
    assert fit.achieved[0] == pytest.approx(0.5, abs=2e-6)
    assert fit.weights @ x**2 - 0.25 == pytest.approx(1.0, abs=0.05)
    assert fit.dual[0] == pytest.approx(0.5, abs=0.03)
    assert fit.divergence == pytest.approx(0.125, abs=0.01)
    assert (fit.weights >= 0).all()
    assert fit.weights.sum() == pytest.approx(1)


def test_box_is_used_only_as_far_as_needed(points):
    F = points[:2]
    fit = tilt(F, np.ones(F.shape[1]), [0.5, 0.0], [0.1, 0.2], 1e6)
    assert fit.achieved[0] == pytest.approx(0.4, abs=1e-3)  # the nearest edge
    assert abs(fit.achieved[1]) < 0.02  # inside its box, so free of charge
    assert abs(fit.dual[1]) < 1e-2
    assert fit.slack.max() < 1e-3


def test_tilt_matches_a_general_optimiser():
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    F, base = rng.normal(size=(2, 12)), rng.uniform(0.5, 1.5, 12)
    base /= base.sum()
    target, half, price = np.array([0.3, -0.2]), np.array([0.02, 0.05]), np.array([50.0, 5.0])

    def primal(logits):
        w = np.exp(logits - logits.max())
        w /= w.sum()
        slack = np.maximum(np.abs(F @ w - target) / half - 1, 0)
        return w @ np.log(w / base) + 0.5 * price @ slack**2

    best = min(
        (
            minimize(
                primal, start, method="Nelder-Mead", options={"maxiter": 40_000, "maxfev": 40_000}
            )
            for start in (np.zeros(12), np.log(tilt(F, base, target, half, price).weights))
        ),
        key=lambda s: s.fun,
    )
    fit = tilt(F, base, target, half, price)
    paid = fit.divergence + 0.5 * price @ fit.slack**2
    assert paid == pytest.approx(best.fun, abs=2e-3)  # smoothing of the box costs a few 1e-4 nats


def test_contradictory_targets_share_the_slack_and_priority_decides(points):
    F = np.vstack([points[0], points[0]])
    equal = tilt(F, np.ones(F.shape[1]), [0.0, 1.0], [0.01, 0.01], [10.0, 10.0])
    assert equal.achieved[0] == pytest.approx(0.5, abs=0.01)
    tilted = tilt(F, np.ones(F.shape[1]), [0.0, 1.0], [0.01, 0.01], [0.01, 1e4])
    assert tilted.slack[1] < 0.1 < tilted.slack[0]


def test_warm_start_gives_the_same_weights(points):
    F = np.vstack([points, points[:2] ** 2])
    ask = ([0.3, -0.3, 0.2, 1.1, 0.9], [1e-3] * 5, 1e3)
    cold = tilt(F, np.ones(F.shape[1]), *ask)
    warm = tilt(F, np.ones(F.shape[1]), *ask, start=cold.dual)
    np.testing.assert_allclose(warm.weights, cold.weights, rtol=1e-5)


def test_unusable_input_is_named(points):
    with pytest.raises(PopulationError, match="half-width"):
        tilt(points, np.ones(points.shape[1]), [0, 0, 0], [1, 0, 1], 1.0)
    with pytest.raises(PopulationError, match="rows \\[1\\]"):
        tilt([[1.0, 2.0], [np.nan, 1.0]], np.ones(2), [0, 0], [1, 1], 1.0)
    with pytest.raises(PopulationError, match="one target"):
        tilt(points, np.ones(points.shape[1]), [0, 0], [1, 1], 1.0)


def test_elastic_programme_prices_the_cheapest_violation():
    x = np.linspace(0, 1, 11)
    free = elastic_programme(x[None], [0.4], [0.01], 1.0)
    assert free.price == pytest.approx(0, abs=1e-9)
    # mean .9 and second moment .2 contradict: the second moment is at least .81
    both = elastic_programme(np.vstack([x, x**2]), [0.9, 0.2], [0.01, 0.01], [1.0, 1.0])
    assert both.price > 10
    hard = elastic_programme(np.vstack([x, x**2]), [0.9, 0.2], [0.01, 0.01], [np.inf, 1.0])
    assert hard.slack[0] == pytest.approx(0, abs=1e-7)
    assert hard.slack[1] == pytest.approx((0.89**2 - 0.2) / 0.01 - 1, rel=0.01)


def test_conflict_is_irreducible_and_leaves_bystanders_out():
    x = np.linspace(0, 1, 21)
    F = np.vstack([x, x**2, (-1.0) ** np.arange(21)])
    target, half = np.array([0.9, 0.2, 0.0]), np.full(3, 0.01)
    subset = conflict(F, target, half)
    assert subset == [0, 1]
    for one in subset:
        rest = [j for j in subset if j != one]
        assert elastic_programme(F[rest], target[rest], half[rest], 1.0).price < 1e-9
    assert conflict(F[[0, 2]], target[[0, 2]], half[[0, 2]]) == []
