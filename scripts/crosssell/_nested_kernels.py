"""Compiled loops of the nested random-intercept logit.

Rows are sorted by outer, then inner group. A row enters through ``sign`` (1 for y = 1, -1 for
y = 0) and ``ratio = exp(-sign * x'b)``, so that with random part ``a`` its observed outcome has
probability ``1 / (1 + ratio * exp(-sign * a))``: one exponential per row, none per node.

Random effects are written as standard deviation times a standard normal effect: ``u`` inner,
``v`` outer. With nodes held fixed on that scale, the quadrature sum is the likelihood of a finite
mixture whose components have logistic rows, and Fisher's and Louis's identities give its exact
gradient and Hessian.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

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
    """The data of one evaluation."""

    X: np.ndarray  # (n, p) regressors
    sign: np.ndarray  # (n,) 1 or -1
    ratio: np.ndarray  # (n,) exp(-sign * X b)
    first: np.ndarray  # (C + 1,) where each inner group starts among the rows
    block: np.ndarray  # (D + 1,) where each outer group starts among the inner groups
    weight: np.ndarray  # (C,) how often each inner group counts


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
    """Move each inner group's nodes to the mode of its effect given its outer group's shift (D,).

    ``centre`` (C,) holds the start and receives the mode, ``scale`` (C,) the curvature's standard
    deviation. Groups with little information keep the prior's nodes: centre 0 and scale 1.
    """
    for d in range(rows.block.size - 1):
        for c in range(rows.block[d], rows.block[d + 1]):
            u = centre[c]
            precision = 1.0
            for _ in range(50):
                up = np.exp(shift[d] + sd * u)
                down = 1.0 / up
                slope = -u
                precision = 1.0
                for i in range(rows.first[c], rows.first[c + 1]):
                    s = rows.sign[i]
                    p = 1.0 / (1.0 + rows.ratio[i] * (down if s > 0 else up))
                    slope += sd * s * (1.0 - p)
                    precision += sd * sd * p * (1.0 - p)
                # At most two logits at a time: Newton's step may overshoot where the curve is flat.
                step = min(max(slope / precision, -2.0 / sd), 2.0 / sd)
                u += step
                if abs(step) < _PLACE:
                    break
            if precision < 1.0 + _LITTLE_INFORMATION and abs(u) < _NEAR_CENTRE:
                centre[c] = 0.0
                scale[c] = 1.0
            else:
                centre[c] = u
                scale[c] = 1.0 / np.sqrt(precision)


@_compiled
def _place(nodes, c, sd, K, up_outer, u, log_weight, up, down):
    """Fill one inner group's nodes (K * Q, outer node slowest): u, log weight, exp(a), exp(-a)."""
    Q = nodes.z.size
    for q in range(Q):
        z = nodes.z[q]
        u[q] = nodes.centre[c] + nodes.scale[c] * z
        log_weight[q] = np.log(nodes.weight[q] * nodes.scale[c]) + 0.5 * (z * z - u[q] * u[q])
        up[q] = np.exp(sd * u[q])
    for k in range(K - 1, -1, -1):
        for q in range(Q):
            j = k * Q + q
            u[j] = u[q]
            log_weight[j] = log_weight[q]
            up[j] = up[q] * up_outer[k]
            down[j] = 1.0 / up[j]


@_compiled
def _likelihoods(rows, c, J, K, up, down, weight, log_weight, like, top, total):
    """Likelihood of inner group c at each node (J = K * Q,) times the node's weight.

    ``total`` (K,) receives its sum over the inner nodes; multiply both by exp(top), shape (K,).
    """
    Q = J // K
    start, stop = rows.first[c], rows.first[c + 1]
    if stop - start <= _RUN:
        for j in range(J):
            like[j] = 1.0
        for i in range(start, stop):
            e = rows.ratio[i]
            if rows.sign[i] > 0:
                for j in range(J):
                    like[j] *= 1.0 + e * down[j]
            else:
                for j in range(J):
                    like[j] *= 1.0 + e * up[j]
        for j in range(J):
            like[j] = weight[j] / like[j]
        smallest = np.inf
        for k in range(K):
            s = 0.0
            for q in range(k * Q, k * Q + Q):
                s += like[q]
            total[k] = s
            top[k] = 0.0
            smallest = min(smallest, s)
        if smallest > 1e-200:
            return
    # Many rows, or improbable ones: logarithms of short products.
    log_like = log_weight[:J].copy()
    for run in range(start, stop, _RUN):
        for j in range(J):
            like[j] = 1.0
        for i in range(run, min(run + _RUN, stop)):
            e = rows.ratio[i]
            if rows.sign[i] > 0:
                for j in range(J):
                    like[j] *= 1.0 + e * down[j]
            else:
                for j in range(J):
                    like[j] *= 1.0 + e * up[j]
        for j in range(J):
            log_like[j] -= np.log(like[j])
    for k in range(K):
        top[k] = log_like[k * Q : k * Q + Q].max()
        s = 0.0
        for j in range(k * Q, k * Q + Q):
            like[j] = np.exp(log_like[j] - top[k])
            s += like[j]
        total[k] = s


