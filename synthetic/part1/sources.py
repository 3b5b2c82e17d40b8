"""Raw sources of Part I's firm, as its own systems would export them, and the survey."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.part1 import model
from synthetic.published import by_id
from synthetic.sample import SampleError, integer_counts

Array = NDArray[np.float64]

QUARTER_START, QUARTER_DAYS = np.datetime64("2007-04-01"), 91  # three months of one year
CUSTOMER_COUNTRY, AGENT_COUNTRY = "USA", "PAN"  # one location: the essay names Panama City
MODELS = ("Essential 200", "Office 400", "Performance 600", "Studio 800")  # ranks 1 to 4
RATERS = ("R1", "R2", "R3", "R4")
RATINGS = np.arange(1, 10)  # satisfaction
SEVERITY_CODES = 3  # failure codes for each level of severity


def survey_sizes() -> list[tuple[int, int, int, int]]:
    """Respondents and rating totals that print both mean satisfactions.

    Returns
    -------
    list of (buyers, buyers' total, others, others' total)
        Nearest to the buyers' share of customers first; the list is exhaustive.
    """
    number = by_id()
    n = int(model.value("p1.survey.responses"))
    accepted, declined = number["p1.survey.mean.accepted"], number["p1.survey.mean.not_accepted"]
    found = []
    for bought in range(2, n - 1):
        totals = [
            range(int(np.ceil(low * size)), int(np.floor(high * size)) + 1)
            for (low, high), size in (
                (accepted.interval, bought),
                (declined.interval, n - bought),
            )
        ]
        found += [(bought, a, n - bought, b) for a, b in itertools.product(*totals)]
    expected = n * model.buyers() / model.customers()
    return sorted(found, key=lambda s: (abs(s[0] - expected), s))


def survey(
    bought: NDArray[np.bool_], ability: Array, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who answered the survey, and the whole ratings from 1 to 9 that print its four numbers.

    Returns
    -------
    rows : ndarray of int, shape (437,)
        Positions of the customers who answered.
    ratings : ndarray of int, shape (437,)

    Raises
    ------
    SampleError
        No ratings meet means, t and slope.
    """
    number = by_id()
    for n_bought, sum_bought, n_declined, sum_declined in survey_sizes():
        sizes, totals = np.array([n_bought, n_declined]), np.array([sum_bought, sum_declined])
        try:
            counts = rating_counts(sizes, totals, number["p1.survey.t"].interval)
        except SampleError:  # squares of whole ratings move by two: not every split prints the t
            continue
        break
    else:
        raise SampleError("no split of the respondents prints both means and t: widen a target")
    ratings = np.concatenate([rng.permutation(np.repeat(RATINGS, c)) for c in counts])
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(bought), n_bought, replace=False),
            rng.choice(np.flatnonzero(~bought), n_declined, replace=False),
        ]
    )
    slope = number["p1.survey.ability_slope"]
    return rows, _order_by_slope(ratings, ability[rows], n_bought, slope.value, rng)


