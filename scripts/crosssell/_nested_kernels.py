"""Compiled loops of the nested random-intercept logit.

A row enters through ``sign`` (1 for y = 1, -1 for y = 0) and ``ratio = exp(-sign * x'b)``, so that
with random part ``a`` its outcome has probability ``1 / (1 + ratio * exp(-sign * a))``: one
exponential per row, none per node.

Random effects are written as standard deviation times a standard normal effect: ``u`` inner, ``v``
outer. With nodes held fixed on that scale, the quadrature sum is the likelihood of a finite mixture
whose components have logistic rows, and Fisher's and Louis's identities give its exact gradient and
Hessian.

Inner groups of an outer group that have the same number of rows go in batches, so that every loop
over nodes runs along the groups of a batch. A batch's rows are stored position by position: first
the first row of each group, then the second of each. A group with many rows is a batch of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

#: Most inner groups in a batch: its working arrays should fit a processor's first caches.
BATCH = 128
#: Most rows of an inner group that goes in batches; larger ones are summed row by row.
SMALL = 12
#: Rows whose probabilities are multiplied before a logarithm is taken: none can underflow.
_RUN = 16
#: An inner group keeps the nodes of the prior if its own rows add less than this share of precision
#: and move the mode by less than `_NEAR_CENTRE` prior standard deviations.
_LITTLE_INFORMATION = 0.25
_NEAR_CENTRE = 1.0
#: Nodes need not sit on the mode exactly: this many prior standard deviations are near enough.
_PLACE = 0.02

_compiled = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp"}
)


class Rows(NamedTuple):
    """The data of one evaluation: n rows, C inner and D outer groups, in batches."""

    X: np.ndarray  # (n, p) regressors
    sign: np.ndarray  # (n,) 1 or -1
    ratio: np.ndarray  # (n,) exp(-sign * X b)
    weight: np.ndarray  # (C,) how often each inner group counts
    block: np.ndarray  # (D + 1,) where each outer group starts among the batches
    group: np.ndarray  # (batches + 1,) where each batch starts among the inner groups
    row: np.ndarray  # (batches + 1,) and among the rows


class Nodes(NamedTuple):
    """Quadrature nodes on the standard normal scale."""

    count: np.ndarray  # (D,) outer nodes of each outer group, at most K
    outer: np.ndarray  # (D, K) nodes v of each outer group
    outer_log_weight: np.ndarray  # (D, K)
    z: np.ndarray  # (Q,) Gauss-Hermite nodes of the standard normal
    weight: np.ndarray  # (Q,) their weights, of sum 1
    centre: np.ndarray  # (C,) inner nodes are centre + scale * z
    scale: np.ndarray  # (C,)


@_compiled
def inner_modes(rows, shift, sd, centre, scale):
    """Find where each inner group's integrand is large, given its outer group's shift (D,).

    Fills ``centre`` (C,) with the mode of the effect and ``scale`` (C,) with the standard deviation
    its curvature implies. Groups with little information keep the prior's: 0 and 1.
    """
    longest = 2.0 / sd  # two logits: Newton's step may overshoot where the curve is flat
    for d in range(rows.block.size - 1):
        start_up = np.exp(shift[d])
        for b in range(rows.block[d], rows.block[d + 1]):
            size = rows.group[b + 1] - rows.group[b]
            for c in range(size):
                g = rows.group[b] + c
                u = 0.0
                up = start_up
                precision = 1.0
                for _ in range(50):
                    slope = -u
                    precision = 1.0
                    for i in range(rows.row[b] + c, rows.row[b + 1], size):
                        s = rows.sign[i]
                        p = 1.0 / (1.0 + (rows.ratio[i] / up if s > 0 else rows.ratio[i] * up))
                        slope += sd * s * (1.0 - p)
                        precision += sd * sd * p * (1.0 - p)
                    step = min(max(slope / precision, -longest), longest)
                    u += step
                    if abs(step) < _PLACE:
                        break
                    up = np.exp(shift[d] + sd * u)
                if precision < 1.0 + _LITTLE_INFORMATION and abs(u) < _NEAR_CENTRE:
                    centre[g] = 0.0
                    scale[g] = 1.0
                else:
                    centre[g] = u
                    scale[g] = 1.0 / np.sqrt(precision)


@_compiled
def _place(rows, nodes, b, sd, u, weight, node):
    """Fill a batch's inner nodes: u, weight (Q, groups), node = exp(-sign * sd * u).

    ``node`` has the shape (positions, Q, groups), positions being the rows of a group.
    """
    first = rows.group[b]
    size = rows.group[b + 1] - first
    sign = rows.sign[rows.row[b] : rows.row[b + 1]].reshape((-1, size))
    for q in range(nodes.z.size):
        z = nodes.z[q]
        at_prior = np.exp(sd * z)
        up = node[0, q]
        for c in range(size):
            scale = nodes.scale[first + c]
            if scale == 1.0 and nodes.centre[first + c] == 0.0:
                u[q, c] = z
                weight[q, c] = nodes.weight[q]
                up[c] = at_prior
            else:
                u[q, c] = nodes.centre[first + c] + scale * z
                weight[q, c] = nodes.weight[q] * scale * np.exp(0.5 * (z * z - u[q, c] * u[q, c]))
                up[c] = np.exp(sd * u[q, c])
        for r in range(sign.shape[0] - 1, -1, -1):  # the first row last: it holds exp(sd * u)
            for c in range(size):
                node[r, q, c] = 1.0 / up[c] if sign[r, c] > 0 else up[c]


@_compiled
def _shifted(rows, b, up, ratio):
    """Fill ``ratio`` (rows, groups) with a batch's ratios under the outer effect exp(.) = up."""
    size = rows.group[b + 1] - rows.group[b]
    sign = rows.sign[rows.row[b] : rows.row[b + 1]].reshape((-1, size))
    given = rows.ratio[rows.row[b] : rows.row[b + 1]].reshape((-1, size))
    down = 1.0 / up
    for r in range(sign.shape[0]):
        for c in range(size):
            ratio[r, c] = given[r, c] * (down if sign[r, c] > 0 else up)


