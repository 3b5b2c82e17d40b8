"""Heckman's model: mathematics, covariances, predictions, errors, invariances, recovery."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from crosssell import errors
from crosssell.heckman import LAMBDA, HeckmanModel, _Likelihood

from .heckman_data import BETA, GAMMA, RHO, SIGMA, simulate

OUTCOME, SELECTION = "y ~ x + w + good", "s ~ x + w + z"


def build(data: pd.DataFrame) -> HeckmanModel:
    return HeckmanModel.from_formula(OUTCOME, SELECTION, data)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulate()


@pytest.fixture(scope="module")
def model(data) -> HeckmanModel:
    return build(data)


def central(function, point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the derivative of a function in each coordinate by central differences."""
    columns = []
    for j in range(len(point)):
        move = np.zeros(len(point))
        move[j] = step
        columns.append((function(point + move) - function(point - move)) / (2 * step))
    return np.array(columns).T


# ------------------------------------------------------------------------------------ likelihood


def test_analytic_gradient_and_hessian_match_numerical_ones(model):
    likelihood = _Likelihood(model.core, model.core.fit())
    theta = likelihood.start(0.3) + 0.05 * np.random.default_rng(1).normal(size=10)
    _, gradient, hessian = likelihood.evaluate(theta)
    numeric = central(lambda t: likelihood.evaluate(t)[0], theta)
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-4)
    numeric = central(lambda t: likelihood.evaluate(t)[1], theta)
    assert_allclose(hessian, numeric, rtol=1e-6, atol=1e-4)
    assert_allclose(likelihood.scores(theta).sum(axis=0), gradient, rtol=1e-10, atol=1e-9)


def test_natural_parameters_and_their_jacobian(model):
    likelihood = _Likelihood(model.core, model.core.fit())
    theta = likelihood.start(0.3)
    params, jacobian = likelihood.natural(theta)
    numeric = central(lambda t: likelihood.natural(t)[0], theta, 1e-6)
    assert_allclose(jacobian, numeric, atol=1e-7)
    two_step = model.fit()
    assert_allclose(params[:4], two_step.params["selection"], rtol=1e-10)
    assert_allclose(params[4:8], two_step.params["outcome"].iloc[:-1], rtol=1e-10)
    assert_allclose(np.exp(params[8]), two_step.sigma)


def test_likelihood_is_the_textbook_one(model, data):
    fit = model.fit("ml")
    s = data["s"].to_numpy() == 1
    index = model.exog_select.to_numpy() @ fit.params["selection"]
    error = data["y"][s] - model.exog[s].to_numpy() @ fit.params["outcome"]
    conditional = stats.norm.cdf((index[s] + fit.rho * error / fit.sigma) / np.sqrt(1 - fit.rho**2))
    density = stats.norm.pdf(error / fit.sigma) / fit.sigma
    llf = np.log(density * conditional).sum() + stats.norm.logcdf(-index[~s]).sum()
    assert_allclose(fit.llf, llf, rtol=1e-12)
    assert_allclose(fit.aic, 2 * 10 - 2 * llf)
    assert_allclose(fit.bic, np.log(2000) * 10 - 2 * llf)


def test_maximum_survives_a_two_step_rho_outside_its_bounds():
    data = simulate(300, seed=2, rho=0.97)
    model = HeckmanModel.from_formula("y ~ x + w", "s ~ x + w", data)
    with pytest.warns(errors.IdentificationWarning, match=r"outside \[-1, 1\]"):
        two_step = model.fit()
    assert abs(two_step.rho) > 1
    assert any("outside" in note for note in two_step.diagnostics().notes)
    likelihood = _Likelihood(model.core, two_step.core_fit)
    _, gradient, hessian = likelihood.evaluate(likelihood.maximise(0.9))
    assert np.abs(gradient).max() < 1e-6
    assert np.linalg.eigvalsh(hessian).max() < 0


def test_other_maxima_are_found_and_said():
    # Without an exclusion restriction this likelihood peaks at rho = .67 and, higher, -.87.
    model = HeckmanModel.from_formula("y ~ x + w", "s ~ x + w", simulate(300, seed=28, rho=0.97))
    fit = model.fit("ml")
    ((rho, llf),) = fit.other_maxima
    assert rho < 0 < fit.rho
    assert llf > fit.llf
    assert "another, higher, maximum" in str(fit.summary())
    other = model.fit("ml", start_rho=-0.9)
    assert_allclose([other.rho, other.llf], [rho, llf])
    assert_allclose(other.other_maxima, [(fit.rho, fit.llf)])
    with pytest.raises(errors.SpecificationError, match="start_rho"):
        model.fit("ml", start_rho=1.0)


