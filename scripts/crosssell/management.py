"""The management page: what was offered, sold and earned, and what the advice is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from crosssell.firm.confidentiality import suppressed
from crosssell.firm.configuration import Firm
from crosssell.tables import environment, format_number

COUNTS = ["encounters", "offers", "purchases"]
RATES = ["conversion", "conversion_low", "conversion_high"]
MONEY = ["revenue_per_offer", "revenue_per_encounter"]
HIDDEN = "\N{MIDDLE DOT}"
TIERS = ["lowest third", "middle third", "highest third"]

#: What a rule of `crosssell.analyses.policies` does, its gain's unit, and who recommends it.
POLICIES = {
    "risk_averse_queue": (
        "Offer to customers of above-median risk aversion, instead of to all",
        "Essay I: a queue for risk-averse customers that combines recovery and cross-selling",
    ),
    "low_functionality_queue": (
        "Offer to owners of products of lower functionality, instead of to all",
        "Essay I: owners of lower-end products are promising",
    ),
    "services_by_able_agents": (
        "Agents of above-median resolution ability offer services, the others goods",
        "Essay I: able agents are better suited to sell services",
    ),
    "goods_for_high_functionality": (
        "Offer goods to owners of products of above-median functionality",
        "Essay I: pitch a good where functionality is high",
    ),
    "able_agents_to_distant_customers": (
        "Within each service country, able agents serve the culturally distant customers",
        "Essay II: distance attenuates what ability costs",
    ),
    "severe_failures_to_near_agents": (
        "Within each customer country, severe failures go to culturally near agents",
        "Essay II: severity sells less with distance",
    ),
    "risk_averse_customers_to_distant_agents": (
        "Within each customer country, risk-averse customers go to culturally distant agents",
        "Essay II: risk aversion sells more with distance",
    ),
    "offers_by_less_able_agents": (
        "Agents of above-median resolution ability do not cross-sell",
        "Essay II: delegate cross-selling to the remaining agents",
    ),
}


@dataclass(frozen=True)
class Panel:
    """One table of the page: headings, and rows of text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


# ------------------------------------------------------------------------------------------- cuts


