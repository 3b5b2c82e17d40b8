"""The verdict on one printed number: exact, close, same reading, differs or cannot hold."""

from __future__ import annotations

import math
from typing import Protocol

EXACT = "exact"
CLOSE = "close"
SAME_READING = "same reading"
DIFFERS = "differs"
CANNOT_HOLD = "cannot hold"

#: Every verdict, best first, with what it means.
MEANING = {
    EXACT: "the reproduced value rounds to the printed string",
    CLOSE: "within one printed standard error, or 5% where none is printed",
    SAME_READING: "sign and significance level agree, size does not",
    DIFFERS: "none of these, or not reproduced",
    CANNOT_HOLD: "no data set of the stated kind has it; the nearest attainable value is given",
}
VERDICTS = tuple(MEANING)
TOLERANCE = 0.05


class Printed(Protocol):
    """What a verdict needs of a printed number (see ``synthetic.published.Printed``)."""

    value: float
    p_interval: tuple[float, float] | None

    def matches(self, value: float) -> bool:
        """Whether a value rounds to the printed string."""
        ...


def verdict(
    printed: Printed,
    reproduced: float,
    *,
    std_error: float = math.nan,
    p_value: float = math.nan,
    impossible: bool = False,
) -> str:
    """Judge one printed number against its reproduction.

    Parameters
    ----------
    printed : Printed
    reproduced : float
        In the printed unit; nan where the number was not reproduced.
    std_error : float
        Printed standard error of the number; nan where none is printed.
    p_value : float
        P-value of the reproduced estimate or statistic; nan where it has none.
    impossible : bool
        Whether an audit certificate shows that no data set of the stated kind has the number.

    Returns
    -------
    str
        The first that applies of exact, cannot hold, close, same reading and differs: a number
        that came back did so in data of another kind than stated, which its certificate tells.
    """
    if printed.matches(reproduced):
        return EXACT
    if impossible:
        return CANNOT_HOLD
    known = std_error > 0
    margin = std_error if known else TOLERANCE * abs(printed.value)
    if abs(reproduced - printed.value) <= margin:
        return CLOSE
    if printed.p_interval is not None and printed.value * reproduced > 0:
        low, high = printed.p_interval
        if low <= p_value < high or p_value == high == 1.0:
            return SAME_READING
    return DIFFERS
