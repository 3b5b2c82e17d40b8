"""Calibration report of Essay II: what every printed number became, and why some cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.part2 import population as pop
from synthetic.part2.column import Column, purchase_probability
from synthetic.part2.dyads import NAMES, cells, country_rows, spread_limits
from synthetic.part2.encounters import Table
from synthetic.part2.names import (
    ABILITY,
    COLUMNS,
    DISTANCE,
    DURATION,
    PURCHASE,
    RANGES,
    RISK,
    TABLE8,
    TABLE_ORDER,
    TERMS,
    VALUE,
)
from synthetic.part2.population import Design, Population
from synthetic.published import Printed

Array = NDArray[np.float64]


def chi_square(purchase: Array, country: NDArray, weight: Array | None = None) -> float:
    """Pearson's chi-square of a 0/1 outcome by country; with weights that sum to one, per row."""
    _, code = np.unique(country, return_inverse=True)
    size = np.bincount(code, weight)
    rate = np.bincount(code, purchase if weight is None else weight * purchase) / size
    mean = np.average(purchase, weights=weight)
    return float(size @ (rate - mean) ** 2 / (mean * (1 - mean)))


def achieved(table: Table, population: Population, columns: Sequence[Column]) -> dict[str, float]:
    """Values of the printed numbers on a table of encounters, by id."""
    plan = population.plan
    order = TABLE_ORDER
    frame = pd.DataFrame({name: table[name] for name in order})
    mean, sd, correlation = frame.mean(), frame.std(), frame.corr()
    result = {f"t7.mean.{name}": mean[name] for name in order}
    result |= {f"t7.sd.{name}": sd[name] for name in order}
    result |= {
        f"t7.corr.{a}.{b}": correlation.loc[a, b]
        for i, a in enumerate(order)
        for b in order[: i + 1]
    }
    result |= {f"p2.mean.{name}": mean[name] for name in (*COLUMNS, DISTANCE)}
    for name in (*COLUMNS, DISTANCE):
        result |= {
            f"p2.range.{name}.min": frame[name].min(),
            f"p2.range.{name}.max": frame[name].max(),
        }
    place = plan.cells.iloc[table["cell"]]
    for side in ("customer_country", "agent_country"):
        country = place[side].to_numpy()
        result[f"p2.chi2.{side}"] = chi_square(table[PURCHASE], country)
        by_country = frame[DISTANCE].groupby(country)
        for code, value in by_country.mean().items():
            result[f"p2.distance.{NAMES[code]}.mean"] = value
        for code, value in by_country.std().items():
            result[f"p2.distance.{NAMES[code]}.sd"] = value
    result["p2.encounters"] = float(len(frame))
    result["p2.purchase_rate"] = 100 * mean[PURCHASE]
    for key, column in zip(TABLE8, columns, strict=False):
        for term, estimate, se in zip(TERMS, column.estimate, column.standard_error, strict=True):
            result[f"t8.{key}.{term}.estimate"] = estimate
            result[f"t8.{key}.{term}.std_error"] = se
            result[f"t8.{key}.{term}.t_value"] = estimate / se
            if key == TABLE8[0]:
                result[f"p2.logit.{term}"] = estimate
    return result


def significance(published: Mapping[str, Printed], found: Mapping[str, float]) -> pd.DataFrame:
    """Coefficients of Table 8 and whether they are as significant as printed.

    Parameters
    ----------
    published : mapping of str to Printed
    found : mapping of str to float
        Estimates and standard errors by id; columns without them are left out.

    Returns
    -------
    DataFrame
        One row per coefficient: id, t (normal), printed (stars) and whether they agree.
    """
    rows = []
    for column in TABLE8:
        for term in TERMS:
            name = f"t8.{column}.{term}"
            if f"{name}.std_error" not in found:
                continue
            number = published[f"{name}.estimate"]
            t = found[number.id] / found[f"{name}.std_error"]
            low, high = pop.t_interval(number)
            agrees = low <= abs(t) < high
            rows.append({"id": number.id, "t": t, "printed": number.stars, "agrees": agrees})
    return pd.DataFrame(rows)


def error_ratios(published: Mapping[str, Printed], found: Mapping[str, float]) -> pd.DataFrame:
    """Standard errors of Table 8 over the printed ones.

    Parameters
    ----------
    published : mapping of str to Printed
    found : mapping of str to float
        Standard errors by id.

    Returns
    -------
    DataFrame, shape (10, 2)
        Terms by columns; not a number where the printed one has no digit.
    """
    ids = {column: [f"t8.{column}.{term}.std_error" for term in TERMS] for column in TABLE8}
    return pd.DataFrame(
        {
            column: [
                np.nan if id_ in pop.NO_DIGIT else found[id_] / published[id_].value for id_ in mine
            ]
            for column, mine in ids.items()
        },
        index=TERMS,
    )


