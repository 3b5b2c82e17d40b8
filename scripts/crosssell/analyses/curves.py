"""Specification curves: every defensible combination of choices, in one job per study."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from crosssell import measures
from crosssell.analyses.purchases import DISTANCE
from crosssell.analyses.registry import analysis
from crosssell.analyses.selection import heckman_model
from crosssell.design import regressors
from crosssell.errors import ConvergenceError, CrossSellError, CrossSellWarning
from crosssell.hypotheses import verdicts
from crosssell.nested_logit import NestedLogitModel
from crosssell.results import Result, coefficients, values

#: What joins a specification's choices in its name.
SEPARATOR = "/"


def _terms(hypotheses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The terms that hypotheses are about, each once."""
    return list(dict.fromkeys(hypothesis["term"] for hypothesis in hypotheses.values()))


def _spread(data: pd.DataFrame, term: str) -> float:
    """Product of the standard deviations of a term's variables."""
    return float(np.prod([data[name].std() for name in term.split(":")]))


@dataclass
class _Curve:
    """A curve in the making: estimates, what could not be estimated, and warnings by kind."""

    hypotheses: Mapping[str, Mapping[str, Any]]
    rows: list[pd.DataFrame] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    warned: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def counting_warnings(self) -> Iterator[None]:
        """Count the package's own warnings, of which every specification may give the same."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CrossSellWarning)
            yield
        for warning in caught:
            if issubclass(warning.category, CrossSellWarning):
                self.warned[warning.category.__name__] += 1
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    def add(
        self,
        choices: Sequence[str],
        found: pd.DataFrame | CrossSellError,
        scale: Mapping[str, float],
    ) -> None:
        """Add one specification's estimates, rescaled, or the reason why there are none."""
        name = SEPARATOR.join(choices)
        if isinstance(found, CrossSellError):
            self.failures[name] = str(found)
            return
        estimates = found.set_index("term")
        terms = [term for term in _terms(self.hypotheses) if term in estimates.index]
        factor = pd.Series(scale)[terms].to_numpy()
        kept = estimates.loc[terms, ["estimate", "std_error"]].to_numpy() * factor[:, None]
        self.rows.append(coefficients(name, kept[:, 0], kept[:, 1], terms))

    def result(self, n: int) -> Result:
        """The curve with its verdicts."""
        curve = pd.concat(self.rows)
        counts = {
            "estimated": float(curve["equation"].nunique()),
            "failed": float(len(self.failures)),
        }
        table = pd.concat([curve, verdicts(curve, self.hypotheses), values("fit", counts)])
        return Result(table, {"n": n, "failures": self.failures, "warnings": dict(self.warned)})


# ----------------------------------------------------------------------------------- Essay I


@analysis
def selection_curve(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    covariates: Sequence[str],
    cluster: str,
    hypotheses: Mapping[str, Mapping[str, Any]],
) -> Result:
    """Essay I's hypotheses over estimators, outcomes, codings, covariates, samples and errors.

    Estimates are standard deviations of the outcome (in dollars or logs) per standard deviation of
    each variable in the term. A specification is named by its choices, joined by slashes:
    ``two_step | ml | ols``, ``dollars | log``, ``uncentred | centred``,
    ``covariates | no_covariates``, ``everyone | trimmed`` (without the buyers of the highest per
    cent of revenue), ``conventional | clustered`` (by agent).
    """
    terms = _terms(hypotheses)
    curve = _Curve(hypotheses)
    high = data[outcome].quantile(0.99)
    samples = {"everyone": data, "trimmed": data[~(data[outcome] > high)].reset_index(drop=True)}
    for sample, coding, with_covariates in product(
        samples, ("uncentred", "centred"), ("covariates", "no_covariates")
    ):
        kept = samples[sample]
        drop = covariates if with_covariates == "no_covariates" else ()
        chosen = [
            [term for term in of if term not in drop] for of in (outcome_terms, selection_terms)
        ]
        buyers = kept[kept[selected] == 1]
        for scale_of, log in (("dollars", False), ("log", True)):
            y = np.log(buyers[outcome]) if log else buyers[outcome]
            scale = {term: _spread(buyers, term) / y.std() for term in terms}
            model = heckman_model(kept, outcome, selected, *chosen, coding == "centred", log)
            with curve.counting_warnings():
                for estimator, errors, fit in _selection_fits(model, kept[cluster], buyers.index):
                    choices = (estimator, scale_of, coding, with_covariates, sample, errors)
                    curve.add(choices, fit, scale)
    return curve.result(len(data))


