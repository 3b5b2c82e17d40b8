"""Figures: pure functions from tidy estimates to a matplotlib figure.

A figure's specification names its function (`draw`), the estimates it needs (`fits`, by the name of
the function's argument) and its `options`. Everything is told apart by place, shape and line style,
so that a figure reads in print and without colour.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crosssell.diagrams import draw_framework
from crosssell.errors import SpecificationError

INK, MUTED, ACCENT, SHADE = "#1a1a1a", "#7d7d7d", "#b5452c", "#e4e4e4"
MARKERS = "osD^vP"
PLAIN = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
FEWEST = 30  # encounters that make a rate worth a symbol
WIDTH = 6.6  # inches: the paper's line
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "crosssell",
    "figure.constrained_layout.use": True,
}
FORMATS = {  # the canvas that writes each, and what would date a file
    "pdf": (FigureCanvasPdf, "CreationDate"),
    "svg": (FigureCanvasSVG, "Date"),
    "png": (FigureCanvasAgg, "Software"),
}
FIGURES: dict[str, Callable[..., Figure]] = {}


def figure(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function available to figure specifications under its name."""
    FIGURES[function.__name__] = function
    return function


def draw(
    spec: Mapping[str, Any], fits: Mapping[str, pd.DataFrame], printed: Mapping[str, float]
) -> Figure:
    """Draw one figure.

    Parameters
    ----------
    spec : mapping
        ``draw``, ``fits`` and ``options`` of one entry of figures.yaml.
    fits : mapping of str to DataFrame
        Tidy estimates by ``study.model.sample``.
    printed : mapping of str to float
        Printed numbers by name, for comparison; functions that compare ask for it.

    Raises
    ------
    SpecificationError
        If there is no such function, or an argument is not one of its own.
    """
    if spec["draw"] not in FIGURES:
        raise SpecificationError(
            f"figures.yaml asks for the figure {spec['draw']!r}.",
            f"There are: {', '.join(sorted(FIGURES))}.",
        )
    function = FIGURES[spec["draw"]]
    known = inspect.signature(function).parameters
    arguments = {name: fits[fit] for name, fit in spec.get("fits", {}).items()}
    arguments |= spec.get("options", {})
    if "printed" in known:
        arguments["printed"] = printed
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise SpecificationError(
            f"figures.yaml gives {spec['draw']} the arguments {unknown}.",
            f"It takes: {', '.join(known)}.",
        )
    with mpl.rc_context(STYLE):
        made = function(**arguments)
        # Laid out once, not for every format as `Figure.savefig` would.
        if engine := made.get_layout_engine():
            engine.execute(made)
            made.set_layout_engine("none")
    return made


def save(made: Figure, path: str | Path, ending: str) -> None:
    """Write a drawn figure as ``pdf``, ``svg`` or ``png``.

    Files are undated: the same figure is the same file.
    """
    canvas, date = FORMATS[ending]
    made.set_dpi(200)
    with mpl.rc_context(STYLE):
        getattr(canvas(made), f"print_{ending}")(path, metadata={date: None})


