"""The paper's source: numbers as LaTeX macros, citations, and the template filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosssell.errors import SpecificationError
from crosssell.tables import Lookup, Numbers, environment, format_number, tex_escape

DIGITS = dict(
    zip("0123456789", "Zero One Two Three Four Five Six Seven Eight Nine".split(), strict=True)
)


def macro_name(key: str) -> str:
    r"""LaTeX command for a number's key: ``part1.mean_age.2`` becomes ``\PartOneMeanAgeTwo``."""
    words = "".join(DIGITS.get(sign, sign) if sign.isalnum() else " " for sign in key).split()
    return "\\" + "".join(word[:1].upper() + word[1:] for word in words)


def macros(text: Mapping[str, Mapping[str, Any]], numbers: Numbers) -> str:
    """Define one LaTeX command per number that the running text uses.

    Parameters
    ----------
    text : mapping
        By key: where the number stands (``fit``, ``equation``, ``term``, ``field``) and its form.
    numbers : Numbers

    Returns
    -------
    str
        LaTeX source; a number that no fit gives prints as ``n/a``.
    """
    lines = []
    for key, place in text.items():
        field = place.get("field", "estimate")
        value = numbers(Lookup(place["fit"], place["equation"], place["term"], field))
        shown = tex_escape(format_number(value, str(place["form"]))) or "n/a"
        lines.append(rf"\newcommand{{{macro_name(key)}}}{{{shown}}}")
    return "\n".join(lines) + "\n"


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


def write(template: Path, layouts: Mapping[str, Mapping[str, Any]], references: str | Path) -> str:
    """Fill the paper's template.

    Parameters
    ----------
    template : Path
        LaTeX with the delimiters of `crosssell.tables.environment`. It may use ``tables`` (the
        layouts by name), ``cite(key)`` for "Name (year)" and ``citep(key, ...)`` in parentheses.
    layouts : mapping
    references : path
        BibTeX file; the list holds the works cited.

    Raises
    ------
    SpecificationError
        If the template cites a work that the file lacks.
    """
    entries = bibliography(references)
    cited: set[str] = set()

    def entry(key: str) -> dict[str, str]:
        if key not in entries:
            raise SpecificationError(f"{template.name} cites {key!r}, which {references} lacks.")
        cited.add(key)
        return entries[key]

    def cite(key: str) -> str:
        return rf"\hyperlink{{ref:{key}}}{{{entry(key)['label']} ({entry(key)['year']})}}"

    def citep(*keys: str) -> str:
        links = [
            rf"\hyperlink{{ref:{key}}}{{{entry(key)['label']} {entry(key)['year']}}}"
            for key in keys
        ]
        return f"({'; '.join(links)})"

    def references_list() -> str:
        lines = [
            rf"\item\hypertarget{{ref:{key}}}{{}}{entries[key]['text']}"
            for key in entries
            if key in cited
        ]
        return "\n".join(sorted(lines, key=lambda line: line.split("{}", 1)[1]))

    page = environment(template.parent, "tex").get_template(template.name)
    return page.render(tables=layouts, cite=cite, citep=citep, references_list=references_list)
