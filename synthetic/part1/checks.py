"""Checks of Part I's firm with estimators that share no code with its making."""

from __future__ import annotations

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray

from crosssell.design import regressors
from crosssell.heckman import HeckmanModel
from synthetic.part1 import base, draw_rows, model
from synthetic.part1.estimates import misses
from synthetic.part1.model import COLUMNS, OUTCOME_TERMS, REVENUE, SELECTION_TERMS, design
from synthetic.part1.population import Population
from synthetic.published import by_id

Array = NDArray[np.float64]

SURVEY = ("p1.survey.", "p1.mean.good_price", "p1.mean.service_price")
COUNTS = ("p1.mean.units", "p1.mean.categories")
BINS = {
    "agent_resolution_ability": np.arange(0.5, 180, 10),
    "product_age": np.arange(0, 2001, 100),
    "product_price": np.arange(-10, 151, 10),
    "failure_severity": np.arange(0.875, 7.2, 0.5),
}
FEWEST = 60  # customers in three bins; fewer say nothing about smoothness
FULL = tuple(f"p1.mean.{column}" for column in COLUMNS[:3])


def target_group(id: str) -> str:
    """Group of a published number: a to f, as the calibration's priorities name them."""
    if id.startswith("t2.") or id in ("p1.customers", "p1.purchases"):
        return "a"
    if id.startswith("t3.hypothesized.") and id.endswith(".estimate") and "intercept" not in id:
        return "b"
    if id in FULL or (id.startswith("t4.") and not id.endswith(".acceptance")):
        return "c"
    if id.startswith("p1.probit."):
        return "d"
    if id.startswith(SURVEY) or id in COUNTS:
        return "e"
    return "f"


def verdicts(calibration: pd.DataFrame) -> pd.DataFrame:
    """Count targets met, carried by a certificate, and missed, by group.

    Parameters
    ----------
    calibration : DataFrame
        As `synthetic.firm.Firm.calibration`.

    Returns
    -------
    DataFrame
        Indexed by group; columns met, certified, missed, missing (ids of those missed).
    """
    number = by_id()
    rows = calibration[calibration["id"].isin(number)]
    met = np.array(
        [number[i].matches(v) for i, v in zip(rows["id"], rows["achieved_sample"], strict=True)]
    )
    proved = ~met & (rows["certificate"] != "").to_numpy()
    missed = ~met & ~proved
    group = rows["id"].map(target_group)
    return pd.DataFrame(
        {
            "met": pd.Series(met, rows.index).groupby(group).sum(),
            "certified": pd.Series(proved, rows.index).groupby(group).sum(),
            "missed": pd.Series(missed, rows.index).groupby(group).sum(),
            "missing": rows["id"]
            .where(missed)
            .groupby(group)
            .agg(lambda ids: " ".join(ids.dropna())),
        }
    )