def _equation(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one equation by term."""
    return rows[rows["equation"] == name].set_index("term")


def _grid(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of small panels, as many as asked for."""
    lines = -(-count // columns)
    made = Figure(figsize=(WIDTH, height * lines))
    axes = [made.add_subplot(lines, columns, place + 1) for place in range(count)]
    return made, axes


def _interval(
    axis: Axes, x: float, y: float, low: float, high: float, marker: str, color: str, **options: Any
) -> None:
    """A horizontal interval with its point."""
    axis.plot([low, high], [y, y], color=color, linewidth=options.pop("width", 0.9), zorder=2)
    axis.plot([x], [y], marker, color=color, zorder=3, **options)


# ---------------------------------------------------------------------------------- frameworks


@figure
def framework(
    causes: Sequence[Mapping[str, Any]],
    outcome: str,
    joint: Mapping[str, Any] | None = None,
    moderator: Mapping[str, Any] | None = None,
    covariates: Sequence[str] = (),
) -> Figure:
    """Conceptual framework; see `crosssell.diagrams.draw_framework`."""
    made = Figure(figsize=(WIDTH, 3.7), layout="none")
    axis = made.add_axes((0, 0, 1, 1))
    draw_framework(axis, causes, outcome, joint, moderator, covariates)
    return made


# ------------------------------------------------------------------------------- coefficients


@figure
def coefficients(
    estimates: pd.DataFrame,
    printed: Mapping[str, float],
    prefix: str,
    terms: Mapping[str, str],
    equation: str = "outcome",
) -> Figure:
    """Printed against reproduced coefficients, in printed standard errors, with 95% intervals.

    Parameters
    ----------
    estimates : DataFrame
    printed : mapping of str to float
    prefix : str
        What stands before ``.<term>.estimate`` and ``.<term>.std_error`` in printed names.
    terms : mapping of str to str
        Labels by term, from top to bottom.
    equation : str
    """
    rows = _equation(estimates, equation)
    made = Figure(figsize=(WIDTH, 0.5 + 0.24 * len(terms)))
    axis = made.add_subplot()
    z = NormalDist().inv_cdf(0.975)
    for y, term in enumerate(terms):
        unit = printed.get(f"{prefix}.{term}.std_error", np.nan)
        old = printed.get(f"{prefix}.{term}.estimate", np.nan)
        # A standard error printed as zero cannot be a unit; its own estimate's error is.
        unit = unit if unit > 0 else rows.at[term, "std_error"]
        new = rows.loc[term]
        _interval(
            axis, old / unit, y - 0.16, old / unit - z, old / unit + z, "o", MUTED, mfc="white"
        )
        bounds = new[["estimate", "conf_low", "conf_high"]] / unit
        _interval(axis, bounds["estimate"], y + 0.16, *bounds.iloc[1:], "s", INK, width=1.4)
        axis.axhline(y + 0.5, color=SHADE, linewidth=0.5, zorder=0)
    axis.set_yticks(range(len(terms)), list(terms.values()))
    axis.set_ylim(len(terms) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.axvline(0, color=INK, linewidth=0.6)
    axis.set_xscale("symlog", linthresh=5)
    axis.set_xticks(
        [-100, -25, -5, -2, 0, 2, 5, 25], ["−100", "−25", "−5", "−2", "0", "2", "5", "25"]
    )
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, -300), min(high, 300))
    axis.minorticks_off()
    axis.set_xlabel("Estimate over its printed standard error (linear between −5 and 5)")
    made.legend(
        handles=[
            Line2D([], [], marker="o", mfc="white", color=MUTED, label="printed"),
            Line2D([], [], marker="s", color=INK, linewidth=1.4, label="reproduced"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return made


# ---------------------------------------------------------------------------------- interactions


@figure
def interactions(
    effects: pd.DataFrame, panels: Sequence[Mapping[str, str]], unit: str, columns: int = 3
) -> Figure:
    """Conditional effects along moderators, with 95% bands and regions of significance.

    Parameters
    ----------
    effects : DataFrame
        See `crosssell.analyses.interactions.interaction_rows`.
    panels : sequence of mapping
        ``pair`` (variable|moderator), ``title`` and ``along``.
    unit : str
        What an effect is measured in.
    columns : int
    """
    made, axes = _grid(len(panels), columns, 2.0)
    regions = _equation(effects, "region")["estimate"]
    for axis, panel in zip(axes, panels, strict=True):
        rows = _equation(effects, f"effect.{panel['pair']}")
        x = rows.index.to_numpy(dtype=float)
        significant = (rows["p_value"] < 0.05).to_numpy()
        if len(x) > 10:
            axis.fill_between(x, rows["conf_low"], rows["conf_high"], color=SHADE, linewidth=0)
            axis.plot(x, rows["estimate"], color=INK, linestyle=(0, (1, 1.2)))
            axis.plot(x, rows["estimate"].where(significant), color=INK, linewidth=1.8)
            for end in ("low", "high"):
                place = regions[f"{panel['pair']}.{end}"]
                if x.min() < place < x.max():
                    axis.axvline(place, color=ACCENT, linewidth=0.7, linestyle="--")
        else:
            axis.vlines(x, rows["conf_low"], rows["conf_high"], color=INK, linewidth=0.9)
            axis.plot(x, rows["estimate"], color=MUTED, linewidth=0.6)
            for kind, fill in ((significant, INK), (~significant, "white")):
                axis.plot(x[kind], rows["estimate"][kind], "o", color=INK, mfc=fill)
            axis.set_xticks(x)
            axis.margins(x=0.15)
        axis.axhline(0, color=INK, linewidth=0.6)
        axis.set_title(panel["title"])
        axis.set_xlabel(panel["along"])
    for axis in axes[::columns]:
        axis.set_ylabel(unit)
    return made


# ------------------------------------------------------------------------------------ segments


@figure
def segments(estimates: pd.DataFrame, panels: Mapping[str, str]) -> Figure:
    """Acceptance and revenue by segment: averaged predictions and Table 4's arithmetic."""
    made, axes = _grid(2 * len(panels), 2, 2.0)
    for line, (panel, title) in enumerate(panels.items()):
        for axis, what, label, scale in zip(
            axes[2 * line : 2 * line + 2],
            ("acceptance", "revenue"),
            ("Acceptance (%)", "Revenue of a buyer ($)"),
            (100, 1),
            strict=True,
        ):
            for name, marker, color, fill, shift in (
                ("averaged.", "s", INK, INK, -0.06),
                ("", "o", ACCENT, "white", 0.06),
            ):
                rows = _equation(estimates, f"{name}{panel}")
                rows = (
                    scale
                    * rows[rows.index.str.endswith(f".{what}")][
                        ["estimate", "conf_low", "conf_high"]
                    ]
                )
                x = np.array([float(term.split(".")[0]) for term in rows.index])
                axis.plot(x + shift, rows["estimate"], color=color, linewidth=0.6, alpha=0.6)
                axis.vlines(
                    x + shift, rows["conf_low"], rows["conf_high"], color=color, linewidth=0.9
                )
                axis.plot(x + shift, rows["estimate"], marker, color=color, mfc=fill)
            axis.set_xticks(x)
            axis.set_xlabel(title)
            axis.set_ylabel(label)
            axis.axhline(0, color=INK, linewidth=0.6)
    axes[0].legend(
        handles=[
            Line2D([], [], marker="s", color=INK, label="averaged over customers, 95%"),
            Line2D([], [], marker="o", mfc="white", color=ACCENT, label="Table 4's arithmetic"),
        ],
        loc="upper left",
    )
    return made


# ------------------------------------------------------------------------------- purchase rates


@figure
def purchase_rates(
    rates: pd.DataFrame,
    rows: str,
    columns: str,
    labels: Mapping[str, str],
    row_title: str,
    column_title: str,
) -> Figure:
    """Purchase rate of each pair of countries, with 95% intervals, sizes as areas.

    Pairs with fewer than `FEWEST` encounters are left out.

    Parameters
    ----------
    rates : DataFrame
        Result of `crosssell.analyses.describe.rates`.
    rows, columns : str
        The two columns by which the rates are.
    labels : mapping of str to str
        Names of the codes.
    row_title, column_title : str
    """
    pair = f"{rows}~{columns}"
    cells, sizes = _equation(rates, pair), _equation(rates, f"n.{pair}")["estimate"]
    by_row = _equation(rates, rows)["estimate"].sort_values(ascending=False)
    row_sizes = _equation(rates, f"n.{rows}")["estimate"]
    overall = np.average(by_row, weights=row_sizes[by_row.index])
    order = _equation(rates, f"n.{columns}")["estimate"].sort_values(ascending=False).index
    made = Figure(figsize=(WIDTH, 0.9 + 0.52 * len(by_row)))
    axis = made.add_subplot()
    shown = cells[sizes[cells.index] >= FEWEST]
    limit = 115 * max(by_row.max(), shown["estimate"].max())
    offsets = np.linspace(-0.3, 0.3, len(order))
    for y, (row, rate) in enumerate(by_row.items()):
        if y % 2:
            axis.axhspan(y - 0.5, y + 0.5, color="#f5f5f5", zorder=0)
        axis.plot([100 * rate] * 2, [y - 0.42, y + 0.42], color=INK, linewidth=2.2, zorder=2)
        for offset, column, marker in zip(offsets, order, MARKERS, strict=False):
            key = f"{row}~{column}"
            if key not in shown.index:
                continue
            cell = 100 * shown.loc[key, ["estimate", "conf_low", "conf_high"]].astype(float)
            axis.plot(cell.iloc[1:], [y + offset] * 2, color=MUTED, linewidth=0.8, zorder=1)
            area = 14 + 120 * np.sqrt(sizes[key] / sizes.max())
            few = sizes[key] < 100
            axis.scatter(
                cell["estimate"],
                y + offset,
                s=area,
                marker=marker,
                facecolor="white" if few else "#c9c9c9",
                edgecolor=INK,
                linewidth=0.8,
                zorder=3,
                clip_on=True,
            )
        axis.text(
            1.01, y, f"{row_sizes[row]:,.0f}", transform=axis.get_yaxis_transform(), va="center"
        )
    axis.text(
        1.01, -0.75, "encounters", transform=axis.get_yaxis_transform(), fontsize=7, color=MUTED
    )
    axis.axvline(100 * overall, color=ACCENT, linewidth=0.8, linestyle="--", zorder=1)
    axis.text(
        100 * overall, -0.56, f"all: {100 * overall:.1f}%", color=ACCENT, ha="center", fontsize=7
    )
    axis.set_yticks(range(len(by_row)), [labels.get(row, row) for row in by_row.index], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(by_row) - 0.5, -0.5)
    axis.set_xlim(-0.02 * limit, limit)
    axis.set_xlabel("Purchase rate (%)")
    axis.set_ylabel(row_title)
    handles = [
        Line2D(
            [], [], marker=marker, color=INK, mfc="#c9c9c9", linestyle="", label=labels.get(c, c)
        )
        for c, marker in zip(order, MARKERS, strict=False)
    ]
    handles.append(Line2D([], [], color=INK, linewidth=2.2, label="customer country"))
    made.legend(handles=handles, title=column_title, loc="outside lower center", ncols=len(handles))
    return made


# ---------------------------------------------------------------------- holdout and bootstrap


@figure
def holdout(
    estimates: pd.DataFrame, printed: Mapping[str, float], predicted: str, observed: str
) -> Figure:
    """Mean predicted and observed revenue over random splits, and the printed split.

    Parameters
    ----------
    estimates : DataFrame
        Result of `crosssell.analyses.selection.heckman_holdout`.
    printed : mapping of str to float
    predicted, observed : str
        Names of the two printed means.
    """
    draws = {name: _equation(estimates, name)["estimate"] for name in ("predicted", "observed")}
    difference = _equation(estimates, "difference")["estimate"]
    made, (left, right) = _grid(2, 2, 2.7)
    left.plot(draws["observed"], draws["predicted"], "o", color=MUTED, alpha=0.35, markersize=2.5)
    left.plot(draws["observed"].iloc[:1], draws["predicted"].iloc[:1], "s", color=INK, markersize=6)
    left.annotate(
        "first split",
        (draws["observed"].iloc[0], draws["predicted"].iloc[0]),
        xytext=(6, -9),
        textcoords="offset points",
        bbox=PLAIN,
    )
    point = printed.get(observed, np.nan), printed.get(predicted, np.nan)
    if np.isfinite(point).all():
        left.plot(*point, "D", color=ACCENT, mfc="white", markersize=6)
        left.annotate("printed", point, xytext=(7, 5), textcoords="offset points", bbox=PLAIN)
    ends = [min(map(min, draws.values())), max([*map(max, draws.values()), np.nanmax(point)])]
    left.plot(ends, ends, color=INK, linewidth=0.6)
    left.set_xlabel("Mean observed revenue ($)")
    left.set_ylabel("Mean predicted revenue ($)")
    left.set_aspect("equal")
    right.hist(difference, bins=30, color=SHADE, edgecolor=MUTED, linewidth=0.4)
    right.axvline(0, color=INK, linewidth=0.6)
    for value, style, label in (
        (difference.mean(), "-", "mean of splits"),
        (difference.iloc[0], "--", "first split"),
        (point[1] - point[0], ":", "printed"),
    ):
        color = ACCENT if label == "printed" else INK
        right.axvline(value, color=color, linestyle=style, linewidth=1.3, label=label)
    right.set_xlabel("Predicted less observed ($)")
    right.set_ylabel(f"Splits out of {len(difference)}")
    right.legend(loc="upper left")
    return made


@figure
def bootstrap(estimates: pd.DataFrame, terms: Mapping[str, str], columns: int = 4) -> Figure:
    """Bootstrap replicates of each coefficient against the conventional normal approximation.

    Parameters
    ----------
    estimates : DataFrame
        Result of `crosssell.analyses.selection.heckman_bootstrap`.
    terms : mapping of str to str
        Labels by term.
    columns : int
    """
    made, axes = _grid(len(terms), columns, 1.35)
    percentile, normal = _equation(estimates, "outcome"), _equation(estimates, "heckman.outcome")
    for axis, (term, label) in zip(axes, terms.items(), strict=True):
        draws = _equation(estimates, f"replicate.outcome.{term}")["estimate"]
        middle = draws[draws.between(*np.quantile(draws, [0.005, 0.995]))]
        axis.hist(middle, bins=25, density=True, color=SHADE, edgecolor=MUTED, linewidth=0.3)
        mean, error = normal.loc[term, ["estimate", "std_error"]]
        x = np.linspace(*axis.get_xlim(), 200)
        density = np.exp(-(((x - mean) / error) ** 2) / 2) / (error * np.sqrt(2 * np.pi))
        axis.plot(x, density, color=INK, linewidth=0.9)
        axis.axvline(0, color=ACCENT, linewidth=0.8, linestyle="--")
        low, high = percentile.loc[term, ["conf_low", "conf_high"]]
        axis.plot([low, high], [0, 0], color=INK, linewidth=3, solid_capstyle="butt", clip_on=False)
        axis.set_title(label)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.locator_params(axis="x", nbins=4)
    return made


# ------------------------------------------------------------------------ specification curves


def _curve(rows: pd.DataFrame, term: str) -> pd.DataFrame:
    """Estimates of a term over specifications, in increasing order."""
    return rows[(rows["term"] == term) & rows["equation"].str.contains("/")].sort_values("estimate")


def _draw_curve(axis: Axes, rows: pd.DataFrame) -> None:
    x = np.arange(len(rows))
    significant = (rows["p_value"] < 0.05).to_numpy()
    axis.vlines(x, rows["conf_low"], rows["conf_high"], color=SHADE, linewidth=0.9)
    for kind, color, size, label in (
        (~significant, MUTED, 1.3, "not significant"),
        (significant, INK, 2.6, "significant at 5%"),
    ):
        axis.plot(x[kind], rows["estimate"][kind], "o", color=color, markersize=size, label=label)
    axis.axhline(0, color=ACCENT, linewidth=0.8)
    # Few specifications with enormous intervals would hide all others.
    low = min(rows["conf_low"].quantile(0.1), rows["estimate"].min(), 0)
    high = max(rows["conf_high"].quantile(0.9), rows["estimate"].max(), 0)
    axis.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))


@figure
def curves(estimates: pd.DataFrame, hypotheses: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Every hypothesis over all specifications, sorted by the estimate.

    Parameters
    ----------
    estimates : DataFrame
        Result of one of `crosssell.analyses.curves`.
    hypotheses : mapping
        By name: ``term``, ``label`` and ``expected`` (the sign, as shown).
    """
    columns = 5 if len(hypotheses) > 5 else len(hypotheses)
    made, axes = _grid(len(hypotheses), columns, 1.75)
    shares = _equation(estimates, "hypothesis")["estimate"]
    for axis, (name, hypothesis) in zip(axes, hypotheses.items(), strict=True):
        rows = _curve(estimates, hypothesis["term"])
        _draw_curve(axis, rows)
        axis.set_title(f"{name} ({hypothesis['expected']})\n{hypothesis['label']}")
        support, oppose = (shares[f"{name}.{way}"] for way in ("supporting", "opposing"))
        axis.set_xlabel(f"{support:.0%} for, {oppose:.0%} against", fontsize=6.3)
        axis.set_xticks([])
    for axis in axes[::columns]:
        axis.set_ylabel("Standardised estimate")
    handles, names = axes[0].get_legend_handles_labels()
    made.legend(handles, names, loc="outside lower center", ncols=2)
    return made


@figure
def curve(
    estimates: pd.DataFrame,
    term: str,
    label: str,
    choices: Mapping[str, Sequence[str]],
    words: Mapping[str, str],
) -> Figure:
    """One hypothesis over all specifications, with the choices behind each estimate.

    Parameters
    ----------
    estimates : DataFrame
        Result of one of `crosssell.analyses.curves`.
    term, label : str
    choices : mapping
        What was chosen, in the order of a specification's name, with its options.
    words : mapping of str to str
        How options are shown.
    """
    rows = _curve(estimates, term)
    made = Figure(figsize=(WIDTH, 4.6))
    lines = sum(map(len, choices.values()))
    top, bottom = made.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [1.0, 0.085 * lines]}
    )
    _draw_curve(top, rows)
    top.set_ylabel("Standardised estimate")
    top.set_title(label)
    top.legend(loc="upper left", ncols=2)
    top.tick_params(axis="x", length=0)
    chosen = rows["equation"].str.split("/", expand=True)
    significant = (rows["p_value"] < 0.05).to_numpy()
    y, ticks = 0.0, {}
    for place, (what, options) in enumerate(choices.items()):
        bottom.text(
            -0.2, y + (len(options) - 1) / 2, what, transform=bottom.get_yaxis_transform(),
            va="center", ha="right", color=MUTED, fontsize=7,
        )  # fmt: skip
        for option in options:
            here = (chosen[place] == option).to_numpy()
            x = np.flatnonzero(here)
            bottom.vlines(x, y - 0.36, y + 0.36, color=MUTED, linewidth=0.7)
            strong = np.flatnonzero(here & significant)
            bottom.vlines(strong, y - 0.36, y + 0.36, color=INK, linewidth=1.3)
            ticks[y] = words.get(option, option)
            y += 1
        y += 0.6
    bottom.set_yticks(list(ticks), list(ticks.values()))
    bottom.set_ylim(y - 1, -0.8)
    bottom.tick_params(axis="y", length=0)
    bottom.set_xticks([])
    bottom.spines[["left", "bottom"]].set_visible(False)
    bottom.set_xlabel(f"{len(rows)} specifications, by estimate")
    return made
