"""The paper's source: numbers as LaTeX macros, citations, and the template filled in."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from crosssell.errors import SpecificationError
from crosssell.tables import Lookup, Numbers, environment, format_number, tex_escape

_DIGIT_NAMES = "Zero One Two Three Four Five Six Seven Eight Nine".split()
DIGITS = {str(digit): name for digit, name in enumerate(_DIGIT_NAMES)}


def macro_name(key: str) -> str:
    r"""LaTeX command for a number's key: ``part1.mean_age.2`` becomes ``\PartOneMeanAgeTwo``."""
    words = "".join(DIGITS.get(sign, sign) if sign.isalnum() else " " for sign in key).split()
    return "\\" + "".join(word[:1].upper() + word[1:] for word in words)


def macros(
    text: Mapping[str, Mapping[str, Any]], numbers: Numbers, further: Mapping[str, str]
) -> str:
    """Define one LaTeX command per number that the running text uses.

    Parameters
    ----------
    text : mapping
        By key: where the number stands (``fit``, ``equation``, ``term``, ``field``) and its form;
        without a form it is not for the paper.
    numbers : Numbers
    further : mapping of str to str
        Numbers by key that are text already.

    Returns
    -------
    str
        LaTeX source; a number that no fit gives prints as ``n/a``.
    """
    shown = dict(further)
    for key, place in text.items():
        if "form" not in place:
            continue
        field = place.get("field", "estimate")
        value = numbers(Lookup(place["fit"], place["equation"], place["term"], field))
        shown[key] = format_number(value, str(place["form"])) or "n/a"
    lines = [rf"\newcommand{{{macro_name(key)}}}{{{tex_escape(s)}}}" for key, s in shown.items()]
    return "\n".join(lines) + "\n"


def score_macros(summary: pd.DataFrame) -> dict[str, str]:
    """Counts of verdicts over all printed numbers, by keys such as ``score.exact``.

    Parameters
    ----------
    summary : DataFrame
        From `crosssell.fidelity.summary`; its last row counts everything.
    """
    total = summary.iloc[-1].drop(["where", "role"])
    return {f"score.{verdict.replace(' ', '_')}": f"{count}" for verdict, count in total.items()}


def audit_rows(findings: pd.DataFrame) -> list[dict[str, str]]:
    """Findings of the audit that are not consistent, as the appendix shows them.

    Parameters
    ----------
    findings : DataFrame
        From `crosssell.audit.audit`.

    Returns
    -------
    list of dict
        Keys place (the first, and how many more), verdict and explanation.
    """
    rows = []
    for finding in findings[findings["verdict"] != "consistent"].itertuples():
        first, *more = finding.places.split("; ")
        place = f"{first}, with {len(more)} more" if more else first
        rows.append(
            {"place": place, "verdict": finding.verdict, "explanation": finding.explanation}
        )
    return rows


def bibliography(path: str | Path) -> dict[str, dict[str, str]]:
    """Entries of a BibTeX file by key: ``label`` to cite by, and ``text`` for the list.

    Raises
    ------
    SpecificationError
        If an entry lacks its author, title or year.
    """
    from pybtex.database import parse_file

    entries = {}
    for key, entry in parse_file(str(path)).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(person.last_names) for person in people]
        fields = entry.fields
        if not names or "title" not in fields or "year" not in fields:
            raise SpecificationError(f"{path}: the entry {key!r} needs author, title and year.")
        short = names[0] if len(names) == 1 else f"{names[0]} and {names[1]}"
        short = short if len(names) < 3 else f"{names[0]} et al."
        where = fields.get("journal") or fields.get("publisher") or fields.get("school") or ""
        issue = ", ".join(filter(None, [fields.get("volume"), fields.get("pages")]))
        full = ", ".join(str(person) for person in people)
        text = rf"{full} ({fields['year']}). {fields['title']}. \emph{{{where}}} {issue}".rstrip()
        entries[key] = {"label": short, "year": fields["year"], "text": text + "."}
    return entries


