"""What a check is: a relation between printed numbers, judged for all values they may stand for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy import special

from crosssell.audit.intervals import Interval, vertices
from crosssell.errors import CrossSellError

MOST_ROUNDED = 16  # rounded numbers in one expression; its corners double with each


class RelationError(CrossSellError, ValueError):
    """A declared relation cannot be checked as it stands."""


class Number(Protocol):
    """What a check needs of a printed number (see ``synthetic.published.Printed``)."""

    id: str
    printed: str
    value: float
    decimals: int
    half_width: float
    stars: str
    significance: str
    p_interval: tuple[float, float] | None
    comparison: str
    study: str
    place: Any
    unit: str
    role: str

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest value that round to the printed string."""
        ...

    def matches(self, value: float) -> bool:
        """Whether a value rounds to the printed string."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes
    ----------
    holds : bool
        Whether some values that round to the printed ones satisfy the relation.
    implied : str
        What the other numbers imply.
    size : float
        Distance from what is printed to what is implied, in the printed unit.
    explanation : str
        One plain sentence.
    certificate : mapping
        The bound, multipliers or conflicting set that proves a finding.
    nearest : mapping
        Nearest attainable value by id.
    """

    holds: bool
    implied: str
    size: float
    explanation: str
    certificate: Mapping[str, Any] = field(default_factory=dict)
    nearest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """A declared relation, all printed numbers, and the ids of those its check has asked for."""

    id: str
    kind: str
    arguments: Mapping[str, Any]
    numbers: Mapping[str, Number]
    used: dict[str, None] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """Argument as declared, or a default."""
        return self.arguments.get(name, default)

    def __getitem__(self, name: str) -> Any:
        """Argument as declared."""
        if name not in self.arguments:
            raise RelationError(f"{self.id}: the key {name} is missing.", f"{self.kind} needs it.")
        return self.arguments[name]

    def number(self, reference: str) -> Number:
        """Printed number with this id."""
        if reference not in self.numbers:
            near = difflib.get_close_matches(str(reference), self.numbers, n=1)
            raise RelationError(
                f"{self.id}: no printed number has the id {reference}.",
                f"Did you mean {near[0]}?" if near else "Give an id of the files of numbers.",
            )
        self.used[reference] = None
        return self.numbers[reference]

    def interval(self, reference: Any) -> Interval:
        """Interval of an id, of a constant, of a pair of bounds or of ``{probit: rate}``."""
        if isinstance(reference, Mapping):
            rate = self.interval(reference["probit"])
            return rate.map(lambda x: float(special.ndtri(max(x, 0.0) / 100)))
        if isinstance(reference, str):
            return Interval(*self.number(reference).interval)
        if isinstance(reference, Sequence):
            return Interval(*map(float, reference))
        return Interval(float(reference), float(reference))

    def of(self, name: str) -> Interval:
        """Interval of an argument."""
        return self.interval(self[name])

    def evaluate(self, sum_of: Any, over: Any = None) -> Interval:
        """Range of a sum of products of printed numbers, divided by another.

        Each expression is a reference or a list of products, a product a list of references; so
        ``[[a, b], [-1, c]]`` is a b - c.  The expression is monotone in each number while the
        others stay, so its extremes lie at corners of the box of intervals.
        """
        expressions = [_products(e) for e in (sum_of, over) if e is not None]
        names = sorted({str(x) for e in expressions for product in e for x in product})
        known = {str(x): self.interval(x) for e in expressions for p in e for x in p}
        if sum(not box.is_point for box in known.values()) > MOST_ROUNDED:
            raise RelationError(
                f"{self.id}: more than {MOST_ROUNDED} rounded numbers in one expression.",
                "Split it.",
            )
        corners = dict(zip(names, vertices([known[name] for name in names]).T, strict=True))
        parts = [
            sum(np.prod([corners[str(x)] for x in product], axis=0) for product in expression)
            for expression in expressions
        ]
        values = parts[0] / parts[1] if len(parts) == 2 else parts[0]
        return Interval(float(np.min(values)), float(np.max(values)))


def _products(expression: Any) -> list[list[Any]]:
    if not isinstance(expression, list):
        return [[expression]]
    return [product if isinstance(product, list) else [product] for product in expression]


@dataclass(frozen=True)
class Check:
    """A kind of check: what it does, how a failure is called and where it comes from."""

    function: Callable[[Relation], Outcome]
    failure: str
    source: str


CHECKS: dict[str, Check] = {}


def check(failure: str, source: str = "arithmetic") -> Callable:
    """Register a check under its function's name.

    Parameters
    ----------
    failure : {"impossible", "inconsistent"}
        "impossible" where no data set has the printed numbers, "inconsistent" where printed
        numbers or words contradict each other or the rule they are said to follow.
    source : str
        Where the check comes from.
    """

    def register(function: Callable[[Relation], Outcome]) -> Callable[[Relation], Outcome]:
        CHECKS[function.__name__] = Check(function, failure, source)
        return function

    return register


def show(value: float) -> str:
    """A value to six significant digits."""
    return f"{value:.6g}"
