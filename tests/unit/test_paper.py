import pandas as pd
import pytest

from crosssell import paper
from crosssell.errors import SpecificationError
from crosssell.results import FIELDS
from crosssell.tables import Numbers

KEPT = ["equation", "term", *FIELDS]

PLACES = {"part1.age.2": {"fit": "s.m.full", "equation": "mean", "term": "age", "form": 1}}
REFERENCES = """
@article{one, author = {Heckman, James J.}, title = {A {Title}}, journal = {J}, year = {1979}}
@book{two, author = {A, B. and C, D. and E, F.}, title = {T}, publisher = {P}, year = {2000}}
"""


@pytest.fixture
def write(tmp_path):
    def write(template, tables=None):
        (tmp_path / "page.tex.j2").write_text(template)
        (tmp_path / "refs.bib").write_text(REFERENCES)
        return paper.write(
            tmp_path / "page.tex.j2",
            text=PLACES,
            tables=tables or {},
            figures={},
            references=tmp_path / "refs.bib",
        )

    return write


def test_macro_names_are_letters_only():
    assert paper.macro_name("part1.mean_age.2") == r"\PartOneMeanAgeTwo"


def test_numbers_without_a_form_are_no_macros():
    rows = pd.DataFrame(
        {"equation": "period", "term": ["months", "first"], "estimate": [3.02, 2007.0]}
    )
    place = {"fit": "s.sources.raw", "equation": "period"}
    text = {
        "a.months": {**place, "term": "months", "form": 0},
        "a.year": {**place, "term": "first"},
    }
    made = paper.macros(text, Numbers({"s.sources.raw": rows.reindex(columns=KEPT)}), {})
    assert made == "\\newcommand{\\AMonths}{3}\n"


def test_citations_are_linked_and_only_cited_works_are_listed(write):
    made = write('<<cite("one")>> <<citep("two")>> <<references()>>')
    assert r"\hyperlink{ref:one}{Heckman (1979)}" in made
    assert r"(\hyperlink{ref:two}{A et al. 2000})" in made
    assert made.count(r"\hypertarget") == 2
    assert write('<<cite("one")>><<references()>>').count(r"\hypertarget") == 1


@pytest.mark.parametrize(
    ("template", "named"),
    [('<<num("gone")>>', "gone"), ('<<cite("gone")>>', "gone")],
)
def test_what_does_not_exist_is_named(write, template, named):
    with pytest.raises(SpecificationError, match=named):
        write(template)


def test_every_table_is_placed_and_referred_to(write):
    tables = {"table1": {"title": "T & U"}}
    made = write('<<ref("table1")>> <<table("table1")>>', tables)
    assert r"Table~\ref{table:table1}" in made
    assert r"\caption{T \& U}" in made
    with pytest.raises(SpecificationError, match="not placed"):
        write('<<ref("table1")>>', tables)
    with pytest.raises(SpecificationError, match="not referred to"):
        write('<<table("table1")>>', tables)


def test_the_appendix_shows_what_is_not_consistent():
    findings = pd.DataFrame(
        {
            "verdict": ["consistent", "impossible", "inconsistent"],
            "places": ["Table 1: a", "Table 2: b; Table 3: c; text", "Table 4: d"],
            "explanation": ["fine", "too large", "two values"],
        }
    )
    assert paper.audit_rows(findings) == [
        {
            "place": "Table 2: b, with 2 more",
            "verdict": "impossible",
            "explanation": "too large",
        },
        {"place": "Table 4: d", "verdict": "inconsistent", "explanation": "two values"},
    ]
