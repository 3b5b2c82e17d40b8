"""Heckman estimates against stored ones of the reference implementations on Mroz's data.

Greene (2003), table 22.8, and Wooldridge (2010), table 17.5, with the digits of sampleSelection.
"""

import numpy as np
import pandas as pd
import pytest
from linearmodels.datasets import mroz
from numpy.testing import assert_allclose

from crosssell.heckman import HeckmanModel

TWO_STEP = 1e-8
LLF = 1e-7


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = mroz.load()
    frame["kids"] = (frame["kidslt6"] + frame["kidsge6"] > 0).astype(float)
    # The shipped nwifeinc differs from its own definition by up to .058, and lwage has seven
    # digits; the references were computed from wage, hours and family income.
    frame["nwifeinc"] = (frame["faminc"] - frame["wage"].fillna(0) * frame["hours"]) / 1000
    frame["lwage"] = np.log(frame["wage"])
    return frame


@pytest.fixture(scope="module")
def greene(data) -> HeckmanModel:
    return HeckmanModel.from_formula(
        "wage ~ exper + I(exper**2) + educ + city",
        "inlf ~ age + I(age**2) + faminc + kids + educ",
        data,
    )


@pytest.fixture(scope="module")
def wooldridge(data) -> HeckmanModel:
    return HeckmanModel.from_formula(
        "lwage ~ educ + exper + expersq",
        "inlf ~ nwifeinc + educ + exper + expersq + age + kidslt6 + kidsge6",
        data,
    )


def test_greene_two_step(greene):
    fit = greene.fit()
    estimates = [
        -0.9712002962, 0.02106095771, 1.370768967e-4, 0.4170173840, 0.4438378756, -1.09761942
    ]  # fmt: skip
    errors = [2.0593505, 0.062464598, 1.878187e-3, 0.1002496873, 0.3158983971, 1.265985613]
    assert_allclose(fit.params["outcome"], estimates, rtol=0, atol=TWO_STEP)
    # Standard errors are stored with seven to ten digits; half their last one is the tolerance.
    assert_allclose(fit.bse["outcome"], errors, rtol=0, atol=6e-8)
    assert_allclose(fit.sigma, 3.20006427959, rtol=0, atol=TWO_STEP)
    assert_allclose(fit.rho, -0.342999178832, rtol=0, atol=TWO_STEP)
    assert_allclose(fit.mills_se, 1.265985613, rtol=0, atol=TWO_STEP)
    wald = fit.wald_test()
    assert_allclose(wald.statistic, 23.3304022, rtol=0, atol=5e-8)
    assert wald.df == 4
    assert_allclose(fit.selection_llf, -490.847842729, rtol=0, atol=TWO_STEP)
    probit = fit.params["selection"]
    assert_allclose(
        probit[["age", "kids", "educ"]],
        [0.1853950962, -0.4489867401, 0.09818228],
        rtol=0,
        atol=TWO_STEP,
    )
    assert_allclose(
        fit.bse["selection"][["age", "kids", "educ"]],
        [0.06596666, 0.1309115, 0.02298412],
        rtol=0,
        atol=5e-8,
    )


def test_greene_maximum_likelihood(greene):
    fit = greene.fit("ml")
    assert_allclose(fit.llf, -1581.257675520, rtol=0, atol=LLF)
    assert_allclose(fit.ancillary.loc["sigma"], [3.108376249, 0.113832774], rtol=0, atol=1e-7)
    assert_allclose(fit.ancillary.loc["rho"], [-0.131958596, 0.165127103], rtol=0, atol=1e-7)
    assert_allclose(
        fit.params["outcome"][["intercept", "educ"]], [-1.9630242649, 0.45700509], rtol=0, atol=1e-7
    )
    assert_allclose(
        fit.bse["outcome"][["intercept", "educ"]], [1.1982209, 0.07322992], rtol=0, atol=1e-7
    )


def test_wooldridge_two_step(wooldridge):
    fit = wooldridge.fit()
    estimates = [-0.5781031876, 0.1090655202, 0.0438873395, -8.591142223e-4, 0.0322618641]
    errors = [0.3050062, 0.0155229546, 0.0162610569, 4.38916e-4, 0.1336246424]
    assert_allclose(fit.params["outcome"], estimates, rtol=0, atol=TWO_STEP)
    assert_allclose(fit.bse["outcome"], errors, rtol=0, atol=5e-8)
    assert_allclose(fit.sigma, 0.6636287484, rtol=0, atol=TWO_STEP)
    assert_allclose(fit.rho, 0.0486143257, rtol=0, atol=TWO_STEP)
    assert_allclose(fit.wald_test().statistic, 51.52945614, rtol=TWO_STEP)
    assert_allclose(fit.selection_llf, -401.302193175, rtol=0, atol=LLF)


def test_wooldridge_maximum_likelihood(wooldridge):
    fit = wooldridge.fit("ml")
    assert_allclose(fit.llf, -832.885080764, rtol=0, atol=LLF)
    assert_allclose(fit.ancillary.loc["rho"], [0.026606969, 0.147077940], rtol=0, atol=1e-7)
    assert_allclose(fit.ancillary.loc["sigma"], [0.663397572, 0.022707498], rtol=0, atol=1e-7)


def test_greene_likelihood_is_higher_near_the_boundary(greene):
    # Every reference implementation reports the maximum next to the two-step estimates.
    fit = greene.fit("ml")
    rho, llf = fit.other_maxima[0]
    assert rho > 0.99
    assert llf > fit.llf + 100


def test_independence_test_agrees_with_the_wald_test(greene):
    fit = greene.fit("ml")
    test = fit.independence_test()
    assert test.df == 1
    # Two forms of one test, .41 and .62; they agree asymptotically only.
    assert 0 < test.statistic < fit.tvalues["ancillary", "atanh_rho"] ** 2 * 1.5