def certificates(published: Mapping[str, Printed], population: Population) -> dict[str, str]:
    """Why a printed number cannot hold, by id."""
    plan = population.plan
    table = cells(published)
    rows = country_rows(table, published)
    mean = published["t7.mean.cultural_distance"].value
    highest = spread_limits(table, rows, mean)[1]
    american = table.loc[table["customer_country"] == "USA", "distance"]
    result = {
        "p2.distance.united_states.mean": (
            f"distances of American customers run from {american.min():.0f} to "
            f"{american.max():.0f}, so their mean is at least {american.min():.0f}"
        ),
        "p2.distance.united_states.sd": (
            "distances of American customers have an SD of at most "
            f"{np.ptp(american) / 2:.0f} at any mean"
        ),
        "t7.sd.cultural_distance": (
            f"the country rows and the overall mean allow an SD of at most {highest:.3f}"
        ),
        "p2.range.cultural_distance.min": (
            f"the smallest distance of a dyad within the range is {table['distance'].min():.0f}"
        ),
        "p2.range.cultural_distance.max": (
            f"the largest distance of a dyad within the range is {table['distance'].max():.0f}"
        ),
    }
    rate, number = pop.PURCHASE_RATE, published[f"t7.corr.{ABILITY}.{PURCHASE}"]
    ability = plan.moments[ABILITY]
    bound = (ability.mean - RANGES[ABILITY][0]) / ability.sd * np.sqrt(rate / (1 - rate))
    result[number.id] = (
        f"with ability at least {RANGES[ABILITY][0]} and {rate:.4f} buyers the "
        f"correlation is at least {-bound:.3f}"
    )
    result["p2.purchase_rate"] = (
        "3.6% and Table 7's mean .038 with SD .190 (a rate between 3.75% and 3.77%) cannot be one "
        "sample"
    )
    size = plan.size
    text, table7 = published["p2.mean.risk_aversion"], published["t7.mean.risk_aversion"]
    whole = np.arange(
        np.ceil((table7.value - table7.half_width) * size),
        np.floor((text.value + text.half_width) * size) + 1,
    )
    if not len(whole):
        result[text.id] = (
            f"no whole number of years over {size} encounters rounds to both {text.printed} and "
            f"Table 7's {table7.printed}"
        )
    for name in (RISK, DURATION, VALUE):
        low, high = RANGES[name]
        largest = pop.largest_sd(plan.moments[name].mean, low, high)
        if plan.variant == "ranges":
            result[f"t7.sd.{name}"] = (
                f"on {low} to {high} with this mean the SD is at most {largest:.3f}"
            )
        else:
            for end in ("min", "max"):
                result[f"p2.range.{name}.{end}"] = (
                    f"on {low} to {high} with the printed mean the SD is at most {largest:.3f}: "
                    "the printed SD needs records beyond the range"
                )
    return result


def conflicts(
    published: Mapping[str, Printed],
    plan: Design,
    columns: Sequence[Column],
    expected: Mapping[str, float],
) -> dict[str, str]:
    """What keeps a printed number from being reached though it is not proved impossible, by id.

    Parameters
    ----------
    published : mapping of str to Printed
    plan : Design
    columns : sequence of Column
        Of the sample, in the order of `TABLE8`; none of an uncalibrated one.
    expected : mapping of str to float
        Standard errors to be expected of a sample of the population, by id.
    """
    result = {}
    for id_, value in expected.items():
        low, high = published[id_].interval
        result[id_] = (
            f"{value:.4f}, as printed, is expected of the population's samples; this one's "
            "customers and moves make the difference"
            if low <= value <= high
            else "Table 7, the coefficients and the purchases of kinds of encounter outweigh it in "
            f"the population, of whose samples {value:.4f} is expected"
        )
        result[id_.replace("std_error", "t_value")] = f"it is the coefficient over {id_}"
    first, last = TABLE8
    risk, interaction = (f"t8.{first}.{term}" for term in (RISK, pop.INTERACTION))
    smallest = published[f"{risk}.std_error"].interval[0]
    largest = (
        published[f"{interaction}.estimate"].interval[1]
        / published[f"{interaction}.t_value"].interval[0]
    )
    away = plan.cells["distance"] - plan.moments[DISTANCE].mean
    star = (
        f"beside {risk}.std_error the printed t asks for customers whose risk counts at a root "
        f"mean square distance of {smallest / largest:.0f} from the mean; dyads are at "
        f"{away.min():.0f} to {away.max():.0f}, those far away with few customers, and "
        f"t8.{last}.{RISK}.estimate leaves unknown warranties to the left-out country"
    )
    result |= {f"{interaction}.std_error": star, f"{interaction}.t_value": star}
    k = TERMS.index("intercept")
    for name, column in zip(TABLE8, columns, strict=False):
        known = (
            f"the standard error is {column.conditional_error[k]:.4f} were the effects' standard "
            "deviations known; the rest is their own uncertainty"
        )
        result |= {f"t8.{name}.intercept.{kind}": known for kind in ("std_error", "t_value")}
    return result


