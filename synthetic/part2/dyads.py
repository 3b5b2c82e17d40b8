"""Dyads of Essay II: how many encounters each customer culture has with each service country.

The essay prints the mean and standard deviation of cultural distance for seven customer countries
and four service countries, but no count of any dyad. Many sets of counts agree with those rows; the
one taken here is the least informative, that of the largest entropy. Its overall spread is below
the largest that the rows allow (`spread_limits`), itself below the printed one: near the largest
hardly anybody is served from India, and the chi-square of purchase rates by agents' country is out
of reach.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from crosssell.measures import cultural_distance
from synthetic.population import PopulationError, tilt
from synthetic.published import Printed

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# Belgian and Swiss customers belong to a language region where it is known, else to the country.
CULTURES = {
    "AUT": ("AUT",),
    "BEL": ("BEL", "BEF", "BEN"),
    "FRA": ("FRA",),
    "DEU": ("DEU",),
    "GBR": ("GBR",),
    "USA": ("USA",),
    "CHE": ("CHE", "SWF", "SWG"),
}
SERVICE = ("SVK", "IND", "TUN", "MAR")
NAMES = {
    "AUT": "austria",
    "BEL": "belgium",
    "FRA": "france",
    "DEU": "germany",
    "GBR": "united_kingdom",
    "USA": "united_states",
    "CHE": "switzerland",
    "SVK": "slovakia",
    "IND": "india",
    "TUN": "tunisia",
    "MAR": "morocco",
}
# Distances of American customers run from 92 to 156, so a mean of 71 is out of reach.
UNATTAINABLE = ("USA",)
FEWEST = 5  # encounters in a cell that is kept: below, a cell is one customer's accident


@dataclass(frozen=True)
class Rows:
    """Country rows as linear conditions on cell counts n: ``|moment @ n + offset| <= width @ n``.

    Attributes
    ----------
    ids : tuple of str
        Published number of each row.
    moment, width : ndarray, shape (k, cells)
    offset : ndarray, shape (k,)
        The degree of freedom of a sample variance.
    """

    ids: tuple[str, ...]
    moment: Array
    width: Array
    offset: Array


def cells(published: Mapping[str, Printed]) -> pd.DataFrame:
    """Pairs of customer culture and service country within the printed range of distances.

    Returns
    -------
    DataFrame
        Columns culture, customer_country, agent_country, distance (points).
    """
    table = pd.DataFrame(
        [
            (culture, country, service)
            for country, cultures in CULTURES.items()
            for culture in cultures
            for service in SERVICE
        ],
        columns=["culture", "customer_country", "agent_country"],
    )
    table["distance"] = cultural_distance(table["culture"], table["agent_country"])
    low, high = (published[f"p2.range.cultural_distance.{end}"].value for end in ("min", "max"))
    return table[table["distance"].between(low, high)].reset_index(drop=True)


def country_rows(table: pd.DataFrame, published: Mapping[str, Printed]) -> Rows:
    """Means and SDs of distance by country, and the overall mean, as conditions on the counts."""
    distance = table["distance"].to_numpy()
    ids, moment, width, offset = [], [], [], []

    def add(id_: str, value: Array, half: float, block: Array, constant: float = 0.0) -> None:
        ids.append(id_)
        moment.append(block * value)
        width.append(block * half)
        offset.append(constant)

    for side in ("customer_country", "agent_country"):
        for country in table[side].unique():
            if country in UNATTAINABLE:
                continue
            block = (table[side] == country).to_numpy()
            mean, sd = (published[f"p2.distance.{NAMES[country]}.{s}"] for s in ("mean", "sd"))
            add(mean.id, distance - mean.value, mean.half_width, block)
            square = (distance - mean.value) ** 2 - sd.value**2
            add(sd.id, square, 2 * sd.value * sd.half_width, block, sd.value**2)
    overall = published["t7.mean.cultural_distance"]
    add(overall.id, distance - overall.value, overall.half_width, np.ones(len(table)))
    return Rows(tuple(ids), np.array(moment), np.array(width), np.array(offset))


def spread_limits(table: pd.DataFrame, rows: Rows, mean: float) -> tuple[float, float]:
    """Smallest and largest overall SD of distance that the country rows allow (linear programme).

    Raises
    ------
    PopulationError
        The country rows contradict each other.
    """
    square = (table["distance"].to_numpy() - mean) ** 2
    limits = []
    for sign in (1, -1):
        solution = linprog(
            sign * square,
            A_ub=np.vstack([rows.moment - rows.width, -rows.moment - rows.width]),
            b_ub=np.zeros(2 * len(rows.ids)),
            A_eq=np.ones((1, len(table))),
            b_eq=[1.0],
        )
        if solution.status != 0:
            raise PopulationError(
                "no dyad shares agree with the country rows: admit more customer cultures or leave "
                "a row out"
            )
        limits.append(float(np.sqrt(sign * solution.fun)))
    return limits[0], limits[1]


def shares(rows: Rows) -> Array:
    """Cell shares of largest entropy with the country rows."""
    n_cells = rows.moment.shape[1]
    scale = np.abs(rows.moment).max(axis=1)
    # The widths are proportional to a country's share, which is an unknown: a country of one per
    # cent is the smallest that needs to be met.
    solution = tilt(
        rows.moment / scale[:, None],
        np.full(n_cells, 1 / n_cells),
        np.zeros(len(scale)),
        0.01 * rows.width.max(axis=1) / scale,
        1e4,
        tolerance=1e-7,
    )
    return solution.weights


def counts(table: pd.DataFrame, rows: Rows, share: Array, size: int) -> NDArray[np.int64]:
    """Whole encounters per cell near ``share * size`` with every country row inside its box.

    Raises
    ------
    PopulationError
        No whole numbers near the shares meet the rows.
    """
    expected = share * size
    kept = expected > FEWEST / 2
    centre = np.maximum(expected[kept], FEWEST)
    room = 2 * np.sqrt(centre) + 4
    scale = 1 / np.abs(rows.moment).max(axis=1)
    # boxes are drawn in by a tenth against the rounding of floating-point sums
    moment, width = (
        rows.moment[:, kept] * scale[:, None],
        0.9 * rows.width[:, kept] * scale[:, None],
    )
    offset = rows.offset * scale
    solution = milp(
        np.zeros(kept.sum()),
        integrality=np.ones(kept.sum()),
        bounds=Bounds(np.maximum(FEWEST, np.floor(centre - room)), np.ceil(centre + room)),
        constraints=[
            LinearConstraint(moment - width, -np.inf, -offset),
            LinearConstraint(moment + width, -offset, np.inf),
            LinearConstraint(np.ones((1, kept.sum())), size, size),
        ],
    )
    if solution.status != 0:
        raise PopulationError(
            f"no whole numbers of encounters near the dyad shares meet the country rows at "
            f"N = {size}: {solution.message} Widen the room around the shares."
        )
    result = np.zeros(len(table), dtype=np.int64)
    result[kept] = np.round(solution.x).astype(np.int64)
    return result


def dyads(published: Mapping[str, Printed], size: int, *, exact: bool = True) -> pd.DataFrame:
    """Counts of encounters by customer culture and service country.

    Parameters
    ----------
    published : mapping of str to Printed
    size : int
        Number of encounters.
    exact : bool
        Meet every country row to the printed digit by an integer programme; otherwise round the
        shares (small firms, for which whole numbers are too coarse).

    Returns
    -------
    DataFrame
        Columns culture, customer_country, agent_country, distance (points), encounters; cells
        without encounters are left out.
    """
    table = cells(published)
    rows = country_rows(table, published)
    share = shares(rows)
    if exact:
        number = counts(table, rows, share, size)
    else:
        # largest remainders keep the total
        number = np.floor(share * size).astype(np.int64)
        rest = np.argsort(number - share * size, kind="stable")[: size - number.sum()]
        number[rest] += 1
    logger.info("dyads: %d cells, %d encounters", (number > 0).sum(), number.sum())
    table["encounters"] = number
    return table[table["encounters"] > 0].reset_index(drop=True)
