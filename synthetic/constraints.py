"""Constraints: what one published number says about the rows of a population.

A constraint carries the number's id, a function that turns the support points into one row of the
matrix F of :mod:`synthetic.population`, and the box that the printed precision leaves. Moments of
a block of rows (buyers, one country) are written as block weight times deviation with target zero,
so that they stay linear in the weights; reported values come from :func:`table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthetic.published import Printed

Array = NDArray[np.float64]
Rows = Mapping[str, Array]
Values = Callable[[Rows], Array]


class Moments(NamedTuple):
    """Mean and standard deviation of a variable, taken as known."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Block:
    """Rows that a moment is taken over.

    Attributes
    ----------
    weight : callable
        Rows -> membership of each row, 0/1 or a probability.
    share : float
        Weight of the block in the population.
    """

    weight: Values
    share: float


@dataclass(frozen=True)
class Constraint:
    """One row of the calibration.

    Attributes
    ----------
    id : str
        Id of the published number, or a name of its own for what looks demand.
    values : callable
        Rows (columns by name, each of shape (n,)) -> ndarray of shape (n,).
    target : float
        Wanted value of weights @ values.
    half_width : float
        Half the last printed digit, in the unit of `target`.
    priority : float
        Nats per squared half-width of slack, see :func:`synthetic.population.tilt`.
    unit : float
        What one unit of weights @ values is in the printed number's unit.
    printed : float
        The number as printed; `printed` + (weights @ values - target) * unit is the value achieved.
    """

    id: str
    values: Values
    target: float
    half_width: float
    priority: float
    unit: float = 1.0
    printed: float = float("nan")

    def with_priority(self, priority: float) -> Constraint:
        """Return the same constraint at another price."""
        return replace(self, priority=priority)


class System(NamedTuple):
    """Constraints evaluated on support points: what `tilt` and `elastic_programme` take."""

    F: Array
    target: Array
    half_width: Array
    priority: Array
    ids: list[str]

    def joined(self, other: System) -> System:
        """Both systems' rows, on the same support points."""
        arrays = (np.concatenate(pair) for pair in zip(self[:4], other[:4], strict=True))
        return System(*arrays, [*self.ids, *other.ids])


def evaluate(constraints: Iterable[Constraint], rows: Rows) -> System:
    """Matrix, boxes and priorities of the constraints on the given support points."""
    constraints = list(constraints)
    return System(
        F=np.stack([np.asarray(c.values(rows), dtype=float) for c in constraints]),
        target=np.array([c.target for c in constraints]),
        half_width=np.array([c.half_width for c in constraints]),
        priority=np.array([c.priority for c in constraints]),
        ids=[c.id for c in constraints],
    )


def table(constraints: Sequence[Constraint], achieved: Array, slack: Array) -> pd.DataFrame:
    """Report: one row per constraint with the value achieved in the printed number's unit.

    Parameters
    ----------
    constraints : sequence of Constraint
    achieved, slack : ndarray, shape (k,)
        As `synthetic.population.Tilt` holds them.

    Returns
    -------
    DataFrame
        Columns id, target, achieved_population, slack (half-widths), priority.
    """
    return pd.DataFrame(
        {
            "id": [c.id for c in constraints],
            "target": [c.printed for c in constraints],
            "achieved_population": [
                c.printed + (value - c.target) * c.unit
                for c, value in zip(constraints, achieved, strict=True)
            ],
            "slack": slack,
            "priority": [c.priority for c in constraints],
        }
    )


def in_block(
    id: str,
    deviation: Values,
    block: Block,
    *,
    half_width: float,
    priority: float,
    printed: float,
    unit: float = 1.0,
) -> Constraint:
    """The block mean of `deviation` is zero, give or take `half_width`.

    Parameters
    ----------
    deviation : callable
        Rows -> what the printed number leaves over, in units of 1 / `unit` of the printed number.
    """
    return Constraint(
        id,
        lambda rows: block.weight(rows) * deviation(rows),
        0.0,
        block.share * half_width / unit,
        priority,
        unit=unit / block.share,
        printed=printed,
    )


def mean(number: Printed, column: str, block: Block, priority: float) -> Constraint:
    """The block's mean of a column is the printed number."""
    return in_block(
        number.id,
        lambda rows: rows[column] - number.value,
        block,
        half_width=number.half_width,
        priority=priority,
        printed=number.value,
    )


def spread(
    number: Printed,
    column: str,
    moments: Moments,
    block: Block,
    priority: float,
    *,
    unit: float = 1.0,
) -> Constraint:
    """The block's standard deviation times `unit` is the printed number, at a known mean.

    `unit` is 1 for a standard deviation and 1 / sqrt(n) for a standard error of the mean. The
    variance is linear in the weights; near the target it moves by 2 sd per unit of the SD.
    """
    return in_block(
        number.id,
        lambda rows: ((rows[column] - moments.mean) ** 2 - moments.sd**2) / (2 * moments.sd),
        block,
        half_width=number.half_width,
        priority=priority,
        printed=moments.sd * unit,
        unit=unit,
    )


def correlation(
    number: Printed,
    first: str,
    second: str,
    moments: Mapping[str, Moments],
    block: Block,
    priority: float,
) -> Constraint:
    """The block's correlation of two columns is the printed number, at known means and SDs."""
    (m1, s1), (m2, s2) = moments[first], moments[second]
    return in_block(
        number.id,
        lambda rows: (rows[first] - m1) * (rows[second] - m2) / (s1 * s2) - number.value,
        block,
        half_width=number.half_width,
        priority=priority,
        printed=number.value,
    )


def share(number: Printed, holds: Values, priority: float, *, unit: float = 1.0) -> Constraint:
    """The share of rows for which `holds` is true, times `unit`, is the printed number.

    `unit` is 100 for a percentage.
    """
    return Constraint(
        number.id,
        lambda rows: np.asarray(holds(rows), dtype=float),
        number.value / unit,
        number.half_width / unit,
        priority,
        unit=unit,
        printed=number.value,
    )


def overall_mean(number: Printed, column: str, priority: float) -> Constraint:
    """The mean of a column over all rows is the printed number."""
    return Constraint(
        number.id,
        lambda rows: rows[column],
        number.value,
        number.half_width,
        priority,
        printed=number.value,
    )


def wish(id: str, values: Values, target: float, half_width: float, priority: float) -> Constraint:
    """A demand of looks, not of a published number."""
    return Constraint(id, values, target, half_width, priority, printed=target)