def calibration(
    published: Mapping[str, Printed],
    population: Population,
    table: Table,
    columns: Sequence[Column],
) -> pd.DataFrame:
    """Report of the calibration.

    Returns
    -------
    DataFrame
        Columns id, target, achieved_population (of standard errors what `standard_errors` expects),
        achieved_sample, slack (half-widths beyond the printed digit), priority, certificate (why
        the number cannot hold), conflict (what else keeps it from being reached).
    """
    sample = achieved(table, population, columns)
    reasons = certificates(published, population)
    plain = population.report.empty
    of_population = population.report if plain else population.report.set_index("id")
    expected = {} if plain else pop.standard_errors(population)
    rivals = conflicts(published, population.plan, columns, expected)
    result = []
    for id_, value in sample.items():
        if id_ not in published:
            continue
        number = published[id_]
        in_population = id_ in of_population.index
        slack = max(0.0, abs(value - number.value) / number.half_width - 1)
        result.append(
            {
                "id": id_,
                "target": number.value,
                "achieved_population": (
                    of_population.loc[id_, "achieved_population"]
                    if in_population
                    else expected.get(id_, np.nan)
                ),
                "achieved_sample": float(value),
                "slack": slack,
                "priority": of_population.loc[id_, "priority"] if in_population else np.nan,
                "certificate": reasons.get(id_, ""),
                "conflict": rivals.get(id_, "") if slack > 0 else "",
            }
        )
    return pd.DataFrame(result)


def apart(table: Table, population: Population, column: Column) -> pd.Series:
    """How far purchases of each dyad are from what the column's coefficients expect of it.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    population : Population
    column : Column

    Returns
    -------
    Series
        By dyad that the column is estimated on, in standard deviations of what chance (Poisson) and
        the dyads' intercepts (to first order) make of its purchases.
    """
    p = purchase_probability(table, column)
    names = population.plan.dyad_of_cell[1]
    bought, expected = (
        np.bincount(table["dyad"][column.rows], of[column.rows], len(names))
        for of in (table[PURCHASE], p)
    )
    sd = np.sqrt(expected + (column.spreads[0] * expected) ** 2)
    return pd.Series(bought - expected, names)[expected > 0] / sd[expected > 0]


def by_kind(table: Table, population: Population, columns: Sequence[Column]) -> pd.DataFrame:
    """Purchases of every dyad by kind of encounter (`population.KINDS`), beside the expected ones.

    A dyad whose purchases add up may still have all of them from one kind of encounter. Expected
    are those of the column at the dyad's estimated intercept.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
    population : Population
    columns : sequence of Column
        In the order of `TABLE8`. The last one says what is expected of the customers it is
        estimated on, the first one what of the left-out country's.

    Returns
    -------
    DataFrame
        By dyad, variable and kind (its lower edge): encounters, bought and expected, in numbers of
        encounters of known warranty.
    """
    first, last = columns
    each = [purchase_probability(table, c, c.dyad_effect[table["dyad"]]) for c in (first, last)]
    p = np.where(last.rows, each[1], each[0])
    known = ~pop.unknown(table)
    dyad = np.array(population.plan.dyad_of_cell[1])[table["dyad"]]
    parts = []
    for name, edges in pop.KINDS.items():
        kind = np.r_[RANGES[name][0], edges][np.searchsorted(edges, table[name])]
        values = {"encounters": 1, "bought": table[PURCHASE], "expected": p}
        frame = pd.DataFrame({"dyad": dyad, "variable": name, "kind": kind} | values)
        parts.append(frame[known].groupby(["dyad", "variable", "kind"]).sum())
    return pd.concat(parts).sort_index()


