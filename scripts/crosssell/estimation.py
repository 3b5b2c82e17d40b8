"""What every estimator shares: checks of the design matrix, inference, printable summaries."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import linalg, special

from crosssell.errors import (
    CollinearityError,
    DataError,
    InfiniteValuesError,
    MissingValuesError,
    NoVariationError,
    SpecificationError,
)

if TYPE_CHECKING:
    from formulaic import ModelSpec

INTERCEPT = "intercept"
#: A column at a smaller angle (its sine) to the span of those before it counts as collinear.
COLLINEARITY_TOLERANCE = 1e-10
_QR_BLOCK = 1 << 16


# ------------------------------------------------------------------------------- design matrices


def as_frame(values: object, prefix: str) -> pd.DataFrame:
    """Return a matrix-like object as a frame of floats with named columns.

    Parameters
    ----------
    values : DataFrame, Series or array_like, shape (n,) or (n, k)
        Columns of numbers.
    prefix : str
        Names unnamed columns ``prefix0, prefix1, ...``.

    Returns
    -------
    DataFrame, shape (n, k)

    Raises
    ------
    DataError
        If a column is not numeric, or if two columns share a name.
    """
    if isinstance(values, pd.Series):
        frame = values.to_frame(values.name if values.name is not None else prefix)
    elif isinstance(values, pd.DataFrame):
        frame = values
    else:
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        frame = pd.DataFrame(array, columns=[f"{prefix}{j}" for j in range(array.shape[1])])
    names = [str(name) for name in frame]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"Two columns are named {_listed(repeated)}.", "Rename or drop one of them.", repeated
        )
    try:
        array = frame.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
        raise DataError(
            f"{_listed(words)} is not numeric.",
            "Convert it to numbers, or write C(column) in a formula to make it categorical.",
            words,
        ) from None
    return pd.DataFrame(array, index=frame.index, columns=names)


def formula_frames(
    formula: str, data: pd.DataFrame
) -> tuple[pd.DataFrame | None, pd.DataFrame, ModelSpec]:
    """Return the two sides of a formula as frames, rows with missing values kept.

    Parameters
    ----------
    formula : str
        ``y ~ x1 + x2 + x1:x2`` in the grammar of formulaic; ``~ x1 + x2`` has no left-hand side.
    data : DataFrame, shape (n, ...)

    Returns
    -------
    left : DataFrame or None
    right : DataFrame, shape (n, k)
        The constant is called ``intercept``.
    spec : ModelSpec
        Of the right-hand side, for :func:`formula_rows` on other data.

    Raises
    ------
    SpecificationError
        If the formula cannot be read or names a column that the data lack.
    """
    from formulaic import model_matrix  # loads slowly, and few jobs need it

    try:
        matrices = model_matrix(formula, data, na_action="ignore", output="pandas")
    except Exception as error:  # formulaic raises many kinds, all of them about formula or data
        raise SpecificationError(
            f"The formula {formula!r} cannot be evaluated: {error}",
            f"Columns available: {', '.join(map(str, data.columns))}.",
        ) from error
    left = getattr(matrices, "lhs", None)
    right = getattr(matrices, "rhs", matrices)
    named = pd.DataFrame(right).rename(columns={"Intercept": INTERCEPT}).astype(float)
    return (None if left is None else pd.DataFrame(left)), named, right.model_spec


def formula_rows(spec: ModelSpec, data: pd.DataFrame) -> pd.DataFrame:
    """Return the right-hand side of a formula evaluated on new data (n, k)."""
    matrix = spec.get_model_matrix(data, na_action="ignore", output="pandas")
    return pd.DataFrame(matrix).rename(columns={"Intercept": INTERCEPT}).astype(float)


def check_finite(frame: pd.DataFrame, place: str) -> None:
    """Raise an error that names the columns with missing or infinite values.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
    place : str
        Where the columns stand, for the message, e.g. ``"the selection equation"``.

    Raises
    ------
    MissingValuesError, InfiniteValuesError
    """
    values = frame.to_numpy()
    if np.isfinite(values).all():
        return
    for is_bad, kind, error, remedy in (
        (
            np.isnan,
            "missing",
            MissingValuesError,
            "Drop those rows, impute them, or drop the column.",
        ),
        (np.isinf, "infinite", InfiniteValuesError, "Look for a division by zero or log of zero."),
    ):
        bad = is_bad(values)
        if bad.any():
            counts = bad.sum(axis=0)
            columns = [str(name) for name, count in zip(frame, counts, strict=True) if count]
            detail = "; ".join(
                f"{name} ({count} of {len(frame)} rows, first at row label "
                f"{frame.index[bad[:, j].argmax()]!r})"
                for j, (name, count) in enumerate(zip(frame, counts, strict=True))
                if count
            )
            raise error(f"In {place} there are {kind} values: {detail}.", remedy, columns)


def check_rank(frame: pd.DataFrame, place: str) -> np.ndarray:
    """Raise an error if a column is constant or a combination of those before it.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
        Finite values. A single constant column is allowed.
    place : str
        Where the columns stand, for the message.

    Returns
    -------
    ndarray, shape (k, k)
        Upper triangular R of the QR decomposition ``frame = Q R``; solving with it makes the
        columns orthonormal.

    Raises
    ------
    NoVariationError, CollinearityError
    """
    values = frame.to_numpy()
    names = [str(name) for name in frame]
    if len(frame) < len(names):
        raise DataError(
            f"{place[:1].upper()}{place[1:]} has {len(names)} columns but only {len(frame)} rows.",
            "Use fewer columns or more rows.",
        )
    # Blocks of rows keep the memory at a few megabytes however many rows there are.
    factor = np.empty((0, len(names)))
    for first in range(0, len(values), _QR_BLOCK):
        factor = np.linalg.qr(np.vstack([factor, values[first : first + _QR_BLOCK]]), mode="r")
    length = np.sqrt(np.einsum("ij,ij->j", factor, factor))
    independent = np.abs(np.diagonal(factor)) > COLLINEARITY_TOLERANCE * length
    if independent.all():
        return factor
    column = int(np.argmin(independent))
    constant = [
        name
        for name, x in zip(names, values.T, strict=True)
        if np.ptp(x) <= 1e-12 * np.abs(x).max()
    ]
    if names[column] in constant:
        others = [name for name in constant if name != names[column]]
        because = f", as has {_listed(others)}" if others else ""
        raise NoVariationError(
            f"In {place}, {names[column]} has the same value in all {len(frame)} rows{because}.",
            f"Drop {names[column]}, or use a sample in which it varies.",
            [names[column]],
        )
    basis = np.flatnonzero(independent[:column])
    weights = linalg.lstsq(factor[:, basis], factor[:, column])[0]
    matters = np.abs(weights) * length[basis] > 1e-6 * length[column]
    partners = [names[j] for j in basis[matters]]
    raise CollinearityError(
        f"In {place}, {names[column]} is a linear combination of {_listed(partners)}.",
        f"Drop one of {_listed([*partners, names[column]])}.",
        [names[column], *partners],
    )


def check_binary(values: pd.Series, place: str) -> np.ndarray:
    """Return a 0/1 column as an array of floats (n,), or raise an error that says why not.

    Raises
    ------
    MissingValuesError, DataError, NoVariationError
    """
    check_finite(values.astype(float).to_frame(), place)
    array = values.to_numpy(dtype=float)
    other = np.setdiff1d(array, [0.0, 1.0])
    if other.size:
        raise DataError(
            f"In {place}, {values.name} must be 0 or 1 but also takes {_listed(other[:3])}.",
            "Recode it, e.g. (column > 0).astype(int).",
            [str(values.name)],
        )
    if np.ptp(array) == 0:
        raise NoVariationError(
            f"In {place}, {values.name} is {array[0]:.0f} in all {array.size} rows.",
            "Use a sample that has both outcomes.",
            [str(values.name)],
        )
    return array


def group_codes(groups: object, n: int, name: str = "groups") -> np.ndarray:
    """Return group labels as whole numbers 0..G-1 (n,); missing labels are refused."""
    labels = pd.Series(np.asarray(groups))
    if len(labels) != n:
        raise DataError(f"{name} has {len(labels)} labels for {n} rows.", "Pass one label per row.")
    if labels.isna().any():
        raise MissingValuesError(
            f"{name} is missing in {int(labels.isna().sum())} rows.", "Drop those rows.", [name]
        )
    return pd.factorize(labels)[0]


def _listed(words: Sequence[object] | np.ndarray | pd.Index) -> str:
    """Return words as an English list."""
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


# ------------------------------------------------------------------------------------- inference


@dataclass(frozen=True)
class ChiSquareTest:
    """A test statistic with a chi-square null distribution."""

    name: str
    statistic: float
    df: int

    @property
    def pvalue(self) -> float:
        """Probability of a larger statistic under the null hypothesis."""
        return float(special.chdtrc(self.df, self.statistic))

    def __str__(self) -> str:
        """Return e.g. ``Wald: chi2(4) = 23.33, p = 0.0001``."""
        return f"{self.name}: chi2({self.df}) = {self.statistic:.4f}, p = {self.pvalue:.4f}"


def wald(estimate: np.ndarray, covariance: np.ndarray, name: str = "Wald") -> ChiSquareTest:
    """Return the Wald test that all of `estimate` (k,) is zero, given its covariance (k, k)."""
    statistic = float(estimate @ np.linalg.solve(covariance, estimate)) if estimate.size else 0.0
    return ChiSquareTest(name, statistic, estimate.size)


def likelihood_ratio(restricted_llf: float, full_llf: float, df: int) -> ChiSquareTest:
    """Return the likelihood-ratio test of a model nested in another with `df` more parameters.

    Raises
    ------
    SpecificationError
        If the models cannot be nested in this order.
    """
    statistic = 2 * (full_llf - restricted_llf)
    if df <= 0 or statistic < -1e-6 * (1 + abs(full_llf)):
        raise SpecificationError(
            f"The first model (log-likelihood {restricted_llf:.4f}) cannot be nested in the second "
            f"({full_llf:.4f}, {df} more parameters).",
            "Pass the smaller model's results, both fitted to the same rows.",
        )
    return ChiSquareTest("Likelihood ratio", max(statistic, 0.0), df)


class Estimates:
    """Point estimates with a covariance, and the inference that follows from the two.

    Parameters
    ----------
    params : Series, shape (k,)
        Estimates on a MultiIndex of ``(equation, term)``: ``params["outcome"]`` is one equation,
        ``params["outcome", "educ"]`` one coefficient.
    covariance : ndarray, shape (k, k)
    """

    def __init__(self, params: pd.Series, covariance: np.ndarray) -> None:
        self.params = params.rename_axis(["equation", "term"])
        self._covariance = covariance

    @staticmethod
    def index(terms: Mapping[str, Sequence[str]]) -> pd.MultiIndex:
        """Return the (equation, term) index for the terms of each equation, in their order."""
        pairs = [(equation, term) for equation, names in terms.items() for term in names]
        return pd.MultiIndex.from_tuples(pairs, names=["equation", "term"])

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the estimates (k, k)."""
        index = self.params.index
        return pd.DataFrame(self._covariance, index=index, columns=index)

    @cached_property
    def bse(self) -> pd.Series:
        """Standard errors (k,); nan where an estimated covariance has a negative variance."""
        variance = np.diagonal(self._covariance)
        return self._series(np.sqrt(np.where(variance >= 0, variance, np.nan)))

    @cached_property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors (k,), asymptotically standard normal."""
        return self.params / self.bse

    @cached_property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values (k,) from the normal distribution."""
        return self._series(2 * special.ndtr(-np.abs(self.tvalues)))

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return normal confidence intervals (k, 2) of level ``1 - alpha``."""
        reach = special.ndtri(1 - alpha / 2) * self.bse
        return pd.DataFrame({"lower": self.params - reach, "upper": self.params + reach})

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return one tidy row per term.

        Returns
        -------
        DataFrame, shape (k, 8)
            Columns equation, term, estimate, std_error, statistic, p_value, conf_low, conf_high.
        """
        interval = self.conf_int(alpha)
        columns = {
            "estimate": self.params,
            "std_error": self.bse,
            "statistic": self.tvalues,
            "p_value": self.pvalues,
            "conf_low": interval["lower"],
            "conf_high": interval["upper"],
        }
        return pd.DataFrame(columns).reset_index()

    def _series(self, values: np.ndarray) -> pd.Series:
        return pd.Series(values, index=self.params.index)


