"""Search for the selection coefficients, which no table prints and the text only nearly.

Every printed number and every look has a price in nats, so that each choice of coefficients has a
cost: the least penalised divergence of a population that has them. The search lowers it as far as
samples whose estimates are near the text stay likely. ``python -m synthetic.part1 --search`` runs
it; :mod:`synthetic.part1.population` keeps what it found.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from synthetic.constraints import Constraint, evaluate
from synthetic.part1.estimates import information, nearest_to_text
from synthetic.part1.model import Truth
from synthetic.part1.population import TIGHT, Support, capped, settle, wanted
from synthetic.population import PopulationError, Tilt

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

CEILINGS = (1e-5, 1e-4, 1e-3, 1e-2, 5e-2)
LIKELY = 4.0  # Mahalanobis distance of ten estimates; nine in ten samples stay nearer
PRICE = 20.0  # nats per squared distance beyond
REACH = 1.0  # of a step, in standard errors; farther off the support does not speak
INTERCEPT_STEP = 2.0  # dollars
STEP = 1e-3  # of the differences that stand for derivatives


def cost(
    support: Support, weights: Array, truth: Truth, constraints: list[Constraint], dual: Array
) -> float:
    """Divergences less the constraints' lift at fixed weights, as a function of the parameters.

    Its derivative at the tilted weights is that of the least penalised divergence (envelope
    theorem).
    """
    moved = Support(support.rows, support.weights, truth)
    full = moved.full
    log_ratio = np.log(weights / support.weights)
    divergence = (moved.entropy * weights) @ (log_ratio - moved.log_reference - 1)
    return float(divergence - weights @ (dual @ evaluate(constraints, full).F))


def improve(
    support: Support, tilted: Tilt, constraints: list[Constraint], ceiling: float
) -> tuple[Truth, Tilt]:
    """Cheaper parameters near the present ones, on the present support.

    Returns
    -------
    truth : Truth
    tilted : Tilt
        The population at these parameters.
    """
    truth = support.truth
    covariance = np.linalg.inv(information(support.rows, tilted.weights, truth))
    root = np.linalg.cholesky(covariance)
    precision = np.linalg.inv(covariance[1:, 1:])
    latest = tilted

    def at(u: Array) -> Truth:
        outcome = truth.outcome + np.r_[INTERCEPT_STEP * u[-1], np.zeros(len(truth.outcome) - 1)]
        return replace(truth, selection=truth.selection + root @ u[:-1], outcome=outcome)

    def objective(u: Array) -> tuple[float, Array]:
        nonlocal latest
        trial = Support(support.rows, support.weights, at(u))
        system = capped(evaluate(constraints, trial.full), ceiling)
        try:
            latest = trial.tilt(system, latest.dual, TIGHT)
        except PopulationError:  # too far for this support: the line search turns back
            return np.inf, np.zeros(len(u))
        heavy = latest.weights > 1e-9
        points = Support(
            {k: v[heavy] for k, v in support.rows.items()}, support.weights[heavy], truth
        )
        value = lambda v, dual: cost(points, latest.weights[heavy], at(v), constraints, dual)
        slope = np.array(
            [
                (value(u + STEP * e, latest.dual) - value(u - STEP * e, latest.dual)) / (2 * STEP)
                for e in np.eye(len(u))
            ]
        )
        level = value(u, np.zeros(len(constraints)))
        level += 0.5 * system.priority @ latest.slack**2
        near, distance = nearest_to_text(at(u).selection, covariance)
        beyond = max(distance - LIKELY, 0.0)
        if beyond > 0:
            pull = precision @ (at(u).selection - near)[1:] / distance
            slope[:-1] += PRICE * beyond * root[1:].T @ pull
        return level + 0.5 * PRICE * beyond**2, slope

    found = minimize(
        objective,
        np.zeros(len(root) + 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-REACH, REACH)] * (len(root) + 1),
        options={"maxiter": 10, "maxfun": 15},
    )
    value, _ = objective(found.x)
    distance = nearest_to_text(at(found.x).selection, covariance)[1]
    logger.info("search: %.3f nats, distance from the text %.2f", value, distance)
    return at(found.x), latest


def search(truth: Truth, size: int = 6000, steps: int = 4, seed: int = 0) -> Truth:
    """Lower the cost of the selection coefficients and the outcome's intercept.

    Parameters
    ----------
    truth : Truth
        Where to begin.
    size : int
        Support points.
    steps : int
        Local searches, each followed by a new support.
    seed : int

    Returns
    -------
    Truth
    """
    rng = np.random.default_rng(seed)
    support, tilted = settle(truth, CEILINGS, [size] * len(CEILINGS), rng)
    for _ in range(steps):
        constraints = wanted(support.truth)
        truth, tilted = improve(support, tilted, constraints, CEILINGS[-1])
        support = Support(support.rows, support.weights, truth)
        support = support.follow(constraints, tilted, size, rng)
        system = capped(evaluate(constraints, support.full), CEILINGS[-1])
        tilted = support.tilt(system, tilted.dual)
    return truth
