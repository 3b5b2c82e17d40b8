"""Bootstrap and holdout repetitions of Heckman's two steps."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy import stats

from crosssell import errors
from crosssell.heckman import HeckmanModel
from crosssell.resampling import Bootstrap, bootstrap, holdout, stream

from .heckman_data import simulate


def build(data: pd.DataFrame) -> HeckmanModel:
    return HeckmanModel.from_formula("y ~ x + w + good", "s ~ x + w + z", data)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulate(1000)


@pytest.fixture(scope="module")
def model(data) -> HeckmanModel:
    return build(data)


@pytest.fixture(scope="module")
def many(model) -> Bootstrap:
    return bootstrap(model, 500, seed=1)


def by_hand(data: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Return both steps fitted by statsmodels to copied rows."""
    sample = data.iloc[rows]
    Z = sm.add_constant(sample[["x", "w", "z"]])
    gamma = sm.Probit(sample["s"], Z).fit(disp=0, tol=1e-14, maxiter=100).params
    buyers = sample["s"] == 1
    index = Z[buyers] @ gamma
    W = sm.add_constant(sample.loc[buyers, ["x", "w", "good"]])
    W = W.assign(ratio=stats.norm.pdf(index) / stats.norm.cdf(index))
    return np.concatenate([gamma, sm.OLS(sample.loc[buyers, "y"], W).fit().params])


def test_replicates_are_refits_to_copied_rows(data, many):
    for k in (0, 7, 499):
        rows = stream(1, k).integers(len(data), size=len(data))
        assert_allclose(many.replicates.loc[k].iloc[:-2], by_hand(data, rows), rtol=2e-10)


def test_cluster_replicates_draw_whole_clusters(data, model):
    labels = np.arange(len(data)) % 50
    drawn = bootstrap(model, 3, seed=4, clusters=labels)
    assert drawn.nclusters == 50
    for k in range(3):
        chosen = stream(4, k).integers(50, size=50)
        rows = np.concatenate([np.flatnonzero(labels == c) for c in chosen])
        assert_allclose(drawn.replicates.loc[k].iloc[:-2], by_hand(data, rows), rtol=2e-10)


def test_chunks_in_any_order_are_the_whole(model, many):
    chunks = [bootstrap(model, part, seed=1) for part in (range(300, 500), range(300))]
    whole = Bootstrap.combine(chunks)
    pd.testing.assert_frame_equal(whole.replicates, many.replicates, rtol=1e-12)
    assert_allclose(whole.bse, many.bse)
    with pytest.raises(errors.SpecificationError, match="same replicate"):
        Bootstrap.combine([chunks[0], chunks[0]])


def test_errors_agree_with_the_sandwich(model, many):
    robust = model.fit(cov_type="robust")
    # 500 replicates leave a standard error of a standard error of 3%; four of them.
    assert_allclose(many.bse.iloc[:-2], robust.bse, rtol=0.13)
    assert_allclose(
        many.bse["ancillary"][["rho", "sigma"]],
        robust.ancillary["std_error"][["rho", "sigma"]],
        rtol=0.2,
    )
    assert many.failures.sum() == 0
    assert list(many.params.index[-2:]) == [("ancillary", "sigma"), ("ancillary", "rho")]


def test_cluster_bootstrap_sees_what_copies_hide(data):
    copies = pd.concat([data] * 4, ignore_index=True)
    model, origin = build(copies), np.tile(np.arange(len(data)), 4)
    pairs, clusters = bootstrap(model, 200), bootstrap(model, 200, clusters=origin)
    # Four copies of each row halve the errors of a bootstrap that takes them for new rows.
    ratio = clusters.bse.iloc[:-2] / pairs.bse.iloc[:-2]
    assert_allclose(ratio.mean(), 2, rtol=0.1)


def test_percentile_and_normal_intervals(many):
    percentile = many.conf_int(0.1)
    assert_allclose(percentile["lower"], many.replicates.quantile(0.05))
    assert_allclose(percentile["upper"], many.replicates.quantile(0.95))
    normal = many.conf_int(method="normal")
    assert_allclose(normal["upper"] - normal["lower"], 2 * 1.959964 * many.bse, rtol=1e-6)
    assert_allclose(many.bias, many.replicates.mean() - many.params)
    with pytest.raises(errors.SpecificationError, match="no interval"):
        many.conf_int(method="studentised")


def made_up(values: np.ndarray, estimate: float, acceleration: float) -> Bootstrap:
    index = pd.MultiIndex.from_tuples([("outcome", "a")], names=["equation", "term"])
    return Bootstrap(
        replicates=pd.DataFrame(values[:, None], columns=index),
        params=pd.Series([estimate], index=index),
        acceleration=pd.Series([acceleration], index=index),
        failures=pd.Series({"none": 0}),
        nobs=10,
        nclusters=None,
    )


