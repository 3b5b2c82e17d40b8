"""A service desk of any size: the example firm whose exports ``config/firm.example.yaml`` maps.

Unlike the essays' firm it is calibrated to nothing; its effects have the essays' signs. It is also
what the benchmark of scale and the tests of another firm's path are run on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crosssell.measures import cultural_distance

COUNTRIES = ["FRA", "DEU", "GBR", "NLD", "ESP"]
SERVICE_COUNTRIES = ["MAR", "SVK", "IND"]
MODELS = ["Basic", "Plus", "Pro", "Max"]
RATERS = ["R1", "R2", "R3", "R4"]
DAYS = 364
FIRST_DAY = np.datetime64("2021-01-04")


def make(encounters: int = 12_000, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Raw tables of a synthetic service desk.

    Parameters
    ----------
    encounters : int
        Service encounters; 1.3 for each customer.
    seed : int

    Returns
    -------
    dict of str to DataFrame
        The tables of ``workflow/schemas/raw.yaml``.
    """
    n, rng = encounters, np.random.default_rng(np.random.SeedSequence([seed, encounters]))
    n_customers = max(int(n / 1.3), 2)
    n_agents = int(np.clip(n // 200, 30, 2000))
    customer_id = pd.Series(np.arange(n_customers)).map("C{:08d}".format)
    rank = rng.integers(0, len(MODELS), n_customers)
    bought = FIRST_DAY - rng.integers(30, 1500, n_customers)
    warranty = rng.choice(6, n_customers, p=[0.1, 0.25, 0.2, 0.25, 0.12, 0.08])
    customers = pd.DataFrame(
        {
            "customer_id": customer_id,
            "country": rng.choice(COUNTRIES, n_customers, p=[0.4, 0.25, 0.15, 0.1, 0.1]),
            "model": np.array(MODELS)[rank],
            "purchase_date": bought.astype("datetime64[s]"),
            "warranty_years": warranty,
            "gross_margin": rng.gamma(9, 9, n_customers).round(2) + 20 * rank,
        }
    )
    agents = pd.DataFrame(
        {
            "agent_id": [f"A{i:04d}" for i in range(n_agents)],
            "country": rng.choice(SERVICE_COUNTRIES, n_agents, p=[0.5, 0.3, 0.2]),
            "rank": rng.permutation(n_agents) + 1,
        }
    )
    skill = agents["rank"].to_numpy() / n_agents
    daily = rng.poisson(20 + 40 * skill[:, None], (n_agents, DAYS))
    agent_days = pd.DataFrame(
        {
            "agent_id": np.repeat(agents["agent_id"].to_numpy(), DAYS),
            "date": np.tile(FIRST_DAY + np.arange(DAYS), n_agents).astype("datetime64[s]"),
            "resolved": daily.ravel(),
        }
    )
    severity = rng.permutation(
        np.clip(rng.integers(1, 7, (40, 1)) + rng.integers(0, 2, (40, 4)), 1, 7)
    )
    failures = pd.DataFrame(
        {
            "failure_code": np.repeat([f"F{i:02d}" for i in range(40)], len(RATERS)),
            "rater": np.tile(RATERS, 40),
            "severity": severity.ravel(),
        }
    )
    of_customer, of_agent = rng.integers(0, n_customers, n), rng.integers(0, n_agents, n)
    code, day = rng.integers(0, 40, n), np.sort(rng.integers(2, DAYS, n))
    hour = rng.choice(24, n, p=_hours())
    second = rng.integers(0, 3600, n)
    started = (FIRST_DAY + day).astype("datetime64[s]") + (hour * 3600 + second).astype(
        "timedelta64[s]"
    )
    offered = rng.random(n) < 0.8
    related = rng.random(n) < 0.5
    country = customers["country"].iloc[of_customer].reset_index(drop=True)
    distance = cultural_distance(country, agents["country"].iloc[of_agent].reset_index(drop=True))
    dyad = pd.factorize(country + agents["country"].iloc[of_agent].to_numpy())[0]
    two_days = (daily[of_agent, day - 1] + daily[of_agent, day - 2]) / 100
    mean_severity = severity.mean(axis=1)[code]
    shared = rng.standard_normal(n)
    index = (
        -3.5
        - 1.2 * two_days
        + 0.20 * mean_severity
        + 0.60 * warranty[of_customer]
        - 0.60 * rank[of_customer]
        + (0.012 * two_days - 0.002 * mean_severity / 4) * (distance - 90)
        + 0.004 * (warranty[of_customer] - 2.3) * (distance - 90)
        + 0.3 * rng.standard_normal(n_customers)[of_customer]
        + 0.15 * rng.standard_normal(len(COUNTRIES) * len(SERVICE_COUNTRIES))[dyad]
        + 1.5 * shared
    )
    sold = offered & (rng.random(n) < 1 / (1 + np.exp(-index)))
    encounter_id = pd.Series(np.arange(n)).map("E{:09d}".format)
    table = pd.DataFrame(
        {
            "encounter_id": encounter_id,
            "customer_id": customer_id.iloc[of_customer].to_numpy(),
            "agent_id": agents["agent_id"].to_numpy()[of_agent],
            "started_at": started,
            "minutes": np.clip(rng.gamma(3, 6, n), 1, 96).round(1),
            "failure_code": failures["failure_code"].to_numpy()[:: len(RATERS)][code],
            "offer_made": offered.astype(int),
            "offer_related": (related & offered).astype(int),
        }
    )
    return {
        "customers": customers,
        "models": pd.DataFrame({"model": MODELS, "rank": range(1, len(MODELS) + 1)}),
        "encounters": table,
        "failures": failures,
        "agents": agents,
        "agent_days": agent_days,
        **_after(
            rng,
            table,
            sold,
            customers.iloc[of_customer],
            rank[of_customer],
            skill[of_agent],
            shared,
        ),
    }


def _hours() -> np.ndarray:
    """Share of encounters by hour of the day."""
    share = np.zeros(24)
    share[7:22] = [2, 4, 6, 8, 8, 7, 6, 6, 6, 7, 8, 8, 7, 5, 3]
    return share / share.sum()


def _after(
    rng: np.random.Generator,
    encounters: pd.DataFrame,
    sold: np.ndarray,
    customers: pd.DataFrame,
    rank: np.ndarray,
    skill: np.ndarray,
    shared: np.ndarray,
) -> dict[str, pd.DataFrame]:
    """Sales of the encounters that sold, and the survey of one encounter in ten."""
    rows = np.flatnonzero(sold)
    good = (rng.random(rows.size) < 0.6).astype(int)
    warranty = customers["warranty_years"].to_numpy()[rows]
    revenue = (
        90
        + 12 * warranty
        - 15 * rank[rows]
        + 20 * good * (1 - skill[rows])
        + 12 * good * rank[rows]
        + 0.3 * customers["gross_margin"].to_numpy()[rows]
        + 25 * shared[rows]
        + rng.normal(0, 20, rows.size)
    )
    units = rng.integers(1, 4, rows.size)
    sales = pd.DataFrame(
        {
            "sale_id": [f"S{i:08d}" for i in range(rows.size)],
            "encounter_id": encounters["encounter_id"].to_numpy()[rows],
            "product_type": np.where(good == 1, "good", "service"),
            "revenue": np.maximum(revenue, 5).round(2),
            "list_price": (np.maximum(revenue, 5) * rng.uniform(1, 1.3, rows.size)).round(2),
            "units": units,
            "categories": np.minimum(units, rng.integers(1, 3, rows.size)),
        }
    )
    asked = np.flatnonzero(rng.random(len(encounters)) < 0.1)
    survey = pd.DataFrame(
        {
            "encounter_id": encounters["encounter_id"].to_numpy()[asked],
            "satisfaction": np.clip(rng.normal(7, 1.5, asked.size).round(), 1, 9).astype(int),
        }
    )
    return {"sales": sales, "survey": survey}


def export(tables: dict[str, pd.DataFrame], folder: str | Path) -> None:
    """Write the exports that a service desk, a sales system and a staff database would give.

    Names, units, categories, encodings and date formats are the firm's own;
    ``config/firm.example.yaml`` translates them.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Raw tables of `make`.
    folder : path
    """
    import duckdb

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    encounters = tables["encounters"]
    tickets = pd.DataFrame(
        {
            "Ticket": encounters["encounter_id"],
            "Kundennr": encounters["customer_id"],
            "Bearbeiter": encounters["agent_id"],
            "Eröffnet": encounters["started_at"].dt.strftime("%d.%m.%Y %H:%M:%S"),
            "Dauer (s)": (encounters["minutes"] * 60).round(1).astype(str).str.replace(".", ","),
            "Störung": encounters["failure_code"],
            "Angebot": encounters["offer_made"].map({1: "ja", 0: "nein"}),
            "passend": encounters["offer_related"].map({1: "ja", 0: "nein"}),
        }
    )
    tickets.to_csv(folder / "tickets.csv.gz", sep=";", encoding="cp1252", index=False)
    customers = tables["customers"]
    owners = pd.DataFrame(
        {
            "Customer": customers["customer_id"],
            "Land": customers["country"].map(
                {"FRA": "FR", "DEU": "DE", "GBR": "UK", "NLD": "NL", "ESP": "ES"}
            ),
            "Model": customers["model"],
            "Bought": customers["purchase_date"],
            "Care (months)": customers["warranty_years"] * 12,
            "Margin (ct)": (customers["gross_margin"] * 100).round().astype(int),
        }
    )
    owners.to_excel(folder / "customers.xlsx", sheet_name="Owners", index=False)
    tables["sales"].rename(
        columns={
            "sale_id": "order",
            "encounter_id": "ticket",
            "revenue": "net",
            "list_price": "list",
        }
    ).assign(
        product_type=tables["sales"]["product_type"].map({"good": "HW", "service": "SVC"})
    ).to_parquet(folder / "orders.parquet", index=False)
    staff = folder / "staff.duckdb"
    staff.unlink(missing_ok=True)
    with duckdb.connect(str(staff)) as connection:
        for name in ("agents", "agent_days", "failures", "survey"):
            connection.register("frame", tables[name])
            connection.execute(f"create table {name} as select * from frame")
            connection.unregister("frame")