def groups(raw: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """Ways to divide encounters, as far as the raw tables have them.

    Returns
    -------
    dict of str to Series
        Labels of every encounter by heading: segment, product, agent tier, countries, hour.
    """
    encounters = raw["encounters"]
    of = lambda table, key, column: encounters[key].map(raw[table].set_index(key)[column])
    has = lambda table, column: column in raw.get(table, ())
    found: dict[str, pd.Series] = {}
    if has("customers", "warranty_years"):
        years = of("customers", "customer_id", "warranty_years").round(2)
        found["Customer segment (warranty, years)"] = _levels(years)
    if has("customers", "lifetime_value"):
        value = of("customers", "customer_id", "lifetime_value")
        found["Customer lifetime value"] = _thirds(value)
    if has("customers", "model"):
        model = of("customers", "customer_id", "model")
        found["Product model"] = model
    if has("encounters", "concern"):
        found["Concern"] = encounters["concern"]
    if has("encounters", "source"):
        found["Source of the call"] = encounters["source"]
    if has("agents", "rank"):
        found["Agent tier (rank of resolution ability)"] = _thirds(of("agents", "agent_id", "rank"))
    elif has("agent_days", "resolved"):
        mean = raw["agent_days"].groupby("agent_id")["resolved"].mean()
        found["Agent tier (encounters resolved a day)"] = _thirds(encounters["agent_id"].map(mean))
    if has("customers", "country"):
        found["Customer's country"] = of("customers", "customer_id", "country")
    if has("agents", "country"):
        found["Agent's country"] = of("agents", "agent_id", "country")
    hour = pd.to_datetime(encounters["started_at"]).dt.hour
    found["Hour of the day"] = hour.map("{:02d}:00".format)
    return found


def _levels(values: pd.Series) -> pd.Series:
    """Whole levels as they are, many levels in thirds."""
    return values.map("{:g}".format) if values.nunique() <= 12 else _thirds(values)


def _thirds(values: pd.Series) -> pd.Series:
    rank = values.rank(method="average", pct=True)
    return pd.cut(rank, [0, 1 / 3, 2 / 3, 1], labels=TIERS, include_lowest=True).astype(object)


def cut(raw: Mapping[str, pd.DataFrame], labels: pd.Series, minimum: int) -> pd.DataFrame:
    """Counts, conversion and revenue by group, small groups suppressed.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        Tables encounters and sales.
    labels : Series, shape (n,)
        Group of each encounter.
    minimum : int
        Smallest count shown.

    Returns
    -------
    DataFrame, shape (m, 9)
        group, encounters, offers, purchases, conversion with Wilson's interval, revenue per offer
        and per encounter (missing if sales have no revenue); suppressed rows have only their group.
    """
    encounters, sales = raw["encounters"], raw["sales"]
    offered = encounters["offer_made"].to_numpy() == 1
    sold = encounters["encounter_id"].isin(sales["encounter_id"]).to_numpy() & offered
    revenue = np.full(len(encounters), np.nan)
    if "revenue" in sales:
        earned = sales.groupby("encounter_id")["revenue"].sum()
        revenue = encounters["encounter_id"].map(earned).fillna(0.0).to_numpy()
    table = pd.DataFrame(
        {"group": labels.to_numpy(), "offers": offered, "purchases": sold, "revenue": revenue}
    )
    table = table.groupby("group", sort=True).agg(
        encounters=("offers", "size"),
        offers=("offers", "sum"),
        purchases=("purchases", "sum"),
        revenue=("revenue", lambda r: r.sum(min_count=1)),
    )
    refusals = (table["offers"] - table["purchases"]).to_numpy()
    hide = suppressed(refusals, minimum)
    for name in COUNTS:
        hide |= suppressed(table[name].to_numpy(), minimum)
    offers = table["offers"].where(table["offers"] > 0)
    table["conversion"] = table["purchases"] / offers
    low, high = proportion_confint(table["purchases"], offers, method="wilson")
    table["conversion_low"], table["conversion_high"] = low, high
    table["revenue_per_offer"] = table["revenue"] / offers
    table["revenue_per_encounter"] = table["revenue"] / table["encounters"]
    table = table[[*COUNTS, *RATES, *MONEY]].astype(float)
    table[hide] = np.nan
    tiers = {tier: place for place, tier in enumerate(TIERS)}
    return table.reset_index().sort_values(
        "group", key=lambda g: g.map(tiers).fillna(0), kind="stable"
    )


def cuts(raw: Mapping[str, pd.DataFrame], minimum: int) -> dict[str, pd.DataFrame]:
    """Every cut of `groups`, by heading, after one of all encounters together."""
    everything = pd.Series("all", index=raw["encounters"].index)
    return {
        heading: cut(raw, labels, minimum)
        for heading, labels in {"Everything": everything, **groups(raw)}.items()
    }


# ------------------------------------------------------------------------------------------- page


def _cut_panel(heading: str, table: pd.DataFrame) -> Panel:
    headings = ["Encounters", "Offers", "Purchases", "Conversion (95% interval)"]
    money = bool(table["revenue_per_offer"].notna().any())
    headings += ["Revenue per offer", "Revenue per encounter"] if money else []
    rows = []
    for row in table.to_dict("records"):
        if np.isnan(row["encounters"]):
            rows.append([str(row["group"]), *[HIDDEN] * len(headings)])
            continue
        cells = [f"{row[name]:,.0f}" for name in COUNTS]
        rate = _interval(*(row[name] for name in RATES), "1%")
        cells += [rate, *(format_number(row[name], "2") for name in MONEY if money)]
        rows.append([str(row["group"]), *cells])
    hidden = table["encounters"].isna().any()
    note = (
        f"{HIDDEN}: suppressed, or it would give away a group that is too small." if hidden else ""
    )
    return Panel(heading, ["", *headings], rows, note)


def _interval(estimate: float, low: float, high: float, form: str) -> str:
    if np.isnan(estimate):
        return HIDDEN
    shown = [format_number(value, form) for value in (estimate, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if shown[1] else shown[0]


def _rows(table: pd.DataFrame, equation: str) -> list[dict[str, Any]]:
    return table[table["equation"] == equation].to_dict("records")


def _estimates_panel(
    title: str, table: pd.DataFrame, equation: str, form: str, heading: str, note: str
) -> Panel:
    rows = []
    for row in _rows(table, equation):
        measure, _, level = row["term"].partition("~")
        label = f"{_words(measure)}: {level.replace('~', ', ')}" if level else "all"
        shown = _interval(row["estimate"], row["conf_low"], row["conf_high"], form)
        rows.append([label, shown])
    return Panel(title, ["", heading], rows, note)


def _words(name: str) -> str:
    return name.replace("_", " ").replace(":", " and ")


def _policy_panel(title: str, table: pd.DataFrame, unit: str) -> Panel:
    rows = []
    for row in _rows(table, "policy"):
        rule, source = POLICIES[row["term"]]
        sure = row["conf_low"] > 0 or row["conf_high"] < 0
        sign = "gain" if row["estimate"] > 0 else "loss"
        verdict = f"a {sign}" if sure else "not distinguishable from none"
        gain = _interval(row["estimate"], row["conf_low"], row["conf_high"], "1")
        rows.append([rule, gain, verdict, source])
    note = (
        "Against present practice. Computed from the model for the customers and agents observed; "
        "the interval holds the uncertainty of the coefficients, not of acting on them. "
        "A trial in which offers or routes are drawn at random is the way to be sure."
    )
    return Panel(title, ["Rule", f"{unit} (95% interval)", "Which is", "Source"], rows, note)


def panels(tables: Mapping[str, pd.DataFrame], fits: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Everything the page shows, in its order.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        See `cuts`.
    fits : mapping of str to DataFrame
        Tidy estimates; those of ``part1.pitch_values`` and ``part2.routing`` are used.
    """
    found = [_cut_panel(heading, table) for heading, table in tables.items()]
    if "part1.pitch_values.full" in fits:
        values = fits["part1.pitch_values.full"]
        note = "Predicted by the selection model of Table 3; a refused offer counts as zero."
        found.append(
            _estimates_panel(
                "Expected revenue of a pitch, by customer segment",
                values,
                "segment",
                "2",
                "Revenue per pitch (95% interval)",
                note,
            )
        )
        if _rows(values, "offer"):
            found.append(
                _estimates_panel(
                    "Which agents should offer goods, and which services",
                    values,
                    "offer",
                    "2",
                    "Revenue per pitch (95% interval)",
                    "Agent resolution ability and functionality above and below the median. "
                    + note,
                )
            )
        if _rows(values, "policy"):
            found.append(
                _policy_panel(
                    "What to offer to whom, and its worth", values, "Revenue per 1,000 offers"
                )
            )
    if "part2.routing.full" in fits:
        values = fits["part2.routing.full"]
        found.append(
            _estimates_panel(
                "Purchase rate by who serves whom",
                values,
                "segment",
                "2%",
                "Purchase rate (95% interval)",
                "Predicted by the model of Table 8; high is above the median, low is not.",
            )
        )
        if _rows(values, "policy"):
            found.append(
                _policy_panel(
                    "Whom to route where, and its worth", values, "Purchases per 1,000 offers"
                )
            )
    return found


def cautions(warnings: pd.DataFrame) -> list[str]:
    """Warnings of the import as sentences, from their CSV."""
    told = warnings.drop_duplicates(["measure", "rule", "mend"])
    return [f"{row.measure}: {row.rule}. {row.mend}" for row in told.itertuples()]


def page(
    templates: Path,
    firm: Firm,
    shown: Sequence[Panel],
    links: Sequence[str],
    told: Sequence[str],
) -> str:
    """The page as HTML that needs nothing from the net and holds no rows of data.

    Parameters
    ----------
    templates : Path
        Folder of ``management.html.j2``.
    firm : Firm
    shown : sequence of Panel
    links : sequence of str
        Tables and figures to link to, relative to the page.
    told : sequence of str
        See `cautions`.
    """
    template = environment(templates, "html").get_template("management.html.j2")
    return template.render(
        firm=firm.name,
        minimum=firm.minimum_cell,
        panels=shown,
        links={Path(link).stem: link for link in links},
        cautions=list(told),
    )