def test_an_exclusion_restriction_leaves_one_maximum(model):
    assert model.fit("ml").other_maxima == []


# ----------------------------------------------------------------------------------- covariances


def test_two_step_sandwich_is_gmm_with_numerical_derivatives(model, data):
    fit = model.fit(cov_type="robust")
    Z, X = model.exog_select.to_numpy(), np.nan_to_num(model.exog.to_numpy())
    s, y = data["s"].to_numpy(), np.nan_to_num(data["y"].to_numpy())

    def moments(theta):
        gamma, beta = theta[:4], theta[4:]
        index = Z @ gamma
        ratio = stats.norm.pdf(index) / stats.norm.cdf(index)
        W = np.column_stack([X, ratio])
        score = np.where(s == 1, ratio, -stats.norm.pdf(index) / stats.norm.sf(index))
        return np.hstack([Z * score[:, None], W * (s * (y - W @ beta))[:, None]])

    theta = fit.params.to_numpy()
    each = moments(theta)
    bread = np.linalg.inv(central(lambda t: moments(t).sum(axis=0), theta))
    n = len(data)
    expected = bread @ (each.T @ each) @ bread.T * n / (n - 1)
    assert_allclose(fit.cov_params(), expected, rtol=1e-5, atol=1e-9)


def test_influence_is_the_derivative_in_a_rows_weight(model):
    fit = model.core.fit()
    influence = model.core.influence(fit)
    rows = np.append(
        np.flatnonzero(model.core.selected)[:3], np.flatnonzero(~model.core.selected)[:3]
    )
    step = 1e-4
    weights = np.ones((12, model.nobs))
    weights[np.arange(6), rows] += step
    weights[np.arange(6, 12), rows] -= step
    refits = model.core.refit(weights)
    estimates = np.column_stack([refits.gamma, refits.beta, refits.sigma, refits.rho])
    numeric = (estimates[:6] - estimates[6:]) / (2 * step)
    assert_allclose(influence[rows], numeric, rtol=1e-4, atol=1e-8)
    assert_allclose(influence.sum(axis=0), 0, atol=1e-9)


def test_covariances_agree_where_the_model_is_true():
    model = build(simulate(60_000, seed=5))
    for method in ("twostep", "ml"):
        trusting = model.fit(method).cov_params().to_numpy()
        robust = model.fit(method, "robust").cov_params().to_numpy()
        scale = np.sqrt(np.outer(np.diagonal(robust), np.diagonal(robust)))
        # Sampling error of a correlation at n = 60,000 with about 25,000 selected is near .01.
        assert_allclose(trusting / scale, robust / scale, atol=0.04)


@pytest.mark.parametrize("method", ["twostep", "ml"])
def test_clustering_on_copies_gives_the_robust_errors_of_the_originals(data, method):
    doubled = pd.concat([data, data], ignore_index=True)
    once = build(data).fit(method, "robust")
    twice = build(doubled).fit(method, "cluster", groups=np.tile(np.arange(len(data)), 2))
    assert_allclose(twice.params, once.params, rtol=1e-7, atol=1e-9)
    assert_allclose(twice.bse, once.bse, rtol=1e-6)
    assert_allclose(twice.ancillary, once.ancillary, rtol=1e-6)
    assert twice.nclusters == len(data)


def test_two_step_rho_and_sigma_have_errors_only_with_a_sandwich(model):
    assert model.fit().ancillary["std_error"].isna().tolist() == [True, True, False]
    assert model.fit(cov_type="robust").ancillary["std_error"].gt(0).all()


# ----------------------------------------------------------------------------------------- tests


def test_wald_conventions(model):
    fit = model.fit()
    outcome = fit.wald_test()
    slopes = ["x", "w", "good"]
    beta = fit.params["outcome"][slopes]
    covariance = fit.cov_params().loc["outcome", "outcome"].loc[slopes, slopes]
    assert_allclose(outcome.statistic, beta @ np.linalg.inv(covariance) @ beta)
    assert outcome.df == 3
    gamma = fit.params["selection"][["x", "w"]]
    covariance = fit.cov_params().loc["selection", "selection"].loc[["x", "w"], ["x", "w"]]
    both = fit.wald_test("same_named")
    assert_allclose(both.statistic, outcome.statistic + gamma @ np.linalg.inv(covariance) @ gamma)
    assert both.df == 5
    assert_allclose(
        fit.wald_test(terms=[("outcome", "x")]).statistic, fit.tvalues["outcome", "x"] ** 2
    )
    with pytest.raises(errors.SpecificationError, match="no coefficient"):
        fit.wald_test(terms=[("outcome", "z")])


