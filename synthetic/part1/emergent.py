"""Numbers that are not linear in the weights, steered through their derivatives.

Standard errors and the alternative models' estimates are smooth functions of the population. Near
a solution each is linear in the weights, so that it can stand among the constraints at a low
price; the linearisation is renewed in every round of :func:`synthetic.part1.population.build`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthetic.constraints import Rows, System
from synthetic.part1 import model
from synthetic.part1.model import (
    COLUMNS,
    OUTCOME_TERMS,
    REVENUE,
    SELECTION_TERMS,
    Truth,
    design,
    inverse_mills,
    with_model,
)
from synthetic.published import by_id

Array = NDArray[np.float64]

LARGEST_STEP = 0.4  # of a log standard error in one round


def log_standard_errors(full: Rows, weights: Array, truth: Truth) -> tuple[Array, Array]:
    """Log standard errors of the two-step estimates in samples of the published size.

    Parameters
    ----------
    full : mapping of str to ndarray, shape (n,)
        Rows as :func:`synthetic.part1.model.with_model` returns them.
    weights : ndarray, shape (n,)
    truth : Truth

    Returns
    -------
    value : ndarray, shape (16,)
        Intercept, outcome terms, lambda.
    slope : ndarray, shape (n, 16)
        Derivative with respect to each weight.

    References
    ----------
    W. H. Greene, "Sample selection bias as a specification error: comment", Econometrica 49
    (1981): the covariance differentiated here.
    """
    size, rho2 = model.customers(), truth.rho**2
    X = np.column_stack([design(full, OUTCOME_TERMS), full["mills"]])
    Z = design(full, SELECTION_TERMS)
    p, delta = full["probability"], full["delta"]
    k = full["mills"] ** 2 * p / np.maximum(1 - p, 1e-12)  # probit information of a row
    bought = size * weights * p
    A = (X.T * bought) @ X
    B = (X.T * (bought * delta)) @ X
    C = (X.T * (bought * delta)) @ Z
    V = np.linalg.inv((Z.T * (size * weights * k)) @ Z)
    P = np.linalg.inv(A)
    M = A - rho2 * B + rho2 * C @ V @ C.T
    variance = np.einsum("ij,jk,ki->i", P, M, P)
    a, b, c = X @ P, X @ (P @ M @ P), Z @ (V @ C.T @ P)
    slope = size * (
        p[:, None] * (a * (a - 2 * b) + rho2 * delta[:, None] * a * (2 * c - a))
        - rho2 * k[:, None] * c**2
    )
    return np.log(truth.sigma) + 0.5 * np.log(variance), slope / (2 * variance)


def short_probit(full: Rows, weights: Array, terms: Sequence[str], start: Array) -> Array:
    """Coefficients that a probit on fewer terms converges to in the population."""
    Z = design(full, terms)
    p = full["probability"]
    gamma = start
    for _ in range(60):
        index = Z @ gamma
        up, down = inverse_mills(index), inverse_mills(-index)
        score = (weights * (p * up - (1 - p) * down)) @ Z
        information = (Z.T * (weights * up * down)) @ Z
        step = np.linalg.solve(information, score)
        gamma = gamma + step / max(1.0, np.abs(Z @ step).max() / 2)
        if score @ step < 1e-18:
            break
    return gamma


def alternative(
    full: Rows, weights: Array, outcome: Sequence[str], selection: Sequence[str], printed: Array
) -> tuple[Array, Array]:
    """Distance of an alternative model's second step from given coefficients.

    Parameters
    ----------
    printed : ndarray, shape (k,)
        Intercept, outcome terms, lambda.

    Returns
    -------
    gap : ndarray, shape (k,)
        Second-step estimates in the population less `printed`, with lambda from the short probit.
    rows : ndarray, shape (n, k)
        weights @ rows = gap; linear in the weights as long as the short probit and the regressors'
        second moments stay.
    """
    Z = design(full, selection)
    start = np.zeros(Z.shape[1])
    start[0] = -1.4
    mills = inverse_mills(Z @ short_probit(full, weights, selection, start))
    X = np.column_stack([design(full, outcome), mills])
    p = full["probability"]
    A = (X.T * (weights * p)) @ X
    rows = np.linalg.solve(A, (X * (p * (full[REVENUE] - X @ printed))[:, None]).T).T
    return weights @ rows, rows


def steer(rows: Rows, weights: Array, truth: Truth, priority: float) -> System:
    """Demands on standard errors and alternative models, linearised at the given weights.

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
    weights : ndarray, shape (n,)
        Where to linearise; the demands move at most `LARGEST_STEP` from there.
    truth : Truth
    priority : float
        Nats per squared half-width: a tenth of a standard error, `WITHIN` printed standard errors
        of an alternative model's estimate.
    """
    number = by_id()
    full = with_model(rows, truth)
    values, targets, half_widths, ids = [], [], [], []
    log_se, slope = log_standard_errors(full, weights, truth)
    for j, term in enumerate((*OUTCOME_TERMS, "mills_lambda"), start=1):
        printed = number[f"t3.hypothesized.{term}.std_error"]
        step = np.clip(np.log(printed.value) - log_se[j], -LARGEST_STEP, LARGEST_STEP)
        values.append(slope[:, j])
        targets.append(weights @ slope[:, j] + step)
        half_widths.append(0.1)
        ids.append(printed.id)
    for name, (outcome, selection) in ALTERNATIVES.items():
        terms = ("intercept", *outcome, "mills_lambda")
        cells = [number.get(f"t3.{name}.{t}.estimate") for t in terms]
        printed = np.array([0.0 if cell is None else cell.value for cell in cells])
        gap, gap_rows = alternative(full, weights, outcome, selection, printed)
        for j, (term, cell) in enumerate(zip(terms, cells, strict=True)):
            if cell is None or term in ("intercept", *NOT_STEERED.get(name, ())):
                continue
            error = number[f"t3.{name}.{term}.std_error"].value
            values.append(gap_rows[:, j])
            targets.append(gap[j] - np.clip(gap[j], -3 * error, 3 * error))
            half_widths.append(WITHIN * error)
            ids.append(cell.id)
    return System(
        np.stack(values), np.array(targets), np.array(half_widths),
        np.full(len(ids), priority), ids,
    )  # fmt: skip


WITHIN = 0.3
ALTERNATIVES = {
    "main_effects": (COLUMNS, tuple(t for t in SELECTION_TERMS if ":" not in t)),
    "covariates": (COLUMNS[4:], COLUMNS[4:]),
}
# "978" for the related offer is a damaged cell; functionality would need other probit coefficients
NOT_STEERED = {"main_effects": ("cross_sell_related", "product_functionality")}
