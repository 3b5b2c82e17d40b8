"""Problems of design: data that are well formed and still cannot carry the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crosssell.firm.configuration import Firm
from crosssell.firm.problems import Problem
from crosssell.firm.shrinking import columns_of

#: Buyers per coefficient under which estimates are unreliable (Peduzzi et al. 1996).
BUYERS_PER_TERM = 10
EVERYTHING = "all files together"


def check(
    data: pd.DataFrame, firm: Firm, study: str, models: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Say what stands in the way of a study's models.

    Parameters
    ----------
    data : DataFrame
        Analysis table.
    firm : Firm
    study : str
    models : mapping
        The study's models as the firm's data allow them (`crosssell.firm.shrinking.shrink`).

    Returns
    -------
    list of Problem
    """
    tell = lambda rule, mend, measure="purchase", **more: Problem(
        EVERYTHING, rule, mend, measure=f"{study}.{measure}", **more
    )
    if "hypothesized" not in models:
        return [
            tell(
                f"has no explanatory measure left for the main model of {study}",
                "Map at least one explanatory column (docs/data_dictionary.md).",
            )
        ]
    if len(data) == 0:
        return [tell("has no encounter with an offer", "Look at encounters.offer_made.")]
    buyers = int(data["purchase"].sum())
    if buyers == len(data):
        return [
            tell(
                "is 1 for every offer: nobody refused",
                "Include encounters in which the offer was refused.",
            )
        ]
    problems = []
    if buyers < firm.minimum_buyers:
        problems.append(
            tell(
                f"has {buyers} buyers, and minimum_buyers asks for {firm.minimum_buyers}",
                "Take a longer period. Check sales.encounter_id if there should be more.",
            )
        )
    main = models["hypothesized"]
    names = [name for name in columns_of(main) if name in data and name != "purchase"]
    bought = data["purchase"].to_numpy() == 1
    for name in names:
        if pd.api.types.is_numeric_dtype(data[name]):
            problems += _column(name, data[name].to_numpy(dtype=float), bought, tell)
    terms = main.get("outcome_terms") or main.get("terms") or []
    if 0 < buyers < BUYERS_PER_TERM * len(terms):
        problems.append(
            tell(
                f"has {buyers} buyers for {len(terms)} terms, under {BUYERS_PER_TERM} for each",
                "Read the estimates with care, or take a longer period.",
                warning=True,
            )
        )
    selection = main.get("selection_terms")
    if selection is not None and set(selection) <= set(terms):
        problems.append(
            tell(
                "has no exclusion restriction: every term of the selection equation is in the "
                "outcome equation, as in the essay, so lambda rests on the shape of the normal",
                "Read lambda with care.",
                "cross_sell_revenue",
                warning=True,
            )
        )
    if "dyad" in data and (data["dyad"] == data["dyad"].iloc[0]).all():
        problems.append(
            tell(
                f"is {data['dyad'].iloc[0]} everywhere: customers and agents of one country each "
                "have no cultural distance to compare",
                "Write `measures: {cultural_distance: none}` and leave agents.country out.",
                "dyad",
            )
        )
    return problems


#: Measures known from a sale only, or from a survey: missing for everybody else.
OF_BUYERS = frozenset(
    {"cross_sell_revenue", "cross_sell_good", "list_price", "units", "categories"}
)
OF_SOME = OF_BUYERS | {"satisfaction", "top_box"}


def _column(name: str, values: np.ndarray, bought: np.ndarray, tell: Any) -> list[Problem]:
    """Problems of one measure: missing values, no variation, separation."""
    missing = int(np.isnan(values[bought] if name in OF_BUYERS else values).sum())
    if missing and name not in OF_SOME - OF_BUYERS:
        return [
            tell(
                "is missing after the tables were joined",
                "Complete the tables it is made from (docs/data_dictionary.md).",
                name,
                count=missing,
            )
        ]
    known = ~np.isnan(values)
    if not known.any() or values[known].min() == values[known].max():
        return [
            tell(
                "does not vary, so it has no effect to estimate",
                "Leave its column out of the configuration.",
                name,
            )
        ]
    if name in OF_BUYERS or not bought[known].any() or bought[known].all():
        return []
    one, zero = values[known & bought], values[known & ~bought]
    apart = one.min() > zero.max() or one.max() < zero.min()
    if not apart and np.isin(values[known], (0, 1)).all():
        apart = one.min() == one.max() or zero.min() == zero.max()
    if not apart:
        return []
    return [
        tell(
            "separates buyers from the others, so its coefficient would be infinite",
            "Leave its column out, or check whether it was recorded after the sale.",
            name,
        )
    ]