def test_likelihood_ratio_test(data, model):
    full = model.fit("ml")
    small = HeckmanModel.from_formula("y ~ x + w", SELECTION, data).fit("ml")
    test = full.lr_test(small)
    assert test.df == 1
    assert_allclose(test.statistic, 2 * (full.llf - small.llf))
    # Wald and likelihood ratio are asymptotically the same test.
    assert_allclose(test.statistic, full.tvalues["outcome", "good"] ** 2, rtol=0.05)
    with pytest.raises(errors.SpecificationError, match="nested"):
        small.lr_test(full)
    other = build(data.iloc[:1900]).fit("ml")
    with pytest.raises(errors.SpecificationError, match="different rows"):
        full.lr_test(other)


def test_two_step_has_no_likelihood_and_says_why(model):
    fit = model.fit()
    for ask in (lambda: fit.llf, lambda: fit.aic, lambda: fit.bic, lambda: fit.lr_test(fit)):
        with pytest.raises(errors.NotAvailableError, match=r"no likelihood.*method='ml'"):
            ask()
    with pytest.raises(errors.NotAvailableError):
        model.fit("ml").lr_test(fit)


# ------------------------------------------------------------------------------------ prediction


def prediction(which, gamma, beta, X, Z):
    index, linear = Z @ gamma, X @ beta[:-1]
    ratio = stats.norm.pdf(index) / stats.norm.cdf(index)
    return {
        "probability": stats.norm.cdf(index),
        "unconditional": linear,
        "conditional": linear + beta[-1] * ratio,
        "expected": stats.norm.cdf(index) * linear + beta[-1] * stats.norm.pdf(index),
    }[which]


@pytest.mark.parametrize("which", ["probability", "unconditional", "conditional", "expected"])
@pytest.mark.parametrize("method", ["twostep", "ml"])
def test_predictions_and_delta_method_errors(model, data, which, method):
    fit = model.fit(method)
    rows = data[data["s"] == 1].head(5)
    X, Z = model.exog.loc[rows.index].to_numpy(), model.exog_select.loc[rows.index].to_numpy()
    kz, kx = Z.shape[1], X.shape[1]

    def mean(theta):
        tail = theta[-1:] if method == "twostep" else np.exp(theta[-2]) * np.tanh(theta[-1:])
        return prediction(which, theta[:kz], np.append(theta[kz : kz + kx], tail), X, Z)

    theta = fit.params.to_numpy()
    gradient = central(mean, theta)
    error = np.sqrt(np.diagonal(gradient @ fit.cov_params().to_numpy() @ gradient.T))
    table = fit.get_prediction(which, data=rows)
    assert_allclose(table["mean"], mean(theta), rtol=1e-10)
    assert_allclose(table["mean_se"], error, rtol=1e-6)
    assert_allclose(fit.predict(which, exog=X, exog_select=Z), table["mean"])
    assert_allclose(fit.predict(which).loc[rows.index], table["mean"])


def test_predictions_are_missing_where_a_regressor_is(model, data):
    unknown = model.fit().predict("conditional")
    assert_allclose(unknown.isna(), data["good"].isna())


def test_prediction_refuses_wrong_columns(model):
    fit = model.fit()
    with pytest.raises(errors.DataError, match="2 columns, the model 4"):
        fit.predict("unconditional", exog=np.ones((3, 2)))
    with pytest.raises(errors.SpecificationError, match="needs exog_select"):
        fit.predict("conditional", exog=np.ones((3, 4)))
    with pytest.raises(errors.SpecificationError, match="no prediction"):
        fit.predict("median")


# ------------------------------------------------------------------------ errors and diagnostics