def looks(table: Table, population: Population, columns: Sequence[Column]) -> Iterator[str]:
    """Sentences on what the printed numbers do not say of a sample."""
    beyond = {name: (table[name] > RANGES[name][1]).sum() for name in (RISK, DURATION, VALUE)}
    share = np.any([table[name] > RANGES[name][1] for name in beyond], axis=0).mean()
    yield f"records beyond the stated ranges: {100 * share:.1f}% of the encounters, " + ", ".join(
        f"{number} of {name}" for name, number in beyond.items()
    )
    p = purchase_probability(table, columns[0], columns[0].dyad_effect[table["dyad"]])
    for dyad, name in enumerate(population.plan.dyad_of_cell[1]):
        mine = pop.unknown(table) & (table["dyad"] == dyad)
        if mine.any():
            customers, bought = np.unique(table["customer"][mine]), table[PURCHASE][mine].sum()
            yield (
                f"unknown warranties, {name}: {mine.sum()} encounters, customers: "
                f"{len(customers)}, bought {bought:.0f} times, {p[mine].sum():.1f} expected"
            )
    k = TERMS.index("intercept")
    for name, column in zip(TABLE8, columns, strict=True):
        far = apart(table, population, column)
        worst = far.abs().idxmax()
        yield (
            f"{name}: dyads' SD {column.spreads[0]:.3f}, customers' SD {column.spreads[1]:.2f}; "
            f"standard error of the intercept {column.standard_error[k]:.4f}, were the SDs known "
            f"{column.conditional_error[k]:.4f}; farthest dyad {worst}, {far[worst]:.1f} of its "
            "standard deviations from what is expected"
        )
    kinds = by_kind(table, population, columns)
    kinds = kinds[kinds["expected"] >= pop.FEWEST_EXPECTED]
    # one more on both sides: none of six is farther off than one of five
    dyad, variable, kind = (np.log((kinds["bought"] + 1) / (kinds["expected"] + 1))).abs().idxmax()
    worst = kinds.loc[(dyad, variable, kind)]
    yield (
        f"farthest kind of encounter: {dyad}, {variable} from {kind:g}, bought "
        f"{worst['bought']:.0f} times in {worst['encounters']:.0f} encounters, "
        f"{worst['expected']:.1f} expected"
    )


FEW = 36  # problems resolved in two days: an ability hardly above the least of `RANGES`
_BOTH = pop.AIMS["moments"]
# Variant and what of Table 8 is aimed at.
SCENARIOS = {
    "as configured": ("moments", _BOTH),
    "one SD for both columns": ("moments", replace(_BOTH, customer_sd=dict.fromkeys(TABLE8, 0.95))),
    "first column only": ("moments", replace(_BOTH, customer_sd={pop.FIRST: 0.95})),
    "within the ranges, first column": ("ranges", pop.AIMS["ranges"]),
    "within the ranges, both": ("ranges", _BOTH),
}


def costs(
    published: Mapping[str, Printed], table: pd.DataFrame, seed: int, names: Sequence[str]
) -> Iterator[dict[str, object]]:
    """What it costs the population to carry columns of Table 8, scenario by scenario.

    Parameters
    ----------
    published : mapping of str to Printed
    table : DataFrame
        See `synthetic.part2.dyads.dyads`.
    seed : int
    names : sequence of str
        Of `SCENARIOS`.

    Yields
    ------
    dict
        scenario; divergence, in nats; slack, the largest of a coefficient aimed at, in half-widths;
        few, per cent of the left-out country's buyers served at abilities below `FEW`;
        chi2_customer and chi2_agent, of purchase rates by country; stars, coefficients aimed at
        whose expected t values have the printed stars, coefficients, their number, and otherwise,
        the expected t values of the rest by id.
    """
    for name in names:
        variant, aims = SCENARIOS[name]
        rng = np.random.default_rng(seed)
        population = pop.populate(published, table, variant, rng, aims=aims)
        expected = pop.standard_errors(population)
        for column in population.plan.columns:
            ids = (f"t8.{column}.{term}.estimate" for term in TERMS)
            expected |= dict(zip(ids, population.plan.aimed_at(column), strict=True))
        stars = significance(published, expected)
        rows, weight = population.rows, population.weights
        place = table.iloc[rows["cell"]]
        bought = weight * rows[PURCHASE]
        theirs = bought * (place["customer_country"] == pop.LEFT_OUT).to_numpy()
        slack = population.report.set_index("id").filter(like="t8.", axis=0)["slack"]
        yield {
            "scenario": name,
            "divergence": population.divergence,
            "slack": slack.max(),
            "few": 100 * theirs[rows[ABILITY] < FEW].sum() / theirs.sum(),
            **{
                f"chi2_{side}": population.plan.size
                * chi_square(rows[PURCHASE], place[f"{side}_country"].to_numpy(), weight)
                for side in ("customer", "agent")
            },
            "stars": int(stars["agrees"].sum()),
            "coefficients": len(stars),
            "otherwise": stars[~stars["agrees"]].set_index("id")["t"].to_dict(),
        }