@_compiled
def _totals(positions, size, ratio, node, weight, product, total):
    """Fill ``total`` (groups,) with the likelihood of each group of a batch at one outer node."""
    total[:size] = 0.0
    for q in range(weight.shape[0]):
        for c in range(size):
            product[c] = 1.0 + ratio[0, c] * node[0, q, c]
        for r in range(1, positions):
            for c in range(size):
                product[c] *= 1.0 + ratio[r, c] * node[r, q, c]
        for c in range(size):
            total[c] += weight[q, c] / product[c]


@_compiled
def _probabilities(positions, size, q, ratio, node, weight, prob, like):
    """Fill ``prob`` (rows, groups) and ``like`` (groups,), weight included, at inner node q."""
    for c in range(size):
        like[c] = weight[q, c]
    for r in range(positions):
        for c in range(size):
            prob[r, c] = 1.0 / (1.0 + ratio[r, c] * node[r, q, c])
            like[c] *= prob[r, c]


@_compiled
def _log_likelihoods(rows, b, up, sd, nodes, log_like):
    """Fill ``log_like`` (Q,), weight included, for a batch of one group with many rows."""
    g = rows.group[b]
    start, stop = rows.row[b], rows.row[b + 1]
    for q in range(nodes.z.size):
        u = nodes.centre[g] + nodes.scale[g] * nodes.z[q]
        node = up * np.exp(sd * u)
        inverse = 1.0 / node
        s = np.log(nodes.weight[q] * nodes.scale[g]) + 0.5 * (nodes.z[q] ** 2 - u * u)
        for run in range(start, stop, _RUN):
            product = 1.0
            for i in range(run, min(run + _RUN, stop)):
                product *= 1.0 + rows.ratio[i] * (inverse if rows.sign[i] > 0 else node)
            s -= np.log(product)
        log_like[q] = s


@_compiled
def _softmax(log_like, share):
    """Fill ``share`` with the normalised exponentials; return the logarithm of their sum."""
    highest = log_like.max()
    s = 0.0
    for q in range(log_like.size):
        share[q] = np.exp(log_like[q] - highest)
        s += share[q]
    for q in range(log_like.size):
        share[q] /= s
    return highest + np.log(s)


