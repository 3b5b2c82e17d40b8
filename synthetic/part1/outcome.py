"""Revenue: the two-step estimator's normal equations give the printed slopes back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthetic.part1 import model
from synthetic.part1.model import OUTCOME_TERMS, REVENUE, SELECTION_TERMS, Truth, design
from synthetic.published import by_id
from synthetic.sample import SampleError, round_rows

Array = NDArray[np.float64]

FLOOR = 3.0  # dollars; the smallest sale on the books
INSIDE = 0.8  # part of a printed digit's half-width that rounding to cents may use


def fit_probit(rows: Mapping[str, Array], bought: Array, start: Array) -> Array:
    """Probit coefficients by Newton's method (intercept first).

    Parameters
    ----------
    rows : mapping of str to ndarray, shape (n,)
    bought : ndarray of bool, shape (n,)
    start : ndarray, shape (11,)

    Returns
    -------
    ndarray, shape (11,)
    """
    Z = design(rows, SELECTION_TERMS)
    sign = np.where(bought, 1.0, -1.0)
    gamma = np.asarray(start, dtype=float)
    for _ in range(50):
        index = Z @ gamma
        mills = model.inverse_mills(sign * index)
        score = (sign * mills) @ Z
        information = (Z.T * (mills * (mills + sign * index))) @ Z
        step = np.linalg.solve(information, score)
        gamma = gamma + step
        if score @ step < 1e-20:
            return gamma
    raise SampleError("the probit of the calibrated sample did not converge: check its rows")


def noise(expected: Array, variance: Array, rng: np.random.Generator) -> Array:
    """Gamma noise that keeps revenue positive, with the given variance around its mean."""
    shape = expected**2 / variance
    return rng.gamma(shape, expected / shape) - expected


def conditional_variance(delta: Array, truth: Truth) -> Array:
    """Variance of buyers' revenue around its expectation, sigma^2 - beta_lambda^2 delta."""
    return truth.sigma**2 - truth.mills**2 * delta


def revenue(
    buyers: Mapping[str, Array], selection: Array, truth: Truth, rng: np.random.Generator
) -> Array:
    """Revenue in cents whose two-step estimates print as published.

    y = X b + b_lambda * lambda-hat + e, where lambda-hat comes from the probit of this very
    sample, e is orthogonal to every second-step regressor, and its length gives the printed SD.

    Parameters
    ----------
    buyers : mapping of str to ndarray, shape (n,)
    selection : ndarray, shape (11,)
        Probit estimates on the whole sample.
    truth : Truth
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)
        Dollars, whole cents, at least `FLOOR`.

    Raises
    ------
    SampleError
        Floor, length and orthogonality cannot hold together on these rows.
    """
    number = by_id()
    mean, sd = number[f"t2.mean.{REVENUE}"], number[f"t2.sd.{REVENUE}"]
    n = len(buyers["product_age"])
    index = design(buyers, SELECTION_TERMS) @ selection
    mills = model.inverse_mills(index)
    X = np.column_stack([design(buyers, OUTCOME_TERMS), mills])
    slopes = np.r_[truth.outcome[1:], truth.mills]
    expected = X[:, 1:] @ slopes
    expected += mean.value - expected.mean()
    left = sd.value**2 * (n - 1) - (expected - mean.value) @ (expected - mean.value)
    if left <= 0:
        raise SampleError("expected revenue varies more than revenue may: lower looks.buyers.sigma")
    Q = np.linalg.qr(X)[0]
    clear = lambda v: v - Q @ (Q.T @ v)
    scale = expected.clip(2 * FLOOR)
    e = clear(noise(scale, conditional_variance(mills * (mills + index), truth), rng))
    for _ in range(2000):
        e *= np.sqrt(left / (e @ e))
        if (expected + e).min() >= FLOOR:
            break
        e = clear(np.maximum(e, FLOOR + 0.5 - expected))
    else:
        raise SampleError(
            f"revenue stays below {FLOOR} dollars for {(expected + e < FLOOR).sum()} buyers: "
            "raise looks.buyers.expected_revenue's priority"
        )
    return _to_cents(expected + e, X)


def _to_cents(exact: Array, X: Array) -> Array:
    """Round to cents so that no printed digit of the second step, mean or SD changes."""
    number, n = by_id(), len(exact)
    ids = [f"t3.hypothesized.{t}.estimate" for t in (*OUTCOME_TERMS, "mills_lambda")]
    half = np.array([number[i].half_width for i in ids])
    estimator = np.linalg.solve(X.T @ X, X.T)[1:]
    down = np.floor(exact * 100) / 100
    start = estimator @ (down - exact)
    mean, sd = number[f"t2.mean.{REVENUE}"], number[f"t2.sd.{REVENUE}"]
    moment = np.vstack([np.ones(n) / n, (exact - exact.mean()) / ((n - 1) * sd.value)])
    effect = np.vstack([estimator, moment]) * 0.01
    begin = np.r_[start, moment @ (down - exact)]
    width = INSIDE * np.r_[half, mean.half_width, sd.half_width]
    up = round_rows((exact - down) * 100, effect, -width - begin, width - begin)
    return np.round(down + 0.01 * up, 2)