def random_survey(
    size: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Answers of a random share of customers, unrelated to anything."""
    share = model.value("p1.survey.responses") / model.customers()
    rows = rng.choice(size, round(share * size), replace=False)
    centre = model.value("p1.survey.mean.not_accepted")
    return rows, np.clip(np.rint(rng.normal(centre, 1.1, len(rows))), 1, 9).astype(int)


def rating_counts(
    sizes: NDArray[np.int64], totals: NDArray[np.int64], t: tuple[float, float]
) -> NDArray[np.int64]:
    """How often each rating occurs in two groups, given their totals and the pooled t.

    Parameters
    ----------
    sizes, totals : ndarray of int, shape (2,)
        Respondents and the sum of their ratings.
    t : tuple of float
        Lowest and highest value of the two-sample t with pooled variance.

    Returns
    -------
    ndarray of int, shape (2, 9)
        Nearest to discretised normal distributions.
    """
    means = totals / sizes
    # t = difference / sqrt(within / (n - 2) * (1 / n1 + 1 / n2)), and `within` is linear in counts
    unit = (sizes.sum() - 2) / (1 / sizes).sum()
    low, high = sorted(((means[0] - means[1]) / bound) ** 2 * unit for bound in t)
    inset = (high - low) / 50
    sd = np.sqrt((low + high) / 2 / sizes.sum())
    shape = np.exp(-0.5 * ((RATINGS - means[:, None]) / sd) ** 2)
    expected = sizes[:, None] * shape / shape.sum(axis=1, keepdims=True)
    group = np.repeat(np.eye(2), len(RATINGS), axis=1)
    ratings = np.tile(RATINGS, 2)
    squares = (ratings - np.repeat(means, len(RATINGS))) ** 2
    counts = integer_counts(
        expected.ravel(),
        np.vstack([group, group * ratings, squares]),
        np.r_[sizes, totals, low + inset],
        np.r_[sizes, totals, high - inset],
    )
    return counts.reshape(2, len(RATINGS))


def _order_by_slope(
    ratings: NDArray[np.int64],
    ability: Array,
    n_bought: int,
    slope: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Swap ratings within buyers and within the others until they fall on ability as printed."""
    dev = ability - ability.mean()
    goal = slope * (dev @ dev)
    ratings = ratings.copy()
    tolerance = 0.02 * abs(goal)
    for _ in range(50_000):
        gap = goal - dev @ ratings
        if abs(gap) < tolerance:
            return ratings
        low, high = (0, n_bought) if rng.random() < n_bought / len(ratings) else (
            n_bought, len(ratings),
        )  # fmt: skip
        i, j = rng.integers(low, high, size=2)
        change = (dev[i] - dev[j]) * (ratings[j] - ratings[i])
        if abs(gap - change) < abs(gap):
            ratings[i], ratings[j] = ratings[j], ratings[i]
    raise SampleError("satisfaction does not fall on ability as printed: try another seed")


def list_prices(good: Array, rng: np.random.Generator) -> Array:
    """List prices in cents whose means over goods and services print as published."""
    prices = np.round(rng.gamma(9.0, 7.0, len(good)) * 2) / 2 + rng.choice([0.49, 0.99], len(good))
    prices = np.round(np.maximum(prices, 9.99), 2)
    for kind, id in ((1, "p1.mean.good_price"), (0, "p1.mean.service_price")):
        inside = np.flatnonzero(good == kind)
        prices[inside] *= model.value(id) / prices[inside].mean()
        cents = np.round(prices[inside] * 100)
        short = round(model.value(id) * len(inside) * 100 - cents.sum())
        cents[: abs(short)] += np.sign(short)
        prices[inside] = cents / 100
    return prices


def counts_with_mean(number_id: str, size: int, highest: int, rng: np.random.Generator) -> Array:
    """Whole counts of at least one with the printed mean, or the nearest that whole sums attain."""
    total = round(model.value(number_id) * size)
    counts = np.ones(size)
    chance = np.ones(size)
    for _ in range(total - size):
        chosen = rng.choice(size, p=chance / chance.sum())
        counts[chosen] += 1
        chance[chosen] = 0.0 if counts[chosen] == highest else 0.7
    return counts


def write(
    rows: Mapping[str, Array],
    bought: NDArray[np.bool_],
    revenue: Array,
    rng: np.random.Generator,
    *,
    exact: bool = True,
) -> dict[str, pd.DataFrame]:
    """Raw tables from the calibrated rows.

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
        Characteristics on the grids of a firm's records.
    bought : ndarray of bool, shape (n,)
    revenue : ndarray, shape (buyers,)
        In the order of the rows that bought.
    rng : numpy.random.Generator
    exact : bool
        Whether the survey gives the published numbers back (it needs the published sample).

    Returns
    -------
    dict of str to DataFrame
        customers, models, encounters, failures, agents, sales, survey.
    """
    n = len(bought)
    order = rng.permutation(n)  # of contact: nothing in the files tells buyers from others
    rows = {column: np.asarray(values)[order] for column, values in rows.items()}
    spent = np.full(n, np.nan)
    spent[bought] = revenue
    bought, spent = bought[order], spent[order]

    seconds = np.sort(rng.integers(0, QUARTER_DAYS * 50_400, n))  # open from 8 to 22 o'clock
    day, second = np.divmod(seconds, 50_400)
    started = (QUARTER_START.astype("datetime64[s]") + day * 86_400 + (second + 28_800)).astype(
        "datetime64[s]"
    )
    contact = started.astype("datetime64[D]")
    purchase = contact - rows["product_age"].astype(int).astype("timedelta64[D]")

    agent_of_rank = rng.permutation(model.N_AGENTS)  # numbers say nothing about rank
    agents = pd.DataFrame(
        {
            "agent_id": [f"A{i + 1:03d}" for i in np.sort(agent_of_rank)],
            "country": AGENT_COUNTRY,
            "rank": np.argsort(agent_of_rank) + 1,
        }
    )
    models = pd.DataFrame({"model": MODELS, "rank": range(1, len(MODELS) + 1)})
    failures, code = _failures(rows["failure_severity"], rng)
    customer = [f"C{i:05d}" for i in rng.permutation(n) + 10_000]
    encounter = [f"E{i:06d}" for i in np.arange(n) + 100_001]
    customers = pd.DataFrame(
        {
            "customer_id": customer,
            "country": CUSTOMER_COUNTRY,
            "culture": CUSTOMER_COUNTRY,
            "model": np.array(MODELS)[rows["product_functionality"].astype(int) - 1],
            "purchase_date": np.datetime_as_string(purchase),
            "warranty_years": rows["risk_aversion"].astype(int),
            "gross_margin": np.round(rows["product_price"], 2),
        }
    ).sort_values("customer_id", ignore_index=True)
    severity = rows["failure_severity"]
    encounters = pd.DataFrame(
        {
            "encounter_id": encounter,
            "customer_id": customer,
            "agent_id": [
                f"A{agent_of_rank[int(r) - 1] + 1:03d}" for r in rows["agent_resolution_ability"]
            ],
            "started_at": np.datetime_as_string(started),
            "minutes": np.round(rng.gamma(4.0, 2.0 + severity), 1),
            "failure_code": code,
            "offer_made": 1,
            "offer_related": rows["cross_sell_related"].astype(int),
        }
    )
    good = rows["cross_sell_good"][bought]
    size = int(bought.sum())
    sales = pd.DataFrame(
        {
            "sale_id": [f"S{i + 1:04d}" for i in range(size)],
            "encounter_id": np.array(encounter)[bought],
            "product_type": np.where(good == 1, "good", "service"),
            "revenue": spent[bought],
            "list_price": list_prices(good, rng),
            "units": counts_with_mean("p1.mean.units", size, 4, rng).astype(int),
            "categories": counts_with_mean("p1.mean.categories", size, 4, rng).astype(int),
        }
    )
    if exact:
        asked, ratings = survey(bought, rows["agent_resolution_ability"], rng)
    else:
        asked, ratings = random_survey(n, rng)
    answers = pd.DataFrame(
        {"encounter_id": np.array(encounter)[asked], "satisfaction": ratings}
    ).sort_values("encounter_id", ignore_index=True)
    return {
        "customers": customers,
        "models": models,
        "encounters": encounters,
        "failures": failures,
        "agents": agents,
        "sales": sales,
        "survey": answers,
    }


def _failures(severity: Array, rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Failure codes whose four whole scores average to each severity, and each row's code."""
    levels = np.unique(severity)
    scores, labels = [], []
    number = rng.permutation(len(levels) * SEVERITY_CODES) + 101
    for k, level in enumerate(levels):
        for copy in range(SEVERITY_CODES):
            labels.append(f"F{number[k * SEVERITY_CODES + copy]}")
            scores.append(_four_scores(level, rng))
    failures = pd.DataFrame(
        {
            "failure_code": np.repeat(labels, len(RATERS)),
            "rater": np.tile(RATERS, len(labels)),
            "severity": np.concatenate(scores),
        }
    ).sort_values(["failure_code", "rater"], ignore_index=True)
    level = np.searchsorted(levels, severity)
    choice = rng.integers(0, SEVERITY_CODES, len(severity))
    return failures, np.array(labels)[level * SEVERITY_CODES + choice]


def _four_scores(level: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Four whole scores from 1 to 7 that average to `level` (a multiple of a quarter)."""
    total = round(4 * level)
    scores = np.full(4, total // 4)
    scores[: total % 4] += 1
    # two raters may disagree by one more point, which leaves the mean alone
    if rng.random() < 0.5 and scores.min() > 1 and scores.max() < 7:
        scores[np.argmin(scores)] -= 1
        scores[np.argmax(scores)] += 1
    return rng.permutation(scores)
