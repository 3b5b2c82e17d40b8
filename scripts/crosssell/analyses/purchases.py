"""Essay II: models of the purchase of a cross-sell across cultures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from crosssell import measures
from crosssell.analyses.interactions import interaction_rows
from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.errors import ConvergenceError
from crosssell.nested_logit import NestedLogitModel, NestedLogitResults
from crosssell.results import Result, coefficients, values

DISTANCE = "cultural_distance"


@analysis
def nested_logit(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    centre: bool | Sequence[str] = True,
    method: str = "quadrature",
) -> Result:
    """Random-intercept logit; see `crosssell.nested_logit.NestedLogitModel`.

    The approximations that show what software of the essays' time would have said (Laplace,
    penalised quasi-likelihood) may fail to converge: the result then says so and has no estimates.
    """
    info: dict[str, Any] = {"n": len(data), "method": method}
    try:
        fit = _fit(data, outcome, terms, groups, centre, method=method)
    except ConvergenceError as error:
        if method == "quadrature":
            raise
        info["not_converged"] = str(error)
        return Result(values("fit", {"n": float(len(data)), "converged": 0.0}), info)
    numbers = {"n": float(len(data)), "converged": 1.0, "levels": 1.0 + len(groups)}
    if hasattr(fit, "llf"):  # penalised quasi-likelihood has none
        numbers |= {"llf": fit.llf, "aic": fit.aic, "bic": fit.bic}
    info |= {**numbers, "n": len(data), "boundary": list(fit.boundary)}
    rows = [fit.to_frame(), values("fit", numbers)]
    spurious = fit.details.get("runaway")  # a maximum of Laplace's that quadrature does not know
    if spurious:
        found = {name: float(spurious[name]) for name in ("sd", "llf", "quadrature_llf")}
        rows.append(values("runaway", found))
    return Result(pd.concat(rows), info)


def _fit(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    centre: bool | Sequence[str] = True,
    **options: Any,
) -> NestedLogitResults:
    design = regressors(data, terms, centre=centre)
    return NestedLogitModel(data[outcome], design, data[list(groups)]).fit(**options)


@analysis
def logit(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str] = (),
    centre: bool | Sequence[str] = True,
    cluster: str | None = None,
) -> Result:
    """Logit that ignores the hierarchy (`groups` are accepted and not used)."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    design = regressors(data, terms, centre=centre)
    options = {}
    if cluster:
        codes = pd.factorize(data[cluster])[0]
        options = {"cov_type": "cluster", "cov_kwds": {"groups": codes}}
    fit = GLM(data[outcome], design, family=Binomial()).fit(**options)
    numbers = {"n": float(len(data)), "llf": fit.llf, "aic": fit.aic, "bic": fit.bic_llf}
    rows = [coefficients("outcome", fit.params, fit.bse, design.columns), values("fit", numbers)]
    info = {**numbers, "n": len(data), "converged": bool(fit.converged)}
    return Result(pd.concat(rows), info)


@analysis
def linear_probability(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    absorb: Sequence[str],
    clusters: Sequence[str],
    centre: bool | Sequence[str] = True,
) -> Result:
    """Linear probability model with absorbed groups and one- or two-way clustered errors.

    Coefficients are also given over p (1 - p), the logit's slope at the overall rate, on which
    scale they compare with log odds (equation ``log_odds``).
    """
    from linearmodels.iv.absorbing import AbsorbingLS

    design = regressors(data, terms, centre=centre, constant=False)
    effects = data[list(absorb)].astype("category")
    codes = data[list(clusters)].apply(lambda labels: pd.factorize(labels)[0])
    model = AbsorbingLS(data[outcome].astype(float), design, absorb=effects)
    fit = model.fit(cov_type="clustered", clusters=codes, debiased=True)
    rate = data[outcome].mean()
    slope = rate * (1 - rate)
    numbers = {"n": float(len(data)), "r_squared": fit.rsquared}
    rows = [
        coefficients("outcome", fit.params, fit.std_errors, design.columns),
        coefficients("log_odds", fit.params / slope, fit.std_errors / slope, design.columns),
        values("fit", numbers),
    ]
    return Result(pd.concat(rows), {"n": len(data), "r_squared": fit.rsquared})


@analysis
def logit_interactions(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    pairs: Sequence[Sequence[str]],
) -> Result:
    """Conditional effects on the log odds along moderators; see `interactions.interaction_rows`."""
    fit = _fit(data, outcome, terms, groups)
    covariance = fit.cov_params().loc["outcome", "outcome"]
    centres = data.mean(numeric_only=True)
    rows = interaction_rows(fit.params["outcome"], covariance, data, pairs, centres)
    return Result(rows, {"n": len(data)})


@analysis
def distance_variants(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    formulas: Sequence[str],
    scores: Sequence[str],
) -> Result:
    """How the effect of cultural distance depends on its formula and on the scores.

    Effects are per standard deviation of the distance, so that formulas compare; interactions are
    per unit of the other variable. ``region`` scores take the language region of a customer where
    the country has several, ``country`` scores the country's own. Equations are
    ``<formula>.<scores>``; ``distance.`` before them holds mean and standard deviation.
    """
    rows = []
    for score in scores:
        customer = data["customer_culture" if score == "region" else "customer_country"]
        for formula in formulas:
            distance = measures.cultural_distance(customer, data["agent_country"], formula)
            spread = distance.std()
            variant = data.assign(**{DISTANCE: distance / spread})
            fit = _fit(variant, outcome, terms, groups)
            name = f"{formula}.{score}"
            found = fit.to_frame()
            found = found[found["term"].str.split(":").map(lambda names: DISTANCE in names)]
            numbers = {"mean": distance.mean(), "sd": spread, "llf": fit.llf}
            rows += [found.assign(equation=name), values(f"distance.{name}", numbers)]
    return Result(pd.concat(rows), {"n": len(data)})
