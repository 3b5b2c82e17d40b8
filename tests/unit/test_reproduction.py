from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from crosssell import reproduction
from crosssell.results import FIELDS
from crosssell.tables import Numbers
from synthetic.published import load

TABLES = {
    "table3": {
        "cells": [
            {
                "at": "*/*",
                "fit": "s.m.full",
                "equation": "outcome",
                "show": "{estimate:3} ({std_error:3})",
            },
            {
                "at": "*/wald",
                "equation": "wald",
                "term": "w.{part}",
                "show": "{statistic:2} ({df:0})",
            },
        ]
    },
    "table1": {"text": True},
}
TEXT = {"p1.rate": {"fit": "s.m.full", "equation": "mean", "term": "purchase"}}


@pytest.fixture
def numbers():
    rows = [
        ("outcome", "x", 1.5, 0.5, None),
        ("wald", "w.statistic", 20.0, None, 20.0),
        ("wald", "w.df", 4.0, None, None),
        ("mean", "purchase", 0.073, None, None),
    ]
    table = pd.DataFrame(rows, columns=["equation", "term", "estimate", "std_error", "statistic"])
    return Numbers(
        {
            "s.m.full": table.reindex(columns=["equation", "term", *FIELDS]).astype(
                dict.fromkeys(FIELDS, float)
            )
        }
    )


def printed(id, unit="coefficient", table=3, row="x", column="one"):
    return SimpleNamespace(
        id=id, unit=unit, place=SimpleNamespace(table=table, row=row, column=column)
    )


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (printed("t3.one.x.estimate"), 1.5),
        (printed("t3.one.x.std_error"), 0.5),
        (printed("t3.one.wald.statistic", row="wald"), 20.0),
        (printed("t3.one.wald.df", row="wald"), 4.0),
        (printed("p1.rate", unit="percent", table=None), 7.3),
    ],
)
def test_each_number_is_answered_by_its_own_place(numbers, number, value):
    made = reproduction.reproduced([number], TABLES, TEXT, numbers)
    assert made == {number.id: pytest.approx(value)}


@pytest.mark.parametrize(
    "number",
    [
        printed("t3.one.z.estimate", row="z"),
        printed("t1.x.min", table=1),
        printed("p1.none", table=None),
    ],
)
def test_what_the_run_does_not_give_is_left_out(numbers, number):
    assert reproduction.reproduced([number], TABLES, TEXT, numbers) == {}


def test_only_what_no_run_can_give_has_no_answer(root):
    specs = [
        yaml.safe_load((root / f"workflow/specs/{n}.yaml").read_text()) for n in ("tables", "text")
    ]
    unanswered = {n.id for n in load() if reproduction.answer(n, *specs) is None}
    # How many systems the firm's data came from, and how many countries a robustness check leaves
    # out: neither is in any table. Not reproduced, they count as "differs".
    assert unanswered == {"p1.sources", "p2.sources", "p2.excluded_countries"}
