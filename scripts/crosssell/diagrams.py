"""Conceptual frameworks drawn as boxes and arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, MUTED, FILL = "#1a1a1a", "#7d7d7d", "#f2f2f2"
LINE = 0.052  # height of a line of text, in axis units


def _box(
    axis: Axes,
    left: float,
    middle: float,
    width: float,
    title: str,
    lines: Sequence[str] = (),
    *,
    dashed: bool = False,
) -> tuple[float, float, float, float]:
    """Draw a titled box around its lines; return its left, bottom, right and top."""
    height = LINE * (len(lines) + (1.25 if title and lines else bool(title))) + 0.035
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
    y = top - 0.0175 - LINE / 2
    if title:
        weight = "bold" if lines else "normal"
        axis.text(left + width / 2, y, title, ha="center", va="center", weight=weight, zorder=3)
        y -= 1.25 * LINE
    for line in lines:
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
    boxes_below = [
        ("joint", joint["title"], joint["items"]) if joint else None,
        ("covariates", "Covariates", covariates) if covariates else None,
    ]
    heights = [LINE * (len(cause["items"]) + 1.25) + 0.035 for cause in causes]
    target_x, target_width = 0.76, 0.22
    top = 0.97 if moderator is None else 0.76
    centre = top - (sum(heights) + 0.05 * (len(causes) - 1)) / 2
    target = _box(axis, target_x, centre, target_width, outcome)
    y = top
    crossing = 0.56
    for cause, height in zip(causes, heights, strict=True):
        middle = y - height / 2
        box = _box(axis, 0.02, middle, 0.36, cause["title"], cause["items"])
        end = target[1] + (target[3] - target[1]) * (0.5 + 0.45 * (middle - centre) / 0.3)
        end = min(max(end, target[1] + 0.01), target[3] - 0.01)
        _arrow(axis, (box[2], middle), (target_x, end))
        at = 0.47 if moderator else 0.57
        share = (at - box[2]) / (target_x - box[2])
        if cause.get("label"):
            _label(axis, at, middle + share * (end - middle), cause["label"])
        y -= height + 0.05
    if moderator:
        above = _box(axis, 0.45, 0.92, 0.28, moderator["title"])
        for place, (height, effect) in enumerate(zip(heights, moderator["effects"], strict=True)):
            middle = top - sum(heights[:place]) - 0.05 * place - height / 2
            end = target[1] + (target[3] - target[1]) * (0.5 + 0.45 * (middle - centre) / 0.3)
            end = min(max(end, target[1] + 0.01), target[3] - 0.01)
            x = crossing + 0.065 * place
            on_path = middle + (x - 0.38) / (target_x - 0.38) * (end - middle)
            _arrow(axis, (x, above[1]), (x, on_path + 0.004))
            _label(axis, x, above[1] - 0.05 - 0.06 * place, effect)
        _arrow(axis, (above[2], 0.92), (target_x + target_width / 2, target[3]))
        _label(axis, 0.83, 0.82, moderator["label"])
    bottom = y
    for kind, title, lines in filter(None, boxes_below):
        dashed = kind == "covariates"
        height = LINE * (len(lines) + 1.25) + 0.035
        middle = bottom - height / 2
        left, width = (0.02, 0.36) if kind == "joint" or not joint else (0.44, 0.28)
        if dashed and joint:
            middle = bottom - (LINE * (len(joint["items"]) + 1.25) + 0.035) / 2
        box = _box(axis, left, middle, width, title, lines, dashed=dashed)
        foot = target_x + target_width * (0.65 if dashed else 0.3)
        _arrow(axis, (box[2], box[3] - 0.05), (foot, target[1]), dashed=dashed)
