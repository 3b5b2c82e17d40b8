"""Specifications without what a firm's data lack, and the notes that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from crosssell.firm.configuration import Firm
from crosssell.firm.studies import lacking

#: Keys of a model specification that list columns or products of columns.
TERM_LISTS = ("terms", "outcome_terms", "selection_terms", "columns", "by", "groups")
#: Keys that name one column each, without which there is no model.
NEEDED = ("outcome", "selected", "group")

Models = dict[str, dict[str, Any]]


def columns_of(model: Mapping[str, Any]) -> list[str]:
    """Columns that a model specification names, in order."""
    terms = [term for key in TERM_LISTS for term in model.get(key, [])]
    named = [model[key] for key in NEEDED if key in model]
    return list(dict.fromkeys(part for term in [*named, *terms] for part in term.split(":")))


def shrink(models: Mapping[str, Mapping[str, Any]], lacking: Set[str]) -> tuple[Models, dict]:
    """Models without the terms whose columns the data lack.

    Parameters
    ----------
    models : mapping
        Model specifications of one study, as in ``workflow/specs/models.yaml``.
    lacking : set of str
        Columns of the analysis table that do not exist.

    Returns
    -------
    models : dict
        Those that remain. A model whose outcome or every term is lacking is left out, as is one
        compared with it; products go with either factor.
    notes : dict
        By model, the terms left out; ``None`` for a model left out as a whole.
    """
    kept: Models = {}
    notes: dict[str, list[str] | None] = {}
    for name, model in models.items():
        smaller, dropped = _without(model, lacking)
        if smaller is None:
            notes[name] = None
            continue
        kept[name] = smaller
        if dropped:
            notes[name] = dropped
    return kept, notes


def _without(
    model: Mapping[str, Any], lacking: Set[str]
) -> tuple[dict[str, Any] | None, list[str]]:
    """One specification without lacking columns, and the terms dropped; None if nothing is left."""
    there = lambda term: not set(term.split(":")) & lacking
    smaller = deepcopy(dict(model))
    dropped: list[str] = []
    if any(smaller.get(key) in lacking for key in NEEDED):
        return None, []
    for key in TERM_LISTS:
        if key in smaller:
            dropped += [term for term in smaller[key] if not there(term)]
            smaller[key] = [term for term in smaller[key] if there(term)]
            if not smaller[key]:
                return None, []
    if "pairs" in smaller:
        smaller["pairs"] = [pair for pair in smaller["pairs"] if not set(pair) & lacking]
        if not smaller["pairs"]:
            return None, []
    if isinstance(smaller.get("centre"), list):
        smaller["centre"] = [name for name in smaller["centre"] if there(name)]
    if "full" in smaller:  # a comparison of models
        smaller["full"], more = _without(smaller["full"], lacking)
        if smaller["full"] is None:
            return None, []
        dropped += more
        restricted = {n: _without(m, lacking)[0] for n, m in smaller["restricted"].items()}
        # A restricted model that lost what made it smaller is no comparison any more.
        smaller["restricted"] = {
            n: m
            for n, m in restricted.items()
            if m and columns_and_terms(m) != columns_and_terms(smaller["full"])
        }
        if not smaller["restricted"]:
            return None, []
    return smaller, list(dict.fromkeys(dropped))


def columns_and_terms(model: Mapping[str, Any]) -> list[list[str]]:
    """The lists of terms of a specification."""
    return [list(model.get(key, [])) for key in TERM_LISTS]


def leave_out_samples(models: Models, samples: Mapping[str, Any], countries: list[str]) -> dict:
    """Samples of a firm: the general ones, and one without each country that it names.

    Models that are estimated without one country at a time get these samples instead of the
    essays' own (the models are changed in place).
    """
    own = {f"without_{c.lower()}": {"exclude": {"customer_country": [c]}} for c in countries}
    for model in models.values():
        named = model.get("samples", ["full"])
        if any(name.startswith("without_") for name in named):
            model["samples"] = [n for n in named if not n.startswith("without_")] + list(own)
    return {n: s for n, s in samples.items() if not n.startswith("without_")} | own


def for_firm(
    specs: Mapping[str, Any], own: Mapping[str, Any], firm: Firm, layouts: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The workflow's specifications as one firm's data allow them.

    Parameters
    ----------
    specs : mapping
        ``models``, ``samples``, ``tables`` and ``figures`` of the essays.
    own : mapping
        ``workflow/specs/firm.yaml``.
    firm : Firm
    layouts : str
        Folder in which the shrunken layouts will be.

    Returns
    -------
    specs : dict
        The same keys, for the firm's studies.
    changes : dict
        By table, how its layout shrinks: the arguments of `shrink_layout`.
    """
    models: dict[str, Models] = {}
    samples: dict[str, Any] = {}
    gone: dict[str, set[str]] = {}
    for study in firm.studies:
        missing = lacking(firm, study)
        gone[study] = set(missing)
        whole = {name: specs["models"][study][name] for name in own["keep"][study]}
        for name, model in own["models"].get(study, {}).items():
            base = whole[model["like"]] if "like" in model else {}
            kept = {k: v for k, v in base.items() if k not in ("samples", "analysis")}
            whole[name] = kept | {k: v for k, v in model.items() if k != "like"}
        smaller = shrink(whole, gone[study])[0]
        for name, needs in own["needs"].items():
            if name in smaller and gone[study] & set(needs):
                del smaller[name]
        general = specs["samples"].get(study, {}) | own["samples"].get(study, {})
        samples[study] = leave_out_samples(smaller, general, firm.content.get("leave_out", []))
        models[study] = smaller
    made = {
        f"{study}.{name}.{sample}"
        for study, of_study in models.items()
        for name, model in of_study.items()
        for sample in model.get("samples", ["full"])
    }
    countries = firm.content.get("leave_out", [])
    replacing = (
        {ESSAY_SAMPLE: f"part2.hypothesized.without_{countries[0].lower()}"} if countries else {}
    )
    tables, changes = {}, {}
    for name, spec in (specs["tables"] | own["tables"]).items():
        shrunken = shrink_table(spec, made, replacing)
        if shrunken is None:
            continue
        table, lost = shrunken
        study = next(rule["fit"] for rule in table["cells"] if "fit" in rule).split(".")[0]
        changes[name] = {
            "layout": spec["layout"],
            "lacking": sorted(gone[study]),
            "lost_columns": lost,
            "note_numbers": sorted(table.get("note_numbers", {})),
        }
        note = lacking_note(lacking(firm, study))
        notes = [*table.get("notes", []), *([note] if note else [])]
        tables[name] = {**table, "study": study, "layout": f"{layouts}/{name}.yaml", "notes": notes}
    figures = {name: specs["figures"][name] for name in own["figures"]}
    figures = {
        name: shrink_figure(spec, gone[spec["study"]])
        for name, spec in figures.items()
        if spec["study"] in gone and set(spec["fits"].values()) <= made
    }
    return {"models": models, "samples": samples, "tables": tables, "figures": figures}, changes


