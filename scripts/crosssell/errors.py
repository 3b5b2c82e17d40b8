"""Errors and warnings of the package: each says what is wrong and what to try next.

Every exception derives from :class:`CrossSellError`, so that a caller can tell a problem of the
data or the specification, which the message explains, from a defect of the program.
"""

from __future__ import annotations

from collections.abc import Iterable


class CrossSellError(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    problem : str
        What is wrong.
    remedy : str, optional
        What to try next.
    columns : iterable of str, optional
        The columns concerned, kept on the exception for programs that want them.
    """

    def __init__(self, problem: str, remedy: str = "", columns: Iterable[str] = ()) -> None:
        self.problem = problem
        self.remedy = remedy
        self.columns = tuple(columns)
        super().__init__(f"{problem} {remedy}".rstrip())


class DataError(CrossSellError, ValueError):
    """The data do not permit what was asked."""


class MissingValuesError(DataError):
    """A column that must be complete has missing values."""


class InfiniteValuesError(DataError):
    """A column has infinite values."""


class NoVariationError(DataError):
    """A column that must vary does not."""


class CollinearityError(DataError):
    """A column is a linear combination of others."""


class SeparationError(DataError):
    """Some combination of columns predicts a binary outcome perfectly, so no maximum exists."""


class SelectionError(DataError):
    """No row, every row or too few rows are selected."""


class SpecificationError(CrossSellError, ValueError):
    """The model or an option asked for does not make sense."""


class NotAvailableError(CrossSellError, AttributeError):
    """The estimator used does not define the quantity asked for."""


class ConvergenceError(CrossSellError, RuntimeError):
    """An iteration stopped before it found a maximum."""


class CrossSellWarning(UserWarning):
    """Base of every warning this package gives."""


class ConvergenceWarning(CrossSellWarning):
    """A maximum was found only in part, or lies on a boundary."""


class IdentificationWarning(CrossSellWarning):
    """The estimates exist but rest on little information."""
