"""Essay II's calibrated firm: 117,721 encounters of customers and agents in eleven countries."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import pandas as pd

from synthetic.firm import Firm
from synthetic.part2 import population
from synthetic.part2.dyads import dyads
from synthetic.part2.sources import raw_tables
from synthetic.published import by_id

logger = logging.getLogger(__name__)

Size = Literal["full", "quick"]
ENCOUNTERS = {"quick": 6_000}


def make(seed: int, variant: population.Variant = "moments", size: Size = "full") -> Firm:
    """Synthetic firm of Essay II.

    Parameters
    ----------
    seed : int
    variant : {"moments", "ranges"}
        Keep the printed moments, which takes a small share of records beyond the stated ranges, or
        keep the ranges.
    size : {"full", "quick"}
        117,721 encounters, calibrated; or 6,000 of the same kind, uncalibrated, in seconds.

    Returns
    -------
    Firm
    """
    published = by_id()
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    n = ENCOUNTERS.get(size, int(published["p2.encounters"].value))
    cells = dyads(published, n, exact=size == "full")
    of_row = np.repeat(np.arange(len(cells)), cells["encounters"])
    place = cells.iloc[of_row].reset_index(drop=True)
    france = (place["customer_country"] == population.LEFT_OUT).to_numpy()
    x = population.plain_encounters(place["distance"].to_numpy(), france, variant, rng)
    customer = np.cumsum(np.r_[0, (rng.random(n - 1) > 0.46) | (np.diff(of_row) > 0)])
    first = np.searchsorted(customer, customer)
    for name in ("failure_severity", "risk_aversion", "product_value"):
        x[name] = x[name][first]
    centre = {name: float(np.mean(value)) for name, value in x.items()}
    index = population.coefficients(published, "hypothesized") @ population.terms(x, centre)
    effect = population.CUSTOMER_SD * rng.normal(size=customer[-1] + 1)[customer]
    purchase = rng.random(n) < 1 / (1 + np.exp(-index - effect))
    rows = place.drop(columns=["distance", "encounters"]).assign(
        customer=customer, purchase=purchase.astype(int)
    )
    for name in population.COLUMNS:
        whole = name != "failure_severity"
        rows[name] = x[name].astype(int) if whole else x[name]
    return Firm(raw_tables(rows, rng), pd.DataFrame({"id": [], "target": []}))