@_compiled
def outer_derivatives(rows, nodes, shift, sd, slope, curve):
    """Derivatives (D,) of each outer group's log-likelihood by a shift of all its rows."""
    Q = nodes.z.size
    u, log_weight, up, down = np.empty(Q), np.empty(Q), np.empty(Q), np.empty(Q)
    weight, like, score, pq = np.empty(Q), np.empty(Q), np.empty(Q), np.empty(Q)
    top, total, up_outer = np.empty(1), np.empty(1), np.empty(1)
    for d in range(rows.block.size - 1):
        up_outer[0] = np.exp(shift[d])
        slope[d] = 0.0
        curve[d] = 0.0
        placed = False
        for c in range(rows.block[d], rows.block[d + 1]):
            prior = nodes.scale[c] == 1.0 and nodes.centre[c] == 0.0
            if not (prior and placed):
                _place(nodes, c, sd, 1, up_outer, u, log_weight, up, down)
                for q in range(Q):
                    weight[q] = np.exp(log_weight[q])
                placed = prior
            _likelihoods(rows, c, Q, 1, up, down, weight, log_weight, like, top, total)
            score[:] = 0.0
            pq[:] = 0.0
            for i in range(rows.first[c], rows.first[c + 1]):
                e = rows.ratio[i]
                s = rows.sign[i]
                node = down if s > 0 else up
                for q in range(Q):
                    p = 1.0 / (1.0 + e * node[q])
                    score[q] += s * (1.0 - p)
                    pq[q] += p * (1.0 - p)
            mean, square, spread = 0.0, 0.0, 0.0
            for q in range(Q):
                mean += like[q] * score[q]
                square += like[q] * score[q] * score[q]
                spread += like[q] * pq[q]
            mean /= total[0]
            slope[d] += rows.weight[c] * mean
            curve[d] += rows.weight[c] * ((square - spread) / total[0] - mean * mean)


