"""Part I's population: the base, the entropy of customers and buyers, the search."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from synthetic.constraints import evaluate
from synthetic.part1 import base, model
from synthetic.part1 import population as populations
from synthetic.part1.estimates import information, misses, nearest_to_text, sample_truth
from synthetic.part1.population import Support, capped, settle, wanted
from synthetic.part1.search import LIKELY, improve
from synthetic.population import tilt


@pytest.fixture(scope="module")
def settled():
    truth = populations.guess()
    rng = np.random.default_rng(3)
    return settle(truth, [1e-5, 1e-4, 1e-3, 1e-2], [3000] * 4, rng)


def test_tilt_with_prices_of_a_nat_solves_the_primal():
    rng = np.random.default_rng(0)
    F, prices = rng.normal(size=(2, 6)), rng.uniform(1, 5, 6)
    reference = rng.uniform(0.1, 0.3, 6)
    target = np.array([0.2, -0.1])
    found = tilt(F, reference, target, [1e-6, 1e-6], 1e6, entropy=prices)

    def divergence(w):
        return prices @ (w * np.log(w / reference) - w)

    direct = minimize(
        divergence,
        np.full(6, 1 / 6),
        bounds=[(1e-9, 1)] * 6,
        constraints=[
            {"type": "eq", "fun": lambda w: F @ w - target},
            {"type": "eq", "fun": lambda w: w.sum() - 1},
        ],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(found.weights, direct.x, atol=2e-5)
    exponent = (found.dual @ F + found.offset) / prices
    np.testing.assert_allclose(found.weights, reference * np.exp(exponent), rtol=1e-9)


def test_equal_prices_of_a_nat_change_nothing():
    rng = np.random.default_rng(1)
    F, reference = rng.normal(size=(3, 200)), rng.uniform(0.5, 1.5, 200)
    target, half_width = [0.1, 0.0, -0.2], [0.01, 0.01, 0.01]
    plain = tilt(F, reference, target, half_width, 10.0)
    priced = tilt(F, reference, target, half_width, 10.0, entropy=np.ones(200))
    np.testing.assert_allclose(plain.weights, priced.weights, rtol=1e-6)


def test_densities_integrate_to_one():
    ages = base.margins()["product_age"]
    grid = np.linspace(ages.low, ages.high, 200_001)
    total = np.trapezoid(np.exp(ages.log_density(grid)), grid)
    assert total == pytest.approx(1, abs=1e-4)
    assert np.isneginf(ages.log_density(np.array([ages.low - 1, ages.high + 1]))).all()
    for margin in base.buyers_margins().values():
        sample = margin.draw(40_000, np.random.default_rng(0))
        error = sample.std() / np.sqrt(len(sample))
        assert abs(sample.mean() - margin.mean(lambda v: v)) < 4 * error


def test_walks_keep_the_density():
    rng = np.random.default_rng(4)
    rows = base.draw(20_000, rng)
    lift = lambda rows: 0.01 * rows["agent_resolution_ability"] - 0.3 * rows["risk_aversion"]
    walked = base.wander(rows, lift, 12, rng)
    weight = np.exp(lift(rows))
    for column in model.COLUMNS:
        values = rows[column]
        expected = weight @ values / weight.sum()
        assert abs(walked[column].mean() - expected) < 0.04 * values.std()


def test_any_support_stands_for_the_base(settled):
    support, tilted = settled
    constraints = wanted(support.truth)
    after = support.follow(constraints, tilted, 20_000, np.random.default_rng(5))
    segment = 4 * after.rows["risk_aversion"] + after.rows["product_functionality"] - 1
    found = np.bincount(segment.astype(int), after.weights, 24)
    # customers nobody expects (index or revenue out of bounds) are left out of both
    fresh = Support(base.draw(100_000, np.random.default_rng(6)), np.ones(100_000), support.truth)
    fresh = fresh.plausible()
    segment = 4 * fresh.rows["risk_aversion"] + fresh.rows["product_functionality"] - 1
    expected = np.bincount(segment.astype(int), fresh.weights / 100_000, 24)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_exact_estimates_are_those_of_a_likely_sample():
    population = populations.build(size=6000)
    covariance = np.linalg.inv(information(population.rows, population.weights, population.truth))
    selection, distance = nearest_to_text(population.truth.selection, covariance)
    np.testing.assert_array_equal(selection, sample_truth(population).selection)
    # nine in ten samples have ten estimates nearer to the population's coefficients
    assert distance < np.sqrt(chi2.ppf(0.9, 10)) + 0.2  # the text's distance is a soft demand
    assert np.abs(misses(selection, np.sqrt(np.diag(covariance))[1:])).max() < 0.901
    printed, _ = model.printed_selection()
    assert (np.sign(selection[1:]) == np.sign(printed))[printed != 0].all()


def test_the_search_lowers_the_cost_or_the_distance(settled):
    support, tilted = settled
    constraints = wanted(support.truth)
    truth, after = improve(support, tilted, constraints, 1e-2)
    moved = Support(support.rows, support.weights, truth)
    again = moved.tilt(capped(evaluate(constraints, moved.full), 1e-2), after.dual)
    np.testing.assert_allclose(again.weights, after.weights, atol=1e-5)
    covariance = np.linalg.inv(information(support.rows, tilted.weights, support.truth))
    before = nearest_to_text(support.truth.selection, covariance)[1]
    later = nearest_to_text(truth.selection, covariance)[1]
    assert later < max(before, LIKELY) + 0.2
