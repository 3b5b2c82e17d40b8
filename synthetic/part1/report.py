"""What the firm's analysis table gives back, number by number."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from crosssell import predictions
from crosssell.design import regressors
from crosssell.heckman import LAMBDA, HeckmanModel, HeckmanResults
from synthetic.part1 import model
from synthetic.part1.model import COLUMNS, OUTCOME_TERMS, REVENUE, SELECTION_TERMS
from synthetic.published import by_id

MODELS = {
    "hypothesized": (OUTCOME_TERMS, SELECTION_TERMS),
    "main_effects": (COLUMNS, tuple(t for t in SELECTION_TERMS if ":" not in t)),
    "covariates": (COLUMNS[4:], COLUMNS[4:]),
}


def fits(table: pd.DataFrame) -> dict[str, HeckmanResults]:
    """Two-step estimates of Table 3's three columns."""
    return {
        name: HeckmanModel(
            table[REVENUE],
            regressors(table, outcome),
            table["purchase"],
            regressors(table, selection),
        ).fit()
        for name, (outcome, selection) in MODELS.items()
    }


def achieved(table: pd.DataFrame) -> dict[str, float]:
    """Value of every published number of Part I that the analysis table bears on.

    Parameters
    ----------
    table : DataFrame, shape (n, ...)
        Analysis table of study part1.

    Returns
    -------
    dict of str to float
        By id, in the printed unit.
    """
    buyers = table[table["purchase"] == 1]
    n, bought = len(table), len(buyers)
    found: dict[str, float] = {"p1.customers": n, "p1.purchases": bought}
    found["p1.acceptance_rate"] = 100 * bought / n
    columns = [REVENUE, *COLUMNS]
    mean, sd, corr = buyers[columns].mean(), buyers[columns].std(), buyers[columns].corr()
    for column in columns:
        error = sd[column] / np.sqrt(bought)
        found[f"t2.mean.{column}"] = mean[column]
        found[f"t2.sd.{column}"] = error if column in model.STANDARD_ERRORS else sd[column]
    for first, second in itertools.combinations(columns, 2):
        found[model.correlation_id(first, second)] = corr.loc[first, second]
    estimates = fits(table)
    for name, fit in estimates.items():
        for (equation, term), estimate in fit.params.items():
            if equation == "outcome":
                found[f"t3.{name}.{term}.estimate"] = estimate
                found[f"t3.{name}.{term}.std_error"] = fit.bse[equation, term]
            elif name == "hypothesized" and term != "intercept":
                found[f"p1.probit.{term}"] = estimate
        test = fit.wald_test("same_named")
        found[f"t3.{name}.wald.statistic"] = float(test.statistic)
        found[f"t3.{name}.wald.df"] = float(test.df)
    found |= _segments(table, estimates["hypothesized"], buyers[list(COLUMNS)])
    for column in COLUMNS[:3]:
        found[f"p1.mean.{column}"] = table[column].mean()
    found["p1.related_rate"] = 100 * table["cross_sell_related"].mean()
    good = buyers["cross_sell_good"] == 1
    found["p1.mean.good_price"] = buyers.loc[good, "list_price"].mean()
    found["p1.mean.service_price"] = buyers.loc[~good, "list_price"].mean()
    found["p1.mean.units"] = buyers["units"].mean()
    found["p1.mean.categories"] = buyers["categories"].mean()
    return found | _survey(table)


def _segments(table: pd.DataFrame, fit: HeckmanResults, buyers: pd.DataFrame) -> dict[str, float]:
    shares = predictions.segment_shares(table)
    correction = predictions.average_correction(fit.mills, table["purchase"].mean())
    slopes = fit.params["outcome"].drop(LAMBDA)
    revenues = predictions.printed_revenues(slopes, buyers.mean().to_dict(), correction)
    acceptances = predictions.printed_acceptances(
        fit.params["selection"], table[list(COLUMNS)].mean().to_dict()
    )
    found = {}
    for key in predictions.SEGMENTS:
        found[f"t4.{key}.acceptance"] = 100 * acceptances[key]
        found[f"t4.{key}.revenue"] = revenues[key]
        found[f"t4.{key}.share"] = 100 * shares[key]
    dollars = predictions.dollar_differences(revenues, shares, len(table))
    return found | {f"p1.dollars.{key}": value for key, value in dollars.items()}


def _survey(table: pd.DataFrame) -> dict[str, float]:
    answered = table.dropna(subset="satisfaction")
    accepted = answered["purchase"] == 1
    rating = answered["satisfaction"]
    t = stats.ttest_ind(rating[accepted], rating[~accepted]).statistic
    slope = stats.linregress(answered["agent_resolution_ability"], rating).slope
    return {
        "p1.survey.responses": len(answered),
        "p1.survey.mean.accepted": rating[accepted].mean(),
        "p1.survey.mean.not_accepted": rating[~accepted].mean(),
        "p1.survey.t": float(t),
        "p1.survey.ability_slope": float(slope),
    }


def compare(
    population: pd.DataFrame, sample: dict[str, float], certificates: dict[str, str]
) -> pd.DataFrame:
    """Calibration report: one row per published number, then the looks.

    Parameters
    ----------
    population : DataFrame
        Columns id, achieved_population, slack, priority (of the elastic solution).
    sample : dict of str to float
        Achieved by the firm's analysis table.
    certificates : dict of str to str
        Why a number cannot hold.

    Returns
    -------
    DataFrame
        Columns id, target, achieved_population, achieved_sample, slack, priority, certificate.
    """
    number = by_id()
    known = population.set_index("id")
    ids = [*(i for i in sample if i in number), *(i for i in known.index if i not in number)]
    report = pd.DataFrame({"id": ids})
    targets = known["target"].to_dict()
    report["target"] = [number[i].value if i in number else targets[i] for i in ids]
    report["achieved_population"] = report["id"].map(known["achieved_population"])
    report["achieved_sample"] = report["id"].map(sample)
    report["slack"] = report["id"].map(known["slack"])
    report["priority"] = report["id"].map(known["priority"])
    report["certificate"] = report["id"].map(certificates).fillna("")
    return report
