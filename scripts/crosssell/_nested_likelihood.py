"""Data, quadrature and maximisation of the nested logit; :mod:`crosssell.nested_logit` uses it.

Inside, regressors are orthonormal and parameters are one vector ``theta`` (p + 2,): coefficients,
then the standard deviations of the inner and the outer level, zero for a level that is absent.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import linalg, optimize, sparse, special

from crosssell import _nested_kernels as kernels
from crosssell.errors import (
    ConvergenceError,
    CrossSellWarning,
    DataError,
    IdentificationWarning,
    MissingValuesError,
    SeparationError,
    SpecificationError,
)
from crosssell.estimation import check_rank

#: Nodes tried in turn for the inner effect.
INNER_NODES = (6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 130, 170)
#: And for the outer one: with K adaptive nodes the relative error falls with a group's size to the
#: power -floor((K + 2) / 3) (Jin and Andersson 2020), so these are the numbers that pay.
OUTER_NODES = (4, 7, 10, 13, 16, 22, 31)
#: Error of the log-likelihood that the automatic choice of nodes allows itself, in all.
NODE_TOLERANCE = 6e-7
#: Steps with few nodes, before their number is chosen.
ROUGH_ITERATIONS = 20
#: Newton's iterations end when the log-likelihood can rise by no more than half of this. The last
#: step is then taken on trust: what it misses is of the order of this to the power 3/2. Standard
#: errors come from the Hessian where that step began and miss a share of about its square root.
DECREMENT_TOLERANCE = 1e-8
#: A standard deviation (in logits) at which the fit is given up.
RUNAWAY = 50.0
#: Where the search for the Laplace approximation's spurious maximum starts (in logits).
_SPURIOUS_SD = 8.0
#: Error, as a share of the log-likelihood, at which a maximum of the approximation is spurious.
SPURIOUS_SHARE = 0.01
#: Step of the central differences of the Laplace gradient, in parameters of orthonormal regressors.
_DIFFERENCE = 1e-4


class LaplaceRunawayWarning(CrossSellWarning):
    """The Laplace approximation has a spurious maximum at a large standard deviation."""


# ------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Layout:
    """How rows are sorted: by outer group, then in batches of inner groups of one size."""

    names: tuple[str, ...]  # levels as given, outer first
    estimated: tuple[str, ...]  # those whose standard deviation is a parameter
    order: np.ndarray  # (n,) sorted row -> row as given
    group_of_row: np.ndarray  # (n,) of sorted rows
    outer_of_group: np.ndarray  # (C,)
    block: np.ndarray  # (D + 1,), (batches + 1,), (batches + 1,): see kernels.Rows
    group: np.ndarray
    row: np.ndarray
    first_row: dict[str, np.ndarray]  # of each level's sorted groups, among the rows as given

    @property
    def inner(self) -> str | None:
        """The estimated level closest to the rows: the kernels' inner one."""
        return self.estimated[-1] if self.estimated else None

    @property
    def outer(self) -> str | None:
        return self.estimated[0] if len(self.estimated) == 2 else None


def sort_rows(groups: pd.DataFrame) -> Layout:
    """Sort rows into groups, leaving out levels whose variance the data cannot tell."""
    n = len(groups)
    codes = [_codes(groups[name]) for name in groups]
    if len(codes) == 2:  # an inner label counts within its outer group
        codes[1] = pd.factorize(codes[0] * (codes[1].max() + 1) + codes[1])[0]
    counts = [code.max() + 1 for code in codes]
    kept = []
    for level, (name, count) in enumerate(zip(groups, counts, strict=True)):
        if count == 1:
            problem = f"All rows belong to one {name}"
        elif count == n:
            problem = f"Every row is a {name} of its own"
        elif level == 1 and count == counts[0]:
            problem = f"Every {groups.columns[0]} has a single {name}"
        else:
            kept.append(level)
            continue
        warnings.warn(
            IdentificationWarning(
                f"{problem}, so its variance cannot be estimated and is left out of the model."
            ),
            stacklevel=4,
        )
    # Without any level left, groups of one row serve: given no effects, rows are independent.
    inner = codes[kept[-1]] if kept else np.arange(n)
    size = np.bincount(inner)
    start = np.cumsum(size) - size
    by_group = np.argsort(inner, kind="stable")
    place = np.empty(n, dtype=np.int64)  # of a row within its inner group
    place[by_group] = np.arange(n) - start[inner[by_group]]
    outer = codes[kept[0]][by_group[start]] if len(kept) == 2 else np.zeros(size.size, np.int64)

    sorted_groups = np.argsort(outer * (size.max() + 1) + size, kind="stable")
    size, outer = size[sorted_groups], outer[sorted_groups]
    new = np.r_[True, (np.diff(outer) != 0) | (np.diff(size) != 0)] | (size > kernels.SMALL)
    first_of_run = np.flatnonzero(new)[np.cumsum(new) - 1]
    new |= (np.arange(size.size) - first_of_run) % kernels.BATCH == 0
    group = np.r_[np.flatnonzero(new), size.size]
    row = np.r_[0, np.cumsum(np.diff(group) * size[group[:-1]])]
    outer_of_batch = outer[group[:-1]]
    block = np.r_[0, np.flatnonzero(np.diff(outer_of_batch)) + 1, group.size - 1]

    rank = np.empty_like(sorted_groups)
    rank[sorted_groups] = np.arange(size.size)
    of_row = rank[inner]
    batch = (np.cumsum(new) - 1)[of_row]
    target = row[batch] + place * np.diff(group)[batch] + of_row - group[batch]
    order = np.empty(n, dtype=np.int64)
    order[target] = np.arange(n)

    names = [str(name) for name in groups]
    of_inner = by_group[start][sorted_groups]
    first_row = {names[level]: of_inner for level in kept[-1:]}
    first_row |= {names[level]: of_inner[group[block[:-1]]] for level in kept[:-1]}
    return Layout(
        names=tuple(names),
        estimated=tuple(names[level] for level in kept),
        order=order,
        group_of_row=of_row[order],
        outer_of_group=np.cumsum(np.r_[0, np.diff(outer) != 0]),
        block=block,
        group=group,
        row=row,
        first_row=first_row,
    )


