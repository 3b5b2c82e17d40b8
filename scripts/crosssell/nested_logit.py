r"""Random-intercept logit for rows nested in inner groups nested in outer groups.

.. math:: P(y_{ijk} = 1) = \Lambda(x_{ijk}'\beta + \sigma_1 u_{jk} + \sigma_2 v_k), \quad
          u, v \sim N(0, 1)

for encounter i of customer j in country k. The likelihood is integrated by Gauss-Hermite quadrature
nested as the data are: given the outer effect, inner groups are independent, so the integral over
all effects is a product of two-dimensional ones whatever the number of groups.

`method="laplace"` and `method="pql"` are what the software of the era offered, for comparison.

References
----------
Rabe-Hesketh, S., Skrondal, A., Pickles, A. (2005), Maximum likelihood estimation of limited and
discrete dependent variable models with nested random effects, Journal of Econometrics 128.
Jin, S., Andersson, B. (2020), A note on the accuracy of adaptive Gauss-Hermite quadrature,
Biometrika 107.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import linalg, special, stats

from crosssell import _nested_kernels as kernels
from crosssell.errors import (
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    IdentificationWarning,
    SeparationError,
    SpecificationError,
)
from crosssell.estimation import (
    Estimates,
    as_frame,
    check_binary,
    check_finite,
    check_rank,
    formula_frames,
    group_codes,
)

#: Nodes tried in turn for the inner effect.
INNER_NODES = (6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100)
#: And for the outer one: with K adaptive nodes the relative error falls with a group's size to the
#: power -floor((K + 2) / 3) (Jin and Andersson 2020), so these are the numbers that pay.
OUTER_NODES = (4, 7, 10, 13, 16, 22, 31)
#: Error of the log-likelihood that the automatic choice of nodes allows itself, in all.
NODE_TOLERANCE = 5e-7
#: Newton's iterations end when the log-likelihood can rise by no more than half of this. The last
#: step is then taken on trust: what it misses is of the order of this to the power 3/2.
DECREMENT_TOLERANCE = 1e-7
#: Below this standard deviation (in logits) zero is tried, and kept if the likelihood is as high.
BOUNDARY = 1e-2
#: A standard deviation (in logits) at which the fit is given up.
RUNAWAY = 50.0


# ------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class _Layout:
    """How rows are sorted: by outer group, then in batches of inner groups of one size."""

    names: tuple[str, ...]  # levels as given, outer first
    estimated: tuple[str, ...]  # those whose standard deviation is a parameter
    order: np.ndarray  # (n,) sorted row -> row as given
    group_of_row: np.ndarray  # (n,) of sorted rows
    outer_of_group: np.ndarray  # (C,)
    block: np.ndarray  # (D + 1,), (batches + 1,), (batches + 1,): see kernels.Rows
    group: np.ndarray
    row: np.ndarray
    labels: dict[str, pd.Index]  # of each level's groups, in sorted order

    @property
    def inner(self) -> str | None:
        """The estimated level closest to the rows: the kernels' inner one."""
        return self.estimated[-1] if self.estimated else None

    @property
    def outer(self) -> str | None:
        return self.estimated[0] if len(self.estimated) == 2 else None


def _sort(groups: pd.DataFrame) -> _Layout:
    """Sort rows into groups, leaving out levels whose variance the data cannot tell."""
    n = len(groups)
    codes = [group_codes(groups[name], n, name) for name in groups]
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
    labels = {}
    first_row = by_group[start][sorted_groups]
    for level in kept:
        rows = first_row if level == kept[-1] else first_row[group[block[:-1]]]
        labels[names[level]] = (
            pd.MultiIndex.from_frame(groups.iloc[rows]) if level else pd.Index(groups.iloc[rows, 0])
        )
    return _Layout(
        names=tuple(names),
        estimated=tuple(names[level] for level in kept),
        order=order,
        group_of_row=of_row[order],
        outer_of_group=np.cumsum(np.r_[0, np.diff(outer) != 0]),
        block=block,
        group=group,
        row=row,
        labels=labels,
    )


def _groups_frame(groups: object, n: int) -> pd.DataFrame:
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