#: The essay's sample that a firm's first country left out stands in for.
ESSAY_SAMPLE = "part2.hypothesized.without_france"


def lacking_note(missing: Mapping[str, Sequence[str]]) -> str:
    """The note under a table that says what was left out for want of data ('' if nothing was)."""
    if not missing:
        return ""
    named = [
        f"{measure.replace('_', ' ')}{_needs(columns)}" for measure, columns in missing.items()
    ]
    return f"Left out with all its products, because the data do not have it: {'; '.join(named)}."


def _needs(columns: Sequence[str]) -> str:
    return f" (needs {', '.join(columns)})" if columns else ""


def shrink_table(
    spec: Mapping[str, Any], fits: Set[str], replacing: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]] | None:
    """A table's specification without the cells whose estimates were not made.

    Parameters
    ----------
    spec : mapping
        One entry of ``workflow/specs/tables.yaml``.
    fits : set of str
        Estimates that are made, ``study.model.sample``.
    replacing : mapping of str to str
        Estimates that stand in for others, such as another country left out.

    Returns
    -------
    spec : dict
    columns : list of str
        Patterns of columns that lost their estimates.
    None instead of both where nothing is left.
    """
    cells, lost = [], []
    for rule in spec.get("cells", []):
        rule = dict(rule)
        if "fit" in rule:
            rule["fit"] = replacing.get(rule["fit"], rule["fit"])
            if rule["fit"] not in fits:
                lost.append(rule["at"].split("/")[0])
                continue
        cells.append(rule)
    if not any("fit" in rule for rule in cells):
        return None
    notes = {key: rule for key, rule in spec.get("note_numbers", {}).items() if rule["fit"] in fits}
    smaller = {**spec, "cells": cells}
    if "note_numbers" in spec:
        smaller["note_numbers"] = notes
    return smaller, [column for column in lost if column != "*"]


def shrink_figure(spec: Mapping[str, Any], lacking: Set[str]) -> dict[str, Any]:
    """A figure's specification without panels of pairs of measures that do not exist."""
    options = dict(spec["options"])
    if isinstance(options["panels"], list):
        options["panels"] = [
            panel for panel in options["panels"] if not set(panel["pair"].split("|")) & lacking
        ]
    return {**spec, "options": options}


def shrink_layout(
    layout: Mapping[str, Any], lacking: Set[str], lost_columns: list[str], note_numbers: Set[str]
) -> dict[str, Any]:
    """A table's layout without rows and columns of measures that do not exist."""
    gone = lambda key: bool(set(key.split(":")) & lacking)
    smaller = dict(layout)
    smaller["rows"] = [row for row in layout["rows"] if not gone(row["key"])]
    smaller["columns"] = [
        column
        for column in layout["columns"]
        if not gone(column["key"])
        and not column["key"].startswith("unused_")
        and not any(fnmatchcase(column["key"], pattern) for pattern in lost_columns)
    ]
    smaller["notes"] = [
        note
        for note in layout.get("notes", [])
        if "{" not in note or any(f"{{{key}}}" in note for key in note_numbers)
    ]
    return smaller
