"""Conceptual frameworks drawn as boxes and arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, MUTED, FILL = "#1a1a1a", "#7d7d7d", "#f2f2f2"
LINE, MARGIN = 0.052, 0.035  # height of a line of text and a box's margins, in axis units


def _height(items: Sequence[str]) -> float:
    """Height of a box with a title and items."""
    return LINE * (len(items) + (1.25 if items else 1.0)) + MARGIN


def _box(
    axis: Axes,
    left: float,
    middle: float,
    width: float,
    title: str,
    items: Sequence[str] = (),
    *,
    dashed: bool = False,
    pad: float = 0.0,
) -> tuple[float, float, float, float]:
    """Draw a titled box around its items; return its left, bottom, right and top."""
    height = _height(items) + 2 * pad
    bottom = middle - height / 2
    axis.add_patch(
        FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.012",
            facecolor="white" if dashed else FILL,
            edgecolor=MUTED if dashed else INK,
            linewidth=0.8,
            linestyle="--" if dashed else "-",
            zorder=2,
        )
    )
    top = bottom + height
    y = top - pad - MARGIN / 2 - LINE / 2
    axis.text(left + width / 2, y, title, ha="center", va="center", weight="bold", zorder=3)
    y -= 1.25 * LINE
    for line in items:
        axis.text(left + 0.015, y, line, ha="left", va="center", zorder=3, fontsize=7.5)
        y -= LINE
    return left, bottom, left + width, top


def _arrow(
    axis: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    dashed: bool = False,
) -> None:
    """Draw an arrow."""
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            linewidth=0.9,
            color=MUTED if dashed else INK,
            linestyle="--" if dashed else "-",
            shrinkA=0,
            shrinkB=0,
            zorder=1,
        )
    )


def _label(axis: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write a text on an arrow."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
    axis.text(x, y, text, ha="center", va="center", fontsize=7.5, bbox=box, zorder=4, **options)


def draw_framework(
    axis: Axes,
    causes: Sequence[Mapping[str, Any]],
    outcome: str,
    joint: Mapping[str, Any] | None = None,
    moderator: Mapping[str, Any] | None = None,
    covariates: Sequence[str] = (),
) -> None:
    """Draw causes on the left, the outcome on the right, and what comes between.

    Parameters
    ----------
    axis : Axes
        Covers the figure.
    causes : sequence of mapping
        From top to bottom: ``title``, ``items`` (lines of the box) and ``label`` (on its arrow).
    outcome : str
    joint : mapping, optional
        ``title`` and ``items`` of a box of joint effects below the causes.
    moderator : mapping, optional
        ``title`` and ``label`` of a variable that moderates every cause's arrow, with ``effects``,
        one label for each; its own arrow to the outcome carries ``label``.
    covariates : sequence of str
        Variables that enter as controls.
    """
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    top, gap = (0.97 if moderator is None else 0.76), 0.05
    heights = [_height(cause["items"]) for cause in causes]
    centre = top - (sum(heights) + gap * (len(causes) - 1)) / 2
    left, bottom, right, upper = _box(axis, 0.74, centre, 0.24, outcome, pad=0.05)
    paths = []
    for place, (cause, height) in enumerate(zip(causes, heights, strict=True)):
        middle = top - sum(heights[:place]) - gap * place - height / 2
        edge = _box(axis, 0.02, middle, 0.36, cause["title"], cause["items"])[2]
        # Arrows meet the outcome in the order of the causes.
        end = upper - (upper - bottom) * (place + 0.5) / len(causes)
        _arrow(axis, (edge, middle), (left, end))
        paths.append(lambda x, a=middle, b=end, edge=edge: a + (x - edge) / (left - edge) * (b - a))
        if cause.get("label"):
            _label(axis, 0.55, paths[-1](0.55), cause["label"])
    if moderator:
        above = _box(axis, 0.42, 0.92, 0.28, moderator["title"])
        for place, (path, effect) in enumerate(zip(paths, moderator["effects"], strict=True)):
            # The lower a path, the further left, where paths are furthest apart.
            x = 0.67 - 0.09 * place
            _arrow(axis, (x, above[1]), (x, path(x) + 0.004))
            _label(axis, x, path(x) + 0.085, effect)
        _arrow(axis, (above[2], 0.92), ((left + right) / 2 + 0.03, upper))
        _label(axis, 0.82, 0.76, moderator["label"])
    if joint:
        lowest = top - sum(heights) - gap * len(causes)
        box = _box(axis, 0.02, lowest - _height(joint["items"]) / 2, 0.4, *joint.values())
        _arrow(axis, (box[2], (box[1] + box[3]) / 2), ((left + right) / 2 - 0.06, bottom))
    if covariates:
        box = _box(
            axis, 0.7, 0.03 + _height(covariates) / 2, 0.28, "Covariates", covariates, dashed=True
        )
        _arrow(axis, ((left + right) / 2, box[3]), ((left + right) / 2, bottom), dashed=True)