def _hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
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
            z, weight = _hermite(k)
            of = count == k
            v[of, :k] = self.outer[of, None] + self.outer_scale[of, None] * z
            log_weight[of, :k] = np.log(weight * self.outer_scale[of, None]) + 0.5 * (
                z**2 - v[of, :k] ** 2
            )
        return kernels.Nodes(count, v, log_weight, *_hermite(inner), self.inner, self.inner_scale)


def _centres(
    rows: kernels.Rows,
    inner_sd: float,
    outer_sd: float,
    start: _Centres | None = None,
    sweeps: int = 50,
) -> _Centres:
    """Find the modes and curvatures around which to place nodes, in at most `sweeps` steps."""
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
    for _ in range(sweeps):
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
        previous = values(1, INNER_NODES[0])
        for inner, more in pairwise(INNER_NODES):  # noqa: B007 - the last one is kept
            current = values(1, more)
            inner_error = np.abs(current - previous).sum()
            if inner_error < 0.2 * NODE_TOLERANCE:
                break
            previous = current
    outer, outer_error = np.ones(D, dtype=np.int64), np.zeros(D)
    if outer_sd > 0:
        # What the outer nodes miss hardly depends on the inner ones. Large groups, where a node
        # costs most, may take the larger part of the error.
        coarse = min(inner, INNER_NODES[0])
        share = np.diff(rows.row[rows.block]) / rows.sign.size
        allowed = 0.8 * NODE_TOLERANCE * (share + 1 / D) / 2
        previous = values(OUTER_NODES[0], coarse)
        undecided = np.ones(D, dtype=bool)
        for fewer, more in pairwise(OUTER_NODES):
            outer[undecided] = fewer
            current = values(np.where(undecided, more, 1), coarse)
            outer_error[undecided] = np.abs(current - previous)[undecided]
            undecided &= outer_error > allowed
            if not undecided.any():
                break
            previous = current
    return outer, inner, float(inner_error + outer_error.sum())


@dataclass(frozen=True)
class _Point:
    """The log-likelihood and its derivatives at one parameter vector."""

    theta: np.ndarray  # (p + 2,) orthonormalised coefficients, inner and outer sd
    value: float
    score: np.ndarray  # (p + 2,)
    hessian: np.ndarray | None  # (p + 2, p + 2)


