"""Raw sources of Essay II's firm: what its systems would have exported for one month.

The analysis variables of every encounter are given; this module finds customers, agents, days,
failure codes and models from which `crosssell.measures.build` computes exactly those variables.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

# The essay says "a one month time period in 2009". Agents work five days and rest two, each on a
# rota of their own; day 0 is the day before the month.
DAY_ZERO = pd.Timestamp("2009-09-30")
WEEKS, SHIFT = 4, 5
# Ability sums the two preceding days, so it is complete from the third day of a shift.
COMPLETE = np.array([2, 3, 4])
OFFERS_PER_DAY = 5  # most offers of one agent on one day
DRIFT = 0.2  # SD of an agent's daily volume around its own level, in logs
OPENING, CLOSING = 8 * 60, 21 * 60  # minutes after midnight
RATERS = 4
FAMILIES = ("desktop", "notebook", "mobile", "server", "storage", "printer")


def raw_tables(rows: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Raw tables whose measures are the given rows.

    Parameters
    ----------
    rows : DataFrame
        One row per encounter: customer (int), culture, customer_country, agent_country,
        purchase (0/1), agent_resolution_ability (whole, at least 4), failure_severity (quarters),
        risk_aversion (whole years), duration (whole minutes), product_value (whole rank).
        Severity, risk aversion and product value are constant within a customer.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to DataFrame
        customers, models, encounters, failures, agents, agent_days, sales.
    """
    agents, agent_days, agent, day = _agents(rows, rng)
    models, model = _models(rows, rng)
    failures, failure_code = _failures(rows, rng)
    minute = rng.integers(OPENING, CLOSING, len(rows))
    started_at = DAY_ZERO + pd.to_timedelta(day * 1440 + minute, unit="min")
    order = np.lexsort((rows["customer"], started_at))
    encounters = pd.DataFrame(
        {
            "customer_id": _labels("C", rows["customer"].to_numpy() + 1),
            "agent_id": agent,
            "started_at": started_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "minutes": rows["duration"].to_numpy(),
            "failure_code": failure_code,
            "offer_made": 1,
        }
    ).iloc[order]
    encounters.insert(0, "encounter_id", _labels("E", np.arange(1, len(rows) + 1)))
    customers = pd.DataFrame(
        {
            "customer_id": _labels("C", rows["customer"].to_numpy() + 1),
            "country": rows["customer_country"].to_numpy(),
            "culture": rows["culture"].to_numpy(),
            "model": model,
            "warranty_years": rows["risk_aversion"].to_numpy(),
        }
    )
    bought = encounters["encounter_id"].to_numpy()[rows["purchase"].to_numpy()[order] == 1]
    sales = pd.DataFrame(
        {
            "sale_id": _labels("S", np.arange(1, len(bought) + 1)),
            "encounter_id": bought,
            "product_type": np.where(rng.random(len(bought)) < 0.5, "good", "service"),
            "revenue": np.round(rng.gamma(2.0, 30.0, len(bought)) + 5, 2),
        }
    )
    return {
        "customers": customers.drop_duplicates("customer_id").sort_values(
            "customer_id", ignore_index=True
        ),
        "models": models,
        "encounters": encounters.reset_index(drop=True),
        "failures": failures,
        "agents": agents,
        "agent_days": agent_days,
        "sales": sales,
    }


def _labels(prefix: str, number: IntArray) -> NDArray[np.str_]:
    width = len(str(number.max(initial=1)))
    return np.char.add(prefix, np.char.zfill(number.astype(str), width))


def _spread_over(values: IntArray, levels: IntArray, each: IntArray, rng) -> IntArray:
    """Index of one of the `each[k]` items that carry level `levels[k]`, at random per value."""
    level = np.searchsorted(levels, values)
    first = np.cumsum(each) - each
    return first[level] + rng.integers(0, each[level])


def _per_customer(rows: pd.DataFrame, column: str) -> tuple[IntArray, IntArray, IntArray]:
    """A customer column's values, their levels and each row's position among the customers."""
    _, first, position = np.unique(rows["customer"], return_index=True, return_inverse=True)
    values = rows[column].to_numpy()[first]
    return values, np.unique(values), position


def _models(rows: pd.DataFrame, rng) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Product models with their rank, and each row's model."""
    value, levels, position = _per_customer(rows, "product_value")
    frequency = np.bincount(np.searchsorted(levels, value)) / len(value)
    each = 1 + np.floor(24 * frequency).astype(np.int64)
    rank = np.repeat(levels, each)
    number = rng.permutation(np.arange(100, 1000))[: len(rank)]
    family = np.resize(FAMILIES, len(rank))
    model = np.char.add(np.char.add(family, "-"), number.astype(str))
    chosen = model[_spread_over(value, levels, each, rng)]
    return pd.DataFrame({"model": model, "rank": rank}), chosen[position]


