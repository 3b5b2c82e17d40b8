"""Printed against reproduced: one verdict for every printed number, summaries and indicators."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from scipy import special

from crosssell.audit import Certificate, Interval, Number, expand
from crosssell.verdicts import CANNOT_HOLD, VERDICTS, verdict

COLUMNS = [
    "id",
    "study",
    "table",
    "place",
    "printed",
    "reproduced",
    "deviation",
    "unit",
    "role",
    "verdict",
    "certificate",
    "nearest",
    "seed",
]


def fidelity(
    published: Iterable[Number],
    reproduced: Mapping[str, float],
    certificates: Mapping[str, Certificate],
    *,
    relations: Mapping[str, Any] | None = None,
    p_values: Mapping[str, float] | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Compare every printed number with its reproduction.

    Parameters
    ----------
    published : iterable of Number
        The printed numbers.
    reproduced : mapping of str to float
        Reproduced values by id, in the printed unit; what is missing counts as not reproduced.
    certificates : mapping of str to Certificate
        Numbers that cannot hold, from :func:`crosssell.audit.certificates`.
    relations : mapping, optional
        The audit's relations: a number that a ``same`` relation ties to another place, and that
        agrees with it, shares that place's certificate, printed standard error and reproduced
        p-value.
    p_values : mapping of str to float, optional
        P-values of reproduced numbers by id.  Where missing, they follow from a reproduced
        estimate with its standard error, or a statistic with its degrees of freedom.
    seed : int, optional
        Seed of the run, kept with every row.

    Returns
    -------
    DataFrame
        One row per printed number: id, study, table (0 in a text), place, printed, reproduced,
        deviation (reproduced less printed), unit, role, verdict, certificate (id of the audit's
        finding), nearest (nearest attainable value) and seed.
    """
    numbers = {number.id: number for number in published}
    cell = _twins(relations, numbers) if relations else {}
    known = {**_p_values(reproduced), **(p_values or {})}
    rows = []
    for name, number in numbers.items():
        value = float(reproduced.get(name, math.nan))
        twin = cell.get(name, name)
        certificate = certificates.get(name, certificates.get(twin))
        error = numbers.get(_sibling(twin, "estimate", "std_error"))
        kind = verdict(
            number,
            value,
            std_error=error.value if error else math.nan,
            p_value=known.get(name, known.get(twin, math.nan)),
            impossible=certificate is not None,
        )
        rows.append(
            {
                "id": name,
                "study": number.study,
                "table": number.place.table or 0,
                "place": str(number.place),
                "printed": number.printed + number.stars,
                "reproduced": value,
                "deviation": value - number.value,
                "unit": number.unit,
                "role": number.role,
                "verdict": kind,
                "certificate": certificate.finding if certificate else "",
                "nearest": certificate.nearest if certificate else math.nan,
                "seed": seed,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _sibling(name: str, part: str, other: str) -> str:
    """Id of another part of the same cell, or an id that nothing has."""
    return name.removesuffix(part) + other if name.endswith("." + part) else ""


def _twins(relations: Mapping[str, Any], numbers: Mapping[str, Number]) -> dict[str, str]:
    """First place of a quantity, by the ids of the other places that agree with it."""
    twins = {}
    for entry in expand(relations):
        if entry["kind"] == "same":
            first, *others = (x for x in entry["arguments"]["numbers"] if x in numbers)
            for other in others:
                if Interval(*numbers[other].interval).meets(Interval(*numbers[first].interval)):
                    twins[other] = first
    return twins


def _p_values(reproduced: Mapping[str, float]) -> dict[str, float]:
    """P-values that follow from two reproduced numbers of one cell."""
    found = {}
    for name, value in reproduced.items():
        error = reproduced.get(_sibling(name, "estimate", "std_error"), math.nan)
        df = reproduced.get(_sibling(name, "statistic", "df"), math.nan)
        if error > 0:
            found[name] = float(2 * special.ndtr(-abs(value) / error))
        elif df > 0:
            found[name] = float(special.chdtrc(df, value))
    return found


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Count of each verdict by table or text and role, with totals.

    Parameters
    ----------
    scores : DataFrame
        From :func:`fidelity`.

    Returns
    -------
    DataFrame
        Columns where, role, one per verdict and all; the last row has where "all".
    """
    where = scores["table"].map(lambda t: f"Table {t}") if len(scores) else scores["table"]
    where = where.mask(scores["table"] == 0, "Text, " + scores["study"])
    counts = pd.crosstab([where.rename("where"), scores["role"]], scores["verdict"])
    counts = counts.reindex(columns=list(VERDICTS), fill_value=0)
    total = counts.sum().to_frame().T.assign(where="all", role="all").set_index(["where", "role"])
    counts = pd.concat([counts, total])
    counts["all"] = counts[list(VERDICTS)].sum(axis=1)
    return counts.rename_axis(columns=None).reset_index()


def paths(
    original: pd.DataFrame, fits: Mapping[str, pd.DataFrame], own: Mapping[str, str]
) -> pd.DataFrame:
    """Estimates of each hypothesis over the specification curves, in the original's units.

    The curves are standardised; the path that is the original's own specification, which also
    stands unstandardised as ``study.hypothesized.full``, gives the scale of each term.

    Parameters
    ----------
    original : DataFrame
        From :func:`hypotheses`.
    fits : mapping of str to DataFrame
        Tidy estimates by name; a study without a curve has no paths.
    own : mapping of str to str
        By study, the name of the curve's path that is the original's specification.

    Returns
    -------
    DataFrame
        Columns hypothesis, estimate and std_error.
    """
    parts = [pd.DataFrame(columns=["hypothesis", "estimate", "std_error"], dtype=float)]
    for row in original.itertuples():
        if f"{row.study}.curve.full" not in fits:
            continue
        curve = fits[f"{row.study}.curve.full"]
        curve = curve[(curve["term"] == row.term) & curve["equation"].str.contains("/")]
        base = fits[f"{row.study}.hypothesized.full"].set_index(["equation", "term"])["estimate"]
        equation = "outcome" if ("outcome", row.term) in base.index else "fixed"
        path = curve.loc[curve["equation"] == own[row.study], "estimate"]
        if path.empty:
            continue
        scale = base[equation, row.term] / path.iloc[0]
        scaled = curve[["estimate", "std_error"]] * [scale, abs(scale)]
        parts.append(scaled.assign(hypothesis=row.hypothesis))
    return pd.concat(parts, ignore_index=True)


def indicators(original: pd.DataFrame, paths: pd.DataFrame, *, level: float = 0.05) -> pd.DataFrame:
    """Five indicators of agreement between an original estimate and its reproductions.

    For each hypothesis: the share of paths that agree in sign and significance (with an original
    that is not significant, the share that are not either), the mean effect over the original
    effect, the mean z over the original z, the standard deviation of the effects over the original
    standard error, and the standard deviation of the z.  The two ratios are left out where the
    original is not significant.

    Parameters
    ----------
    original : DataFrame
        Columns hypothesis, estimate and std_error.
    paths : DataFrame
        Reproductions: columns hypothesis, estimate and std_error, any number of rows each.
    level : float
        Two-sided significance level.

    Returns
    -------
    DataFrame
        Columns hypothesis, paths, significance_agreement, relative_effect, relative_z,
        effect_variation and z_variation.

    References
    ----------
    Bensch, G., repframe: Stata package to calculate, tabulate and visualize reproducibility and
    replicability indicators.
    """
    critical = -special.ndtri(level / 2)
    reproductions = paths.assign(z=paths["estimate"] / paths["std_error"]).groupby("hypothesis")
    rows = []
    for row in original.itertuples():
        if row.hypothesis not in reproductions.groups:
            continue
        path = reproductions.get_group(row.hypothesis)
        z = row.estimate / row.std_error
        significant = abs(z) >= critical
        found = path["z"].abs() >= critical
        agree = found & (path["estimate"] * row.estimate >= 0) if significant else ~found
        rows.append(
            {
                "hypothesis": row.hypothesis,
                "paths": len(path),
                "significance_agreement": agree.mean(),
                "relative_effect": path["estimate"].mean() / row.estimate
                if significant
                else math.nan,
                "relative_z": path["z"].mean() / z if significant else math.nan,
                "effect_variation": path["estimate"].std() / row.std_error,
                "z_variation": path["z"].std(),
            }
        )
    return pd.DataFrame(rows)


def hypotheses(published: Iterable[Number], relations: Mapping[str, Any]) -> pd.DataFrame:
    """Original estimates of the hypotheses that the relations declare.

    Parameters
    ----------
    published : iterable of Number
    relations : mapping
        Its list ``hypotheses`` has entries with hypothesis, study, term and the ids estimate and
        std_error; where an id t is given, the standard error is the estimate over it, which has
        more digits.

    Returns
    -------
    DataFrame
        Columns hypothesis, study, term, estimate and std_error.
    """
    numbers = {number.id: number for number in published}
    rows = []
    for entry in relations.get("hypotheses", ()):
        estimate, error = (numbers[entry[part]].value for part in ("estimate", "std_error"))
        if "t" in entry:
            error = abs(estimate / numbers[entry["t"]].value)
        rows.append({**entry, "estimate": estimate, "std_error": error})
    return pd.DataFrame(rows, columns=["hypothesis", "study", "term", "estimate", "std_error"])


def terminal(scores: pd.DataFrame, findings: pd.DataFrame, width: int = 78) -> str:
    """One screen: verdicts by table, the audit's counts and what cannot hold.

    Parameters
    ----------
    scores, findings : DataFrame
        From :func:`fidelity` and :func:`crosssell.audit.audit`.
    width : int
        Longest line, in characters.

    Returns
    -------
    str
    """
    counts = summary(scores).groupby("where", sort=False).sum(numeric_only=True)
    lines = ["Printed numbers against this run", ""]
    lines.append(f"{'':14}" + "".join(f"{name:>{len(name) + 3}}" for name in VERDICTS))
    for where, row in counts.iterrows():
        cells = "".join(f"{row[name]:>{len(name) + 3}}" for name in VERDICTS)
        lines.append(f"{where:14}{cells}")
    verdicts = findings["verdict"].value_counts()
    told = ", ".join(f"{count} {name}" for name, count in verdicts.items())
    lines += ["", f"Audit: {len(findings)} relations between printed numbers,", f"  {told}."]
    lost = scores[scores["verdict"] == CANNOT_HOLD]
    lines += ["", f"{len(lost)} printed numbers cannot hold, for instance:"]
    lines += [f"  {row.printed:>10}  {row.place}"[:width] for row in lost.head(5).itertuples()]
    return "\n".join(lines)