@_compiled
def outer_derivatives(rows, nodes, shift, sd, slope, curve):
    """Fill the derivatives (D,) of each outer group's log-likelihood by a shift of all its rows."""
    Q = nodes.z.size
    u, weight = np.empty((Q, BATCH)), np.empty((Q, BATCH))
    node = np.empty((SMALL, Q, BATCH))
    ratio, prob = np.empty((SMALL, BATCH)), np.empty((SMALL, BATCH))
    like, total, score = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    pq, mean, square = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    log_like, share = np.empty(Q), np.empty(Q)
    for d in range(rows.block.size - 1):
        up = np.exp(shift[d])
        slope[d] = 0.0
        curve[d] = 0.0
        for b in range(rows.block[d], rows.block[d + 1]):
            first = rows.group[b]
            size = rows.group[b + 1] - first
            positions = (rows.row[b + 1] - rows.row[b]) // size
            if positions > SMALL:
                _log_likelihoods(rows, b, up, sd, nodes, log_like)
                _softmax(log_like, share)
                m1, m2 = 0.0, 0.0
                for q in range(Q):
                    at = up * np.exp(sd * (nodes.centre[first] + nodes.scale[first] * nodes.z[q]))
                    inverse = 1.0 / at
                    r0, w0 = 0.0, 0.0
                    for i in range(rows.row[b], rows.row[b + 1]):
                        s = rows.sign[i]
                        p = 1.0 / (1.0 + rows.ratio[i] * (inverse if s > 0 else at))
                        r0 += s * (1.0 - p)
                        w0 += p * (1.0 - p)
                    m1 += share[q] * r0
                    m2 += share[q] * (r0 * r0 - w0)
                slope[d] += rows.weight[first] * m1
                curve[d] += rows.weight[first] * (m2 - m1 * m1)
                continue
            sign = rows.sign[rows.row[b] : rows.row[b + 1]].reshape((positions, size))
            _place(rows, nodes, b, sd, u, weight, node)
            _shifted(rows, b, up, ratio)
            total[:size] = 0.0
            mean[:size] = 0.0
            square[:size] = 0.0
            for q in range(Q):
                _probabilities(positions, size, q, ratio, node, weight, prob, like)
                score[:size] = 0.0
                pq[:size] = 0.0
                for r in range(positions):
                    for c in range(size):
                        score[c] += sign[r, c] * (1.0 - prob[r, c])
                    for c in range(size):
                        pq[c] += prob[r, c] * (1.0 - prob[r, c])
                for c in range(size):
                    total[c] += like[c]
                for c in range(size):
                    mean[c] += like[c] * score[c]
                    square[c] += like[c] * (score[c] * score[c] - pq[c])
            for c in range(size):
                m1 = mean[c] / total[c]
                slope[d] += rows.weight[first + c] * m1
                curve[d] += rows.weight[first + c] * (square[c] / total[c] - m1 * m1)


