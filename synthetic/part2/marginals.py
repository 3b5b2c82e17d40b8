"""Plain encounters of Essay II: each variable drawn on its own, given the dyad.

Every dyad has a few parameters per variable, bounded to shapes that a service desk would recognise.
`refit` moves the parameters of the large dyads towards what a tilted population wants of them
(cross-entropy), so that tilting has little left to do to single variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from synthetic.constraints import Moments
from synthetic.part2.names import ABILITY, DURATION, RANGES, RISK, SEVERITY, VALUE

Array = NDArray[np.float64]

YEARS_UNKNOWN = 99.0  # warranty years keyed where they are not known
LONGEST_CALL = 1440  # minutes of a call left open for a day
LINE_NUMBERS = (12, 20)  # product line keyed where its rank belongs
GRID = 24  # severity is the mean of four raters' whole scores: quarters from 1 to 7
SMALLEST_SHARE = 0.02  # of a category
LARGEST_OPEN = 0.06  # share of a dyad's calls left open or cut off
# Shares that records beyond the ranges are drawn with, for a small support to hold enough of them.
DRAWN_UNKNOWN, DRAWN_OPEN, DRAWN_LINE = 0.12, 0.08, 0.06


@dataclass(frozen=True)
class Marginals:
    """Parameters by dyad, each of shape (dyads,) or (dyads, categories).

    Attributes
    ----------
    busy, short_mean, short_sd, busy_mean, busy_sd
        Ability above its minimum: a share of busy agents, and means and SDs of the logs of both
        kinds.
    severity_mean, severity_sd
        Of a beta distribution between the ends of the scale.
    years : shape (dyads, 6)
        Shares of 0 to 5 warranty years.
    unknown : share of encounters with an unknown warranty
    rank : shape (dyads, 4)
        Shares of product ranks 1 to 4.
    line : share with a line number instead of a rank
    minutes_mean, minutes_sd
        Of the log of the duration of ordinary calls.
    open_call : share of calls left open, or cut off at the longest duration stated
    """

    busy: Array
    short_mean: Array
    short_sd: Array
    busy_mean: Array
    busy_sd: Array
    severity_mean: Array
    severity_sd: Array
    years: Array
    unknown: Array
    rank: Array
    line: Array
    minutes_mean: Array
    minutes_sd: Array
    open_call: Array


def start(
    left_out: NDArray[np.bool_],
    waiting: NDArray[np.bool_],
    unknown: Array,
    beyond: bool,
    severity: Moments,
) -> Marginals:
    """Marginals before any re-fit: three kinds of dyads.

    The nearer the start is to where re-fits lead, the less their end depends on the support drawn.

    Parameters
    ----------
    left_out : ndarray of bool, shape (dyads,)
        Dyads of the country that Table 8's last column leaves out.
    waiting : ndarray of bool, shape (dyads,)
        Dyads whose agents are busy, so that few customers buy. Those of the left-out country keep
        its warranties.
    unknown : ndarray, shape (dyads,)
        Shares of encounters with an unknown warranty.
    beyond : bool
        Whether records beyond the stated ranges happen. Without them the printed spreads ask for
        values at both ends of a range.
    severity : Moments
        Of failure severity over all dyads.
    """
    n = len(left_out)
    kinds = lambda theirs, busy, rest: np.where(
        waiting, busy, np.where(left_out, theirs, rest)
    ).astype(float)
    years = np.tile([0.6, 0.03, 0.03, 0.03, 0.03, 0.28], (n, 1))
    if beyond:
        years[:] = [0.07, 0.25, 0.58, 0.06, 0.02, 0.02]
        years[waiting] = [0.45, 0.29, 0.18, 0.03, 0.02, 0.03]
        years[left_out] = [0.70, 0.11, 0.06, 0.05, 0.03, 0.05]
    return Marginals(
        # Most calls of the left-out country go to agents who resolved the fewest problems, some to
        # very busy ones: buyers are then as many there as far away, as the tiny correlation of the
        # purchase with distance asks for.
        busy=kinds(0.1, 0.55, 0.07),
        short_mean=kinds(0.4, 4.4, 2.4),
        short_sd=kinds(0.9, 0.6, 0.65),
        busy_mean=kinds(5.6, 4.9, 3.2),
        busy_sd=kinds(0.6, 0.41, 0.45),
        severity_mean=np.full(n, severity.mean) + kinds(0.3, 0.0, -0.3),
        severity_sd=np.full(n, severity.sd) + kinds(-0.7, 0.4, 0.3),
        years=years,
        unknown=unknown,
        rank=np.tile([0.06, 0.10, 0.22, 0.62] if beyond else [0.12, 0.02, 0.03, 0.83], (n, 1)),
        line=np.full(n, 0.006),
        minutes_mean=np.full(n, 0.56),
        minutes_sd=np.full(n, 0.94),
        open_call=np.where(left_out, 0.006, 0.002) if beyond else np.full(n, 0.038),
    )


def draw(
    marginals: Marginals, dyad: NDArray[np.int64], beyond: bool, rng: np.random.Generator
) -> tuple[dict[str, Array], Array]:
    """Draw encounters of the given dyads.

    Parameters
    ----------
    marginals : Marginals
    dyad : ndarray of int, shape (n,)
    beyond : bool
        Whether records beyond the stated ranges happen.
    rng : numpy.random.Generator

    Returns
    -------
    rows : dict of str to ndarray, shape (n,)
        The five variables.
    weight : ndarray, shape (n,)
        Undoes that records beyond the ranges are drawn oftener than they happen: to their shares,
        in dyads in which some are drawn.
    """
    n, at = len(dyad), {f.name: getattr(marginals, f.name)[dyad] for f in fields(marginals)}
    busy = rng.random(n) < at["busy"]
    above = np.where(
        busy,
        rng.lognormal(at["busy_mean"], at["busy_sd"]),
        rng.lognormal(at["short_mean"], at["short_sd"]),
    )
    mean = (at["severity_mean"] - 1) / 6
    variance = np.clip((at["severity_sd"] / 6) ** 2, 1e-4, 0.9 * mean * (1 - mean))
    size = mean * (1 - mean) / variance - 1
    low, high = RANGES[ABILITY]
    rows = {
        ABILITY: np.minimum(high, low + np.floor(above)),
        SEVERITY: 1 + 6 * np.round(GRID * rng.beta(mean * size, (1 - mean) * size)) / GRID,
        RISK: _category(at["years"], rng),
        DURATION: np.minimum(
            RANGES[DURATION][1] - 1,
            1 + np.floor(rng.lognormal(at["minutes_mean"], at["minutes_sd"])),
        ),
        VALUE: 1.0 + _category(at["rank"], rng),
    }
    weight = np.ones(n)
    longest = RANGES[DURATION][1]
    unusual = [(DURATION, at["open_call"], DRAWN_OPEN, np.full(n, float(longest)))]
    if beyond:
        open_call = np.floor(np.exp(rng.uniform(np.log(longest + 1), np.log(LONGEST_CALL), n)))
        line = rng.integers(LINE_NUMBERS[0], LINE_NUMBERS[1] + 1, n)
        unusual = [
            (RISK, at["unknown"], DRAWN_UNKNOWN, np.full(n, YEARS_UNKNOWN)),
            (DURATION, at["open_call"], DRAWN_OPEN, open_call),
            (VALUE, at["line"], DRAWN_LINE, line),
        ]
    for name, share, drawn, value in unusual:
        happens = (rng.random(n) < drawn) & (share > 0)
        # by how often it did in the dyad, so that small dyads have their shares too
        often = (np.bincount(dyad, happens) / np.maximum(np.bincount(dyad), 1))[dyad]
        weight *= np.where(happens, share, 1 - share) / np.where(happens, often, 1 - often)
        rows[name] = np.where(happens, value, rows[name])
    return rows, weight


def _category(share: Array, rng: np.random.Generator) -> Array:
    """Categories 0 .. k - 1 with the shares (n, k) of each row."""
    edge = np.cumsum(share, axis=1)[:, :-1]
    return (rng.random(len(share))[:, None] > edge).sum(axis=1).astype(float)


def refit(
    marginals: Marginals,
    rows: Mapping[str, Array],
    dyad: NDArray[np.int64],
    weight: Array,
    step: float = 0.5,
) -> Marginals:
    """Move the marginals of the dyads in `rows` towards their weighted distributions.

    Parameters
    ----------
    marginals : Marginals
    rows : mapping of str to ndarray, shape (n,)
    dyad : ndarray of int, shape (n,)
    weight : ndarray, shape (n,)
    step : float
        How far to go: 1 is all the way.
    """
    new = {f.name: getattr(marginals, f.name).copy() for f in fields(marginals)}
    for k in np.unique(dyad):
        mine = dyad == k
        old = {name: values[k] for name, values in new.items()}
        here = {name: rows[name][mine] for name in (ABILITY, SEVERITY, RISK, DURATION, VALUE)}
        found = _moments(here, weight[mine] / weight[mine].sum(), old)
        for name, value in found.items():
            new[name][k] = (1 - step) * old[name] + step * value
    return replace(marginals, **new)


def _moments(rows: Mapping[str, Array], w: Array, old: Mapping[str, Array]) -> dict[str, Array]:
    """Parameters of one dyad from its weighted rows, within the bounds of plausible shapes."""
    years_known, ranked = rows[RISK] <= RANGES[RISK][1], rows[VALUE] <= RANGES[VALUE][1]
    closed = rows[DURATION] < RANGES[DURATION][1]
    mean = np.clip(w @ rows[SEVERITY], 1.8, 6.2)
    minutes, w_closed = np.log(np.maximum(rows[DURATION][closed] - 0.5, 0.5)), w[closed]
    w_closed = w_closed / w_closed.sum()
    minutes_mean = np.clip(w_closed @ minutes, 0.2, 1.2)
    return _ability_mixture(rows[ABILITY], w, old) | {
        "severity_mean": mean,
        "severity_sd": np.clip(np.sqrt(w @ (rows[SEVERITY] - mean) ** 2), 1.0, 2.4),
        "years": _shares(rows[RISK][years_known], w[years_known], 6),
        "unknown": np.clip(w[~years_known].sum(), 0.0, 0.03),
        "rank": _shares(rows[VALUE][ranked] - 1, w[ranked], 4),
        "line": np.clip(w[~ranked].sum(), 0.002, 0.04),
        "minutes_mean": minutes_mean,
        "minutes_sd": np.clip(np.sqrt(w_closed @ (minutes - minutes_mean) ** 2), 0.7, 1.2),
        "open_call": np.clip(w[~closed].sum(), 0.001, LARGEST_OPEN),
    }


def _shares(category: Array, w: Array, n: int) -> Array:
    share = np.bincount(category.astype(int), w, n)
    share = np.maximum(share / share.sum(), SMALLEST_SHARE)
    return share / share.sum()


def _ability_mixture(ability: Array, w: Array, old: Mapping[str, Array]) -> dict[str, Array]:
    """Two lognormal kinds of agents, by the EM algorithm from the old parameters."""
    log = np.log(ability - RANGES[ABILITY][0] + 0.5)
    share, means = float(old["busy"]), np.array([old["short_mean"], old["busy_mean"]])
    sds = np.array([old["short_sd"], old["busy_sd"]])
    for _ in range(20):
        density = np.exp(-0.5 * ((log[:, None] - means) / sds) ** 2) / sds
        density *= np.array([1 - share, share])
        # 1e-300 guards against two densities that underflow together
        part = w[:, None] * density / (density.sum(axis=1, keepdims=True) + 1e-300)
        total = part.sum(axis=0)
        share = np.clip(total[1], 0.03, 0.6)
        means = log @ part / total
        sds = np.sqrt((part * (log[:, None] - means) ** 2).sum(axis=0) / total)
        sds = np.clip(sds, [0.5, 0.4], [1.3, 1.0])
    return {
        "busy": share,
        "short_mean": means[0],
        "short_sd": sds[0],
        "busy_mean": means[1],
        "busy_sd": sds[1],
    }