@pytest.mark.parametrize(
    ("spoil", "error", "column"),
    [
        (lambda d: d.assign(z=d.z.where(d.index > 2)), errors.MissingValuesError, "z"),
        (lambda d: d.assign(good=d.good.where(d.index > 9)), errors.MissingValuesError, "good"),
        (lambda d: d.assign(y=d.y.where(d.index > 9)), errors.MissingValuesError, "y"),
        (lambda d: d.assign(z=d.z.where(d.index > 2, np.inf)), errors.InfiniteValuesError, "z"),
        (lambda d: d.assign(w=2 * d.x + 1), errors.CollinearityError, "w"),
        (lambda d: d.assign(z=3.0), errors.NoVariationError, "z"),
        (lambda d: d.assign(good=d.good * 0), errors.NoVariationError, "good"),
        (lambda d: d.assign(s=0), errors.SelectionError, "s"),
        (lambda d: d.assign(s=1), errors.SelectionError, "s"),
        (lambda d: d.assign(s=d.s * (d.s.cumsum() < 4)), errors.SelectionError, ""),
        (lambda d: d.assign(s=2 * d.s), errors.DataError, "s"),
        (lambda d: d.assign(z=(d.s == 1) * (d.index % 3 == 0) * 1.0), errors.SeparationError, "z"),
        (lambda d: d.assign(z=d.s - 0.5 + 0.1 * d.x), errors.SeparationError, "z"),
        (lambda d: d.assign(z=(d.s - 0.5) * 50 + d.x), errors.SeparationError, "z"),
    ],
)
def test_errors_name_the_column_and_a_remedy(data, spoil, error, column):
    with pytest.raises(error) as caught:
        build(spoil(data)).fit()
    assert caught.type is error
    assert column in str(caught.value)
    assert caught.value.remedy


def test_separation_through_two_columns_together(data):
    # Neither column separates alone; their sum does.
    noise = np.random.default_rng(2).normal(scale=3, size=len(data))
    spoilt = data.assign(x=noise, w=data["s"] - 0.5 - noise)
    with pytest.raises(errors.SeparationError) as caught:
        HeckmanModel.from_formula("y ~ good", "s ~ x + w + z", spoilt).fit()
    assert {"x", "w"} <= set(caught.value.columns)


def test_lambda_without_variation_is_an_error(data):
    model = HeckmanModel(data["y"], data[["x"]].assign(one=1.0), data["s"], np.ones(len(data)))
    with pytest.raises(errors.CollinearityError, match=LAMBDA):
        model.fit()


def test_options_are_checked(model, data):
    for options, words in (
        ({"method": "liml"}, "no method"),
        ({"cov_type": "hc9"}, "no cov_type"),
        ({"start_rho": 0.5}, "takes no start_rho"),
        ({"cov_type": "cluster"}, "go together"),
        ({"groups": data["s"]}, "go together"),
        ({"cov_type": "cluster", "groups": np.zeros(len(data))}, "single cluster"),
    ):
        with pytest.raises(errors.SpecificationError, match=words):
            model.fit(**options)
    with pytest.raises(errors.SpecificationError, match=r"cannot be evaluated.*Columns available"):
        HeckmanModel.from_formula("y ~ nothing", SELECTION, data)
    with pytest.raises(errors.SpecificationError, match="no outcome"):
        HeckmanModel.from_formula("~ x", SELECTION, data)
    with pytest.raises(errors.DataError, match="rows"):
        HeckmanModel(data["y"], data[["x"]].head(9), data["s"], data[["z"]])


def test_selection_may_be_read_off_the_outcome(data, model):
    fit = HeckmanModel.from_formula(OUTCOME, "~ x + w + z", data).fit()
    assert_allclose(fit.params, model.fit().params)


def test_diagnostics(data, model):
    found = model.fit().diagnostics()
    assert found.excluded == ("z",)
    assert found.notes == ()
    chosen = data["s"] == 1
    ratio = model.fit().inverse_mills[chosen]
    design = model.exog[chosen].to_numpy()
    rest = ratio - design @ np.linalg.lstsq(design, ratio)[0]
    assert_allclose(found.lambda_r2, 1 - rest.var() / ratio.var(), rtol=1e-9)
    bare = HeckmanModel.from_formula("y ~ x + w", "s ~ x + w", data).fit().diagnostics()
    assert bare.excluded == ()
    assert bare.lambda_r2 > 0.9
    assert "No exclusion restriction" in bare.notes[0]
    assert bare.condition_number > bare.condition_number_without_lambda


@pytest.mark.parametrize("method", ["twostep", "ml"])
def test_summary_shows_every_number_in_three_forms(model, method):
    fit = model.fit(method)
    summary = fit.summary()
    for text in (summary.as_text(), summary.as_latex(), summary.as_html()):
        assert f"{fit.params['outcome', 'good']:.4f}" in text
        assert f"{fit.bse['selection', 'z']:.4f}" in text
        assert f"{fit.rho:.4f}" in text
    assert str(summary) == summary.as_text()
    assert r"mills\_lambda" in summary.as_latex()
    table = fit.to_frame()
    assert list(table.columns) == [
        "equation", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"
    ]  # fmt: skip
    assert_allclose(table["estimate"], fit.params)