@_compiled
def marginal(rows, nodes, sd_inner, sd_outer, order):
    """Log-likelihood by nested quadrature, and its derivatives.

    Parameters
    ----------
    rows : Rows
    nodes : Nodes
    sd_inner, sd_outer : float
        Standard deviations of the random effects.
    order : int
        0: log-likelihood; 1: and the scores of the rows; 2: and the Hessian.

    Returns
    -------
    value : ndarray, shape (D,)
        Log-likelihood of each outer group.
    score : ndarray, shape (3, n)
        Posterior means, row by row, of r, u r and v r, where r = y - P(y = 1) given the effects,
        times the weight of the row's inner group. The gradient by the coefficients is X' score[0],
        by the standard deviations the sums of score[1] and score[2].
    hessian : ndarray, shape (p + 2, p + 2)
        By coefficients, inner, outer standard deviation; upper triangle.
    """
    n, p = rows.X.shape
    D, most = nodes.outer.shape
    Q = nodes.z.size
    value = np.zeros(D)
    score = np.zeros((3, n if order >= 1 else 0))
    hessian = np.zeros((p + 2, p + 2))

    u, weight = np.empty((Q, BATCH)), np.empty((Q, BATCH))
    node = np.empty((SMALL, Q, BATCH))
    ratio = np.empty((SMALL, BATCH))
    like, total = np.empty(BATCH), np.empty(BATCH)
    log_like, share = np.empty(Q), np.empty(Q)
    log_post = np.empty(most)
    small = _small_scratch(most, p, order)
    group_score = np.empty((most, p + 2))
    for d in range(D):
        K = nodes.count[d]
        for k in range(K):
            log_post[k] = nodes.outer_log_weight[d, k]
        for b in range(rows.block[d], rows.block[d + 1]):
            first = rows.group[b]
            size = rows.group[b + 1] - first
            positions = (rows.row[b + 1] - rows.row[b]) // size
            if positions <= SMALL:
                _place(rows, nodes, b, sd_inner, u, weight, node)
            for k in range(K):
                up = np.exp(sd_outer * nodes.outer[d, k])
                if positions > SMALL:
                    _log_likelihoods(rows, b, up, sd_inner, nodes, log_like)
                    log_post[k] += rows.weight[first] * _softmax(log_like, share)
                else:
                    _shifted(rows, b, up, ratio)
                    _totals(positions, size, ratio, node, weight, like, total)
                    s = 0.0
                    for c in range(size):
                        s += rows.weight[first + c] * np.log(total[c])
                    log_post[k] += s
        posterior = np.empty(K)
        value[d] = _softmax(log_post[:K], posterior)
        if order == 0:
            continue
        group_score[:] = 0.0
        for b in range(rows.block[d], rows.block[d + 1]):
            size = rows.group[b + 1] - rows.group[b]
            if (rows.row[b + 1] - rows.row[b]) // size > SMALL:
                _large_group(
                    rows, nodes, d, b, sd_inner, sd_outer, posterior, order, score, hessian,
                    group_score,
                )  # fmt: skip
            else:
                _place(rows, nodes, b, sd_inner, u, weight, node)
                _small_batch(
                    rows, nodes, d, b, sd_outer, posterior, order, u, weight, node, small, score,
                    hessian, group_score,
                )  # fmt: skip
        if order == 2 and K > 1:
            _add_covariance(posterior, group_score, hessian)
    return value, score, hessian


@_compiled
def _add_covariance(share, values, hessian):
    """Add the covariance of ``values`` (nodes, p + 2) under probabilities ``share`` (nodes,)."""
    mean = np.zeros(values.shape[1])
    for k in range(share.size):
        for a in range(mean.size):
            mean[a] += share[k] * values[k, a]
    for k in range(share.size):
        for a in range(mean.size):
            for e in range(a, mean.size):
                hessian[a, e] += share[k] * (values[k, a] - mean[a]) * (values[k, e] - mean[e])


class Scratch(NamedTuple):
    """Working arrays of a batch of small groups; sums over inner nodes, then over outer ones."""

    ratio: np.ndarray  # (rows, groups)
    prob: np.ndarray  # (rows, groups) probability of the outcome
    r: np.ndarray  # (rows, groups) its residual
    like: np.ndarray  # (groups,)
    both: np.ndarray  # (groups,) sum of r over the group
    total: np.ndarray  # (groups,)
    resid: np.ndarray  # (rows, groups): sums of like * r
    u_resid: np.ndarray  # (rows, groups): like * u * r
    pull: np.ndarray  # (rows, groups): like * u * (r R - p (1 - p)), with R the sum of r
    pair: np.ndarray  # (rows (rows + 1) / 2, groups): like * r * r'
    uu: np.ndarray  # (groups,): like * u^2 * (R^2 - sum of p (1 - p))
    given: np.ndarray  # (groups,) outer node's posterior over total
    mean_u: np.ndarray  # (groups,) posterior mean of u R at an outer node
    mean: np.ndarray  # (K * rows * groups,) and of each r
    step: np.ndarray  # (groups,)
    cov: np.ndarray  # (rows (rows + 1) / 2, groups): posterior covariance of r, r'; less p (1 - p)
    side: np.ndarray  # (2, rows, groups): its bordering by u R and v R; less p (1 - p) times u, v
    score: np.ndarray  # (3, rows, groups)
    table: np.ndarray  # (rows * groups, p + 2)


