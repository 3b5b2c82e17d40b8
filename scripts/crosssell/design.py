"""Regressors from lists of terms, as the model specifications write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crosssell.errors import DataError
from crosssell.estimation import INTERCEPT


def regressors(
    data: pd.DataFrame,
    terms: Sequence[str],
    *,
    centre: bool | Sequence[str] = False,
    constant: bool = True,
) -> pd.DataFrame:
    """Design matrix of main effects and interactions.

    Parameters
    ----------
    data : DataFrame, shape (n, k)
    terms : sequence of str
        Column names, and interactions written ``a:b`` (products of columns).
    centre : bool or sequence of str
        Columns that have their mean taken off before products are formed; True means all.
    constant : bool
        Whether a constant stands last, as in the essays' tables.

    Returns
    -------
    DataFrame, shape (n, len(terms) + 1)

    Raises
    ------
    DataError
        If a term names a column that the data lack; all such columns are named at once.
    """
    columns = sorted({name for term in terms for name in term.split(":")})
    missing = [name for name in columns if name not in data]
    if missing:
        raise DataError(
            f"the model needs the columns {missing}, which the analysis table lacks. "
            "Provide the measures or take the terms out of the model's specification."
        )
    values = data[columns].astype(float)
    centred = columns if centre is True else list(centre or [])
    values[centred] -= values[centred].mean()
    matrix = pd.DataFrame(
        {
            term: np.prod([values[name].to_numpy() for name in term.split(":")], axis=0)
            for term in terms
        },
        index=data.index,
    )
    if constant:
        matrix[INTERCEPT] = 1.0
    return matrix
