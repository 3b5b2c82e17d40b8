"""The one schema that every result of the package has, whatever was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

KEYS = ["study", "model", "sample", "equation", "term"]
FIELDS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


@dataclass(frozen=True)
class Result:
    """Result of one analysis.

    Attributes
    ----------
    rows : DataFrame
        One row per term: equation, term and the six ``FIELDS``; what a term lacks is missing.
    info : dict
        What belongs to the whole fit: number of rows, log-likelihood, convergence, and so on.
    """

    rows: pd.DataFrame
    info: dict[str, Any] = field(default_factory=dict)

    def tidy(self, *, study: str, model: str, sample: str) -> pd.DataFrame:
        """Rows under the names of their fit, with every column of the schema."""
        table = self.rows.reindex(columns=["equation", "term", *FIELDS])
        table.insert(0, "sample", sample)
        table.insert(0, "model", model)
        table.insert(0, "study", study)
        return table


def coefficients(
    equation: str,
    params: Any,
    bse: Any,
    terms: Any,
    *,
    df: float = np.inf,
    level: float = 0.95,
) -> pd.DataFrame:
    """Rows of coefficients with their tests and intervals.

    Parameters
    ----------
    equation : str
    params, bse : array_like, shape (k,)
        Coefficients and standard errors (nan where there is none).
    terms : sequence of str, shape (k,)
    df : float
        Degrees of freedom of the t distribution; infinite for the normal.
    level : float
        Level of the intervals.

    Returns
    -------
    DataFrame, shape (k, 8)
    """
    from scipy import special

    params, bse = np.asarray(params, float), np.asarray(bse, float)
    z = np.divide(params, bse, out=np.full_like(params, np.nan), where=bse > 0)
    width = special.stdtrit(df, (1 + level) / 2) * bse
    return pd.DataFrame(
        {
            "equation": equation,
            "term": list(terms),
            "estimate": params,
            "std_error": bse,
            "statistic": z,
            "p_value": 2 * special.stdtr(df, -np.abs(z)),
            "conf_low": params - width,
            "conf_high": params + width,
        }
    )


def values(
    equation: str, numbers: Mapping[str, float], **fields: Mapping[str, float]
) -> pd.DataFrame:
    """Rows of plain numbers by term; further fields are given by name."""
    rows = pd.DataFrame(
        {"equation": equation, "term": list(numbers), "estimate": list(numbers.values())}
    )
    for name, content in fields.items():
        rows[name] = rows["term"].map(content)
    return rows


def test(equation: str, term: str, statistic: float, df: float, p_value: float) -> pd.DataFrame:
    """Three rows for a test: ``term.statistic``, ``term.df`` and ``term.p_value``."""
    return pd.DataFrame(
        {
            "equation": equation,
            "term": [f"{term}.statistic", f"{term}.df", f"{term}.p_value"],
            "estimate": [statistic, df, p_value],
            "statistic": [statistic, np.nan, np.nan],
            "p_value": [p_value, np.nan, p_value],
        }
    )