@_compiled
def _small_scratch(K, p, order):
    """Allocate the working arrays."""
    pairs = SMALL * (SMALL + 1) // 2 if order == 2 else 0
    many = SMALL * BATCH if order == 2 else 0
    return Scratch(
        np.empty((SMALL, BATCH)), np.empty((SMALL, BATCH)), np.empty((SMALL, BATCH)),
        np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty((SMALL, BATCH)),
        np.empty((SMALL, BATCH)), np.empty((SMALL, BATCH)), np.empty((pairs, BATCH)),
        np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(K * many), np.empty(BATCH),
        np.empty((pairs, BATCH)), np.empty((2, SMALL, BATCH)), np.empty((3, SMALL, BATCH)),
        np.empty((many, p + 2)),
    )  # fmt: skip


@_compiled
def _pair(r, r2, positions):
    """Place of the pair of rows r <= r2 among the pairs of a group."""
    return r * positions - r * (r - 1) // 2 + r2 - r


@_compiled
def _small_batch(
    rows, nodes, d, b, sd_outer, posterior, order, u, weight, node, t, score, hessian, group_score
):
    """Add a batch's part of the scores and the Hessian, given its outer group's ``posterior``."""
    p = rows.X.shape[1]
    K = posterior.size
    first, start, stop = rows.group[b], rows.row[b], rows.row[b + 1]
    size = rows.group[b + 1] - first
    positions = (stop - start) // size
    times = rows.weight[first : first + size]
    sign = rows.sign[start:stop].reshape((positions, size))
    t.score[:, :positions] = 0.0
    if order == 2:
        t.cov[: positions * (positions + 1) // 2] = 0.0
        t.side[:, :positions] = 0.0
    # Cut to measure, so that what follows is contiguous for the matrix products.
    cut = K * (stop - start) if order == 2 else 0
    means = t.mean[:cut].reshape((K, cut // K))
    uu, uv, vv = 0.0, 0.0, 0.0
    for k in range(K):
        v = nodes.outer[d, k]
        _shifted(rows, b, np.exp(sd_outer * v), t.ratio)
        _sum_over_nodes(sign, order, u, weight, node, t)
        for c in range(size):
            t.given[c] = posterior[k] / t.total[c]
        for r in range(positions):
            for c in range(size):
                t.score[0, r, c] += t.given[c] * t.resid[r, c]
            for c in range(size):
                t.score[1, r, c] += t.given[c] * t.u_resid[r, c]
            for c in range(size):
                t.score[2, r, c] += v * t.given[c] * t.resid[r, c]
        if order < 2:
            continue
        mean = means[k].reshape((positions, size))
        t.mean_u[:size] = 0.0
        for r in range(positions):
            for c in range(size):
                t.mean_u[c] += t.u_resid[r, c] / t.total[c]
            for c in range(size):
                mean[r, c] = t.resid[r, c] / t.total[c]
        for c in range(size):
            uu += times[c] * (t.given[c] * t.uu[c] - posterior[k] * t.mean_u[c] * t.mean_u[c])
        e = 0
        for r in range(positions):
            for c in range(size):
                t.step[c] = t.given[c] * t.pull[r, c] - posterior[k] * mean[r, c] * t.mean_u[c]
            for c in range(size):
                t.side[0, r, c] += t.step[c]
            for c in range(size):
                uv += times[c] * v * t.step[c]
            for r2 in range(r, positions):
                for c in range(size):
                    t.step[c] = t.given[c] * t.pair[e, c] - posterior[k] * mean[r, c] * mean[r2, c]
                if r2 == r:
                    # p (1 - p) is |r| - r^2
                    for c in range(size):
                        t.step[c] += t.given[c] * (t.pair[e, c] - sign[r, c] * t.resid[r, c])
                else:
                    for c in range(size):
                        t.side[1, r2, c] += v * t.step[c]
                for c in range(size):
                    t.cov[e, c] += t.step[c]
                for c in range(size):
                    t.side[1, r, c] += v * t.step[c]
                twice = v * v if r2 == r else 2.0 * v * v
                for c in range(size):
                    vv += twice * times[c] * t.step[c]
                e += 1
        for c in range(size):
            group_score[k, p] += times[c] * t.mean_u[c]
        for r in range(positions):
            for c in range(size):
                mean[r, c] *= times[c]
            for c in range(size):
                group_score[k, p + 1] += v * mean[r, c]
    for a in range(3):
        for r in range(positions):
            i = start + r * size
            for c in range(size):
                score[a, i + c] = times[c] * t.score[a, r, c]
    if order < 2:
        return
    hessian[p, p] += uu
    hessian[p, p + 1] += uv
    hessian[p + 1, p + 1] += vv
    table = t.table[: stop - start]
    X = rows.X[start:stop]
    for r in range(positions):
        e = _pair(r, r, positions)
        for c in range(size):
            i = r * size + c
            s = times[c] * t.cov[e, c]
            for a in range(p):
                table[i, a] = s * X[i, a]
            table[i, p] = times[c] * t.side[0, r, c]
            table[i, p + 1] = times[c] * t.side[1, r, c]
        for r2 in range(r):
            e = _pair(r2, r, positions)
            for c in range(size):
                i, i2 = r * size + c, r2 * size + c
                s = times[c] * t.cov[e, c]
                for a in range(p):
                    table[i, a] += s * X[i2, a]
                    table[i2, a] += s * X[i, a]
    hessian[:p] += np.dot(X.T, table)
    if K > 1:
        group_score[:K, :p] += np.dot(means, X)


@_compiled
def _sum_over_nodes(sign, order, u, weight, node, t):
    """Fill the sums over inner nodes of a batch at one outer node, whose ratios are given."""
    positions, size = sign.shape
    t.total[:size] = 0.0
    t.resid[:positions] = 0.0
    t.u_resid[:positions] = 0.0
    if order == 2:
        t.pull[:positions] = 0.0
        t.pair[: positions * (positions + 1) // 2] = 0.0
        t.uu[:size] = 0.0
    for q in range(weight.shape[0]):
        _probabilities(positions, size, q, t.ratio, node, weight, t.prob, t.like)
        for c in range(size):
            t.total[c] += t.like[c]
        t.both[:size] = 0.0
        for r in range(positions):
            for c in range(size):
                t.r[r, c] = sign[r, c] * (1.0 - t.prob[r, c])
            for c in range(size):
                t.both[c] += t.r[r, c]
            for c in range(size):
                t.resid[r, c] += t.like[c] * t.r[r, c]
            for c in range(size):
                t.u_resid[r, c] += u[q, c] * t.like[c] * t.r[r, c]
        if order < 2:
            continue
        e = 0
        for r in range(positions):
            # r R - p (1 - p) is r (R + r - sign), and r - sign is -sign p.
            for c in range(size):
                s = u[q, c] * t.like[c] * t.r[r, c]
                t.prob[r, c] = s * (t.both[c] - sign[r, c] * t.prob[r, c])
            for c in range(size):
                t.pull[r, c] += t.prob[r, c]
            for c in range(size):
                t.uu[c] += u[q, c] * t.prob[r, c]
            for r2 in range(r, positions):
                for c in range(size):
                    t.pair[e, c] += t.like[c] * t.r[r, c] * t.r[r2, c]
                e += 1


@_compiled
def _large_group(
    rows, nodes, d, b, sd_inner, sd_outer, posterior, order, score, hessian, group_score
):
    """Add the part of a group with many rows to the scores and the Hessian."""
    p = rows.X.shape[1]
    Q = nodes.z.size
    g, start, stop = rows.group[b], rows.row[b], rows.row[b + 1]
    times = rows.weight[g]
    X = rows.X[start:stop]
    log_like, share = np.empty(Q), np.empty(Q)
    resid = np.empty(stop - start)
    spread = np.zeros((3, stop - start if order == 2 else 0))
    by_node = np.empty((Q, p + 2))
    within = np.zeros((p + 2, p + 2))
    for k in range(posterior.size):
        v = nodes.outer[d, k]
        up = np.exp(sd_outer * v)
        _log_likelihoods(rows, b, up, sd_inner, nodes, log_like)
        _softmax(log_like, share)
        for q in range(Q):
            u = nodes.centre[g] + nodes.scale[g] * nodes.z[q]
            at = up * np.exp(sd_inner * u)
            inverse = 1.0 / at
            w = posterior[k] * share[q]
            total, total_pq = 0.0, 0.0
            for i in range(start, stop):
                s = rows.sign[i]
                r = s / (1.0 + 1.0 / (rows.ratio[i] * (inverse if s > 0 else at)))
                resid[i - start] = r
                total += r
                total_pq += abs(r) * (1.0 - abs(r))
            for i in range(start, stop):
                r = w * times * resid[i - start]
                score[0, i] += r
                score[1, i] += u * r
                score[2, i] += v * r
            if order == 2:
                for i in range(stop - start):
                    pq = w * abs(resid[i]) * (1.0 - abs(resid[i]))
                    spread[0, i] += pq
                    spread[1, i] += u * pq
                    spread[2, i] += v * pq
                by_node[q, :p] = np.dot(resid, X)
                by_node[q, p] = u * total
                by_node[q, p + 1] = v * total
                within[p, p] -= w * u * u * total_pq
                within[p, p + 1] -= w * u * v * total_pq
                within[p + 1, p + 1] -= w * v * v * total_pq
        if order == 2:
            part = np.zeros((p + 2, p + 2))
            _add_covariance(share, by_node, part)
            within += posterior[k] * part
            for q in range(Q):
                for a in range(p + 2):
                    group_score[k, a] += times * share[q] * by_node[q, a]
    if order == 2:
        hessian += times * within
        for first in range(0, stop - start, BATCH):
            part_X = X[first : first + BATCH]
            table = np.empty((part_X.shape[0], p + 2))
            for i in range(part_X.shape[0]):
                for a in range(p):
                    table[i, a] = times * spread[0, first + i] * part_X[i, a]
                table[i, p] = times * spread[1, first + i]
                table[i, p + 1] = times * spread[2, first + i]
            hessian[:p] -= np.dot(part_X.T, table)


@_compiled
def laplace(rows, sd_inner, sd_outer, v, u):
    """Joint modes of the random effects, and the Laplace approximation around them.

    Parameters
    ----------
    rows : Rows
    sd_inner, sd_outer : float
    v, u : ndarray, shape (D,) and (C,)
        Start of the outer and inner effects on the standard normal scale; they receive the modes.

    Returns
    -------
    value : float
        Log-likelihood.
    score : ndarray, shape (n,)
        Such that the gradient by the coefficients is X' score.
    slopes : ndarray, shape (2,)
        Derivatives by the inner and outer standard deviation.
    v_var, u_var : ndarray, shape (D,) and (C,)
        Diagonal of the inverse of the negative Hessian at the modes.
    """
    value = 0.0
    score = np.empty(rows.sign.size)
    slopes = np.zeros(2)
    v_var, u_var = np.empty(v.size), np.empty(u.size)
    resid, info, skew, adjoint, push = np.empty((5, u.size))
    for d in range(v.size):
        low, high = rows.block[d], rows.block[d + 1]
        schur = 1.0
        for iteration in range(200):
            up = np.exp(sd_outer * v[d])
            slope = -v[d]
            schur = 1.0
            for b in range(low, high):
                size = rows.group[b + 1] - rows.group[b]
                for c in range(rows.group[b], rows.group[b + 1]):
                    at = up * np.exp(sd_inner * u[c])
                    resid[c] = 0.0
                    info[c] = 0.0
                    for i in range(rows.row[b] + c - rows.group[b], rows.row[b + 1], size):
                        s = rows.sign[i]
                        p = 1.0 / (1.0 + (rows.ratio[i] / at if s > 0 else rows.ratio[i] * at))
                        resid[c] += s * (1.0 - p)
                        info[c] += p * (1.0 - p)
                    own = 1.0 + sd_inner * sd_inner * info[c]
                    cross = sd_inner * sd_outer * info[c]
                    push[c] = -u[c] + sd_inner * resid[c]
                    slope += rows.weight[c] * (sd_outer * resid[c] - cross * push[c] / own)
                    schur += rows.weight[c] * (sd_outer * sd_outer * info[c] - cross * cross / own)
            # The curve is flat far out: at most two logits a step, and shorter ones if it goes on.
            longest = 2.0 / (1.0 + iteration // 30)
            step = slope / schur
            if sd_outer > 0:
                step = min(max(step, -longest / sd_outer), longest / sd_outer)
            v[d] += step
            largest = abs(step)
            for c in range(rows.group[low], rows.group[high]):
                own = 1.0 + sd_inner * sd_inner * info[c]
                move = (push[c] - sd_inner * sd_outer * info[c] * step) / own
                if sd_inner > 0:
                    move = min(max(move, -longest / sd_inner), longest / sd_inner)
                u[c] += move
                largest = max(largest, abs(move))
            if largest < 1e-9:
                break

        # Log-likelihood, and the adjoint of the modes: they move with the parameters, and the
        # determinant moves with them.
        up = np.exp(sd_outer * v[d])
        value -= 0.5 * v[d] * v[d]
        schur = 1.0
        for b in range(low, high):
            size = rows.group[b + 1] - rows.group[b]
            for c in range(rows.group[b], rows.group[b + 1]):
                at = up * np.exp(sd_inner * u[c])
                resid[c] = 0.0
                info[c] = 0.0
                skew[c] = 0.0
                log_prob = 0.0
                for i in range(rows.row[b] + c - rows.group[b], rows.row[b + 1], size):
                    s = rows.sign[i]
                    p = 1.0 / (1.0 + (rows.ratio[i] / at if s > 0 else rows.ratio[i] * at))
                    w = p * (1.0 - p)
                    resid[c] += s * (1.0 - p)
                    info[c] += w
                    skew[c] += s * w * (1.0 - 2.0 * p)
                    log_prob += np.log(p)
                own = 1.0 + sd_inner * sd_inner * info[c]
                value += rows.weight[c] * (log_prob - 0.5 * u[c] * u[c] - 0.5 * np.log(own))
                schur += rows.weight[c] * sd_outer * sd_outer * info[c] / own
        value -= 0.5 * np.log(schur)
        v_var[d] = 1.0 / schur
        right = 0.0
        for c in range(rows.group[low], rows.group[high]):
            own = 1.0 + sd_inner * sd_inner * info[c]
            between = sd_inner * sd_outer * info[c] / own
            u_var[c] = 1.0 / own + between * between / schur
            leverage = (
                sd_inner * sd_inner * u_var[c]
                - 2.0 * sd_inner * sd_outer * between / schur
                + sd_outer * sd_outer / schur
            )
            push[c] = -0.5 * leverage
            adjoint[c] = push[c] * sd_inner * skew[c]
            right += rows.weight[c] * (push[c] * sd_outer * skew[c] - between * adjoint[c])
        outer_adjoint = right / schur
        for b in range(low, high):
            size = rows.group[b + 1] - rows.group[b]
            for c in range(rows.group[b], rows.group[b + 1]):
                times = rows.weight[c]
                own = 1.0 + sd_inner * sd_inner * info[c]
                between = sd_inner * sd_outer * info[c] / own
                adjoint[c] = adjoint[c] / own - between * outer_adjoint
                at = up * np.exp(sd_inner * u[c])
                total = 0.0
                for i in range(rows.row[b] + c - rows.group[b], rows.row[b + 1], size):
                    s = rows.sign[i]
                    p = 1.0 / (1.0 + (rows.ratio[i] / at if s > 0 else rows.ratio[i] * at))
                    w = p * (1.0 - p)
                    e = s * (1.0 - p) + push[c] * s * w * (1.0 - 2.0 * p)
                    e -= w * (sd_inner * adjoint[c] + sd_outer * outer_adjoint)
                    score[i] = times * e
                    total += e
                slopes[0] += times * (
                    total * u[c]
                    - info[c] * (sd_inner * u_var[c] - sd_outer * between / schur)
                    + adjoint[c] * resid[c]
                )
                slopes[1] += times * (
                    total * v[d]
                    - info[c] * (sd_outer - sd_inner * between) / schur
                    + outer_adjoint * resid[c]
                )
    return value, score, slopes, v_var, u_var
