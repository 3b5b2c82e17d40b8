"""Intervals: a printed number stands for every value that rounds to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

TOUCH = 1e-9  # relative; closer ends count as touching


@dataclass(frozen=True, slots=True)
class Interval:
    """Closed interval; a point where both ends agree."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Middle of the interval."""
        return (self.low + self.high) / 2

    @property
    def is_point(self) -> bool:
        """Whether the number is exact."""
        return self.low == self.high

    @property
    def magnitude(self) -> Interval:
        """Interval of absolute values."""
        ends = sorted((abs(self.low), abs(self.high)))
        return Interval(0.0 if self.low < 0 < self.high else ends[0], ends[1])

    def map(self, function: Callable[[float], float]) -> Interval:
        """Image under a monotone function."""
        ends = sorted((function(self.low), function(self.high)))
        return Interval(*ends)

    def __add__(self, other: Interval) -> Interval:
        """Sum."""
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        """Difference."""
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        """Product."""
        ends = [x * y for x in (self.low, self.high) for y in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def meets(self, other: Interval) -> bool:
        """Whether some value lies in both.

        Two rounded intervals that only touch do not meet: no rule of rounding prints the shared
        end both ways.  A touch with a point counts, since a tie may round either way.
        """
        gap = max(self.low - other.high, other.low - self.high)
        if math.isnan(gap) or gap == -math.inf:
            return not math.isnan(gap)
        slack = TOUCH * max(1e-3, *(abs(x) for x in (self.low, other.low) if math.isfinite(x)))
        return gap <= slack if self.is_point or other.is_point else gap < -slack

    def distance(self, other: Interval) -> float:
        """Length of the gap between two intervals, zero where they overlap."""
        return max(self.low - other.high, other.low - self.high, 0.0)

    def clamp(self, value: float) -> float:
        """The value of the interval nearest to a number."""
        return min(max(value, self.low), self.high)

    def __str__(self) -> str:
        """Ends to six significant digits."""
        return f"{self.low:.6g}" if self.is_point else f"{self.low:.6g} to {self.high:.6g}"


def vertices(intervals: Sequence[Interval]) -> np.ndarray:
    """Corners of a box, shape (2^k, k), one column per interval; a point has one end."""
    ends = [(i.low,) if i.is_point else (i.low, i.high) for i in intervals]
    return np.array(list(itertools.product(*ends)), dtype=float)


def extremes(function: Callable[..., np.ndarray], *intervals: Interval) -> Interval:
    """Range over a box of a function that is monotone in each argument."""
    values = function(*vertices(intervals).T)
    return Interval(float(np.min(values)), float(np.max(values)))
