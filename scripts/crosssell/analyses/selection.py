"""Essay I: the selection model of cross-sell revenues and what is derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crosssell import results
from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.results import Result


@analysis
def heckman(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    method: str = "twostep",
    cov_type: str = "heckman",
    cluster: str | None = None,
    centre: bool | Sequence[str] = False,
    log_outcome: bool = False,
) -> Result:
    """Heckman's selection model; see `crosssell.heckman.HeckmanModel`."""
    model = heckman_model(
        data, outcome, selected, outcome_terms, selection_terms, centre, log_outcome
    )
    options = {"groups": data[cluster]} if cluster else {}
    fit = model.fit(method=method, cov_type=cov_type, **options)
    tests = [
        results.test("wald", name, test.statistic, test.df, test.pvalue)
        for name, test in (
            ("outcome", fit.wald_test("outcome")),
            ("same_named", fit.wald_test("same_named")),
        )
    ]
    info = {"n": len(data), "n_selected": int(data[selected].sum())}
    return Result(pd.concat([fit.to_frame(), *tests]), info)


def heckman_model(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    centre: bool | Sequence[str] = False,
    log_outcome: bool = False,
) -> Any:
    """The model of a specification, not yet fitted."""
    from crosssell.heckman import HeckmanModel

    return HeckmanModel(
        np.log(data[outcome]) if log_outcome else data[outcome],
        regressors(data, outcome_terms, centre=centre),
        data[selected],
        regressors(data, selection_terms, centre=centre),
    )