def _codes(labels: pd.Series) -> np.ndarray:
    """Return labels as whole numbers 0..G-1 (n,); missing labels are refused."""
    codes = pd.factorize(labels)[0]
    missing = int((codes < 0).sum())
    if missing:
        raise MissingValuesError(
            f"{labels.name} is missing in {missing} rows.", "Drop those rows.", [str(labels.name)]
        )
    return codes.astype(np.int64, copy=False)


def groups_frame(groups: object, n: int) -> pd.DataFrame:
    """Return grouping variables, outer first, as a frame of one or two columns."""
    if isinstance(groups, pd.DataFrame):
        frame = groups
    elif isinstance(groups, pd.Series):
        frame = groups.to_frame(groups.name if groups.name is not None else "group")
    else:
        array = np.asarray(groups)
        columns = [array] if array.ndim == 1 else list(array if len(array) <= 2 else array.T)
        names = ["group"] if len(columns) == 1 else ["outer", "inner", *map(str, columns[2:])]
        frame = pd.DataFrame(dict(zip(names, columns, strict=False)))
    if not 1 <= frame.shape[1] <= 2:
        raise SpecificationError(
            f"{frame.shape[1]} grouping variables are given.",
            "Give one, or two with the outer level first.",
        )
    if len(frame) != n:
        raise DataError(f"groups has {len(frame)} rows for {n} outcomes.", "Pass one per row.")
    return frame.reset_index(drop=True)


# ---------------------------------------------------------------------------------- quadrature


def hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (count,) of the standard normal."""
    z, weight = np.polynomial.hermite_e.hermegauss(count)
    return z, weight / weight.sum()


@dataclass(frozen=True)
class _Centres:
    """Where the integrand of each outer (D,) and inner group (C,) is large, on the normal scale."""

    outer: np.ndarray
    outer_scale: np.ndarray
    inner: np.ndarray
    inner_scale: np.ndarray

    def nodes(self, outer: int | np.ndarray, inner: int) -> kernels.Nodes:
        """Nodes around the centres: `outer` per outer group (D,), `inner` per inner group."""
        D = self.outer.size
        count = np.broadcast_to(outer, (D,)).astype(np.int64)
        v, log_weight = np.zeros((2, D, count.max()))
        for k in np.unique(count):
            z, weight = hermite(k)
            of = count == k
            v[of, :k] = self.outer[of, None] + self.outer_scale[of, None] * z
            log_weight[of, :k] = np.log(weight * self.outer_scale[of, None]) + 0.5 * (
                z**2 - v[of, :k] ** 2
            )
        return kernels.Nodes(count, v, log_weight, *hermite(inner), self.inner, self.inner_scale)


def _centres(
    rows: kernels.Rows,
    inner_sd: float,
    outer_sd: float,
    start: _Centres | None = None,
) -> _Centres:
    """Find the modes and curvatures around which to place nodes."""
    C, D = rows.weight.size, rows.block.size - 1
    v = np.zeros(D) if start is None else start.outer.copy()
    u, u_scale = np.zeros(C), np.ones(C)
    if outer_sd == 0:
        if inner_sd > 0:
            kernels.inner_modes(rows, np.zeros(D), inner_sd, u, u_scale)
        return _Centres(np.zeros(D), np.ones(D), u, u_scale)
    slope, curve = np.empty((2, D))
    # The outer effect's log posterior is concave (an integral of log-concave functions is
    # log-concave), so that Newton's iterations, two logits at a time, cannot stray.
    for _ in range(50):
        if inner_sd > 0:
            kernels.inner_modes(rows, outer_sd * v, inner_sd, u, u_scale)
        nodes = _Centres(v, np.ones(D), u, u_scale).nodes(1, INNER_NODES[0] if inner_sd > 0 else 1)
        kernels.outer_derivatives(rows, nodes, outer_sd * v, inner_sd, slope, curve)
        precision = np.maximum(1 - outer_sd**2 * curve, 1.0)
        step = np.clip((outer_sd * slope - v) / precision, -2 / outer_sd, 2 / outer_sd)
        v = v + step
        if np.all(np.abs(step) * np.sqrt(precision) < 0.05):
            break
    return _Centres(v, 1 / np.sqrt(precision), u, u_scale)


def _choose_nodes(
    rows: kernels.Rows, centres: _Centres, inner_sd: float, outer_sd: float
) -> tuple[np.ndarray, int, float]:
    """Choose the fewest nodes that keep the log-likelihood within `NODE_TOLERANCE`.

    Returns
    -------
    outer : ndarray, shape (D,)
    inner : int
    error : float
        Estimated error of the log-likelihood: its change at the next larger number of nodes.
    """
    D = rows.block.size - 1

    def values(outer: int | np.ndarray, inner: int) -> np.ndarray:
        return kernels.marginal(rows, centres.nodes(outer, inner), inner_sd, outer_sd, 0)[0]

    inner, inner_error = 1, 0.0
    if inner_sd > 0:
        # Fewer than 12 per logit have never been enough.
        tried = [count for count in INNER_NODES if count > min(12 * inner_sd, 48)]
        previous = values(1, tried[0])
        for inner, more in pairwise(tried):  # noqa: B007 - the last one is kept
            current = values(1, more)
            inner_error = np.abs(current - previous).sum()
            if inner_error < 0.3 * NODE_TOLERANCE:
                break
            previous = current
    outer, outer_error = np.ones(D, dtype=np.int64), np.zeros(D)
    if outer_sd > 0:
        # What the outer nodes miss depends little on the inner ones.
        coarse = min(inner, max(INNER_NODES[0], inner // 3))
        size = np.diff(rows.row[rows.block])
        budget = 0.7 * NODE_TOLERANCE
        previous = values(OUTER_NODES[0], coarse)
        undecided = np.ones(D, dtype=bool)
        for fewer, more in pairwise(OUTER_NODES):
            outer[undecided] = fewer
            current = values(np.where(undecided, more, 1), coarse)
            outer_error[undecided] = np.abs(current - previous)[undecided]
            # A node costs most in large groups: they are the first to spend the error allowed.
            turn = np.flatnonzero(undecided)
            turn = turn[np.argsort(outer_error[turn] / size[turn])]
            enough = np.cumsum(outer_error[turn]) <= budget / 2
            budget -= outer_error[turn[enough]].sum()
            undecided[turn[enough]] = False
            if not undecided.any():
                break
            previous = current
    return outer, inner, float(inner_error + outer_error.sum())


def orthonormaliser(exog: pd.DataFrame) -> np.ndarray:
    """Return upper triangular R (p, p) such that the columns of exog / R are orthonormal.

    Raises
    ------
    NoVariationError, CollinearityError
    """
    X = exog.to_numpy()
    gram = X.T @ X / len(X)
    length = np.sqrt(np.diagonal(gram))
    if length.all() and len(X) >= len(gram):
        cosines = gram / np.outer(length, length)
        # The Gram matrix has half the digits of the columns, enough unless they are nearly
        # collinear.
        if linalg.eigvalsh(cosines, subset_by_index=[0, 0])[0] > 1e-6:
            return linalg.cholesky(cosines) * length
    return check_rank(exog, "the regressors") / np.sqrt(len(X))


@dataclass(frozen=True)
class Point:
    """The log-likelihood and its derivatives at one parameter vector."""

    theta: np.ndarray  # (p + 2,) orthonormalised coefficients, inner and outer sd
    value: float
    score: np.ndarray  # (p + 2,)
    hessian: np.ndarray | None  # (p + 2, p + 2)


class Likelihood:
    """Sorted data with orthonormal regressors: what every method of estimation works on."""

    def __init__(self, X: np.ndarray, sign: np.ndarray, weight: np.ndarray, layout: Layout):
        self.X, self.sign, self.weight, self.layout = X, sign, weight, layout
        self.p = X.shape[1]
        self._last: tuple[np.ndarray, kernels.Rows] | None = None
        self.row_weight = weight[layout.group_of_row]
        inner, outer = layout.inner is not None, layout.outer is not None
        self.free = np.r_[np.arange(self.p), [self.p] * inner, [self.p + 1] * outer].astype(int)

    def rows(self, theta: np.ndarray) -> kernels.Rows:
        """The data with the ratios of these coefficients; the last ones are remembered."""
        beta = theta[: self.p]
        if self._last is None or not np.array_equal(self._last[0], beta):
            with np.errstate(over="ignore"):  # a step too far, which is halved
                ratio = np.exp(-self.sign * (self.X @ beta))
            layout = self.layout
            rows = kernels.Rows(
                self.X, self.sign, ratio, self.weight, layout.block, layout.group, layout.row
            )
            self._last = beta.copy(), rows
        return self._last[1]

    def centres(self, theta: np.ndarray, start: _Centres | None = None) -> _Centres:
        return _centres(self.rows(theta), *theta[self.p :], start)

    def evaluate(self, theta: np.ndarray, nodes: kernels.Nodes, order: int) -> Point:
        """Quadrature log-likelihood with `order` derivatives."""
        rows, p = self.rows(theta), self.p
        value, by_row, hessian = kernels.marginal(rows, nodes, *theta[p:], order)
        if order == 0:
            return Point(theta, float(value.sum()), np.empty(0), None)
        score = np.r_[self.X.T @ by_row[0], by_row[1:].sum(axis=1)]
        upper = np.triu(hessian) if order == 2 else None
        full = None if upper is None else upper + np.triu(upper, 1).T
        return Point(theta, float(value.sum()), score, full)

    def at(self, theta: np.ndarray, nodes: tuple[int, int] | None = None, order: int = 0) -> Point:
        """Quadrature log-likelihood with nodes placed for these parameters."""
        return self.evaluate(theta, self.nodes(theta, nodes), order)

    def nodes(self, theta: np.ndarray, pair: tuple[int, int] | None) -> kernels.Nodes:
        """Return (outer, inner) nodes, or as many as accuracy needs."""
        centres = self.centres(theta)
        inner_sd, outer_sd = theta[self.p :]
        if pair is None:
            outer, inner, _ = _choose_nodes(self.rows(theta), centres, inner_sd, outer_sd)
        else:
            outer, inner = (pair[0] if outer_sd > 0 else 1), (pair[1] if inner_sd > 0 else 1)
        return centres.nodes(outer, inner)

    def scores_by_row(self, theta: np.ndarray, nodes: kernels.Nodes) -> np.ndarray:
        """Posterior means (3, n) of r, u r and v r, weighted."""
        return kernels.marginal(self.rows(theta), nodes, *theta[self.p :], 1)[1]

    def start(self) -> np.ndarray:
        """Ordinary logit, and standard deviations from its residuals within groups.

        To first order two residuals of a group have covariance sd^2 W W' with W = p (1 - p), and an
        outer group's sum of residuals over its sum of W is its effect, with error variance 1 / W.
        """
        beta = self.logit()
        eta = self.X @ beta
        prob = special.expit(eta)
        resid = (self.sign + 1) / 2 - prob
        W = prob * (1 - prob)
        layout, times = self.layout, self.weight
        r1, w1 = np.bincount(layout.group_of_row, resid), np.bincount(layout.group_of_row, W)
        products = times @ r1**2 - self.row_weight @ resid**2
        squares = times @ w1**2 - self.row_weight @ W**2
        inner = products / squares if squares > 0 else 0.0
        outer = 0.0
        if layout.outer is not None:
            r2 = np.bincount(layout.outer_of_group, times * r1)
            w2 = np.bincount(layout.outer_of_group, times * w1)
            # In a group of few expected purchases that error is nothing like normal.
            telling = w2 > 2
            if telling.sum() > 2:
                outer = _between_variance(r2[telling] / w2[telling], 1 / w2[telling])
            else:
                outer = (r2 @ r2 - times @ r1**2) / (w2 @ w2 - times @ w1**2)
        sd = np.sqrt(np.clip([inner - outer, outer], [0.2**2, 0.05**2], 2.0**2))
        # The constant that keeps the mean of a thousand rows' probabilities, averaged over effects.
        sample, (z, weight) = eta[:: -(-eta.size // 1000)], hermite(15)
        shift = 0.0
        for _ in range(5):
            given = special.expit(sample[:, None] + shift + np.hypot(*sd) * z)
            missing = special.expit(sample).mean() - (given @ weight).mean()
            shift += missing / ((given * (1 - given)) @ weight).mean()
        theta = np.r_[beta + shift * self.X.mean(axis=0), sd]
        theta[np.setdiff1d(np.arange(self.p, self.p + 2), self.free)] = 0
        return theta

    def logit(self) -> np.ndarray:
        """Coefficients (p,) of the ordinary logit, by Newton's method.

        They serve as a start, so a few digits are enough.
        """
        y = (self.sign + 1) / 2
        # The regressors are orthonormal: this is the projection of a constant index.
        beta = special.logit(y.mean()) * self.X.mean(axis=0)
        if y.size > 20_000:
            part = slice(None, None, 8)
            rough, separated = _logit(beta, self.X[part], y[part], self.row_weight[part])
            beta = beta if separated else rough
        beta, separated = _logit(beta, self.X, y, self.row_weight)
        if separated:
            raise SeparationError(
                "The ordinary logit has no maximum: some combination of columns predicts the "
                "outcome perfectly.",
                "Drop the column that does, or merge its categories.",
            )
        return beta


def _logit(
    beta: np.ndarray, X: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Improve the coefficients (p,) of an ordinary logit; say whether they run away instead."""
    eta = X @ beta
    llf = weight @ (y * eta - np.logaddexp(0, eta))
    for _ in range(30):
        prob = special.expit(eta)
        score = X.T @ ((y - prob) * weight)
        try:
            information = X.T @ ((prob * (1 - prob) * weight)[:, None] * X)
            step = linalg.solve(information, score, assume_a="pos")
        except linalg.LinAlgError:
            break
        # Under separation the likelihood flattens but the steps keep their length.
        decrement, reach = score @ step, np.abs(X @ step).max()
        if decrement < 1e-2 and reach < 0.5:
            return beta + step, False
        # Far from the maximum a full step may overshoot, outliers in X make it likely: halve it.
        for _ in range(20):
            eta = X @ (beta + step)
            new = weight @ (y * eta - np.logaddexp(0, eta))
            if new >= llf:
                break
            step = step / 2
        beta, llf = beta + step, new
    return beta, True