# -------------------------------------------------------------------------------------- summaries

_HEADINGS = {
    "estimate": "Estimate",
    "std_error": "Std. error",
    "statistic": "z",
    "p_value": "P>|z|",
    "conf_low": "[0.025",
    "conf_high": "0.975]",
}
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


@dataclass(frozen=True)
class Summary:
    """A printable summary: a title, facts about the fit, coefficients by equation, and notes.

    Parameters
    ----------
    title : str
    facts : mapping of str to object
        Label and value, shown in two columns; floats with four decimals.
    coefficients : DataFrame
        As :meth:`Estimates.to_frame` returns it.
    notes : sequence of str
    """

    title: str
    facts: Mapping[str, object]
    coefficients: pd.DataFrame
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        """Return the text form."""
        return self.as_text()

    def _repr_html_(self) -> str:
        return self.as_html()

    def as_text(self) -> str:
        """Return the summary as plain text."""
        blocks = self._blocks()
        widest = max([len("Term"), *(len(row[0]) for _, rows in blocks for row in rows)])
        header = f"{'':<{widest}}" + "".join(f"{text:>12}" for text in _HEADINGS.values())
        width = max(len(header), len(self.title))
        facts = [f"{label}: {_number(value)}" for label, value in self.facts.items()]
        pairs = [facts[j : j + 2] for j in range(0, len(facts), 2)]
        lines = [self.title.center(width).rstrip(), "=" * width]
        lines += ["".join(f"{fact:<{width // 2}}" for fact in pair).rstrip() for pair in pairs]
        for equation, rows in blocks:
            lines += ["=" * width, equation, header, "-" * width]
            lines += [f"{row[0]:<{widest}}" + "".join(f"{x:>12}" for x in row[1:]) for row in rows]
        return "\n".join([*lines, "=" * width, *self.notes])

    def as_latex(self) -> str:
        """Return the summary as a LaTeX table; needs the booktabs package."""
        lines = [
            r"\begin{table}",
            rf"\caption{{{_latex(self.title)}}}",
            r"\begin{tabular}{lrrrrrr}",
        ]
        lines += [r"\toprule"]
        for label, value in self.facts.items():
            lines += [rf"{_latex(label)} & \multicolumn{{6}}{{r}}{{{_latex(_number(value))}}} \\"]
        heading = " & ".join(_latex(text) for text in ("", *_HEADINGS.values()))
        for equation, rows in self._blocks():
            lines += [r"\midrule", rf"\multicolumn{{7}}{{l}}{{\emph{{{_latex(equation)}}}}} \\"]
            lines += [rf"{heading} \\", r"\midrule"]
            lines += [" & ".join(_latex(cell) for cell in row) + r" \\" for row in rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par {_latex(note)}" for note in self.notes]
        return "\n".join([*lines, r"\end{table}"])

    def as_html(self) -> str:
        """Return the summary as an HTML table."""
        lines = ["<table>", f"<caption>{html.escape(self.title)}</caption>"]
        for label, value in self.facts.items():
            cell = f'<td colspan="6">{html.escape(_number(value))}</td>'
            lines += [f"<tr><th>{html.escape(label)}</th>{cell}</tr>"]
        heading = "".join(f"<th>{html.escape(text)}</th>" for text in _HEADINGS.values())
        for equation, rows in self._blocks():
            lines += [f"<tr><th>{html.escape(equation)}</th>{heading}</tr>"]
            for row in rows:
                cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
                lines += [f"<tr><th>{html.escape(row[0])}</th>{cells}</tr>"]
        lines += [f'<tr><td colspan="7">{html.escape(note)}</td></tr>' for note in self.notes]
        return "\n".join([*lines, "</table>"])

    def _blocks(self) -> list[tuple[str, list[list[str]]]]:
        """Return (equation, rows of cells) in the order of the coefficients."""
        columns = list(_HEADINGS)
        return [
            (
                str(equation),
                [
                    [str(term), *map(_number, cells)]
                    for term, *cells in block[["term", *columns]].itertuples(index=False)
                ],
            )
            for equation, block in self.coefficients.groupby("equation", sort=False)
        ]


def _number(value: object) -> str:
    """Return a number with four decimals, or in scientific notation where those would hide it."""
    if not isinstance(value, float | np.floating):
        return str(value)
    if np.isnan(value):
        return ""
    tiny_or_huge = value != 0 and not 1e-3 <= abs(value) < 1e7
    return f"{value:.3e}" if tiny_or_huge else f"{value:.4f}"


def _latex(text: str) -> str:
    """Return text with LaTeX's special signs escaped."""
    return text.translate(_LATEX)
