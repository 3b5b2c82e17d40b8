"""Essay II: models of the purchase of a cross-sell across cultures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.results import Result, coefficients, values


@analysis
def nested_logit(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    centre: bool | Sequence[str] = True,
    method: str = "quadrature",
) -> Result:
    """Random-intercept logit; see `crosssell.nested_logit.NestedLogitModel`."""
    from crosssell.nested_logit import NestedLogitModel

    model = NestedLogitModel(
        data[outcome], regressors(data, terms, centre=centre), data[list(groups)]
    )
    fit = model.fit(method=method)
    info = {"n": len(data), "llf": fit.llf, "aic": fit.aic, "bic": fit.bic}
    fits = values("fit", {"llf": fit.llf, "aic": fit.aic, "bic": fit.bic})
    return Result(pd.concat([fit.to_frame(), fits]), info)


@analysis
def logit(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str] = (),
    centre: bool | Sequence[str] = True,
) -> Result:
    """Logit that ignores the hierarchy (`groups` are accepted and not used)."""
    import statsmodels.api as sm

    design = regressors(data, terms, centre=centre)
    fit = sm.GLM(data[outcome], design, family=sm.families.Binomial()).fit()
    numbers = {"llf": fit.llf, "aic": fit.aic, "bic": fit.bic_llf}
    rows = [coefficients("fixed", fit.params, fit.bse, design.columns), values("fit", numbers)]
    return Result(pd.concat(rows), {"n": len(data), "converged": bool(fit.converged)} | numbers)
