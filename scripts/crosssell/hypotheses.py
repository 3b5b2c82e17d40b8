"""Verdicts on hypotheses over many specifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crosssell.results import values

#: What a verdict's code means, from the shares of specifications behind it.
VERDICTS = {
    4.0: "supported throughout",
    3.0: "mostly supported",
    2.0: "depends on the specification",
    1.0: "not supported",
    0.0: "contradicted",
}
THROUGHOUT, MOSTLY, SELDOM = 0.95, 0.5, 0.05


def verdict(supporting: float, opposing: float) -> float:
    """Code of a verdict.

    Parameters
    ----------
    supporting, opposing : float
        Share of specifications significant in the hypothesised and in the opposite direction.

    Returns
    -------
    float
        A key of `VERDICTS`: 4 when nearly all support, 3 when most do, 0 when most oppose, 1 when
        hardly any support, and 2 otherwise.
    """
    if supporting >= THROUGHOUT:
        return 4.0
    if supporting >= MOSTLY:
        return 3.0
    if opposing >= MOSTLY:
        return 0.0
    return 1.0 if supporting <= SELDOM else 2.0


def verdicts(curve: pd.DataFrame, hypotheses: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Verdict on each hypothesis over a specification curve.

    Parameters
    ----------
    curve : DataFrame
        One row per specification and term, with ``term``, ``estimate`` and ``p_value`` (two-sided);
        specifications that do not identify a term lack its row or its estimate.
    hypotheses : mapping
        By name: ``term`` and ``sign`` (1 or -1).

    Returns
    -------
    DataFrame
        Rows of equation ``hypothesis``: per hypothesis the number of ``specifications``, the shares
        with the ``same_sign``, ``supporting`` and ``opposing`` at 5 per cent, and the ``verdict``.
    """
    found = {}
    for name, hypothesis in hypotheses.items():
        rows = curve[(curve["term"] == hypothesis["term"]) & curve["estimate"].notna()]
        same = np.sign(rows["estimate"]) == hypothesis["sign"]
        significant = rows["p_value"] < 0.05
        supporting, opposing = (same & significant).mean(), (~same & significant).mean()
        found |= {
            f"{name}.specifications": float(len(rows)),
            f"{name}.same_sign": same.mean(),
            f"{name}.supporting": supporting,
            f"{name}.opposing": opposing,
            f"{name}.verdict": verdict(supporting, opposing) if len(rows) else np.nan,
        }
    return values("hypothesis", found)