def _selection_fits(
    model: Any, clusters: pd.Series, buyers: pd.Index
) -> Iterator[tuple[str, str, pd.DataFrame | CrossSellError]]:
    """Outcome equation by every estimator and kind of standard error, or why there is none."""
    from statsmodels.regression.linear_model import OLS

    for errors in ("conventional", "clustered"):
        options = {"cov_type": "cluster", "groups": clusters} if errors == "clustered" else {}
        for name, method in (("two_step", "twostep"), ("ml", "ml")):
            try:
                frame = model.fit(method=method, **options).to_frame()
                yield name, errors, frame[frame["equation"] == "outcome"]
            except ConvergenceError as error:
                yield name, errors, error
        X, y = model.exog.loc[buyers], model.endog.loc[buyers]
        if errors == "clustered":
            codes = pd.factorize(clusters.loc[buyers])[0]
            fit = OLS(y, X).fit(cov_type="cluster", cov_kwds={"groups": codes})
        else:
            fit = OLS(y, X).fit()
        yield "ols", errors, coefficients("outcome", fit.params, fit.bse, X.columns)


# ----------------------------------------------------------------------------------- Essay II


@analysis
def purchase_curve(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    covariates: Sequence[str],
    ranges: Mapping[str, Sequence[float]],
    left_out: Mapping[str, Sequence[str]],
    hypotheses: Mapping[str, Mapping[str, Any]],
) -> Result:
    """Essay II's hypotheses over estimators, distance formulas, samples and covariates.

    Estimates are log odds per standard deviation of each variable in the term; a linear
    probability's are divided by p (1 - p). A specification is named by its choices, joined by
    slashes: ``three_level | two_level | logit | logit_clustered | linear``,
    ``absolute | euclidean | kogut_singh``, ``all | in_range | without_...`` (records within the
    stated `ranges`; rows of `left_out` left out), ``covariates | no_covariates``. Three levels are
    estimated with covariates only.
    """
    hypothesised = _terms(hypotheses)
    inside = np.logical_and.reduce([data[name].between(*limits) for name, limits in ranges.items()])
    samples = {"all": data, "in_range": data[inside]}
    for column, labels in left_out.items():
        samples |= {f"without_{label.lower()}": data[data[column] != label] for label in labels}
    curve = _Curve(hypotheses)
    for sample, formula in product(samples, ("absolute", "euclidean", "kogut_singh")):
        kept = samples[sample].reset_index(drop=True)
        distance = measures.cultural_distance(
            kept["customer_culture"], kept["agent_country"], formula
        )
        kept = kept.assign(**{DISTANCE: distance})
        scale = {term: _spread(kept, term) for term in hypothesised}
        for with_covariates in ("covariates", "no_covariates"):
            drop = covariates if with_covariates == "no_covariates" else ()
            chosen = [term for term in terms if term not in drop]
            design = regressors(kept, chosen, centre=True)
            nested = with_covariates == "covariates"
            with curve.counting_warnings():
                for estimator, fit in _purchase_fits(design, kept, outcome, groups, nested):
                    curve.add((estimator, formula, sample, with_covariates), fit, scale)
    return curve.result(len(data))


def _purchase_fits(
    design: pd.DataFrame,
    data: pd.DataFrame,
    outcome: str,
    groups: Sequence[str],
    nested: bool,
) -> Iterator[tuple[str, pd.DataFrame | CrossSellError]]:
    """Coefficients by every estimator, or why there are none."""
    from statsmodels.discrete.discrete_model import Logit
    from statsmodels.regression.linear_model import OLS

    y, outer, inner = data[outcome], data[groups[0]], pd.factorize(data[groups[1]])[0]
    if nested:
        for name, levels in (("three_level", list(groups)), ("two_level", [groups[1]])):
            try:
                yield name, NestedLogitModel(y, design, data[levels]).fit().to_frame()
            except ConvergenceError as error:
                yield name, error
    model = Logit(y, design)
    fit = model.fit(disp=False)
    yield "logit", coefficients("outcome", fit.params, fit.bse, design.columns)
    options = {"cov_type": "cluster", "cov_kwds": {"groups": inner}}
    fit = model.fit(start_params=fit.params, disp=False, **options)
    yield "logit_clustered", coefficients("outcome", fit.params, fit.bse, design.columns)
    # Absorbing a dyad is taking its means off; within dyads distance varies with language regions
    # only, so that its main effect is not identified and only the interactions are shown.
    within = design.drop(columns="intercept")
    within = within - within.groupby(outer).transform("mean")
    within = within.drop(columns=DISTANCE)
    fit = OLS(y - y.groupby(outer).transform("mean"), within).fit(**options)
    slope = y.mean() * (1 - y.mean())
    yield "linear", coefficients("outcome", fit.params / slope, fit.bse / slope, within.columns)