class _Likelihood:
    """Sorted data with orthonormal regressors: what every method of estimation works on."""

    def __init__(self, X: np.ndarray, sign: np.ndarray, weight: np.ndarray, layout: _Layout):
        self.X, self.sign, self.weight, self.layout = X, sign, weight, layout
        self.p = X.shape[1]
        self.row_weight = weight[layout.group_of_row]
        inner, outer = layout.inner is not None, layout.outer is not None
        self.free = np.r_[np.arange(self.p), [self.p] * inner, [self.p + 1] * outer].astype(int)

    def rows(self, theta: np.ndarray) -> kernels.Rows:
        ratio = np.exp(-self.sign * (self.X @ theta[: self.p]))
        layout = self.layout
        return kernels.Rows(
            self.X, self.sign, ratio, self.weight, layout.block, layout.group, layout.row
        )

    def centres(
        self, theta: np.ndarray, start: _Centres | None = None, sweeps: int = 50
    ) -> _Centres:
        return _centres(self.rows(theta), *theta[self.p :], start, sweeps)

    def evaluate(self, theta: np.ndarray, nodes: kernels.Nodes, order: int) -> _Point:
        """Quadrature log-likelihood with `order` derivatives."""
        rows, p = self.rows(theta), self.p
        value, by_row, hessian = kernels.marginal(rows, nodes, *theta[p:], order)
        if order == 0:
            return _Point(theta, float(value.sum()), np.empty(0), None)
        score = np.r_[self.X.T @ by_row[0], by_row[1:].sum(axis=1)]
        upper = np.triu(hessian) if order == 2 else None
        full = None if upper is None else upper + np.triu(upper, 1).T
        return _Point(theta, float(value.sum()), score, full)

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
            known = w2 > 0
            outer = _between_variance(r2[known] / w2[known], 1 / w2[known])
        sd = np.sqrt(np.clip([inner - outer, outer], [0.2**2, 0.05**2], 2.0**2))
        # The constant that keeps the mean of a thousand rows' probabilities, averaged over effects.
        sample, (z, weight) = eta[:: -(-eta.size // 1000)], _hermite(15)
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

        They serve as a start, so a few digits are enough, unless fitted probabilities are extreme.
        """
        y = (self.sign + 1) / 2
        # The regressors are orthonormal: this is the projection of a constant index.
        beta = special.logit(y.mean()) * self.X.mean(axis=0)
        for _ in range(30):
            eta = self.X @ beta
            prob = special.expit(eta)
            w = prob * (1 - prob) * self.row_weight
            score = self.X.T @ ((y - prob) * self.row_weight)
            try:
                step = linalg.solve(self.X.T @ (w[:, None] * self.X), score, assume_a="pos")
            except linalg.LinAlgError:
                break
            beta += step
            if score @ step < (1e-2 if np.abs(eta).max() < 12 else 1e-8):
                return beta
        raise SeparationError(
            "The ordinary logit has no maximum: some combination of columns predicts the outcome "
            "perfectly.",
            "Drop the column that does, or merge its categories.",
        )


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


def _step(point: _Point, free: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton step (p + 2,) and decrement; uphill where the likelihood is not concave."""
    eigenvalues, vectors = linalg.eigh(-point.hessian[np.ix_(free, free)])
    floor = 1e-8 * np.abs(eigenvalues).max()
    along = vectors.T @ point.score[free] / np.maximum(np.abs(eigenvalues), floor)
    step = np.zeros_like(point.theta)
    step[free] = vectors @ along
    # No more than one logit at a time for a standard deviation.
    step /= max(1.0, np.abs(step[-2:]).max())
    return step, float(step @ point.score)


def _moved(theta: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return theta + step; the likelihood is even in the standard deviations, so reflect them."""
    new = theta + step
    new[-2:] = np.abs(new[-2:])
    return new


def _newton(
    evaluate: Callable[[np.ndarray, int], _Point],
    theta: np.ndarray,
    free: np.ndarray,
    *,
    tolerance: float,
    slack: float,
    max_iter: int,
    hessian: np.ndarray | None = None,
) -> tuple[_Point, int]:
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

    Returns
    -------
    point : _Point
        With the Hessian where the last step began.
    iterations : int

    Raises
    ------
    ConvergenceError
    """
    chord = hessian is not None
    point = evaluate(theta, 1 if chord else 2)
    exact = not chord
    previous = np.inf
    for iteration in range(max_iter):
        point = point if exact else replace(point, hessian=hessian)
        step, decrement = _step(point, free)
        if decrement < tolerance:
            if not exact:
                point = evaluate(point.theta, 2)
                step, decrement = _step(point, free)
            moved = _moved(point.theta, step)
            return replace(point, theta=moved, value=point.value + decrement / 2), iteration
        nearly_there = decrement < 1e-3
        exact = not chord or nearly_there or decrement > 0.1 * previous
        for halving in range(30):
            new = evaluate(_moved(point.theta, step / 2**halving), 2 if exact else 1)
            if new.value > point.value - slack:
                break
        else:
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
    raise ConvergenceError(
        f"The log-likelihood still rises after {max_iter} iterations.",
        "Give start_params from a simpler model, or raise max_iter.",
    )


def _fit_quadrature(
    like: _Likelihood,
    theta: np.ndarray,
    free: np.ndarray,
    nodes: tuple[int, int] | None,
    max_iter: int,
) -> tuple[_Point, int, dict[str, object]]:
    """Maximise the quadrature likelihood: few nodes first, then as many as accuracy needs."""
    has_inner, has_outer = like.p in free, like.p + 1 in free
    centres: _Centres | None = None

    def recentred(outer: int, inner: int) -> Callable[[np.ndarray, int], _Point]:
        def evaluate(theta: np.ndarray, order: int) -> _Point:
            nonlocal centres
            centres = like.centres(theta, centres, 50 if centres is None else 1)
            return like.evaluate(theta, centres.nodes(outer, inner), order)

        return evaluate

    sd = theta[like.p]
    rough = (
        OUTER_NODES[0] if has_outer else 1,
        1 if not has_inner else INNER_NODES[0] if sd < 1 else 16 if sd < 2 else 32,
    )
    point, rough_iterations = _newton(
        recentred(*rough), theta, free, tolerance=0.1, slack=1e-3, max_iter=max_iter
    )
    theta = point.theta
    centres = like.centres(theta, centres)
    error = np.nan
    if nodes is None:
        outer, inner, error = _choose_nodes(like.rows(theta), centres, *theta[like.p :])
    else:
        outer, inner = (nodes[0] if has_outer else 1), (nodes[1] if has_inner else 1)
    fixed = centres.nodes(outer, inner)
    point, iterations = _newton(
        lambda theta, order: like.evaluate(theta, fixed, order),
        theta,
        free,
        tolerance=DECREMENT_TOLERANCE,
        slack=1e-12 * abs(point.value),
        max_iter=max_iter,
        hessian=point.hessian,
    )
    details = {
        "outer_nodes": int(np.max(outer)),
        "inner_nodes": int(inner),
        "quadrature_error": error,
    }
    return point, rough_iterations + iterations, details


# ------------------------------------------------------------------------------------- model


class NestedLogitModel:
    """Logit with normal random intercepts for one level of groups, or two nested ones.

    Parameters
    ----------
    endog : Series or array_like, shape (n,)
        Binary outcome, 0 or 1.
    exog : DataFrame or array_like, shape (n, p)
        Regressors, the constant included.
    groups : DataFrame, Series or array_like
        One column of labels per level, outer level first. A label of the inner level counts within
        its outer group: customer 7 of France is not customer 7 of Germany.
    weights : array_like, shape (n,), optional
        How often each group of the level closest to the rows counts (the same in all its rows):
        the frequency weights of a bootstrap that draws customers.

    Raises
    ------
    DataError
        For missing or infinite values, an outcome that is not binary, columns without variation or
        collinear; the message names the column.

    Warns
    -----
    IdentificationWarning
        For a level whose variance the data cannot tell: it is left out.

    Examples
    --------
    >>> model = NestedLogitModel.from_formula(
    ...     "purchase ~ distance", groups=("dyad", "customer_id"), data=encounters
    ... )  # doctest: +SKIP
    >>> print(model.fit().summary())  # doctest: +SKIP
    """

    def __init__(
        self, endog: object, exog: object, groups: object, *, weights: object | None = None
    ) -> None:
        y = endog if isinstance(endog, pd.Series) else pd.Series(np.asarray(endog), name="y")
        frame = as_frame(exog, "x")
        if len(y) != len(frame):
            raise DataError(
                f"The outcome has {len(y)} rows and the regressors {len(frame)}.",
                "Take both from the same table.",
            )
        self._setup(y, frame, _sort(_groups_frame(groups, len(y))), weights)

    def _setup(
        self, endog: pd.Series, exog: pd.DataFrame, layout: _Layout, weights: object | None
    ) -> None:
        check_finite(exog, "the regressors")
        factor = _orthonormaliser(exog)
        y = check_binary(endog, "the outcome")
        self.outcome_name = str(endog.name)
        self.nobs = len(y)
        self._layout, self._spec = layout, None
        self._endog, self._exog, self._weights = endog, exog, weights
        # params of the orthonormalised regressors = factor @ params
        self._factor = factor
        ordered = exog.to_numpy()[layout.order]
        X = ordered @ linalg.solve_triangular(factor, np.eye(len(factor)))
        self._like = _Likelihood(X, 2 * y[layout.order] - 1, self._group_weights(weights), layout)
        terms = {"outcome": [str(name) for name in exog], "sd": layout.estimated}
        self.param_index = Estimates.index(terms)
        p = X.shape[1]
        position = {layout.inner: p, layout.outer: p + 1}
        self._take = np.r_[np.arange(p), [position[name] for name in layout.estimated]].astype(int)

    def _group_weights(self, weights: object | None) -> np.ndarray:
        layout = self._layout
        if weights is None:
            return np.ones(layout.outer_of_group.size)
        by_row = np.asarray(weights, dtype=float)
        if by_row.shape != (self.nobs,) or not np.isfinite(by_row).all() or by_row.min() < 0:
            raise DataError(
                "Weights must be one finite number, zero or more, per row.", "Look at weights."
            )
        by_row = by_row[layout.order]
        by_group = np.empty(layout.outer_of_group.size)
        by_group[layout.group_of_row] = by_row
        if np.any(by_group[layout.group_of_row] != by_row):
            raise DataError(
                f"Weights differ within a {layout.inner}.",
                "Weights count whole groups of the level closest to the rows.",
            )
        return by_group

    @classmethod
    def from_formula(
        cls,
        formula: str,
        groups: str | Sequence[str],
        data: pd.DataFrame,
        *,
        weights: object | None = None,
    ) -> NestedLogitModel:
        """Return the model of a formula.

        Parameters
        ----------
        formula : str
            ``purchase ~ x1 * x2``.
        groups : str or sequence of str
            Columns of `data`, outer level first.
        data : DataFrame, shape (n, ...)
        weights : array_like, shape (n,), optional

        Raises
        ------
        SpecificationError
            If the formula cannot be read or a column does not exist.
        """
        left, right, spec = formula_frames(formula, data)
        if left is None or left.shape[1] != 1:
            raise SpecificationError(
                f"The formula {formula!r} must have one outcome column on its left.",
                "For a text outcome compare it in the data: (column == 'yes').astype(int).",
            )
        names = [groups] if isinstance(groups, str) else list(groups)
        absent = [name for name in names if name not in data]
        if absent:
            raise SpecificationError(
                f"The data have no column {absent[0]!r} to group by.",
                f"Columns available: {', '.join(map(str, data.columns))}.",
            )
        model = cls(left.iloc[:, 0], right, data[names], weights=weights)
        model._spec = spec
        return model

    def with_data(
        self, endog: object | None = None, exog: object | None = None
    ) -> NestedLogitModel:
        """Return the model of other values for the same rows and groups, without sorting again."""
        model = object.__new__(type(self))
        y = self._endog if endog is None else pd.Series(np.asarray(endog), name=self.outcome_name)
        frame = self._exog if exog is None else as_frame(exog, "x")
        if len(y) != self.nobs or len(frame) != self.nobs:
            raise DataError("The rows must be those of the model.", "Make a new model.")
        model._setup(y, frame, self._layout, self._weights)
        model._spec = self._spec
        return model

    # ------------------------------------------------------------ likelihood at given parameters

    def _theta(self, params: object) -> np.ndarray:
        """Return the internal parameter vector (p + 2,)."""
        if isinstance(params, pd.Series) and params.index.nlevels == 2:
            values = params.reindex(self.param_index).to_numpy(dtype=float)
        else:
            values = np.asarray(params, dtype=float)
        if values.shape != (len(self.param_index),) or not np.isfinite(values).all():
            raise SpecificationError(
                f"Parameters must be {len(self.param_index)} finite numbers.",
                "In order: " + ", ".join("/".join(pair) for pair in self.param_index) + ".",
            )
        p = self._like.p
        theta = np.zeros(p + 2)
        theta[self._take] = values
        theta[:p] = self._factor @ values[:p]
        return theta

    def _params(self, theta: np.ndarray) -> pd.Series:
        values = theta[self._take]
        values[: self._like.p] = linalg.solve_triangular(self._factor, theta[: self._like.p])
        return pd.Series(values, index=self.param_index)

    def _jacobian(self) -> np.ndarray:
        """Derivative of the internal parameters, in public order, by the public ones."""
        return linalg.block_diag(self._factor, np.eye(len(self._layout.estimated)))

    def _nodes(self, theta: np.ndarray, nodes: int | tuple[int, int] | None) -> kernels.Nodes:
        p = self._like.p
        centres = self._like.centres(theta)
        pair = _pair(nodes)
        if pair is None:
            outer, inner, _ = _choose_nodes(self._like.rows(theta), centres, *theta[p:])
        else:
            outer = pair[0] if theta[p + 1] > 0 else 1
            inner = pair[1] if theta[p] > 0 else 1
        return centres.nodes(outer, inner)

    def loglike(self, params: object, nodes: int | tuple[int, int] | None = None) -> float:
        """Return the quadrature log-likelihood.

        Parameters
        ----------
        params : Series or array_like, shape (k,)
            In the order of ``param_index``: coefficients, then standard deviations, outer first.
        nodes : int or (int, int), optional
            Quadrature nodes per level (outer, inner); by default as many as accuracy needs.
        """
        theta = self._theta(params)
        return self._like.evaluate(theta, self._nodes(theta, nodes), 0).value

    def score(self, params: object, nodes: int | tuple[int, int] | None = None) -> pd.Series:
        """Return the gradient (k,) of :meth:`loglike`, exact by Fisher's identity."""
        theta = self._theta(params)
        score = self._like.evaluate(theta, self._nodes(theta, nodes), 1).score
        return pd.Series(self._jacobian().T @ score[self._take], index=self.param_index)

    def score_obs(self, params: object, nodes: int | tuple[int, int] | None = None) -> pd.DataFrame:
        """Return each row's part (n, k) of the score.

        For a coefficient it is the regressor times y less the posterior mean of P(y = 1). The parts
        of a group's rows depend on one another: sum them by outer group before taking products.
        """
        theta = self._theta(params)
        parts = self._like.scores_by_row(theta, self._nodes(theta, nodes))
        back = np.empty_like(parts)
        back[:, self._layout.order] = parts
        layout = self._layout
        effects = [back[1 if name == layout.inner else 2] for name in layout.estimated]
        values = np.column_stack([self._exog.to_numpy() * back[0][:, None], *effects])
        return pd.DataFrame(values, index=self._exog.index, columns=self.param_index)

    def information(
        self, params: object, nodes: int | tuple[int, int] | None = None
    ) -> pd.DataFrame:
        """Return the observed information (k, k): minus the Hessian of :meth:`loglike`."""
        theta = self._theta(params)
        hessian = self._like.evaluate(theta, self._nodes(theta, nodes), 2).hessian
        jacobian = self._jacobian()
        values = -jacobian.T @ hessian[np.ix_(self._take, self._take)] @ jacobian
        return pd.DataFrame(values, index=self.param_index, columns=self.param_index)

    # ----------------------------------------------------------------------------------------- fit

    def fit(
        self,
        method: str = "quadrature",
        *,
        nodes: int | tuple[int, int] | None = None,
        start_params: object | None = None,
        max_iter: int = 100,
    ) -> NestedLogitResults:
        """Estimate the model.

        Parameters
        ----------
        method : {"quadrature"}
            ``"quadrature"`` is maximum likelihood.
        nodes : int or (int, int), optional
            Quadrature nodes per level (outer, inner); by default as few as keep the log-likelihood
            within 5e-7 of its limit.
        start_params : Series or array_like, shape (k,), optional
            Warm start, e.g. the ``params`` of a fit to similar data.
        max_iter : int

        Raises
        ------
        SeparationError
            If the outcome can be predicted perfectly.
        ConvergenceError
            If no maximum is found.

        Warns
        -----
        ConvergenceWarning
            If a variance is estimated zero, the boundary of the parameter space.
        """
        if method not in _METHODS:
            raise SpecificationError(
                f"No method is called {method!r}.", f"Choose one of {', '.join(_METHODS)}."
            )
        if nodes is not None and method != "quadrature":
            raise SpecificationError(f"{method} has no nodes.", "Leave nodes out.")
        like, p = self._like, self._like.p
        if start_params is None:
            theta = like.start()
        else:
            # From exactly zero, where the score vanishes, a standard deviation would not move.
            theta = self._theta(start_params)
            theta[like.free[p:]] = np.maximum(np.abs(theta[like.free[p:]]), 0.05)
        maximise = _METHODS[method](like, _pair(nodes), max_iter)
        free = like.free
        point, iterations, details = maximise(theta, free)
        at_zero = [j for j in free[p:] if point.theta[j] < BOUNDARY]
        for j in at_zero:
            theta = point.theta.copy()
            theta[j] = 0.0
            other, more, other_details = maximise(theta, np.setdiff1d(free, [j]))
            if other.value > point.value - 1e-6:
                point, details, free = other, other_details, np.setdiff1d(free, [j])
                iterations += more
        names = {p: self._layout.inner, p + 1: self._layout.outer}
        boundary = tuple(names[j] for j in np.setdiff1d(like.free, free))
        for name in boundary:
            warnings.warn(
                ConvergenceWarning(
                    f"The variance of {name} is estimated zero, the boundary of what is possible: "
                    "it has no standard error, and the others are those of the model without it."
                ),
                stacklevel=2,
            )
        return NestedLogitResults(self, method, point, free, boundary, iterations, details)


def _orthonormaliser(exog: pd.DataFrame) -> np.ndarray:
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


def _pair(nodes: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return node numbers as (outer, inner)."""
    if nodes is None:
        return None
    pair = (nodes, nodes) if isinstance(nodes, int | np.integer) else tuple(nodes)
    if len(pair) != 2 or min(pair) < 1:
        raise SpecificationError(f"nodes = {nodes!r} is not a number of nodes.", "Give e.g. 15.")
    return int(pair[0]), int(pair[1])


def _quadrature(
    like: _Likelihood, nodes: tuple[int, int] | None, max_iter: int
) -> Callable[[np.ndarray, np.ndarray], tuple[_Point, int, dict[str, object]]]:
    return lambda theta, free: _fit_quadrature(like, theta, free, nodes, max_iter)


_METHODS = {"quadrature": _quadrature}


# ----------------------------------------------------------------------------------- results


class NestedLogitResults(Estimates):
    """Estimates of a nested logit.

    ``params`` has the coefficients under ``"outcome"`` and the standard deviations of the random
    intercepts under ``"sd"``. Standard errors come from the observed information, the analytic
    Hessian of the approximated log-likelihood (Louis's identity for quadrature).

    Attributes
    ----------
    model : NestedLogitModel
    method : str
    llf : float
        Log-likelihood, as `method` approximates it; None where the method has none.
    boundary : tuple of str
        Levels whose variance is estimated zero.
    iterations : int
    details : dict
        What the method tells about itself, e.g. nodes used and the estimated quadrature error.
    """

    def __init__(
        self,
        model: NestedLogitModel,
        method: str,
        point: _Point,
        free: np.ndarray,
        boundary: tuple[str, ...],
        iterations: int,
        details: dict[str, object],
    ) -> None:
        full = np.full((point.theta.size, point.theta.size), np.nan)
        full[np.ix_(free, free)] = linalg.inv(-point.hessian[np.ix_(free, free)])
        inverse = linalg.inv(model._jacobian())
        used = full[np.ix_(model._take, model._take)]
        covariance = inverse @ np.nan_to_num(used) @ inverse.T
        covariance[np.isnan(used)] = np.nan
        super().__init__(model._params(point.theta), covariance)
        self.model, self.method, self.boundary = model, method, boundary
        self.llf = point.value
        self.iterations, self.details = iterations, details
        self.nobs = model.nobs
        self._theta = point.theta

    @property
    def converged(self) -> bool:
        """True: a fit that does not converge raises an error instead."""
        return True

    @cached_property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors (k,).

        Missing for standard deviations, whose null value is on the boundary: it has no z value.
        """
        return (self.params / self.bse).where(self._is_coefficient)

    @property
    def _is_coefficient(self) -> np.ndarray:
        return self.params.index.get_level_values("equation") == "outcome"

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence intervals (k, 2) of level ``1 - alpha``.

        Normal for coefficients and for the logarithms of standard deviations.
        """
        interval = super().conf_int(alpha)
        sd = ~self._is_coefficient
        reach = np.exp(
            stats.norm.isf(alpha / 2) * (self.bse[sd] / self.params[sd].where(self.params[sd] > 0))
        )
        interval.loc[sd, "lower"] = self.params[sd] / reach
        interval.loc[sd, "upper"] = self.params[sd] * reach
        return interval

    @property
    def aic(self) -> float:
        """Akaike's criterion, counting every coefficient and standard deviation."""
        return -2 * self.llf + 2 * len(self.params)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the number of rows."""
        return -2 * self.llf + np.log(self.nobs) * len(self.params)
