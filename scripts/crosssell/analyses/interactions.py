"""Conditional effects of variables that interact, with regions of significance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crosssell.predictions import conditional_effects, effect_weights, johnson_neyman
from crosssell.results import values

GRID = 41
#: A moderator with no more values than these is shown at its values, not on a grid.
FEW = 7


def interaction_rows(
    params: pd.Series,
    covariance: pd.DataFrame,
    data: pd.DataFrame,
    pairs: Sequence[Sequence[str]],
    centres: pd.Series | None = None,
) -> pd.DataFrame:
    """Effects of variables along their moderators, others at the means.

    Parameters
    ----------
    params : Series, shape (k,)
        Coefficients by term.
    covariance : DataFrame, shape (k, k)
    data : DataFrame
        Rows whose means, and whose moderators' ranges, are meant.
    pairs : sequence of (variable, moderator)
    centres : Series, optional
        What the model took off its variables before it multiplied them.

    Returns
    -------
    DataFrame
        ``effect.<variable>|<moderator>`` by the moderator's value; ``at`` with the effect at the
        moderator's ``low`` (mean less one SD, or the smaller of two values), ``mean`` and ``high``;
        ``region`` with the Johnson-Neyman boundaries ``low`` and ``high``, ``where`` the effect is
        significant (0 outside them, 1 between them, 2 nowhere, 3 everywhere), and the ``share`` of
        rows at which it is.
    """
    columns = sorted(
        {name for pair in pairs for name in pair} | set(":".join(params.index).split(":"))
    )
    columns = [name for name in columns if name in data]
    sample = data[columns].astype(float)
    shift = pd.Series(0.0, index=columns) if centres is None else centres[columns]
    means = (sample.mean() - shift).to_dict()
    rows = []
    for variable, moderator in pairs:
        name = f"{variable}|{moderator}"
        observed = sample[moderator]
        grid = _grid(observed)
        effects = conditional_effects(
            f"effect.{name}",
            params,
            covariance,
            variable,
            moderator,
            grid - shift[moderator],
            means,
        )
        rows.append(effects.assign(term=[f"{value:.6g}" for value in grid]))
        low, high = observed.mean() - observed.std(), observed.mean() + observed.std()
        if observed.nunique() == 2:
            low, high = observed.min(), observed.max()
        points = np.array([low, observed.mean(), high])
        at = conditional_effects(
            "at", params, covariance, variable, moderator, points - shift[moderator], means
        )
        rows.append(at.assign(term=[f"{name}.{point}" for point in ("low", "mean", "high")]))
        rows.append(_region(name, params, covariance, variable, moderator, means, shift, observed))
    return pd.concat(rows)


def _grid(observed: pd.Series) -> np.ndarray:
    """Values at which to show a moderator: its own if few, else its middle 98 per cent."""
    own = np.sort(observed.unique())
    if len(own) <= FEW:
        return own
    return np.linspace(*observed.quantile([0.01, 0.99]), GRID)


def _region(
    name: str,
    params: pd.Series,
    covariance: pd.DataFrame,
    variable: str,
    moderator: str,
    means: dict[str, float],
    shift: pd.Series,
    observed: pd.Series,
) -> pd.DataFrame:
    """Rows of the region of significance, in the moderator's own units."""
    ends = effect_weights(params.index, variable, {**means, moderator: np.array([0.0, 1.0])})
    weights = np.stack([ends[0], ends[1] - ends[0]])
    effect, slope = weights @ params.to_numpy()
    (variance, between), (_, slope_variance) = weights @ covariance.to_numpy() @ weights.T
    region = johnson_neyman(effect, slope, variance, slope_variance, between)
    numbers = {
        f"{name}.low": region.low + shift[moderator],
        f"{name}.high": region.high + shift[moderator],
        f"{name}.where": float(region.inside) + 2 * np.isnan(region.low),
        f"{name}.share": region.holds((observed - shift[moderator]).to_numpy()).mean(),
    }
    return values("region", numbers)
