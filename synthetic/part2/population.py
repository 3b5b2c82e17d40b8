"""Population of Essay II: weights on encounters (x, y) that carry the published moments and scores.

A support point is an encounter with its purchase: cell (customer culture x service country),
ability, severity, risk aversion, duration, product value and y. Every published moment, and every
score equation at the printed coefficients, is linear in the weights of such points, so exponential
tilting finds the population nearest to a plain one in which both columns of Table 8 hold.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from synthetic.constraints import Rows
from synthetic.published import Printed

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Variant = Literal["moments", "ranges"]

COLUMNS = (
    "agent_resolution_ability",
    "failure_severity",
    "risk_aversion",
    "duration",
    "product_value",
)
DISTANCE, OUTCOME = "cultural_distance", "purchase"
TERMS = (
    "agent_resolution_ability",
    "failure_severity",
    "risk_aversion",
    "cultural_distance",
    "agent_resolution_ability:cultural_distance",
    "failure_severity:cultural_distance",
    "risk_aversion:cultural_distance",
    "product_value",
    "duration",
    "intercept",
)
LEFT_OUT = "FRA"
# Standard deviations of the random intercepts: the customers' is not identified by anything
# printed; the dyads' gives the printed standard errors of intercept and distance.
CUSTOMER_SD, DYAD_SD = 0.6, 0.07


def marginal_probability(index: Array, sd: float = CUSTOMER_SD, nodes: int = 11) -> Array:
    """Purchase probability with the customer's intercept integrated out (Gauss-Hermite)."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    weight = weight / weight.sum()
    return sum(w * expit(index + sd * k) for k, w in zip(z, weight, strict=True))


def terms(rows: Rows, centre: Mapping[str, float]) -> Array:
    """Regressors of Table 8, shape (10, n), mean-centred before products are formed."""
    value = {name: rows[name] - centre[name] for name in (*COLUMNS, DISTANCE)}
    value["intercept"] = np.ones_like(value[DISTANCE])
    return np.stack([np.prod([value[part] for part in term.split(":")], axis=0) for term in TERMS])


def coefficients(published: Mapping[str, Printed], column: str) -> Array:
    """Printed coefficients of a column of Table 8, in the order of `TERMS`."""
    return np.array([published[f"t8.{column}.{term}.estimate"].value for term in TERMS])


def plain_encounters(
    distance: Array, france: NDArray[np.bool_], variant: Variant, rng: np.random.Generator
) -> dict[str, Array]:
    """Encounters before any calibration: each variable drawn on its own within a cell.

    Parameters
    ----------
    distance : ndarray, shape (n,)
        Cultural distance of each encounter's cell, points.
    france : ndarray of bool, shape (n,)
        Whether the customer is French: the French part of the log is the uncleaned one.
    variant : {"moments", "ranges"}
        With or without records beyond the stated ranges.
    rng : numpy.random.Generator
    """
    n = len(distance)
    tail = rng.normal(np.where(france, 2.6, 3.2), np.where(france, 1.8, 1.1), n)
    ability = np.minimum(752, 30 + np.floor(np.exp(tail)))
    severity = 1 + np.round(24 * rng.beta(0.85, 0.95, n)) / 4
    warranty = np.where(
        france,
        rng.choice(6, n, p=[0.55, 0.2, 0.1, 0.08, 0.04, 0.03]),
        rng.choice(6, n, p=[0.46, 0.1, 0.07, 0.12, 0.08, 0.17]),
    )
    minutes = np.minimum(96, 1 + np.floor(np.exp(rng.normal(0.6, 0.95, n))))
    value = rng.choice([1, 2, 3, 4], n, p=[0.06, 0.1, 0.22, 0.62])
    if variant == "moments":
        u = rng.random((3, n))
        # 99 for an unknown warranty, or months where years belong
        warranty = np.where(
            u[0] < np.where(france, 0.012, 0.0012),
            rng.choice([24, 36, 48, 60, 99], n, p=[0.15, 0.25, 0.1, 0.15, 0.35]),
            warranty,
        )
        # calls left open, up to a day
        minutes = np.where(
            u[1] < np.where(france, 0.006, 0.003),
            np.floor(np.exp(rng.uniform(np.log(97), np.log(1440), n))),
            minutes,
        )
        # a line number where the four-point rank belongs
        value = np.where(u[2] < 0.02, rng.integers(8, 21, n), value)
    return {
        "agent_resolution_ability": ability,
        "failure_severity": severity,
        "risk_aversion": warranty.astype(float),
        "duration": minutes,
        "product_value": value.astype(float),
        DISTANCE: distance,
    }
