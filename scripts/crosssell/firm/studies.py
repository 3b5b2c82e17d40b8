"""Analysis tables from incomplete data: what each measure needs, and building those there are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from crosssell import measures
from crosssell.firm.configuration import Firm, raw_schemas

#: Columns that a measure is made from, by study. Measures not listed here always exist.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "part1": {
        "cross_sell_revenue": ("sales.revenue",),
        "risk_aversion": ("customers.warranty_years",),
        "product_functionality": ("customers.model", "models.rank"),
        "cross_sell_good": ("sales.product_type",),
        "product_age": ("customers.purchase_date",),
        "product_price": ("customers.gross_margin",),
        "failure_severity": ("encounters.failure_code", "failures.severity"),
        "cross_sell_related": ("encounters.offer_related",),
        "list_price": ("sales.list_price",),
        "units": ("sales.units",),
        "categories": ("sales.categories",),
        "satisfaction": ("survey.satisfaction",),
    },
    "part2": {
        "failure_severity": ("encounters.failure_code", "failures.severity"),
        "risk_aversion": ("customers.warranty_years",),
        "product_value": ("customers.model", "models.rank"),
        "duration": ("encounters.minutes",),
        "customer_country": ("customers.country",),
        "agent_country": ("agents.country",),
        "dyad": ("customers.country", "agents.country"),
        "cultural_distance": ("customers.country", "agents.country"),
    },
    "telecom": {
        "top_box": ("survey.satisfaction",),
        "concern_device": ("encounters.concern",),
        "concern_information": ("encounters.concern",),
        "concern_invoice": ("encounters.concern",),
        "concern_complaint": ("encounters.concern",),
        "waiting_minutes": ("encounters.waiting_minutes",),
        "talking_minutes": ("encounters.minutes",),
        "evening": ("encounters.started_at",),
        "own_mobile": ("encounters.source",),
        "lifetime_value": ("customers.lifetime_value",),
    },
}
ABILITY_NEEDS = {
    "rank": ("agents.rank",),
    "two_preceding_days": ("agent_days.date", "agent_days.resolved"),
}
#: As the telecom study has them: 9 or 10 points are the top box, 7 to 9 p.m. the evening.
TOP_BOX = 9
EVENING = (19, 21)


def ability(firm: Firm, study: str) -> str | None:
    """Definition of resolution ability: the configured one, else one that the data have."""
    own = measures.STUDIES[study].ability
    order = (
        [firm.ability] if firm.ability else [own, *(name for name in ABILITY_NEEDS if name != own)]
    )
    return next((name for name in order if set(ABILITY_NEEDS[name]) <= firm.available()), None)


def lacking(firm: Firm, study: str) -> dict[str, tuple[str, ...]]:
    """Measures of a study that the firm's data do not give, and the raw columns they would need."""
    available = firm.available()
    missing = {
        name: tuple(column for column in needs if column not in available)
        for name, needs in NEEDS[study].items()
        if not set(needs) <= available
    }
    if study != "telecom" and ability(firm, study) is None:
        missing["agent_resolution_ability"] = ABILITY_NEEDS[measures.STUDIES[study].ability]
    if firm.distance == "none" and study == "part2":
        missing["cultural_distance"] = ()
    return missing


def build(raw: Mapping[str, pd.DataFrame], firm: Firm, study: str) -> pd.DataFrame:
    """Analysis table of one study with the measures that the firm's data give.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        The raw tables the firm has.
    firm : Firm
    study : {"part1", "part2", "telecom"}

    Returns
    -------
    DataFrame
        As `crosssell.measures.build` gives it, without the columns of `lacking`.
    """
    if study == "telecom":
        return telecom(raw)
    missing = lacking(firm, study)
    table = measures.build(
        _complete(raw),
        study,
        ability=ability(firm, study) or "rank",
        distance="absolute" if firm.distance == "none" else firm.distance,
    )
    return table.drop(columns=[name for name in missing if name in table])


def _complete(raw: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Raw tables with every column of the schema; what the firm lacks is missing throughout.

    A lacking reference refers to a single row without values, so that joins work unchanged.
    """
    unreferred = {
        key["reference"]["resource"]
        for name, schema in raw_schemas().items()
        for key in schema.foreign_keys
        if name in raw and not set(key["fields"]) <= set(raw[name])
    }
    tables = {}
    for name, schema in raw_schemas().items():
        keys = {fields for key in schema.foreign_keys for fields in key["fields"]}
        if name in raw and name not in unreferred:
            table = raw[name]
        else:
            table = pd.DataFrame({key: [""] for key in schema.primary_key})
        absent = {}
        for field in schema.fields:
            if field.name not in table:
                blank = "" if field.name in keys | set(schema.primary_key) else np.nan
                # A country of no distance to itself stands in; `build` drops what comes of it.
                absent[field.name] = "USA" if field.name in ("country", "culture") else blank
        if name == "customers" and "country" in table and "culture" not in table:
            absent["culture"] = table["country"]
        tables[name] = table.assign(**absent)
    return tables


def telecom(raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Analysis table of inbound calls: one row per call in which something was offered.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        Tables encounters and sales; survey and customers where there are any.

    Returns
    -------
    DataFrame
        encounter_id, customer_id, purchase (0/1) and the measures that the tables give; top_box is
        missing for calls that were not rated. Lifetime value is in standard deviations.
    """
    encounters = raw["encounters"]
    calls = encounters[encounters["offer_made"] == 1].reset_index(drop=True)
    table = calls[["encounter_id", "customer_id"]].copy()
    table["purchase"] = calls["encounter_id"].isin(raw["sales"]["encounter_id"]).astype("int8")
    if "survey" in raw:
        rating = raw["survey"].set_index("encounter_id")["satisfaction"]
        rated = calls["encounter_id"].map(rating).astype(float)
        table["top_box"] = (rated >= TOP_BOX).astype(float).where(rated.notna())
    if "concern" in calls:
        for concern in ("device", "information", "invoice", "complaint"):
            table[f"concern_{concern}"] = (calls["concern"] == concern).astype(float)
    if "waiting_minutes" in calls:
        table["waiting_minutes"] = calls["waiting_minutes"].astype(float)
    if "minutes" in calls:
        table["talking_minutes"] = calls["minutes"].astype(float)
    hour = pd.to_datetime(calls["started_at"]).dt.hour
    table["evening"] = hour.between(EVENING[0], EVENING[1] - 1).astype(float)
    if "source" in calls:
        table["own_mobile"] = (calls["source"] == "own_mobile").astype(float)
    if "customers" in raw and "lifetime_value" in raw["customers"]:
        value = raw["customers"].set_index("customer_id")["lifetime_value"]
        of_call = calls["customer_id"].map(value).astype(float)
        table["lifetime_value"] = (of_call - of_call.mean()) / of_call.std()
    return table
