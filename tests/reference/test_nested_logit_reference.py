"""The nested logit against other implementations, more nodes, and known parameters."""

import json
from pathlib import Path

import glmm
import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.nested_logit_data import simulate
from crosssell.nested_logit import NestedLogitModel

STORED = Path(__file__).parent / "data" / "nested_logit_laplace.json"
GROUPS = ("country", "customer")


@pytest.fixture(scope="module")
def essay_like():
    """Few encounters per customer, few purchases, countries of very different size."""
    return simulate(3, countries=20, customers=4000, coefficients=(-3.0, 0.4, -0.3))


def test_automatic_nodes_agree_with_31_nodes_per_level(essay_like):
    model = NestedLogitModel.from_formula("y ~ x1 + x2", GROUPS, essay_like)
    chosen = model.fit()
    many = model.fit(nodes=31)
    assert abs(chosen.llf - many.llf) < 1e-6
    assert_allclose(chosen.params, many.params, atol=1e-6)
    assert_allclose(chosen.bse, many.bse, rtol=1e-5)
    assert chosen.details["quadrature_error"] < 1e-6


@pytest.mark.parametrize("sd", [0.3, 1.5, 3.0])
def test_automatic_nodes_suffice_for_small_and_large_variances(essay_like, sd):
    model = NestedLogitModel.from_formula("y ~ x1", GROUPS, essay_like)
    params = np.array([-3.0, 0.4, sd / 2, sd])
    # At a standard deviation of 3 the reference itself needs more than 31 inner nodes.
    assert abs(model.loglike(params) - model.loglike(params, nodes=(31, 151))) < 1e-6


def test_one_level_agrees_with_glmm_at_25_nodes():
    data = simulate(5, countries=3, customers=800, extra_encounters=3.0, coefficients=(-1.5, 0.5))
    theirs = glmm.fit(data, "y ~ x1 + (1 | customer)", "binomial", nagq=25)
    ours = NestedLogitModel.from_formula("y ~ x1", "customer", data).fit()
    assert abs(ours.llf - theirs.loglik) < 1e-6
    assert_allclose(ours.params["outcome"], theirs.beta, atol=1e-5)
    assert_allclose(ours.bse["outcome"], theirs.se, rtol=1e-4)


@pytest.mark.parametrize("engine", ["glmmTMB", "glmm"])
def test_laplace_agrees_with_other_software(engine):
    stored = json.loads(STORED.read_text())
    data = simulate(**stored["simulation"])
    ours = NestedLogitModel.from_formula("y ~ x1 + x2", GROUPS, data).fit("laplace")
    assert ours.details["runaway"] is None
    terms = ["intercept", "x1", "x2"]
    if engine == "glmm":
        theirs = glmm.fit(data, "y ~ x1 + x2 + (1 | country) + (1 | customer)", "binomial")
        assert abs(ours.llf - theirs.loglik) < 1e-6
        assert_allclose(ours.params["outcome"], theirs.beta, atol=1e-5)
        return
    reference = stored["glmmTMB"]
    assert reference["convergence"] == 0
    assert abs(ours.llf - reference["llf"]) < 1e-5
    for term in terms:
        assert ours.params["outcome", term] == pytest.approx(
            reference[f"estimate.{term}"], abs=1e-5
        )
        assert ours.bse["outcome", term] == pytest.approx(reference[f"std_error.{term}"], abs=1e-5)
    for level in GROUPS:
        assert ours.params["sd", level] == pytest.approx(reference[f"sd.{level}"], abs=1e-5)


def test_recovery_over_30_data_sets(capsys):
    truth = np.array([-2.0, 0.4, -0.3, 0.5, 0.8])
    estimates, covered = [], []
    for seed in range(30):
        data = simulate(
            1000 + seed,
            countries=40,
            customers=2500,
            coefficients=tuple(truth[:3]),
            sd=tuple(truth[3:]),
            evenness=5.0,
        )
        result = NestedLogitModel.from_formula("y ~ x1 + x2", GROUPS, data).fit()
        interval = result.conf_int()
        estimates.append(result.params.to_numpy())
        covered.append((interval["lower"] < truth) & (truth < interval["upper"]))
    estimates = np.array(estimates)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    bias = estimates.mean(axis=0) - truth
    coverage = np.mean(covered, axis=0)
    with capsys.disabled():
        print("\nnested logit, 30 data sets: parameter, truth, bias (Monte Carlo error), coverage")
        names = ["intercept", "x1", "x2", "sd country", "sd customer"]
        for row in zip(names, truth, bias, error, coverage, strict=True):
            print("{:<12} {:6.2f} {:8.4f} ({:.4f}) {:6.2f}".format(*row))
    # Maximum likelihood's own bias: the country sd is low by about a fraction 3 / (4 * countries).
    known = np.array([0, 0, 0, -0.75 / 40 * 0.5, 0])
    assert (np.abs(bias - known) < 3.5 * error).all()
    # Of 30 intervals at 95%, fewer than 24 cover with probability 1e-3.
    assert (coverage >= 24 / 30).all()
