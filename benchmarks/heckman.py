"""Heckman's two-step, maximum likelihood and 500 bootstrap refits against other software."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from scipy import stats

from benchmarks.common import Ratio, run_r, seconds, write_columns
from crosssell.heckman import HeckmanModel
from crosssell.resampling import bootstrap, holdout

TITLE = "Heckman selection model, 6,782 customers, 11 + 15 regressors, 8% selected"
REPLICATES = 500
# The statsmodels and R loops are timed on fewer refits and scaled up: their time is proportional.
LOOP = 50


def data(seed: int = 0, n: int = 6782) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return outcome, its regressors, selection regressors and selection, as of the essay firm."""
    rng = np.random.default_rng(seed)
    risk = rng.choice(6, n, p=[0.02, 0.36, 0.16, 0.17, 0.27, 0.02]).astype(float)
    function = rng.choice([1.0, 2.0, 3.0, 4.0], n, p=[0.14, 0.39, 0.28, 0.19])
    ability = rng.integers(1, 180, n).astype(float)
    good, related = rng.binomial(1, 0.57, n), rng.binomial(1, 0.6, n)
    age, price = rng.gamma(2.6, 380, n), rng.normal(30, 28, n)
    severity = rng.integers(4, 29, n) / 4
    covariates = [age, price, severity, related, np.ones(n)]
    pairs = [risk * function, risk * ability, function * ability]
    goods = [good, risk * good, function * good, ability * good]
    Z = np.column_stack([risk, function, ability, *pairs, *covariates])
    X = np.column_stack([risk, function, ability, *pairs, *goods, *covariates])
    gamma = [0.035, -1.06, -0.0035, 0.352, -0.0003, -0.0053, 0.001, -0.0059, 0.025, 0.205, -1.7]
    beta = [15.3, -53.8, 0.1, 17.7, 0.05, -0.485, 21.6, -7.1, 35.5, -0.486, 0.027, 0.733, 2.2, 1.9]
    v, u = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], n).T
    return X @ [*beta, 1.2] + 68 * u, X, Z, Z @ gamma + v > 0


def statsmodels_two_step(y: np.ndarray, X: np.ndarray, Z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the estimates as one writes them with statsmodels, without the right errors."""
    gamma = sm.Probit(s.astype(float), Z).fit(disp=0).params
    index = Z[s] @ gamma
    ratio = stats.norm.pdf(index) / stats.norm.cdf(index)
    return sm.OLS(y[s], np.column_stack([X[s], ratio])).fit().params


def compare(scratch: Path) -> Iterator[Ratio]:
    """Time the tasks, ours first."""
    y, X, Z, s = data()
    model = HeckmanModel(y, X, s, Z)
    rng = np.random.default_rng(1)

    def loop() -> None:
        for _ in range(LOOP):
            rows = rng.integers(len(y), size=len(y))
            statsmodels_two_step(y[rows], X[rows], Z[rows], s[rows])

    fit, result = seconds(lambda: HeckmanModel(y, X, s, Z).fit(), repeats=10)
    core, _ = seconds(model.core.fit, repeats=10)
    ml, best = seconds(lambda: HeckmanModel(y, X, s, Z).fit("ml"), repeats=5)
    many, _ = seconds(lambda: bootstrap(model, REPLICATES))
    splits, _ = seconds(lambda: holdout(model, REPLICATES))
    their_fit, params = seconds(lambda: statsmodels_two_step(y, X, Z, s), repeats=10)
    their_many, _ = seconds(loop, repeats=2, warm_up=False)
    their_many *= REPLICATES / LOOP
    np.testing.assert_allclose(result.params["outcome"], params, rtol=1e-5)

    path = scratch / "heckman.csv"
    columns = {"s": s, "y": np.where(s, y, 0)}
    columns |= {f"z{j}": z for j, z in enumerate(Z.T)} | {f"x{j}": x for j, x in enumerate(X.T)}
    write_columns(path, columns)
    r = run_r("heckman.R", path, Z.shape[1], X.shape[1], LOOP) or {}
    if r:
        np.testing.assert_allclose(r["lambda"], result.mills, rtol=1e-5)
        np.testing.assert_allclose(r["llf"], best.llf, rtol=1e-8)
    lean = "R glm.fit + lm.fit"
    r_many = r["bootstrap"] * REPLICATES / LOOP if r else None
    whole = "ours with checks and covariance"
    scaled = f"theirs: {LOOP} refits timed, scaled up"

    yield Ratio("two-step estimates", "statsmodels Probit + OLS", core, their_fit)
    yield Ratio("two-step estimates", lean, core, r.get("fit"))
    yield Ratio("two-step fit", lean, fit, r.get("fit"), note=whole)
    yield Ratio("maximum likelihood", "R optim BFGS, gradient given", ml, r.get("ml"), note=whole)
    yield Ratio(
        "500 bootstrap refits", "statsmodels Probit + OLS loop", many, their_many, 10, scaled
    )
    yield Ratio("500 bootstrap refits", f"{lean} loop", many, r_many, 25, scaled)
    yield Ratio(
        "500 holdout repetitions", "statsmodels Probit + OLS loop", splits, their_many, None, scaled
    )
