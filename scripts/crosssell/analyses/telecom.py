"""Purchases in inbound calls: the telecom study's questions answered by one logit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from crosssell import results
from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.errors import DataError
from crosssell.results import Result, coefficients, values


@analysis
def questions(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    cluster: str,
    joint: Mapping[str, Sequence[str]] | None = None,
) -> Result:
    """Logit of a purchase with standard errors clustered by customer.

    Equations: ``outcome`` coefficients, ``odds_ratio`` their exponentials, ``marginal`` the average
    effect on the purchase rate (of the change from 0 to 1 for indicators), and ``joint`` Wald tests
    of sets of terms, of which those in the model count.

    Parameters
    ----------
    data : DataFrame, shape (n, ...)
        Calls; those without an answer in a term are left out.
    outcome : str
    terms : sequence of str
    cluster : str
        Column of customers.
    joint : mapping of str to sequence of str, optional
        Sets of terms by name.
    """
    from statsmodels.discrete.discrete_model import Logit

    rows = data.dropna(subset=list(terms)).reset_index(drop=True)
    if rows.empty:
        raise DataError("no call has every measure.", "Look at what the survey covers.")
    design = regressors(rows, terms)
    fit = Logit(rows[outcome].astype(float), design).fit(
        disp=False, cov_type="cluster", cov_kwds={"groups": pd.factorize(rows[cluster])[0]}
    )
    logit = coefficients("outcome", fit.params, fit.bse, design.columns)
    ratio = logit.assign(equation="odds_ratio")
    ratio[["estimate", "conf_low", "conf_high"]] = np.exp(
        logit[["estimate", "conf_low", "conf_high"]]
    )
    ratio["std_error"] = ratio["estimate"] * logit["std_error"]
    effects = fit.get_margeff(dummy=True)
    marginal = coefficients("marginal", effects.margeff, effects.margeff_se, list(terms))
    tests = []
    for name, wanted in (joint or {}).items():
        chosen = [term for term in wanted if term in design]
        if chosen:
            matrix = np.eye(design.shape[1])[[design.columns.get_loc(term) for term in chosen]]
            wald = fit.wald_test(matrix, scalar=True)
            tests.append(results.test("joint", name, wald.statistic, len(chosen), wald.pvalue))
    numbers = {"n": float(len(rows)), "purchases": float(rows[outcome].sum()), "llf": fit.llf}
    table = pd.concat([logit, ratio, marginal, *tests, values("fit", numbers)])
    return Result(table, {"n": len(rows), "converged": bool(fit.mle_retvals["converged"])})
