"""A synthetic mobile operator whose inbound calls hold the findings of the PROSET study.

The study (Technische Universität München and b.telligent, "PROSET: Productivity Increase by Service
Experience Management") states directions, not numbers: satisfied callers (9 or 10 of 10 points) buy
more; the concern matters, questions about devices, their functions and updates favourably so;
waiting and talking time have no influence; calls between 7 and 9 p.m. and from the own mobile net
sell very slightly more; and customers of high lifetime value buy more. Sizes are ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

CONCERNS = {"device": 0.22, "information": 0.25, "invoice": 0.28, "complaint": 0.1, "other": 0.15}
SOURCES = {"own_mobile": 0.55, "other_mobile": 0.15, "landline": 0.3}
#: Effects on the log-odds of a purchase.
EFFECTS = {
    "top_box": 0.40,
    "device": 0.35,
    "information": 0.15,
    "invoice": 0.0,
    "complaint": -0.30,
    "waiting": 0.0,
    "talking": 0.0,
    "evening": 0.15,
    "own_mobile": 0.12,
    "lifetime_value": 0.20,
}
INTERCEPT = -2.75
FIRST_DAY = np.datetime64("2013-03-01")
DAYS = 120


def make(calls: int = 100_000, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Raw tables of the operator.

    Parameters
    ----------
    calls : int
        Inbound calls in which something was offered.
    seed : int

    Returns
    -------
    dict of str to DataFrame
        Tables customers, encounters, sales and survey of ``workflow/schemas/raw.yaml``.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, calls]))
    n_customers = max(int(calls / 1.4), 2)
    value = np.exp(rng.normal(5.5, 0.6, n_customers)).round(2)
    customer = rng.integers(0, n_customers, calls)
    concern = rng.choice(list(CONCERNS), calls, p=list(CONCERNS.values()))
    source = rng.choice(list(SOURCES), calls, p=list(SOURCES.values()))
    waiting = rng.gamma(1.2, 1.2, calls).round(2)
    talking = np.clip(rng.gamma(2.5, 2.4, calls), 0.3, 90).round(2)
    hour = rng.choice(24, calls, p=_hours())
    # Long waits displease: satisfaction carries what waiting does, and waiting itself does nothing.
    liking = 8.0 - 0.25 * waiting - 0.7 * (concern == "complaint") + rng.normal(0, 1.6, calls)
    rating = np.clip(liking.round(), 1, 10).astype(int)
    standard = (value - value.mean()) / value.std()
    index = (
        INTERCEPT
        + EFFECTS["top_box"] * (rating >= 9)
        + pd.Series(concern).map(EFFECTS | {"other": 0.0}).to_numpy()
        + EFFECTS["waiting"] * waiting
        + EFFECTS["talking"] * talking
        + EFFECTS["evening"] * ((hour == 19) | (hour == 20))
        + EFFECTS["own_mobile"] * (source == "own_mobile")
        + EFFECTS["lifetime_value"] * standard[customer]
    )
    sold = rng.random(calls) < 1 / (1 + np.exp(-index))
    minute = np.sort(rng.integers(0, DAYS, calls)) * 1440 + hour * 60 + rng.integers(0, 60, calls)
    encounters = pd.DataFrame(
        {
            "encounter_id": [f"K{i:07d}" for i in range(calls)],
            "customer_id": [f"M{i:07d}" for i in customer],
            "started_at": FIRST_DAY.astype("datetime64[s]") + minute.astype("timedelta64[m]"),
            "minutes": talking,
            "waiting_minutes": waiting,
            "concern": concern,
            "source": source,
            "offer_made": 1,
        }
    )
    ids = encounters["encounter_id"]
    return {
        "customers": pd.DataFrame(
            {"customer_id": [f"M{i:07d}" for i in range(n_customers)], "lifetime_value": value}
        ),
        "encounters": encounters,
        "sales": pd.DataFrame(
            {"sale_id": ids[sold].to_numpy(), "encounter_id": ids[sold].to_numpy()}
        ),
        "survey": pd.DataFrame({"encounter_id": ids, "satisfaction": rating}),
    }


def _hours() -> np.ndarray:
    """Share of calls by hour of the day."""
    share = np.zeros(24)
    share[7:23] = [2, 5, 8, 9, 8, 7, 6, 6, 7, 8, 9, 8, 7, 5, 3, 2]
    return share / share.sum()


def export(tables: dict[str, pd.DataFrame], folder: str | Path) -> None:
    """Write the operator's exports: a log of calls and a file of subscribers, in its own words.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Raw tables of `make`.
    folder : path
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    calls = tables["encounters"]
    codes = {"information": "INF", "invoice": "BILL", "complaint": "CMPL", "other": "MISC"}
    reasons = calls["concern"].map(codes)
    device = np.resize(["DEV-USE", "DEV-FUNC", "UPDATE"], len(calls))
    networks = {"own_mobile": "on-net", "other_mobile": "off-net", "landline": "fixed"}
    log = pd.DataFrame(
        {
            "call_ref": calls["encounter_id"],
            "msisdn_key": calls["customer_id"],
            "call_start": calls["started_at"].dt.strftime("%m/%d/%Y %I:%M %p"),
            "queue_sec": (calls["waiting_minutes"] * 60).round(1),
            "talk_sec": (calls["minutes"] * 60).round(1),
            "reason": reasons.where(reasons.notna(), device),
            "network": calls["source"].map(networks),
            "pitched": "Y",
            "sold": np.where(calls["encounter_id"].isin(tables["sales"]["encounter_id"]), "Y", "N"),
            "score_1_10": tables["survey"]["satisfaction"],
        }
    )
    log.to_csv(folder / "calls.txt", sep="|", index=False)
    tables["customers"].assign(
        cltv_cents=lambda d: (d["lifetime_value"] * 100).round().astype("int64")
    ).rename(columns={"customer_id": "key"})[["key", "cltv_cents"]].to_parquet(
        folder / "subscribers.parquet", index=False
    )
