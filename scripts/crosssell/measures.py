"""Raw sources to analysis variables, as the two essays define them.

The raw tables are the ones a firm has (customers, models, encounters, failures, agents, agent days,
sales, survey); `build` joins them into one table per study. The column names and their meaning are
those of ``workflow/schemas/raw.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np
import pandas as pd

from crosssell.errors import DataError
from crosssell.results import Result, values

DIMENSIONS = ["power_distance", "individualism", "masculinity", "uncertainty_avoidance"]
# Hofstede did not score Tunisia; the package scores it as the region "Arab countries".
CULTURE_OF_COUNTRY = {"TUN": "ARA"}

Ability = Literal["rank", "two_preceding_days"]
Distance = Literal["absolute", "euclidean", "kogut_singh"]


@dataclass(frozen=True)
class Study:
    """What one essay takes as its unit and how it names and defines its measures."""

    unit: Literal["customer", "encounter"]
    ability: Ability
    model_rank: str


STUDIES = {
    "part1": Study("customer", "rank", "product_functionality"),
    "part2": Study("encounter", "two_preceding_days", "product_value"),
}


@cache
def hofstede() -> pd.DataFrame:
    """Hofstede's four dimensions by culture code (69 countries and 9 regions, points 0-120).

    References
    ----------
    Hofstede, G., Hofstede, G. J. and Minkov, M. (2010), *Cultures and Organizations*; dimension
    data matrix, 2015-12-08.
    """
    with resources.files("crosssell").joinpath("data/hofstede.csv").open() as file:
        return pd.read_csv(file, index_col="code")[DIMENSIONS].astype(float)


def cultural_distance(
    customer: pd.Series, agent: pd.Series, formula: Distance = "absolute"
) -> np.ndarray:
    """Distance between two cultures over Hofstede's four dimensions.

    Parameters
    ----------
    customer, agent : Series of str, shape (n,)
        Culture codes (a country's ISO3 code or one of Hofstede's regions).
    formula : {"absolute", "euclidean", "kogut_singh"}
        Sum of absolute differences (the dissertation's Table 5), Euclidean distance (its text), or
        the mean of squared differences over each dimension's variance (Kogut and Singh 1988).

    Returns
    -------
    ndarray, shape (n,)
        Points for the first two formulas, a pure number for the third.

    Raises
    ------
    DataError
        If a code is not among Hofstede's.
    """
    scores = hofstede()
    codes = [side.replace(CULTURE_OF_COUNTRY) for side in (customer, agent)]
    unknown = sorted({c for side in codes for c in side.unique() if c not in scores.index})
    if unknown:
        raise DataError(
            f"no Hofstede scores for the culture codes {unknown}. Use one of the codes of "
            "scripts/crosssell/data/hofstede.csv in customers.culture and agents.country."
        )
    # Encounters are many and dyads few: the distance is computed once per pair of codes.
    pairs = pd.MultiIndex.from_product([side.unique() for side in codes])
    difference = (
        scores.loc[pairs.get_level_values(0)].to_numpy()
        - scores.loc[pairs.get_level_values(1)].to_numpy()
    )
    if formula == "absolute":
        distance = np.abs(difference).sum(axis=1)
    elif formula == "euclidean":
        distance = np.sqrt((difference**2).sum(axis=1))
    elif formula == "kogut_singh":
        distance = (difference**2 / scores.var().to_numpy()).mean(axis=1)
    else:
        raise DataError(
            f"unknown distance formula {formula!r}; use absolute, euclidean or kogut_singh."
        )
    first, n_second = (pd.factorize(side)[0] for side in codes), codes[1].nunique()
    row, column = first
    return distance[row * n_second + column]


def failure_severity(failures: pd.DataFrame) -> pd.Series:
    """Mean severity rating over raters, by failure code (1 trivial to 7 severe)."""
    return failures.groupby("failure_code")["severity"].mean()


def resolved_before(
    agent_days: pd.DataFrame, agent: pd.Series, date: pd.Series, days: int = 2
) -> np.ndarray:
    """Encounters an agent resolved in the days before each date.

    Parameters
    ----------
    agent_days : DataFrame
        agent_id, date (datetime64), resolved (count). A day that is absent counts as none resolved.
    agent : Series, shape (n,)
    date : Series of datetime64, shape (n,)
        Day of the encounter; its own volume does not count.
    days : int
        How many preceding days are summed (two in the essay).

    Returns
    -------
    ndarray, shape (n,)
        NaN for an agent without any day on record.
    """
    n_days = lambda dates: dates.dt.normalize().astype("datetime64[s]").astype("int64") // 86400
    day_known, day_asked = n_days(agent_days["date"]), n_days(date)
    first = min(day_known.min(), day_asked.min() - days)
    width = max(day_known.max(), day_asked.max()) - first + 1
    codes, agents = pd.factorize(agent_days["agent_id"])
    volume = np.zeros((len(agents), width))
    np.add.at(volume, (codes, day_known - first), agent_days["resolved"].to_numpy(float))
    before = np.concatenate([np.zeros((len(agents), 1)), volume.cumsum(axis=1)], axis=1)
    row = pd.Index(agents).get_indexer(agent)
    end = (day_asked - first).to_numpy()
    total = before[row, end] - before[row, end - days]
    return np.where(row >= 0, total, np.nan)


def days_counted(within: int = 7) -> list[int]:
    """Days before a contact whose volume counts in `resolved_before`, nearest first."""
    date = pd.Timestamp(2000, 1, 31)
    counted = []
    for days in range(within + 1):
        day = date - pd.Timedelta(days=days)
        volume = pd.DataFrame({"agent_id": ["a"], "date": [day], "resolved": [1]})
        if resolved_before(volume, pd.Series(["a"]), pd.Series([date]))[0]:
            counted.append(days)
    return counted


def facts(raw: Mapping[str, pd.DataFrame], study: str) -> Result:
    """What the raw sources and the measures' definitions are like, before any row is left out.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        The raw tables by name.
    study : {"part1", "part2"}

    Returns
    -------
    Result
        Equations ``distinct`` (numbers of raters, of scores they gave and of model ranks), ``min``
        and ``max`` (of those scores and of satisfaction), ``period`` (first and last year, and the
        calendar months with encounters), and of Essay II's measures ``dimensions`` of cultural
        distance and first and last ``day`` before the contact that count as agent resolution
        ability.
    """
    rated = {"failures.severity": raw["failures"]["severity"]}
    if "survey" in raw:
        rated["survey.satisfaction"] = raw["survey"]["satisfaction"]
    kinds = {
        "failures.rater": raw["failures"]["rater"],
        "failures.severity": raw["failures"]["severity"],
        "models.rank": raw["models"]["rank"],
    }
    started = pd.to_datetime(raw["encounters"]["started_at"]).dt
    period = {
        "first": float(started.year.min()),
        "last": float(started.year.max()),
        "months": float(started.to_period("M").nunique()),
    }
    rows = [
        values("distinct", {name: float(kind.nunique()) for name, kind in kinds.items()}),
        values("min", {name: float(scores.min()) for name, scores in rated.items()}),
        values("max", {name: float(scores.max()) for name, scores in rated.items()}),
        values("period", period),
    ]
    if STUDIES[study].ability == "two_preceding_days":
        days = days_counted()
        rows += [
            values("dimensions", {"cultural_distance": float(hofstede().shape[1])}),
            values("day", {"first": float(days[-1]), "last": float(days[0])}),
        ]
    return Result(pd.concat(rows), {"n": len(raw["encounters"])})


def _lookup(table: pd.DataFrame, key: str, value: str, asked: pd.Series, name: str) -> pd.Series:
    """Value of ``table`` at each asked key; duplicate or missing keys are errors, all named."""
    series = table.set_index(key)[value]
    if not series.index.is_unique:
        repeated = sorted(series.index[series.index.duplicated()].unique())[:5]
        raise DataError(f"{name}.{key} must be unique; repeated: {repeated}. Keep one row each.")
    place = series.index.get_indexer(asked)
    missing = asked[place < 0]
    if len(missing):
        raise DataError(
            f"{len(missing)} rows refer to a {key} that {name} lacks, for example "
            f"{missing.iloc[0]!r}. Add the missing rows to {name} or drop the references."
        )
    return series.iloc[place].set_axis(asked.index)


def build(
    raw: Mapping[str, pd.DataFrame],
    study: str,
    *,
    ability: Ability | None = None,
    distance: Distance = "absolute",
) -> pd.DataFrame:
    """Analysis table of one study from its raw sources.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        The raw tables by name (see the module's text); dates may be strings or datetime64.
    study : {"part1", "part2"}
        Essay I: one row per customer who was pitched. Essay II: one row per pitched encounter.
    ability : {"rank", "two_preceding_days"}, optional
        Definition of agent resolution ability; by default the study's own.
    distance : {"absolute", "euclidean", "kogut_singh"}
        Formula of cultural distance.

    Returns
    -------
    DataFrame
        Rows in the order of the encounters. Measures known from a sale only (revenue, good or
        service, list price, units, categories) are missing for those who did not buy.

    Raises
    ------
    DataError
        If keys repeat or refer to rows that do not exist.
    """
    spec = STUDIES[study]
    encounters = raw["encounters"]
    rows = encounters[encounters["offer_made"] == 1].reset_index(drop=True)
    sales = _sales(raw["sales"], rows)
    if spec.unit == "customer":
        rows, sales = _one_row_per_customer(rows, sales)
    customers, agents = raw["customers"], raw["agents"]
    of_customer = lambda column: _lookup(
        customers, "customer_id", column, rows["customer_id"], "customers"
    )
    of_agent = lambda column: _lookup(agents, "agent_id", column, rows["agent_id"], "agents")
    contact = pd.to_datetime(rows["started_at"])
    table = rows[["encounter_id", "customer_id", "agent_id"]].copy()
    table["purchase"] = sales["revenue"].notna().astype("int8")
    table["risk_aversion"] = of_customer("warranty_years")
    table[spec.model_rank] = _lookup(raw["models"], "model", "rank", of_customer("model"), "models")
    if (ability or spec.ability) == "rank":
        table["agent_resolution_ability"] = of_agent("rank")
    else:
        days = raw["agent_days"].assign(date=lambda d: pd.to_datetime(d["date"]))
        table["agent_resolution_ability"] = resolved_before(days, rows["agent_id"], contact)
    severity = failure_severity(raw["failures"]).reset_index()
    table["failure_severity"] = _lookup(
        severity, "failure_code", "severity", rows["failure_code"], "failures"
    )
    if study == "part1":
        bought = pd.to_datetime(of_customer("purchase_date"))
        table["product_age"] = (contact.dt.normalize() - bought.dt.normalize()).dt.days
        table["product_price"] = of_customer("gross_margin")
        table["cross_sell_related"] = rows["offer_related"]
        table["cross_sell_revenue"] = sales["revenue"]
        table["cross_sell_good"] = sales["good"]
        table[["list_price", "units", "categories"]] = sales[["list_price", "units", "categories"]]
        survey = raw["survey"].set_index("encounter_id")["satisfaction"]
        table["satisfaction"] = rows["encounter_id"].map(survey).astype(float)
        return table.drop(columns="encounter_id")
    table["duration"] = rows["minutes"]
    table["customer_country"] = of_customer("country")
    table["customer_culture"] = of_customer("culture")
    table["agent_country"] = of_agent("country")
    table["dyad"] = table["customer_country"] + "-" + table["agent_country"]
    table["cultural_distance"] = cultural_distance(
        of_customer("culture"), table["agent_country"], distance
    )
    return table


def _sales(sales: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Sales by encounter, aligned with ``rows`` (missing where nothing was bought).

    An encounter with several sales counts their revenue, units and categories together; its list
    price is their mean, and it counts as a good if any of them is one.
    """
    columns = {"revenue": "sum", "list_price": "mean", "units": "sum", "categories": "sum"}
    present = {name: how for name, how in columns.items() if name in sales}
    good = (sales["product_type"] == "good").astype(float)
    by_encounter = sales.assign(good=good).groupby("encounter_id")
    return by_encounter.agg(present | {"good": "max"}).reindex(rows["encounter_id"]).reset_index()


def _one_row_per_customer(
    rows: pd.DataFrame, sales: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pitch that counts for each customer: the first that sold, otherwise the first.

    Revenue is the customer's total, as the essay defines it ("sales generated per customer").
    """
    order = sales["revenue"].isna().to_numpy().argsort(kind="stable")
    kept = np.sort(order[~rows["customer_id"].iloc[order].duplicated().to_numpy()])
    total = sales["revenue"].groupby(rows["customer_id"]).sum(min_count=1)
    rows, sales = rows.iloc[kept].reset_index(drop=True), sales.iloc[kept].reset_index(drop=True)
    return rows, sales.assign(revenue=rows["customer_id"].map(total))