def test_bca_is_efrons_formula():
    values = np.random.default_rng(0).gamma(4, size=2001)
    same = made_up(values, np.median(values), 0.0)
    assert_allclose(same.conf_int(method="bca"), same.conf_int())
    z0, a = stats.norm.ppf((values < 3.0).mean()), 0.04
    levels = [
        stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in stats.norm.ppf([0.025, 0.975])
    ]
    interval = made_up(values, 3.0, a).conf_int(method="bca")
    assert_allclose(interval.to_numpy()[0], np.quantile(values, levels))
    assert made_up(values, -1.0, a).conf_int(method="bca").isna().all(axis=None)


def test_acceleration_is_the_jackknifes():
    model = build(simulate(250, seed=3))
    accelerated = bootstrap(model, 2).acceleration
    leave_one_out = 1 - np.eye(model.nobs)
    refits = model.core.refit(leave_one_out)
    values = np.column_stack([refits.gamma, refits.beta, refits.sigma, refits.rho])
    u = values.mean(axis=0) - values
    jackknife = (u**3).sum(axis=0) / (6 * (u**2).sum(axis=0) ** 1.5)
    # Deleting one of 250 rows is not infinitesimal; the two differ by terms of order 1/n.
    assert_allclose(accelerated, jackknife, atol=0.01)
    assert np.corrcoef(accelerated, jackknife)[0, 1] > 0.95


def test_tables_and_summary(many):
    table = many.to_frame(method="bca")
    assert list(table.columns) == [
        "equation", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"
    ]  # fmt: skip
    assert_allclose(table["std_error"], many.bse)
    assert_allclose(table["conf_low"], many.conf_int(method="bca")["lower"])
    assert "Failed: 0" in str(many.summary())


# -------------------------------------------------------------------------------------- failures


def with_rare_column(rows: int) -> HeckmanModel:
    data = simulate(400, seed=6)
    rare = np.zeros(len(data))
    # Rows of both kinds, so that the full sample is fine and some resamples are separated.
    rare[np.flatnonzero(data["s"] == 1)[:rows]] = 1
    rare[np.flatnonzero(data["s"] == 0)[:rows]] = 1
    return HeckmanModel.from_formula("y ~ x + w", "s ~ x + w + z + rare", data.assign(rare=rare))


def test_failures_are_counted_and_left_out():
    model = with_rare_column(2)
    with pytest.warns(errors.ConvergenceWarning, match="of 200 refits failed.*separated"):
        result = bootstrap(model, 200, seed=2)
    failed = result.replicates.isna().any(axis=1)
    assert result.failures.sum() == failed.sum()
    assert len(result.succeeded) == 200 - failed.sum()
    rare = model.exog_select["rare"].to_numpy() == 1
    for k in range(200):
        counts = np.bincount(stream(2, k).integers(400, size=400), minlength=400)
        drawn = counts[rare] > 0
        kinds = model.selected.to_numpy()[rare][drawn]
        # A maximum exists exactly if the rare rows drawn are of both kinds.
        assert failed[k] == (np.unique(kinds).size < 2)
    assert "replicates failed" in str(result.summary())
    assert result.bse.notna().all()


def test_collinear_second_steps_are_counted():
    data = simulate(300, seed=6)
    rare = np.zeros(len(data))
    rare[np.flatnonzero(data["s"] == 1)[:2]] = 1
    data = data.assign(good=rare)
    with pytest.warns(errors.ConvergenceWarning, match="collinear"):
        result = bootstrap(build(data), 100)
    counts = [
        np.bincount(stream(0, k).integers(300, size=300), minlength=300)[rare == 1].sum()
        for k in range(100)
    ]
    assert result.failures.iloc[1] == np.sum(np.array(counts) == 0)


def test_too_many_failures_are_an_error():
    model = with_rare_column(1)
    rare = np.flatnonzero(model.exog_select["rare"])
    rows = ((k, stream(0, k).integers(400, size=400)) for k in range(100))
    failing = next(k for k, drawn in rows if not np.isin(rare, drawn).all())
    with pytest.raises(errors.ConvergenceError, match="1 of 1 refits failed"):
        bootstrap(model, range(failing, failing + 1), seed=0)


# --------------------------------------------------------------------------------------- holdout


def test_holdout_predicts_the_rows_left_out(data, model):
    table = holdout(model, 20, seed=5)
    for k in (0, 19):
        inside = np.zeros(len(data), dtype=bool)
        inside[stream(5, k).permutation(len(data))[:750]] = True
        fit = build(data[inside]).fit()
        rest = data[~inside & (data["s"] == 1)]
        predicted = fit.predict("conditional", data=rest)
        assert_allclose(
            table.loc[k],
            [
                predicted.mean(),
                rest["y"].mean(),
                np.sqrt(((rest["y"] - predicted) ** 2).mean()),
                len(rest),
            ],
            rtol=1e-9,
        )
    pd.testing.assert_frame_equal(holdout(model, range(10, 20), seed=5), table.loc[10:])


def test_holdout_predictions_are_unbiased(model):
    table = holdout(model, 200)
    gap = table["predicted"] - table["observed"]
    assert abs(gap.mean()) < 0.05 * model.core.y.std()
    with pytest.raises(errors.SpecificationError, match="splits nothing"):
        holdout(model, share=1.0)