@dataclass
class _Page:
    """What the template calls while it is filled, and a record of what it has used."""

    text: Container[str]
    tables: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, Mapping[str, Any]]
    entries: Mapping[str, Mapping[str, str]]
    cited: set[str] = field(default_factory=set)
    placed: set[str] = field(default_factory=set)
    referred: set[str] = field(default_factory=set)

    def num(self, key: str) -> str:
        """A number of the results, as its macro."""
        if key not in self.text:
            raise SpecificationError(f"the paper uses the number {key!r}, which text.yaml lacks.")
        return macro_name(key) + "{}"

    def _entry(self, key: str) -> Mapping[str, str]:
        if key not in self.entries:
            raise SpecificationError(f"the paper cites {key!r}, which refs.bib lacks.")
        self.cited.add(key)
        return self.entries[key]

    def cite(self, key: str) -> str:
        """Name (year), linked to the list of references."""
        entry = self._entry(key)
        return rf"\hyperlink{{ref:{key}}}{{{entry['label']} ({entry['year']})}}"

    def citep(self, *keys: str) -> str:
        """Names and years in parentheses."""
        links = [
            rf"\hyperlink{{ref:{key}}}{{{self._entry(key)['label']} {self._entry(key)['year']}}}"
            for key in keys
        ]
        return f"({'; '.join(links)})"

    def references(self) -> str:
        """Items of the list of works cited, by author."""
        items = [(self.entries[key]["text"], key) for key in self.cited]
        return "\n".join(
            rf"\item[]\hypertarget{{ref:{key}}}{{}}{text}" for text, key in sorted(items)
        )

    def ref(self, name: str) -> str:
        """Reference to a table, with its word."""
        self.referred.add(f"table {name}")
        return rf"Table~\ref{{table:{name}}}"

    def reffig(self, name: str) -> str:
        """Reference to a figure, with its word."""
        self.referred.add(f"figure {name}")
        return rf"Figure~\ref{{figure:{name}}}"

    def table(self, name: str) -> str:
        """A table as a float: caption above, notes below."""
        self.placed.add(f"table {name}")
        title = _without_essay(self.tables[name]["title"])
        return (
            rf"\begin{{table}}[htp]\centering\caption{{{tex_escape(title)}}}\label{{table:{name}}}"
            rf"\tablebody{{tables/{name}.tex}}\input{{tables/{name}.notes.tex}}\end{{table}}"
        )

    def figure(self, name: str) -> str:
        """A figure as a float: caption below."""
        self.placed.add(f"figure {name}")
        caption = _without_essay(self.figures[name]["caption"])
        return (
            r"\begin{figure}[tp]\centering"
            rf"\includegraphics[width=\linewidth,height=.72\textheight,keepaspectratio]{{figures/{name}.pdf}}"
            rf"\caption{{{tex_escape(caption)}}}\label{{figure:{name}}}\end{{figure}}"
        )


def _without_essay(caption: str) -> str:
    """A caption without the essay's name, which the section says."""
    text = re.sub(r"^(Part|Essay) I+: ", "", caption)
    return text[:1].upper() + text[1:]


def write(
    template: Path,
    *,
    text: Container[str],
    tables: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Mapping[str, Any]],
    references: str | Path,
    findings: Sequence[Mapping[str, str]] = (),
) -> str:
    """Fill the paper's template.

    Parameters
    ----------
    template : Path
        LaTeX with the delimiters of `crosssell.tables.environment`. It may call ``num(key)``,
        ``cite(key)``, ``citep(key, ...)``, ``references()``, ``ref(table)``, ``reffig(figure)``,
        ``table(name)`` and ``figure(name)``, and loop over ``tables`` and ``figures``.
    text : container of str
        Keys of the numbers that there are macros for.
    tables, figures : mapping
        Layouts and figure specifications by name.
    references : path
        BibTeX file.
    findings : sequence of mapping
        From `audit_rows`.

    Returns
    -------
    str
        LaTeX source.

    Raises
    ------
    SpecificationError
        If the template names something that does not exist, or if a table or figure is not
        placed, or placed but never referred to.
    """
    page = _Page(text, tables, figures, bibliography(references))
    calls = ("num", "cite", "citep", "references", "ref", "reffig", "table", "figure")
    source = environment(template.parent, "tex").get_template(template.name)
    made = source.render(
        {name: getattr(page, name) for name in calls}
        | {"tables": tables, "figures": figures, "findings": findings}
    )
    everything = {f"table {name}" for name in tables} | {f"figure {name}" for name in figures}
    for what, used in (("placed", page.placed), ("referred to", page.referred)):
        if everything - used:
            raise SpecificationError(f"not {what} in the paper: {sorted(everything - used)}.")
    return made
