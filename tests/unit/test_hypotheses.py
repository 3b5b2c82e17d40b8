import numpy as np
import pandas as pd
import pytest

from crosssell import hypotheses, tables
from crosssell.results import FIELDS, values


def curve(estimates, p_values, term="x"):
    return pd.DataFrame({"term": term, "estimate": estimates, "p_value": p_values})


def verdicts(rows, sign=1):
    found = hypotheses.verdicts(rows, {"H1": {"term": "x", "sign": sign}})
    return found.set_index("term")["estimate"].rename(lambda name: name.removeprefix("H1."))


def test_shares_count_sign_and_significance_apart():
    found = verdicts(curve([1.0, 2.0, -1.0, -3.0], [0.01, 0.2, 0.3, 0.04]))
    assert found["specifications"] == 4
    assert found["same_sign"] == 0.5
    assert found["supporting"] == 0.25
    assert found["opposing"] == 0.25


def test_the_sign_decides_what_supports():
    rows = curve([-1.0, -2.0], [0.01, 0.01])
    assert verdicts(rows, sign=-1)["supporting"] == 1
    assert verdicts(rows, sign=1)["opposing"] == 1


def test_specifications_that_do_not_identify_the_term_do_not_count():
    rows = pd.concat([curve([1.0, np.nan], [0.01, np.nan]), curve([5.0], [0.0], term="y")])
    assert verdicts(rows)["specifications"] == 1


@pytest.mark.parametrize(
    ("supporting", "opposing", "words"),
    [
        (1.0, 0.0, "supported throughout"),
        (0.6, 0.0, "mostly supported"),
        (0.3, 0.2, "depends on the specification"),
        (0.3, 0.6, "contradicted"),
        (0.02, 0.1, "not supported"),
    ],
)
def test_verdicts_in_words(supporting, opposing, words):
    assert hypotheses.VERDICTS[hypotheses.verdict(supporting, opposing)] == words


def test_without_specifications_there_is_no_verdict():
    assert np.isnan(verdicts(curve([], []))["verdict"])


def test_a_table_shows_the_word_for_a_coded_number():
    layout = {
        "title": "T",
        "stub": "S",
        "columns": [{"key": "verdict", "label": "V"}],
        "rows": [{"key": "H1", "label": "H1"}, {"key": "H2", "label": "H2"}],
    }
    rule = {"at": "*/*", "fit": "s.m.full", "equation": "hypothesis", "words": {3: "mostly"}}
    spec = {"cells": [rule | {"term": "{row}.{column}"}]}
    rows = values("hypothesis", {"H1.verdict": 3.0, "H2.verdict": np.nan})
    numbers = tables.Numbers({"s.m.full": rows.reindex(columns=["equation", "term", *FIELDS])})
    table = tables.build("t", layout, spec, numbers)
    assert [row.cells for row in table.rows] == [["mostly"], [""]]


def test_a_missing_standard_error_leaves_no_empty_parentheses():
    layout = {
        "title": "T",
        "stub": "S",
        "columns": [{"key": "one", "label": "1"}],
        "rows": [{"key": "sd", "label": "SD"}],
    }
    rule = {"at": "*/*", "fit": "f", "equation": "e", "show": "{estimate:2} ({std_error:2})"}
    rows = values("e", {"sd": 0.25}).reindex(columns=["equation", "term", *FIELDS])
    table = tables.build("t", layout, {"cells": [rule]}, tables.Numbers({"f": rows}))
    assert [row.cells for row in table.rows] == [[".25"]]
