"""Essay I: the selection model of cross-sell revenues and what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crosssell import predictions, resampling, results
from crosssell.analyses.interactions import interaction_rows
from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.errors import ConvergenceError, SpecificationError
from crosssell.heckman import LAMBDA, HeckmanModel, HeckmanResults, MaximumLikelihoodResults
from crosssell.results import Result, values


def heckman_model(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    centre: bool | Sequence[str] = False,
    log_outcome: bool = False,
) -> HeckmanModel:
    """The model of a specification, not yet fitted."""
    return HeckmanModel(
        np.log(data[outcome]) if log_outcome else data[outcome],
        regressors(data, outcome_terms, centre=centre),
        data[selected],
        regressors(data, selection_terms, centre=centre),
    )


def _model_of(data: pd.DataFrame, spec: Mapping[str, Any]) -> HeckmanModel:
    """The model of a whole specification, whose other entries do not matter here."""
    names = ("outcome", "selected", "outcome_terms", "selection_terms", "centre", "log_outcome")
    return heckman_model(data, **{name: spec[name] for name in names if name in spec})


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
    rows = [fit.to_frame()]
    for name in ("outcome", "same_named"):
        test = fit.wald_test(name)
        rows.append(results.test("wald", name, test.statistic, test.df, test.pvalue))
    numbers = {"n": float(model.nobs), "selected": float(model.nselected)}
    numbers |= {"rho": fit.rho, "sigma": fit.sigma, "probit_llf": fit.selection_llf}
    info: dict[str, Any] = {"n": model.nobs, "n_selected": model.nselected, "method": method}
    if isinstance(fit, MaximumLikelihoodResults):
        mills = results.coefficients("outcome", [fit.mills], [fit.mills_se], [LAMBDA])
        independence = fit.independence_test()
        rows += [
            mills,
            results.test(
                "lr", "independence", independence.statistic, independence.df, independence.pvalue
            ),
        ]
        numbers |= {"llf": fit.llf, "aic": fit.aic, "bic": fit.bic}
        info |= {"llf": fit.llf, "aic": fit.aic, "bic": fit.bic}
    return Result(pd.concat([*rows, values("fit", numbers)]), info)


@analysis
def heckman_comparisons(
    data: pd.DataFrame, full: Mapping[str, Any], restricted: Mapping[str, Mapping[str, Any]]
) -> Result:
    """Test smaller models against the full one: likelihood ratio (full ML) and Wald (two-step).

    A two-step fit has no likelihood, so the likelihood ratio that the essay reports needs full
    maximum likelihood; the Wald test of the terms left out is its two-step counterpart. The
    likelihood may have several maxima: the full model is also climbed from each smaller model's
    correlation, and its highest maximum counts. Where there is no interior maximum, or the smaller
    model's lies higher, the ratio is missing and the reason is kept.
    """
    two_step = _model_of(data, full).fit()
    info: dict[str, Any] = {"n": len(data)}
    fits: dict[str, MaximumLikelihoodResults] = {}
    for name, spec in {"full": full, **restricted}.items():
        try:
            fits[name] = _model_of(data, spec).fit(method="ml")
        except ConvergenceError as error:
            info[f"no_likelihood.{name}"] = str(error)
    if "full" in fits:
        model = _model_of(data, full)
        climbed = [
            model.fit(method="ml", start_rho=fits[name].rho) for name in restricted if name in fits
        ]
        fits["full"] = max([fits["full"], *climbed], key=lambda fit: fit.llf)
    rows = []
    for name, spec in restricted.items():
        left_out = [
            (equation, term)
            for equation in ("outcome", "selection")
            for term in full[f"{equation}_terms"]
            if term not in spec[f"{equation}_terms"]
        ]
        wald = two_step.wald_test(terms=left_out)
        rows.append(results.test("wald", name, wald.statistic, wald.df, wald.pvalue))
        if {"full", name} <= set(fits):
            try:
                ratio = fits["full"].lr_test(fits[name])
            except SpecificationError as error:
                info[f"no_ratio.{name}"] = str(error)
                continue
            rows.append(results.test("lr", name, ratio.statistic, ratio.df, ratio.pvalue))
    for criterion in ("llf", "aic", "bic"):
        rows.append(
            values(criterion, {name: getattr(fit, criterion) for name, fit in fits.items()})
        )
    return Result(pd.concat(rows), info)


@analysis
def heckman_identification(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
) -> Result:
    """What identifies lambda: its collinearity with the regressors and the exclusion restriction.

    Besides the diagnostics, lambda's coefficient is shown when a variable of the selection equation
    is taken out of the outcome equation, as an exclusion restriction would have it.
    """
    fit = heckman_model(data, outcome, selected, outcome_terms, selection_terms).fit()
    found = fit.diagnostics()
    numbers = {
        "lambda_r2": found.lambda_r2,
        "condition_number": found.condition_number,
        "condition_number_without_lambda": found.condition_number_without_lambda,
        "exclusions": float(len(found.excluded)),
        "rho": found.rho,
        "share_selected": found.share_selected,
    }
    rows = [values("diagnostics", numbers)]
    for term in selection_terms:
        kept = [name for name in outcome_terms if term not in (name, *name.split(":"))]
        if len(kept) < len(outcome_terms):
            other = heckman_model(data, outcome, selected, kept, selection_terms).fit()
            rows.append(results.coefficients("lambda", [other.mills], [other.mills_se], [term]))
    rows.append(results.coefficients("lambda", [fit.mills], [fit.mills_se], ["none"]))
    return Result(pd.concat(rows), {"n": len(data), "notes": list(found.notes)})


@analysis
def heckman_bootstrap(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    cluster: str,
    bootstrap: int,
    seed: int,
) -> Result:
    """Standard errors of both steps side by side, and the bootstrap's replicates.

    Equations ``outcome`` and ``selection`` hold the pairs bootstrap (percentile intervals);
    ``heckman.``, ``robust.``, ``cluster.`` and ``cluster_bootstrap.`` before them the other
    covariances, ``bca.`` the bias-corrected intervals; ``replicate.outcome.<term>`` the replicates.
    """
    model = heckman_model(data, outcome, selected, outcome_terms, selection_terms)
    pairs = resampling.bootstrap(model, bootstrap, seed)
    clusters = resampling.bootstrap(model, bootstrap, seed, clusters=data[cluster])
    frames = {
        "": pairs.to_frame(),
        "bca.": pairs.to_frame(method="bca"),
        "cluster_bootstrap.": clusters.to_frame(),
        "heckman.": model.fit().to_frame(),
        "robust.": model.fit(cov_type="robust").to_frame(),
        "cluster.": model.fit(cov_type="cluster", groups=data[cluster]).to_frame(),
    }
    rows = [frame.assign(equation=prefix + frame["equation"]) for prefix, frame in frames.items()]
    for term, draws in pairs.succeeded["outcome"].items():
        numbers = dict(zip(map(str, draws.index), draws, strict=True))
        rows.append(values(f"replicate.outcome.{term}", numbers))
    counts = {
        "replicates": float(bootstrap),
        "failed": float(pairs.failures.sum()),
        "failed_clusters": float(clusters.failures.sum()),
        "clusters": float(clusters.nclusters),
    }
    rows.append(values("fit", counts))
    return Result(pd.concat(rows), {"n": len(data), **counts})


@analysis
def heckman_holdout(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    share: float,
    holdout: int,
    seed: int,
) -> Result:
    """Mean predicted and observed revenue of holdout buyers, in one split and in many.

    The first repetition stands for the essay's single split. Equations ``predicted``, ``observed``
    and ``difference`` hold the repetitions by number, ``split`` the first one, ``mean`` and ``sd``
    their distribution, and ``share`` how often the means differ by less than a given percentage.
    """
    model = heckman_model(data, outcome, selected, outcome_terms, selection_terms)
    repeated = resampling.holdout(model, holdout, seed, share).dropna()
    repeated["difference"] = repeated["predicted"] - repeated["observed"]
    apart = (repeated["difference"] / repeated["observed"]).abs()
    rows = [
        values(name, dict(zip(map(str, repeated.index), repeated[name], strict=True)))
        for name in ("predicted", "observed", "difference")
    ]
    numbers = ["predicted", "observed", "difference", "rmse", "rows"]
    rows += [
        values("split", repeated[numbers].iloc[0].astype(float).to_dict()),
        values("mean", repeated[numbers].mean().to_dict()),
        values("sd", repeated[numbers].std().to_dict()),
        values("share", {f"within_{k}": (apart < k / 100).mean() for k in (5, 10, 20)}),
        values(
            "fit",
            {"repetitions": float(len(repeated)), "share": share, "holdout_share": 1 - share},
        ),
    ]
    return Result(pd.concat(rows), {"n": len(data), "repetitions": len(repeated)})


@analysis
def segments(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
) -> Result:
    """Table 4: segments' acceptance rates, revenues and sizes, printed arithmetic and prediction.

    Equations ``a``, ``b`` and ``c`` are the panels by the essay's arithmetic, ``dollars`` the
    discussion's differences and segment totals from it. ``at_means.`` and ``averaged.`` before them
    are predictions for a customer at the means and averaged over all customers, with lambda at each
    customer's own index and with delta-method intervals; ``expected_dollars`` are differences of
    revenue per customer pitched, in which those who do not buy count as zero.
    """
    fit = heckman_model(data, outcome, selected, outcome_terms, selection_terms).fit()
    buyers = data[data[selected] == 1]
    columns = sorted({v for term in (*outcome_terms, *selection_terms) for v in term.split(":")})
    shares = predictions.segment_shares(data)
    rows = [_by_printed_arithmetic(fit, data, buyers[columns], shares, selected)]
    model = predictions.SelectionModel(
        selection_terms, outcome_terms, fit.params.to_numpy(), fit.cov_params().to_numpy()
    )
    # Whether an offer accepted would be a good or a service is unknown for those who did not buy:
    # revenue is linear in it, so that its mean among buyers gives the mean revenue.
    known_later = {name: buyers[name].mean() for name in columns if data[name].isna().any()}
    everybody = data[columns].astype(float).assign(**known_later)
    terms = predictions.segment_terms()
    for name, customers in {
        "at_means": everybody.mean().to_frame().T,
        "averaged": everybody,
    }.items():
        predict = model.segments(customers)
        found = predictions.delta_method("", predict, model.params, model.covariance, terms)
        found["equation"] = [f"{name}.{term[0]}" for term in terms]
        found["term"] = [term[2:] for term in terms]
        rows.append(found)
        for equation, position in (("dollars", 1), ("expected_dollars", 2)):

            def differences(
                params: np.ndarray, predict: Any = predict, position: int = position
            ) -> np.ndarray:
                dollars = dict(zip(predictions.SEGMENTS, predict(params)[position::3], strict=True))
                return np.array(
                    list(predictions.dollar_differences(dollars, shares, len(data)).values())
                )

            names = [*predictions.DIFFERENCES, *predictions.TOTAL_DIFFERENCES]
            rows.append(
                predictions.delta_method(
                    f"{name}.{equation}", differences, model.params, model.covariance, names
                )
            )
    return Result(pd.concat(rows), {"n": len(data), "n_selected": len(buyers)})


def _by_printed_arithmetic(
    fit: HeckmanResults,
    data: pd.DataFrame,
    buyers: pd.DataFrame,
    shares: Mapping[str, float],
    selected: str,
) -> pd.DataFrame:
    """Rows of Table 4 as the essay computes them: each equation at the means of its own sample."""
    slopes = fit.params["outcome"].drop(LAMBDA)
    correction = predictions.average_correction(fit.mills, data[selected].mean())
    revenues = predictions.printed_revenues(slopes, buyers.mean().to_dict(), correction)
    acceptances = predictions.printed_acceptances(
        fit.params["selection"], data[list(buyers)].mean().to_dict()
    )
    rows = []
    for key in predictions.SEGMENTS:
        panel, _, level = key.partition(".")
        cells = {
            f"{level}.acceptance": acceptances[key],
            f"{level}.revenue": revenues[key],
            f"{level}.share": shares[key],
        }
        rows.append(values(panel, cells))
    differences = predictions.dollar_differences(revenues, shares, len(data))
    return pd.concat([*rows, values("dollars", differences)])


@analysis
def heckman_interactions(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    pairs: Sequence[Sequence[str]],
    centre: bool | Sequence[str] = False,
) -> Result:
    """Conditional effects on revenue along moderators; see `interactions.interaction_rows`."""
    fit = heckman_model(data, outcome, selected, outcome_terms, selection_terms, centre).fit()
    params = fit.params["outcome"].drop(LAMBDA)
    covariance = fit.cov_params().loc["outcome", "outcome"].loc[params.index, params.index]
    buyers = data[data[selected] == 1]
    # Regressors are centred at the means of all rows, buyers or not.
    centres = data.mean(numeric_only=True) if centre else None
    return Result(interaction_rows(params, covariance, buyers, pairs, centres), {"n": len(data)})
