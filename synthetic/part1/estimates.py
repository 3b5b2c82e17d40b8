"""Selection estimates of the exact sample: the likeliest that are near the printed ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from synthetic.constraints import Rows
from synthetic.part1 import model
from synthetic.part1.model import SELECTION_TERMS, Truth, design, with_model
from synthetic.part1.population import Population

Array = NDArray[np.float64]

WITHIN = 0.9  # of a standard error, which differs a little between population and sample
SIGN = 0.05  # of a printed coefficient: the least that its sign is worth


def information(rows: Rows, weights: Array, truth: Truth) -> Array:
    """Fisher information of the probit coefficients in a sample of the published size."""
    full = with_model(rows, truth)
    Z = design(rows, SELECTION_TERMS)
    p = full["probability"]
    weight = weights * full["mills"] ** 2 * p / np.maximum(1 - p, 1e-12)
    return model.customers() * (Z.T * weight) @ Z


def misses(selection: Array, std_errors: Array) -> Array:
    """Distances from the probit text beyond its printed digit, in standard errors."""
    printed, half_width = model.printed_selection()
    gap = selection[1:] - printed
    return np.sign(gap) * np.maximum(np.abs(gap) - half_width, 0) / std_errors


def nearest_to_text(selection: Array, covariance: Array) -> tuple[Array, float]:
    """Likeliest estimates that print the text's ten coefficients `WITHIN` standard errors.

    Parameters
    ----------
    selection : ndarray, shape (11,)
        Coefficients of the population, intercept first.
    covariance : ndarray, shape (11, 11)
        Of their estimates in a sample of the published size.

    Returns
    -------
    estimates : ndarray, shape (11,)
    distance : float
        Mahalanobis distance of the ten from the population's.
    """
    printed, half_width = model.printed_selection()
    reach = half_width + WITHIN * np.sqrt(np.diag(covariance))[1:]
    low = np.where(printed > 0, np.maximum(printed - reach, SIGN * printed), printed - reach)
    high = np.where(printed < 0, np.minimum(printed + reach, SIGN * printed), printed + reach)
    root = np.linalg.cholesky(np.linalg.inv(covariance[1:, 1:])).T
    found = lsq_linear(root, root @ selection[1:], bounds=(low, high), method="bvls").x
    move = found - selection[1:]
    intercept = covariance[0, 1:] @ np.linalg.solve(covariance[1:, 1:], move)
    return selection + np.r_[intercept, move], float(np.linalg.norm(root @ move))


def sample_truth(population: Population) -> Truth:
    """Population parameters with the selection coefficients that the exact sample is to estimate.

    Sampling error moves the ten coefficients anyway: the exact sample's are the likeliest that are
    near enough to the text.
    """
    covariance = np.linalg.inv(information(population.rows, population.weights, population.truth))
    selection, _ = nearest_to_text(population.truth.selection, covariance)
    return replace(population.truth, selection=selection)