def roughness(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """How far the histograms of the fine columns are from smooth.

    The number is the largest factor between a bin and the mean of its two neighbours, whichever is
    larger, over bins of a fixed grid that together hold at least `FEWEST` customers.

    Parameters
    ----------
    table : DataFrame
        Analysis table.
    seed : int
        Of the samples that show what chance alone does.

    Returns
    -------
    DataFrame
        Indexed by column and group; columns roughness, and chance: the median over 100 samples of
        the same size from the smooth margins of :mod:`synthetic.part1.base`.
    """
    rng, found = np.random.default_rng(seed), {}
    for group, bought, smooth in (
        ("non-buyers", 0, base.margins()),
        ("buyers", 1, base.buyers_margins()),
    ):
        chosen = table[table["purchase"] == bought]
        for column, edges in BINS.items():
            samples = smooth[column].draw(100 * len(chosen), rng).reshape(100, -1)
            found[column, group] = {
                "roughness": _roughness(chosen[column], edges),
                "chance": np.median([_roughness(sample, edges) for sample in samples]),
            }
    return pd.DataFrame(found).T


def _roughness(values: Array, edges: Array) -> float:
    count = np.histogram(values, edges)[0]
    middle, around = count[1:-1], (count[:-2] + count[2:]) / 2
    counted = middle + 2 * around >= FEWEST
    factor = np.log((middle[counted] + 0.5) / (around[counted] + 0.5))
    return float(np.exp(np.abs(factor).max()))


def two_step(rows: dict[str, Array], bought: NDArray[np.bool_], revenue: Array) -> Array:
    """Second-step estimates by statsmodels' Probit and OLS: intercept, slopes, lambda."""
    probit = sm.Probit(bought.astype(float), design(rows, SELECTION_TERMS)).fit(disp=0)
    chosen = {column: values[bought] for column, values in rows.items()}
    mills = model.inverse_mills(design(chosen, SELECTION_TERMS) @ probit.params)
    X = np.column_stack([design(chosen, OUTCOME_TERMS), mills])
    return sm.OLS(revenue, X).fit().params


def probit_text(table: pd.DataFrame) -> pd.DataFrame:
    """The probit text against statsmodels' Probit on the analysis table.

    Returns
    -------
    DataFrame
        Indexed by term; columns printed, estimate, std_error, miss (beyond the printed digit, in
        standard errors), same_sign.
    """
    rows = {column: table[column].fillna(0).to_numpy(float) for column in COLUMNS}
    fit = sm.Probit(table["purchase"].to_numpy(float), design(rows, SELECTION_TERMS)).fit(disp=0)
    printed, _ = model.printed_selection()
    estimate, error = fit.params[1:], fit.bse[1:]
    return pd.DataFrame(
        {
            "printed": printed,
            "estimate": estimate,
            "std_error": error,
            "miss": misses(fit.params, error),
            "same_sign": (np.sign(estimate) == np.sign(printed)) | (printed == 0),
        },
        index=list(SELECTION_TERMS),
    )


def confirm(table: pd.DataFrame) -> list[str]:
    """Ids of column 1 of Table 3 that statsmodels' two steps do not print."""
    rows = {column: table[column].fillna(0).to_numpy(float) for column in COLUMNS}
    bought = (table["purchase"] == 1).to_numpy()
    estimates = two_step(rows, bought, table.loc[bought, REVENUE].to_numpy())
    ids = [f"t3.hypothesized.{t}.estimate" for t in (*OUTCOME_TERMS, "mills_lambda")]
    return [i for i, e in zip(ids, estimates[1:], strict=True) if not by_id()[i].matches(e)]


def recovery(population: Population, draws: int, seed: int = 0) -> pd.DataFrame:
    """Bias and coverage of the two-step estimator over random samples of the population.

    Parameters
    ----------
    population : Population
    draws : int
        Samples of the published size, nothing polished; sample k's stream depends on k alone.
    seed : int

    Returns
    -------
    DataFrame
        Indexed by equation and term; columns truth, mean, sd, mc_error (of the mean), bias_z,
        coverage (of the 95% intervals).
    """
    truth = population.truth
    target = {
        **{("selection", t): v for t, v in zip(SELECTION_TERMS, truth.selection[1:], strict=True)},
        ("selection", "intercept"): truth.selection[0],
        **{("outcome", t): v for t, v in zip(OUTCOME_TERMS, truth.outcome[1:], strict=True)},
        ("outcome", "intercept"): truth.outcome[0],
        ("outcome", "mills_lambda"): truth.mills,
    }
    estimates, errors = [], []
    for sequence in np.random.SeedSequence(seed).spawn(draws):
        rows, bought, revenue = draw_rows(population, np.random.default_rng(sequence))
        data = pd.DataFrame(rows)
        spent = pd.Series(np.nan, data.index)
        spent[bought] = revenue
        fit = HeckmanModel(
            spent,
            regressors(data, OUTCOME_TERMS),
            pd.Series(bought.astype(int)),
            regressors(data, SELECTION_TERMS),
        ).fit()
        estimates.append(fit.params)
        errors.append(fit.bse)
    found, error = pd.DataFrame(estimates), pd.DataFrame(errors)
    goal = pd.Series(target).reindex(found.columns)
    report = pd.DataFrame({"truth": goal, "mean": found.mean(), "sd": found.std()})
    report["mc_error"] = report["sd"] / np.sqrt(draws)
    report["bias_z"] = (report["mean"] - goal) / report["mc_error"]
    report["coverage"] = ((found - goal).abs() <= 1.959964 * error).mean()
    return report