@_compiled
def marginal(rows, nodes, sd_inner, sd_outer, order):
    """Log-likelihood by nested quadrature, and what its derivatives are made of.

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
        Posterior means, row by row, of r, u r and v r, where r = y - P(y = 1) given the effects.
        The score is their weighted sum, r times the regressors.
    spread : ndarray, shape (3, n)
        Weights that remain to be summed over rows: the Hessian by the coefficients is ``hessian``
        less X' diag(spread[0]) X; by coefficients and standard deviations less X' spread[1:].
    hessian : ndarray, shape (p + 2, p + 2)
        Coefficients, inner, outer standard deviation.
    """
    n, p = rows.X.shape
    D, most = nodes.outer.shape
    Q = nodes.z.size
    J = most * Q
    value = np.zeros(D)
    score = np.zeros((3, n if order >= 1 else 0))
    spread = np.zeros((3, n if order >= 2 else 0))
    hessian = np.zeros((p + 2, p + 2))

    u, log_weight, up, down = np.empty(J), np.empty(J), np.empty(J), np.empty(J)
    weight, like, v, share = np.empty(J), np.empty(J), np.empty(J), np.empty(J)
    prob, resid, pq = np.empty(J), np.empty(J), np.empty(J)
    top, total, up_outer, log_post = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    # Scores of one inner group at each node: by rows where they are few, else by coefficients.
    width = p + 2
    by_node = np.empty((width, J))
    by_outer = np.empty((width, most))
    group_score = np.empty((most, width))
    mean_score = np.empty(width)

    for d in range(D):
        K = nodes.count[d]
        J = K * Q
        for k in range(K):
            up_outer[k] = np.exp(sd_outer * nodes.outer[d, k])
            for q in range(Q):
                v[k * Q + q] = nodes.outer[d, k]
            log_post[k] = nodes.outer_log_weight[d, k]
        placed = False
        for c in range(rows.block[d], rows.block[d + 1]):
            prior = nodes.scale[c] == 1.0 and nodes.centre[c] == 0.0
            if not (prior and placed):
                _place(nodes, c, sd_inner, K, up_outer, u, log_weight, up, down)
                for j in range(J):
                    weight[j] = np.exp(log_weight[j])
                placed = prior
            _likelihoods(rows, c, J, K, up, down, weight, log_weight, like, top, total)
            for k in range(K):
                log_post[k] += rows.weight[c] * (top[k] + np.log(total[k]))
        highest = log_post[:K].max()
        posterior = np.exp(log_post[:K] - highest)
        value[d] = highest + np.log(posterior.sum())
        posterior /= posterior.sum()
        if order == 0:
            continue

        group_score[:] = 0.0
        placed = False
        for c in range(rows.block[d], rows.block[d + 1]):
            start, stop = rows.first[c], rows.first[c + 1]
            prior = nodes.scale[c] == 1.0 and nodes.centre[c] == 0.0
            if not (prior and placed):
                _place(nodes, c, sd_inner, K, up_outer, u, log_weight, up, down)
                for j in range(J):
                    weight[j] = np.exp(log_weight[j])
                placed = prior
            _likelihoods(rows, c, J, K, up, down, weight, log_weight, like, top, total)
            for k in range(K):
                factor = posterior[k] / total[k]
                for j in range(k * Q, k * Q + Q):
                    share[j] = like[j] * factor
            few = stop - start <= p
            m = stop - start if few else p
            if order == 2:
                by_node[p:, :J] = 0.0
                pq[:J] = 0.0
                if not few:
                    by_node[:p, :J] = 0.0
            for i in range(start, stop):
                e = rows.ratio[i]
                s = rows.sign[i]
                if s > 0:
                    for j in range(J):
                        prob[j] = 1.0 / (1.0 + e * down[j])
                else:
                    for j in range(J):
                        prob[j] = 1.0 / (1.0 + e * up[j])
                r0, r1, r2 = 0.0, 0.0, 0.0
                for j in range(J):
                    resid[j] = s * (1.0 - prob[j])
                    r = share[j] * resid[j]
                    r0 += r
                    r1 += r * u[j]
                    r2 += r * v[j]
                score[0, i] = r0
                score[1, i] = r1
                score[2, i] = r2
                if order == 2:
                    r0, r1, r2 = 0.0, 0.0, 0.0
                    for j in range(J):
                        w = prob[j] * (1.0 - prob[j])
                        pq[j] += w
                        w *= share[j]
                        r0 += w
                        r1 += w * u[j]
                        r2 += w * v[j]
                        by_node[p, j] += u[j] * resid[j]
                        by_node[p + 1, j] += v[j] * resid[j]
                    spread[0, i] = r0
                    spread[1, i] = r1
                    spread[2, i] = r2
                    if few:
                        by_node[i - start, :J] = resid[:J]
                    else:
                        for a in range(p):
                            x = rows.X[i, a]
                            for j in range(J):
                                by_node[a, j] += x * resid[j]
            if order < 2:
                continue
            times = rows.weight[c]
            uu, uv, vv = 0.0, 0.0, 0.0
            for j in range(J):
                w = share[j] * pq[j]
                uu += w * u[j] * u[j]
                uv += w * u[j] * v[j]
                vv += w * v[j] * v[j]
            hessian[p, p] -= times * uu
            hessian[p, p + 1] -= times * uv
            hessian[p + 1, p + 1] -= times * vv
            for a in range(width):
                if a < m or a >= p:
                    for k in range(K):
                        s = 0.0
                        for j in range(k * Q, k * Q + Q):
                            s += share[j] * by_node[a, j]
                        by_outer[a, k] = s
            for a in range(width):
                if m <= a < p:
                    continue
                for b in range(a, width):
                    if m <= b < p:
                        continue
                    # Covariance of the scores within outer nodes; that between them is below.
                    s = 0.0
                    for j in range(J):
                        s += share[j] * by_node[a, j] * by_node[b, j]
                    for k in range(K):
                        if posterior[k] > 1e-200:
                            s -= by_outer[a, k] * by_outer[b, k] / posterior[k]
                    if not few or a >= p:
                        hessian[a, b] += times * s
                    elif b >= p:
                        for g in range(p):
                            hessian[g, b] += times * s * rows.X[start + a, g]
                    elif a == b:
                        spread[0, start + a] -= s
                    else:
                        for g in range(p):
                            for h in range(p):
                                hessian[g, h] += (
                                    times
                                    * s
                                    * (
                                        rows.X[start + a, g] * rows.X[start + b, h]
                                        + rows.X[start + b, g] * rows.X[start + a, h]
                                    )
                                )
            if K > 1:
                for k in range(K):
                    if posterior[k] > 1e-200:
                        factor = times / posterior[k]
                        for a in range(m):
                            s = by_outer[a, k] * factor
                            if few:
                                for g in range(p):
                                    group_score[k, g] += s * rows.X[start + a, g]
                            else:
                                group_score[k, a] += s
                        group_score[k, p] += by_outer[p, k] * factor
                        group_score[k, p + 1] += by_outer[p + 1, k] * factor
        if order == 2 and K > 1:
            mean_score[:] = 0.0
            for k in range(K):
                for a in range(width):
                    mean_score[a] += posterior[k] * group_score[k, a]
            for k in range(K):
                for a in range(width):
                    for b in range(a, width):
                        hessian[a, b] += (
                            posterior[k]
                            * (group_score[k, a] - mean_score[a])
                            * (group_score[k, b] - mean_score[b])
                        )
    return value, score, spread, hessian
