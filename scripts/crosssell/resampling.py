"""Pairs and cluster bootstrap and holdout repetitions of Heckman's two steps.

Every replicate refits both steps, as row weights on one data set: see
:meth:`crosssell.twostep.TwoStep.refit`. Replicate k draws from its own random stream, which depends
on the seed and k alone, so that a job split into chunks gives the same replicates.

References
----------
Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical
Association 82, 171-185.
Cameron, A. C., Gelbach, J. B. and Miller, D. L. (2008). Bootstrap-based improvements for inference
with clustered errors. Review of Economics and Statistics 90, 414-427.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from crosssell.errors import (
    ConvergenceError,
    ConvergenceWarning,
    SpecificationError,
)
from crosssell.estimation import Estimates, Summary, group_codes
from crosssell.heckman import LAMBDA, HeckmanModel
from crosssell.twostep import Refits, mills

Interval = Literal["percentile", "bca", "normal"]


def stream(seed: int, replicate: int) -> np.random.Generator:
    """Return the random stream of one replicate, which depends on the two numbers alone."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(replicate,)))


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap replicates and what follows from them.

    Attributes
    ----------
    replicates : DataFrame, shape (b, k)
        Estimates by replicate number; columns (equation, term), rho and sigma under ``ancillary``.
        Failed replicates are nan.
    params : Series, shape (k,)
        Full-sample estimates.
    acceleration : Series, shape (k,)
        BCa's acceleration, from the infinitesimal jackknife: the skewness of the rows' (or
        clusters') exact first-order influence on both steps.
    failures : Series
        Number of failed replicates by reason.
    nobs : int
        Rows.
    nclusters : int or None
        Clusters drawn; None for the pairs bootstrap.
    """

    replicates: pd.DataFrame
    params: pd.Series
    acceleration: pd.Series
    failures: pd.Series
    nobs: int
    nclusters: int | None

    @cached_property
    def succeeded(self) -> pd.DataFrame:
        """Replicates with estimates."""
        return self.replicates.dropna()

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the replicates (k, k)."""
        return self.succeeded.cov()

    @property
    def bse(self) -> pd.Series:
        """Bootstrap standard errors (k,)."""
        return self.succeeded.std()

    @property
    def bias(self) -> pd.Series:
        """Mean of the replicates minus the estimate (k,)."""
        return self.succeeded.mean() - self.params

    def conf_int(self, alpha: float = 0.05, method: Interval = "percentile") -> pd.DataFrame:
        """Return confidence intervals (k, 2) of level ``1 - alpha``.

        Parameters
        ----------
        alpha : float
        method : {"percentile", "bca", "normal"}
            Percentiles of the replicates; bias-corrected and accelerated percentiles (Efron 1987);
            or estimate plus and minus normal quantiles of the bootstrap standard error. BCa is nan
            where all replicates lie on one side of the estimate.
        """
        z = special.ndtri([alpha / 2, 1 - alpha / 2])
        if method == "normal":
            bounds = self.params.to_numpy() + z[:, None] * self.bse.to_numpy()
        elif method == "percentile":
            bounds = np.quantile(self.succeeded, [alpha / 2, 1 - alpha / 2], axis=0)
        elif method == "bca":
            bounds = self._bca(z)
        else:
            raise SpecificationError(
                f"There is no interval {method!r}.", "Use 'percentile', 'bca' or 'normal'."
            )
        return pd.DataFrame({"lower": bounds[0], "upper": bounds[1]}, index=self.params.index)

    def _bca(self, z: np.ndarray) -> np.ndarray:
        values, params = self.succeeded.to_numpy(), self.params.to_numpy()
        below = (np.mean(values < params, axis=0) + np.mean(values <= params, axis=0)) / 2
        offset = special.ndtri(below)
        bounds = np.full((2, len(params)), np.nan)
        for j in np.flatnonzero(np.isfinite(offset)):
            shifted = offset[j] + z
            levels = special.ndtr(offset[j] + shifted / (1 - self.acceleration.iloc[j] * shifted))
            bounds[:, j] = np.quantile(values[:, j], levels)
        return bounds

    def to_frame(self, alpha: float = 0.05, method: Interval = "percentile") -> pd.DataFrame:
        """Return one tidy row per term, statistic and p-value from the bootstrap standard error.

        Returns
        -------
        DataFrame, shape (k, 8)
            Columns equation, term, estimate, std_error, statistic, p_value, conf_low, conf_high.
        """
        normal = Estimates(self.params, self.cov_params().to_numpy()).to_frame(alpha)
        interval = self.conf_int(alpha, method)
        return normal.assign(
            conf_low=interval["lower"].to_numpy(), conf_high=interval["upper"].to_numpy()
        )

    def summary(self, method: Interval = "percentile") -> Summary:
        """Return a printable summary with bootstrap standard errors and intervals."""
        failed = int(self.failures.sum())
        facts = {
            "Replicates": len(self.replicates),
            "Failed": failed,
            "Rows": self.nobs,
            "Clusters": "none" if self.nclusters is None else self.nclusters,
            "Intervals": method,
        }
        reasons = [f"{count} replicates failed: {why}." for why, count in self.failures.items()]
        notes = reasons if failed else []
        title = "Heckman two-step, bootstrap of both steps"
        return Summary(title, facts, self.to_frame(method=method), notes)

    @staticmethod
    def combine(parts: Sequence[Bootstrap]) -> Bootstrap:
        """Return one bootstrap from chunks of replicates of the same model and seed.

        Raises
        ------
        SpecificationError
            If two chunks share a replicate or come from different estimates.
        """
        replicates = pd.concat([part.replicates for part in parts]).sort_index()
        first = parts[0]
        if replicates.index.has_duplicates:
            raise SpecificationError(
                "Two chunks hold the same replicate.", "Give each its own range of replicates."
            )
        if not all(part.params.equals(first.params) for part in parts):
            raise SpecificationError(
                "The chunks come from different samples or models.", "Combine chunks of one fit."
            )
        failures = sum(part.failures for part in parts)
        return Bootstrap(
            replicates, first.params, first.acceleration, failures, first.nobs, first.nclusters
        )


def bootstrap(
    model: HeckmanModel,
    replicates: int | range = 500,
    seed: int = 0,
    clusters: object = None,
) -> Bootstrap:
    """Bootstrap both of Heckman's steps by resampling rows or clusters.

    Parameters
    ----------
    model : HeckmanModel
    replicates : int or range
        How many replicates, or which: ``range(100, 200)`` is a chunk of a larger job, to be put
        together with :meth:`Bootstrap.combine`.
    seed : int
    clusters : array_like, shape (n,), optional
        Draw whole clusters with replacement rather than rows.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ConvergenceError
        If fewer than two replicates can be estimated.

    Warns
    -----
    ConvergenceWarning
        If some replicates cannot be estimated.
    """
    numbers = range(replicates) if isinstance(replicates, int) else replicates
    fit, core, n = model.fit(), model.core, model.nobs
    codes = None if clusters is None else group_codes(clusters, n, "clusters")
    units = n if codes is None else int(codes.max()) + 1
    if units < 2:
        raise SpecificationError("There is a single cluster.", "Leave out clusters=.")

    def weights(k: int) -> np.ndarray:
        counts = np.bincount(stream(seed, k).integers(units, size=units), minlength=units)
        return counts if codes is None else counts[codes]

    refits = [core.refit(block) for block, _ in _weight_blocks(weights, numbers, n)]
    params = pd.concat([fit.params, _ancillary(fit.sigma, fit.rho)])
    estimates = np.vstack([np.column_stack([r.gamma, r.beta, r.sigma, r.rho]) for r in refits])
    influence = core.influence(fit.core_fit)
    if codes is not None:
        influence = pd.DataFrame(influence).groupby(codes).sum().to_numpy()
    skewness = (influence**3).sum(axis=0) / (influence**2).sum(axis=0) ** 1.5
    result = Bootstrap(
        replicates=pd.DataFrame(estimates, index=pd.Index(numbers, name="replicate")).set_axis(
            params.index, axis=1
        ),
        params=params,
        acceleration=pd.Series(skewness / 6, index=params.index),
        failures=_failures(refits),
        nobs=n,
        nclusters=None if codes is None else units,
    )
    _report(result.failures, len(numbers))
    return result


def holdout(
    model: HeckmanModel,
    repetitions: int | range = 100,
    seed: int = 0,
    share: float = 0.75,
) -> pd.DataFrame:
    """Fit to random parts of the sample and predict the rest, again and again.

    In each repetition both steps are fitted to a random `share` of the rows. The selected rows
    among the others are then predicted conditional on selection, x' beta + rho sigma lambda.

    Parameters
    ----------
    model : HeckmanModel
    repetitions : int or range
        How many repetitions, or which.
    seed : int
    share : float
        Share of the rows in the estimation sample.

    Returns
    -------
    DataFrame, shape (b, 4)
        By repetition: ``predicted`` and ``observed`` mean of the outcome over the selected holdout
        rows, ``rmse`` of the single predictions, and ``rows``, how many were predicted. Failed
        repetitions are nan.

    Raises
    ------
    SpecificationError
        If `share` leaves no estimation or no holdout rows.
    """
    n, core = model.nobs, model.core
    size = round(share * n)
    if not 0 < size < n:
        raise SpecificationError(f"share={share} splits nothing off.", "Use e.g. share=0.75.")
    numbers = range(repetitions) if isinstance(repetitions, int) else repetitions
    X = model.exog.to_numpy()[core.selected]
    Z = model.exog_select.to_numpy()[core.selected]

    def weights(k: int) -> np.ndarray:
        inside = np.zeros(n)
        inside[stream(seed, k).permutation(n)[:size]] = 1
        return inside

    parts, refits = [], []
    for block, chunk in _weight_blocks(weights, numbers, n):
        refit = core.refit(block)
        refits.append(refit)
        out = 1 - block[:, core.selected]
        rows = out.sum(axis=1)
        predicted = refit.beta[:, :-1] @ X.T + refit.beta[:, -1:] * mills(refit.gamma @ Z.T)
        with np.errstate(invalid="ignore"):  # a tiny holdout may have no selected row: nan
            columns = {
                "predicted": (out * predicted).sum(axis=1) / rows,
                "observed": out @ core.y / rows,
                "rmse": np.sqrt((out * (core.y - predicted) ** 2).sum(axis=1) / rows),
                "rows": rows.astype(int),
            }
        parts.append(pd.DataFrame(columns, index=pd.Index(chunk, name="repetition")))
    _report(_failures(refits), len(numbers))
    return pd.concat(parts)


def _weight_blocks(
    weights: Callable[[int], np.ndarray], numbers: range, n: int
) -> Iterator[tuple[np.ndarray, range]]:
    """Yield the weights (b, n) of a few replicates at a time, within a few megabytes."""
    size = max(1, 4_000_000 // n)
    for first in range(0, len(numbers), size):
        chunk = numbers[first : first + size]
        yield np.array([weights(k) for k in chunk], dtype=float), chunk


def _ancillary(sigma: float, rho: float) -> pd.Series:
    return pd.Series([sigma, rho], index=Estimates.index({"ancillary": ["sigma", "rho"]}))


def _failures(refits: Sequence[Refits]) -> pd.Series:
    """Return the number of failed refits by reason."""
    return pd.Series(
        {
            "selection equation separated or without variation": sum(
                int(r.selection_failed.sum()) for r in refits
            ),
            f"outcome regressors and {LAMBDA} collinear": sum(
                int(r.outcome_failed.sum()) for r in refits
            ),
        }
    )


def _report(failures: pd.Series, total: int) -> None:
    """Warn of failed refits, or raise an error where too few are left."""
    count = int(failures.sum())
    if not count:
        return
    reasons = "; ".join(f"{number} {why}" for why, number in failures.items() if number)
    text = f"{count} of {total} refits failed: {reasons}."
    if total - count < 2:
        raise ConvergenceError(text, "Drop rare levels, or resample within strata that keep them.")
    warnings.warn(
        f"{text} Standard errors and intervals rest on the others.",
        ConvergenceWarning,
        stacklevel=3,
    )
