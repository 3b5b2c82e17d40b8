"""Selection estimates of the exact sample: those of a likely sample that are nearest to print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2

from synthetic.part1 import model
from synthetic.part1.model import SELECTION_TERMS, Truth, design
from synthetic.part1.population import Population

Array = NDArray[np.float64]

# Nine in ten samples of the population have estimates nearer to its coefficients than the exact one
# may have: no test at the 10% level would tell that it was not drawn at random.
LIKELY = 0.9


def information(population: Population) -> Array:
    """Fisher information of the probit coefficients in a sample of the published size."""
    full = population.augmented()
    Z = design(population.rows, SELECTION_TERMS)
    p = full["probability"]
    weight = population.weights * full["mills"] ** 2 * p / np.maximum(1 - p, 1e-12)
    return model.customers() * (Z.T * weight) @ Z


def misses(selection: Array, std_errors: Array) -> Array:
    """Distances from the probit text beyond its printed digit, in standard errors."""
    printed, half_width = model.printed_selection()
    gap = selection[1:] - printed
    return np.sign(gap) * np.maximum(np.abs(gap) - half_width, 0) / std_errors


def sample_truth(population: Population) -> Truth:
    """Population parameters with the selection coefficients that the exact sample is to estimate.

    Sampling error moves the ten coefficients anyway. Among the estimates inside the ellipsoid that
    holds `LIKELY` of all samples, these are nearest to the printed ones in standard errors.
    """
    truth = population.truth
    covariance = np.linalg.inv(information(population))
    root = np.linalg.cholesky(covariance)
    std_errors = np.sqrt(np.diag(covariance))[1:]
    radius2 = chi2.ppf(LIKELY, len(truth.selection))

    def distance(u: Array) -> tuple[float, Array]:
        miss = misses(truth.selection + root @ u, std_errors)
        return float(miss @ miss), 2 * (miss / std_errors) @ root[1:]

    found = minimize(
        distance,
        np.zeros(len(truth.selection)),
        jac=True,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda u: radius2 - u @ u, "jac": lambda u: -2 * u},
        options={"maxiter": 500},
    )
    return replace(truth, selection=truth.selection + root @ found.x)