def _failures(rows: pd.DataFrame, rng) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Failure codes rated by four raters in whole points, and each row's code.

    The raters' points sum to four times the code's severity and differ by a point or two.
    """
    severity, levels, position = _per_customer(rows, "failure_severity")
    frequency = np.bincount(np.searchsorted(levels, severity)) / len(severity)
    each = 1 + np.floor(150 * frequency).astype(np.int64)
    total = np.repeat(np.round(RATERS * levels).astype(np.int64), each)
    points = total[:, None] // RATERS + (np.arange(RATERS) < (total % RATERS)[:, None])
    points = rng.permuted(points, axis=1)
    # one rater a point higher, another a point lower, where the scale has room
    room = (points[:, 0] < 7) & (points[:, 1] > 1) & (rng.random(len(points)) < 0.6)
    points[:, 0] += room
    points[:, 1] -= room
    points = rng.permuted(points, axis=1)
    code = _labels("F", 1 + rng.permutation(len(total)))
    failures = pd.DataFrame(
        {
            "failure_code": np.repeat(code, RATERS),
            "rater": np.tile([f"rater_{k + 1}" for k in range(RATERS)], len(code)),
            "severity": points.ravel(),
        }
    ).sort_values(["failure_code", "rater"], ignore_index=True)
    return failures, code[_spread_over(severity, levels, each, rng)][position]


def _agents(
    rows: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, NDArray[np.str_], IntArray]:
    r"""Agents, their daily resolved volumes, and each row's agent and day.

    Rows of one service country and ability share agent-days. Agent-days of similar ability make an
    agent's month: in every shift of five days the abilities a of days three to five must be sums of
    neighbouring volumes v,

    .. math:: a_3 = v_1 + v_2, \quad a_4 = v_2 + v_3, \quad a_5 = v_3 + v_4,

    which has positive solutions whenever a_4 is not the largest of the three.
    """
    per_agent = WEEKS * len(COMPLETE)
    agent_of_row = np.empty(len(rows), dtype=object)
    day_of_row = np.empty(len(rows), dtype=np.int64)
    agents, agent_days = [], []
    ability_of_row = rows["agent_resolution_ability"].to_numpy()
    for country, index in rows.groupby("agent_country").indices.items():
        index = rng.permutation(index)
        index = index[np.argsort(ability_of_row[index], kind="stable")]
        ability = ability_of_row[index]
        # agent-days: up to OFFERS_PER_DAY rows of equal ability
        start = np.r_[True, np.diff(ability) > 0]
        run_start = np.maximum.accumulate(np.where(start, np.arange(len(index)), 0))
        position = np.arange(len(index)) - run_start
        slot = np.cumsum(start | (position % OFFERS_PER_DAY == 0)) - 1
        level = np.zeros(slot[-1] + 1, dtype=np.int64)
        level[slot] = ability
        # the last agent's month is filled with days without an offer
        level = np.r_[level, np.repeat(level[-1:], -len(level) % per_agent)]
        months = np.argsort(np.log(level) + rng.normal(0, DRIFT, len(level)), kind="stable")
        shifts = rng.permuted(months.reshape(-1, per_agent), axis=1).reshape(-1, len(COMPLETE))
        largest = level[shifts].argmax(axis=1)
        each = np.arange(len(shifts))
        # the largest ability of a shift changes places with its third day's
        shifts[each, largest], shifts[each, 0] = shifts[each, 0], shifts[each, largest]
        third, fourth, fifth = level[shifts].T
        low = np.maximum(1, third - fourth + 1)
        high = np.minimum(third - 1, third - fourth + fifth - 1)
        share = rng.beta(8, 8, len(shifts))
        first = np.clip(np.round(third * share).astype(np.int64), low, high)
        second, third_volume = third - first, fourth - third + first
        fourth_volume = fifth - third_volume
        last = np.round(fifth * rng.beta(8, 8, len(shifts))).astype(np.int64)
        volume = np.column_stack([first, second, third_volume, fourth_volume, last])
        n_agents = len(months) // per_agent
        name = rng.permutation(_labels(f"{country}-", np.arange(1, n_agents + 1)))
        rota = rng.integers(0, 7, n_agents)
        shift_start = (rota[:, None] + 7 * np.arange(WEEKS)).ravel()
        days = shift_start[:, None] + np.arange(SHIFT)
        agent_days.append(
            pd.DataFrame(
                {
                    "agent_id": np.repeat(name, WEEKS * SHIFT),
                    "date": (DAY_ZERO + pd.to_timedelta(days.ravel(), unit="D")).strftime(
                        "%Y-%m-%d"
                    ),
                    "resolved": volume.ravel(),
                }
            )
        )
        agents.append(pd.DataFrame({"agent_id": np.sort(name), "country": country}))
        agent_of_slot = np.empty(len(level), dtype=object)
        day_of_slot = np.empty(len(level), dtype=np.int64)
        agent_of_slot[shifts.ravel()] = np.repeat(name, per_agent)
        day_of_slot[shifts.ravel()] = days[:, COMPLETE].ravel()
        agent_of_row[index], day_of_row[index] = agent_of_slot[slot], day_of_slot[slot]
    table = pd.concat(agent_days).sort_values(["agent_id", "date"], ignore_index=True)
    return pd.concat(agents, ignore_index=True), table, agent_of_row.astype(str), day_of_row
