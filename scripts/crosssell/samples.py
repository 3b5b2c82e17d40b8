"""Samples: which rows of an analysis table a model is estimated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crosssell.errors import DataError


def select(data: pd.DataFrame, spec: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Rows of a sample.

    Parameters
    ----------
    data : DataFrame, shape (n, k)
        Analysis table.
    spec : mapping
        ``where`` and ``exclude`` map a column to the values kept or left out; ``split`` keeps a
        random part of the rows: ``{share: 0.75, part: first}`` or ``part: rest``. An empty mapping
        is the full sample.
    seed : int
        Seed of the split; both parts of a split share it.

    Returns
    -------
    DataFrame
        The kept rows, in their order.

    Raises
    ------
    DataError
        If a named column does not exist, or if no row is left.
    """
    kept = np.ones(len(data), dtype=bool)
    for key, wanted in (("where", True), ("exclude", False)):
        for column, values in spec.get(key, {}).items():
            if column not in data:
                raise DataError(f"the sample names the column {column!r}, which the data lack.")
            kept &= data[column].isin(values).to_numpy() == wanted
    if "split" in spec:
        order = np.random.default_rng(seed).permutation(len(data))
        first = np.zeros(len(data), dtype=bool)
        first[order[: round(spec["split"]["share"] * len(data))]] = True
        kept &= first if spec["split"]["part"] == "first" else ~first
    if not kept.any():
        raise DataError(f"the sample {dict(spec)} keeps no row. Mend its values in samples.yaml.")
    return data[kept].reset_index(drop=True)