# ---------------------------------------------------------------------------------- invariances

settings.register_profile("slow", deadline=None, max_examples=10, derandomize=True)
slow = settings.get_profile("slow")


@slow
@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["twostep", "ml"]))
def test_order_of_rows_does_not_matter(seed, method):
    data = simulate(600, seed=1)
    shuffled = data.sample(frac=1, random_state=np.random.default_rng(seed))
    one, other = build(data).fit(method), build(shuffled).fit(method)
    assert_allclose(other.params, one.params, rtol=1e-7, atol=1e-9)
    assert_allclose(other.bse, one.bse, rtol=1e-6)


@slow
@given(
    power=st.floats(-6, 6), sign=st.sampled_from([-1, 1]), method=st.sampled_from(["twostep", "ml"])
)
def test_scaling_a_column_scales_its_coefficients(power, sign, method):
    data = simulate(600, seed=1)
    factor = sign * 10**power
    one = build(data).fit(method)
    other = build(data.assign(x=data["x"] * factor, y=data["y"] * 3)).fit(method)
    for equation, scale in (("selection", 1), ("outcome", 3)):
        assert_allclose(
            other.params[equation, "x"], scale * one.params[equation, "x"] / factor, rtol=1e-6
        )
        assert_allclose(
            other.bse[equation, "x"], scale * one.bse[equation, "x"] / abs(factor), rtol=1e-6
        )
        assert_allclose(other.params[equation, "w"], scale * one.params[equation, "w"], rtol=1e-6)
    assert_allclose([other.rho, other.sigma], [one.rho, 3 * one.sigma], rtol=1e-6)


@slow
@given(seed=st.integers(0, 2**32 - 1))
def test_weights_count_copies(seed):
    data = simulate(400, seed=1)
    model = build(data)
    counts = np.random.default_rng(seed).integers(0, 4, size=len(data))
    refit = model.core.refit(counts[None])
    copies = build(data.loc[np.repeat(data.index, counts)].reset_index(drop=True)).fit()
    estimates = np.concatenate([refit.gamma[0], refit.beta[0], refit.sigma, refit.rho])
    expected = [*copies.params, copies.sigma, copies.rho]
    assert_allclose(estimates, expected, rtol=2e-10, atol=2e-10)


@slow
@given(seed=st.integers(0, 2**32 - 1))
def test_relabelling_clusters_does_not_matter(seed):
    data = simulate(400, seed=1)
    model, groups = build(data), np.arange(400) % 37
    labels = np.random.default_rng(seed).permutation(1000)[:37]
    one = model.fit(cov_type="cluster", groups=groups)
    other = model.fit(cov_type="cluster", groups=labels[groups])
    assert_allclose(other.bse, one.bse, rtol=1e-10)


# -------------------------------------------------------------------------------------- recovery


@pytest.mark.parametrize("method", ["twostep", "ml"])
def test_recovers_the_truth_over_thirty_samples(method):
    truth = np.array([*GAMMA.values(), *BETA.values(), RHO * SIGMA])
    estimates, errs = [], []
    for seed in range(30):
        fit = build(simulate(3000, seed=100 + seed)).fit(method)
        k = len(truth) - 1
        estimates.append([*fit.params.iloc[:k], fit.mills])
        errs.append([*fit.bse.iloc[:k], fit.mills_se])
    estimates, errs = np.array(estimates), np.array(errs)
    bias = estimates.mean(axis=0) - truth
    spread = estimates.std(axis=0, ddof=1)
    covered = (np.abs(estimates - truth) < 1.96 * errs).mean(axis=0)
    names = [f"selection {n}" for n in GAMMA] + [f"outcome {n}" for n in BETA] + [LAMBDA]
    table = pd.DataFrame(
        {
            "truth": truth,
            "bias": bias,
            "sd": spread,
            "mean se": errs.mean(axis=0),
            "covered": covered,
        },
        index=names,
    )
    print(f"\n{method}, 30 samples of 3000\n{table.round(4)}")
    # Four standard errors of the mean; 22 or fewer of 30 covered has probability .0002 at .95.
    assert (np.abs(bias) < 4 * spread / np.sqrt(30)).all()
    assert (covered > 22 / 30).all()
    # The standard deviation of 30 draws has a relative error of .13.
    assert_allclose(errs.mean(axis=0), spread, rtol=0.5)