def _between_variance(effect: np.ndarray, error: np.ndarray) -> float:
    """Variance of true effects, given estimates (D,) and error variances: Paule and Mandel's."""
    variance = 0.0
    for _ in range(20):
        weight = 1 / (variance + error)
        mean = weight @ effect / weight.sum()
        square = (effect - mean) ** 2
        excess = weight @ square - (effect.size - 1)
        variance = max(variance + excess / (weight**2 @ square), 0.0)
    return float(variance)


def _step(point: Point, free: np.ndarray, longest: float) -> tuple[np.ndarray, float]:
    """Newton step (p + 2,) and decrement; uphill where the likelihood is not concave."""
    eigenvalues, vectors = linalg.eigh(-point.hessian[np.ix_(free, free)])
    floor = 1e-8 * np.abs(eigenvalues).max()
    along = vectors.T @ point.score[free] / np.maximum(np.abs(eigenvalues), floor)
    step = np.zeros_like(point.theta)
    step[free] = vectors @ along
    longest *= max(1.0, point.theta[-2:].max())
    step /= max(1.0, np.abs(step[-2:]).max() / longest)
    return step, float(step @ point.score)


def _moved(theta: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return theta + step; the likelihood is even in the standard deviations, so reflect them."""
    new = theta + step
    new[-2:] = np.abs(new[-2:])
    return new


def _newton(
    evaluate: Callable[[np.ndarray, int], Point],
    theta: np.ndarray,
    free: np.ndarray,
    *,
    tolerance: float,
    slack: float,
    max_iter: int,
    hessian: np.ndarray | None = None,
    longest: float = 1.0,
    start_only: bool = False,
) -> tuple[Point, int]:
    """Maximise by Newton's method with step halving.

    Parameters
    ----------
    evaluate : callable
        Of a parameter vector and a number of derivatives.
    theta : ndarray, shape (p + 2,)
    free : ndarray of int
        Positions of the parameters to move.
    tolerance : float
        Ends when the Newton decrement (twice the expected rise) is smaller.
    slack : float
        Fall of the log-likelihood that counts as rounding.
    max_iter : int
    hessian : ndarray, shape (p + 2, p + 2), optional
        A nearby Hessian: it serves as long as it brings the decrement down tenfold, since a score
        costs a third of a Hessian.
    longest : float
        Largest step of a standard deviation, in logits; from one logit on as a share of the larger.
    start_only : bool
        The point is but a start for another search: it need not be a maximum.

    Returns
    -------
    point : Point
        With the Hessian where the last step began.
    iterations : int

    Raises
    ------
    ConvergenceError
    """
    chord = hessian is not None
    point = evaluate(theta, 1 if chord else 2)
    if not np.isfinite(point.value):
        raise ConvergenceError(
            "The log-likelihood is not finite at the starting values.", "Give other start_params."
        )
    exact = not chord
    previous = np.inf
    for iteration in range(max_iter):
        point = point if exact else replace(point, hessian=hessian)
        step, decrement = _step(point, free, longest)
        if decrement < tolerance:
            if not exact:
                point = evaluate(point.theta, 2)
                step, decrement = _step(point, free, longest)
            moved = _moved(point.theta, step)
            return replace(point, theta=moved, value=point.value + decrement / 2), iteration
        nearly_there = decrement < 1e-3
        exact = not chord or nearly_there or decrement > 0.1 * previous
        for halving in range(30):
            new = evaluate(_moved(point.theta, step / 2**halving), 2 if exact else 1)
            if new.value > point.value - slack:
                break
        else:
            if start_only:
                return point, iteration
            raise ConvergenceError(
                f"No step from log-likelihood {point.value:.6f} raises it (iteration {iteration}).",
                "Look at the summary of an ordinary logit for nearly collinear columns, or give "
                "start_params.",
            )
        point, previous = new, decrement
        hessian = point.hessian if exact else hessian
        if point.theta[-2:].max() > RUNAWAY:
            raise ConvergenceError(
                f"A standard deviation has passed {RUNAWAY:g} logits: the outcome hardly varies "
                "within groups.",
                "Leave that level out, or condition on the groups whose outcome varies.",
            )
    if start_only:
        return point, max_iter
    raise ConvergenceError(
        f"The log-likelihood still rises after {max_iter} iterations.",
        "Give start_params from a simpler model, or raise max_iter.",
    )


def fit_quadrature(
    like: Likelihood,
    theta: np.ndarray,
    free: np.ndarray,
    nodes: tuple[int, int] | None,
    max_iter: int,
) -> tuple[Point, int, dict[str, object]]:
    """Maximise the quadrature likelihood: few nodes first, then as many as accuracy needs."""
    has_inner, has_outer = like.p in free, like.p + 1 in free
    centres: _Centres | None = None

    def recentred(outer: int | np.ndarray, inner: int) -> Callable[[np.ndarray, int], Point]:
        def evaluate(theta: np.ndarray, order: int) -> Point:
            nonlocal centres
            centres = like.centres(theta, centres)
            return like.evaluate(theta, centres.nodes(outer, inner), order)

        return evaluate

    sd = theta[like.p]
    rough = (
        OUTER_NODES[0] if has_outer else 1,
        1 if not has_inner else INNER_NODES[0] if sd < 1 else 16 if sd < 2 else 32,
    )
    # With so few nodes the value moves by hundredths when the nodes are centred anew, and with few
    # large outer groups its slope need not be that of the likelihood.
    point, rough_iterations = _newton(
        recentred(*rough),
        theta,
        free,
        tolerance=1e-2,
        slack=5e-2,
        max_iter=ROUGH_ITERATIONS,
        start_only=True,
    )
    theta = point.theta
    centres = like.centres(theta, centres)
    error = np.nan
    if nodes is None:
        outer, inner, error = _choose_nodes(like.rows(theta), centres, *theta[like.p :])
    else:
        outer, inner = (nodes[0] if has_outer else 1), (nodes[1] if has_inner else 1)
    total, more = rough_iterations, 1
    while True:
        try:
            point, iterations = _newton(
                recentred(more * outer, more * inner if has_inner else inner),
                theta,
                free,
                tolerance=DECREMENT_TOLERANCE,
                slack=2 * NODE_TOLERANCE,
                max_iter=max_iter,
                hessian=point.hessian,
            )
        except ConvergenceError:
            # The standard deviations grew past what the nodes were chosen for.
            if nodes is not None or more == 4:
                raise
            more *= 2
            continue
        total += iterations
        outer, inner = more * outer, more * inner if has_inner else inner
        if nodes is not None:
            break
        # The search may have led to where accuracy needs more of them.
        theta, more = point.theta, 1
        centres = like.centres(theta, centres)
        outer_end, inner_end, error = _choose_nodes(like.rows(theta), centres, *theta[like.p :])
        if np.all(outer_end <= outer) and inner_end <= inner:
            break
        outer, inner = np.maximum(outer, outer_end), max(inner, inner_end)
    details = {
        "outer_nodes": int(np.max(outer)),
        "inner_nodes": int(inner),
        "quadrature_error": error,
    }
    return point, total, details


# ------------------------------------------------------------------- the approximations of the era


def _laplace_point(
    like: Likelihood, theta: np.ndarray, modes: tuple[np.ndarray, np.ndarray], order: int
) -> Point:
    """Laplace log-likelihood and gradient; its Hessian by central differences of the gradient.

    ``modes`` holds the start of the outer and inner effects and receives their modes.
    """
    rows, p = like.rows(theta), like.p
    value, by_row, slopes, _, _ = kernels.laplace(rows, *theta[p:], *modes)
    score = np.r_[like.X.T @ by_row, slopes]
    if order < 2:
        return Point(theta, value, score, None)
    hessian = np.zeros((p + 2, p + 2))
    for j in like.free[theta[like.free] != 0]:
        ends = []
        for side in (-1, 1):
            moved = theta.copy()
            moved[j] += side * _DIFFERENCE
            ends.append(_laplace_point(like, moved, (modes[0].copy(), modes[1].copy()), 1).score)
        hessian[j] = (ends[1] - ends[0]) / (2 * _DIFFERENCE)
    return Point(theta, value, score, (hessian + hessian.T) / 2)


def _maximise_laplace(
    like: Likelihood, theta: np.ndarray, free: np.ndarray, max_iter: int, longest: float
) -> tuple[Point, int]:
    """Maximise the Laplace approximation from one start."""
    modes = np.zeros(like.layout.block.size - 1), np.zeros(like.weight.size)
    return _newton(
        lambda theta, order: _laplace_point(like, theta, modes, order),
        theta,
        free,
        tolerance=1e-9,
        slack=1e-13 * like.sign.size,
        max_iter=max_iter,
        longest=longest,
    )


def fit_laplace(
    like: Likelihood, theta: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[Point, int, dict[str, object]]:
    """Maximise the Laplace approximation, and look for its spurious maximum at a large inner sd.

    With few rows per group and a rare outcome the integrand is nothing like a normal curve once the
    standard deviation is large, and the approximation rises where the likelihood falls. Which of
    its maxima software reports depends on where it starts, and there may be no other one.
    """
    p = like.p
    near = theta.copy()
    near[p:] = np.minimum(near[p:], 0.5)
    # Short steps, so as to stop at the first maximum on the way up, however far out it is.
    point, iterations = _maximise_laplace(like, near, free, max_iter, 0.1)
    candidates = [point]
    if p in free:
        far = point.theta.copy()
        far[p] = _SPURIOUS_SD
        far[:p] *= np.sqrt((1 + 0.346 * far[p] ** 2) / (1 + 0.346 * point.theta[p] ** 2))
        with contextlib.suppress(ConvergenceError):  # there need not be anything far out
            candidates.append(_maximise_laplace(like, far, free, max_iter, 1.0)[0])
    details: dict[str, object] = {"runaway": None}
    for candidate in candidates:
        exact = like.at(candidate.theta, (10, 40)).value
        if abs(candidate.value - exact) < SPURIOUS_SHARE * abs(exact):
            continue
        reported = candidate is point
        sd = float(candidate.theta[p])
        details["runaway"] = {
            "sd": sd,
            "llf": candidate.value,
            "quadrature_llf": exact,
            "reported": reported,
        }
        outcome = (
            "No other maximum was found: these estimates are worthless."
            if reported
            else f"The estimates are those of the first maximum ({point.value:.2f}), but software "
            "that starts elsewhere may report the second as converged."
        )
        warnings.warn(
            LaplaceRunawayWarning(
                f"The Laplace approximation has a spurious maximum at a standard deviation of "
                f"{sd:.2f} for {like.layout.inner}: it puts the log-likelihood at "
                f"{candidate.value:.2f}, quadrature at {exact:.2f}. {outcome} Use quadrature."
            ),
            stacklevel=4,
        )
        break
    return point, iterations, details


def fit_pql(
    like: Likelihood, theta: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[Point, int, dict[str, object]]:
    """Fit by penalised quasi-likelihood (Breslow and Clayton 1993).

    A linear mixed model of the outcome linearised around the fitted effects, its variances
    estimated by maximum likelihood, until both agree. At given variances the mixed model's solution
    is a Newton step of the penalised likelihood: it is halved until that rises, without which
    outlying regressors and a rare outcome throw the fitted effects far off.
    """
    layout, p, times = like.layout, like.p, like.weight
    C, n = times.size, like.sign.size
    sums = sparse.csr_matrix((np.ones(n), (layout.group_of_row, np.arange(n))), (C, n))
    outers = sparse.csr_matrix((times, (layout.outer_of_group, np.arange(C))))
    sds = np.flatnonzero(np.isin([p, p + 1], free))
    sd = theta[p:].copy()
    effects = np.r_[theta[:p], np.zeros(C + outers.shape[0])]  # coefficients, inner, outer effects

    def index(effects: np.ndarray) -> np.ndarray:
        beta, u, v = np.split(effects, [p, p + C])
        return like.X @ beta + (u + v[layout.outer_of_group])[layout.group_of_row]

    def penalised(effects: np.ndarray, sd: np.ndarray) -> float:
        _, u, v = np.split(effects, [p, p + C])
        penalty = sum(
            (weight * effect**2).sum() / (2 * spread**2)
            for weight, effect, spread in ((times, u, sd[0]), (1.0, v, sd[1]))
            if spread > 0
        )
        return -like.row_weight @ np.logaddexp(0, -like.sign * index(effects)) - penalty

    eta = index(effects)
    iteration, change = 0, np.inf
    while change > 1e-5:
        iteration += 1
        if iteration > max_iter:
            raise ConvergenceError(
                f"PQL still moves after {max_iter} iterations.",
                "Raise max_iter, or use quadrature.",
            )
        W = special.expit(eta) * special.expit(-eta)
        if not W.min() > 1e-300:
            raise ConvergenceError(
                f"PQL's linearisation breaks down: {np.sum(W <= 1e-300)} fitted probabilities "
                "have reached 0 or 1.",
                "Look for outlying values of the regressors, or use quadrature.",
            )
        # (y - p) / W without the cancellation of 1 - p
        Z = np.column_stack([like.X, eta + like.sign / special.expit(like.sign * eta)])
        WZ = W[:, None] * Z
        by_group, w_group = sums @ WZ, sums @ W
        cross = (WZ * like.row_weight[:, None]).T @ Z

        def mixed(
            values: np.ndarray, cross: np.ndarray = cross, by_group: np.ndarray = by_group,
            w_group: np.ndarray = w_group,
        ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
            """Minus log-likelihood, Z' V^-1 Z, and what is left of sums after the inner effect."""
            inner, outer = values**2
            left = by_group / (1 + inner * w_group)[:, None]
            by_outer, w_outer = outers @ left, outers @ (w_group / (1 + inner * w_group))
            moments = cross - inner * (times[:, None] * by_group).T @ left
            moments -= outer * by_outer.T @ (by_outer / (1 + outer * w_outer)[:, None])
            rest = moments[p, p] - moments[p, :p] @ linalg.solve(
                moments[:p, :p], moments[:p, p], assume_a="pos"
            )
            logs = times @ np.log1p(inner * w_group) + np.log1p(outer * w_outer).sum()
            return (logs + rest) / 2, moments, by_outer, w_outer

        def objective(variances: np.ndarray, at: np.ndarray = sd) -> float:
            full = at.copy()
            full[sds] = np.sqrt(variances)
            return mixed(full)[0]

        if sds.size:  # both may be zero, and nothing is left to search for
            # In variances: in standard deviations the slope at zero vanishes, and zero is a trap.
            found = optimize.minimize(
                objective,
                sd[sds] ** 2,
                method="L-BFGS-B",
                bounds=[(0, RUNAWAY**2)] * sds.size,
                options={"ftol": 1e-14, "gtol": 1e-6},
            )
            sd[sds] = np.sqrt(found.x)
        _, moments, by_outer, w_outer = mixed(sd)
        beta = linalg.solve(moments[:p, :p], moments[:p, p], assume_a="pos")
        residual = np.r_[-beta, 1.0]
        v = sd[1] ** 2 * (by_outer @ residual) / (1 + sd[1] ** 2 * w_outer)
        given = by_group @ residual - w_group * v[layout.outer_of_group]
        u = sd[0] ** 2 * given / (1 + sd[0] ** 2 * w_group)
        # an effect whose variance has become zero goes at once
        effects *= np.repeat([1.0, sd[0] > 0, sd[1] > 0], [p, C, v.size])
        step = np.r_[beta, u, v] - effects
        change = np.abs(index(effects + step) - eta).max()
        before = penalised(effects, sd)
        while penalised(effects + step, sd) < before - 1e-9 * abs(before):  # rounding
            step /= 2
        effects += step
        eta = index(effects)
    hessian = np.zeros((p + 2, p + 2))
    hessian[:p, :p] = -moments[:p, :p]
    steps = 1e-3 * np.eye(2)
    for a in sds:
        for e in sds:
            corners = [mixed(np.abs(sd + i * steps[a] + j * steps[e]))[0] * i * j
                       for i in (-1, 1) for j in (-1, 1)]  # fmt: skip
            hessian[p + a, p + e] = -sum(corners) / 4e-6
    return Point(np.r_[beta, sd], np.nan, np.zeros(p + 2), hessian), iteration, {}
