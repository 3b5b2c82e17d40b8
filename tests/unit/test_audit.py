"""Every check says what it should on hand-made numbers, and never objects to real data."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from crosssell.audit import CHECKS, COLUMNS, RelationError, audit, certificates, expand, untouched
from crosssell.audit.intervals import Interval, extremes
from crosssell.audit.joint import irreducible, slack
from synthetic.published import Place, Printed


def number(name, printed, *, p=None, significance="", stars="", unit="share", table=1):
    """A printed number made up for a test."""
    digits = printed.strip("$%").replace(",", "")
    decimals = len(digits.partition(".")[2])
    return Printed(
        id=name,
        printed=printed,
        value=float(digits),
        decimals=decimals,
        half_width=0.5 * 10.0**-decimals,
        stars=stars,
        significance=significance,
        p_interval=p,
        comparison="",
        study="test",
        place=Place(table=table, row=name),
        unit=unit,
        role="imposed",
    )


def run(kind, printed, **arguments):
    """Audit one relation over numbers given as id -> printed string, number or keys of one."""
    numbers = [
        number(name, **value)
        if isinstance(value, dict)
        else value
        if isinstance(value, Printed)
        else number(name, value)
        for name, value in printed.items()
    ]
    return audit(numbers, {"relations": [{"id": "r", "kind": kind, **arguments}]}).iloc[0]


CASES = yaml.safe_load((Path(__file__).parent / "audit_cases.yaml").read_text("utf-8"))
IDS = [f"{case['kind']}-{k}" for k, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_check_accepts_what_agrees_and_objects_to_what_does_not(case):
    kind = case["kind"]
    if "agree" in case:
        row = run(kind, case["agree"], **case["arguments"])
        assert row["verdict"] == "consistent", row["explanation"]
        assert row["cannot_hold"] == ""
    if "clash" in case:
        row = run(kind, case["clash"], **case["arguments"])
        assert row["verdict"] == CHECKS[kind].failure, row["explanation"]
        assert row["explanation"]
        assert row["size"] >= 0


def test_every_registered_check_is_tried_both_ways_and_documented():
    for kind, check in CHECKS.items():
        cases = [case for case in CASES if case["kind"] == kind]
        assert any("agree" in case for case in cases), kind
        assert any("clash" in case for case in cases), kind
        assert "Keys:" in check.function.__doc__
        assert check.source
        assert check.failure in {"inconsistent", "impossible"}


# ------------------------------------------------------- no objection to numbers of real data


def describe(x, y, z, good):
    """Printed moments of four columns, as a paper rounds them."""
    columns = {"x": x, "y": y, "z": z, "good": good}
    printed = {"n": number("n", str(len(x)), unit="count")}
    for name, values in columns.items():
        printed[f"m.{name}"] = f"{values.mean():.2f}"
        printed[f"s.{name}"] = f"{values.std(ddof=1):.3f}"
    table = pd.DataFrame(columns).corr()
    for a, b in itertools.combinations(columns, 2):
        printed[f"c.{b}.{a}"] = f"{table.at[a, b]:.3f}"
    return printed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 60))
def test_no_check_objects_to_the_rounded_moments_of_data(seed, n):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, n).astype(float)
    y = np.clip(x + rng.integers(-2, 3, n), 0, 5)
    z = rng.integers(1, 8, n).astype(float)
    good = (rng.random(n) < norm.cdf(x / 3 - 1)).astype(float)
    x[:2], y[:2], z[:2], good[:2] = (0, 5), (5, 0), (1, 7), (0, 1)  # none is constant
    relations = [
        {"id": f"{kind}.{v}", "kind": kind, "mean": f"m.{v}", "sd": f"s.{v}", "n": "n", **extra}
        for v, (low, high) in {"x": (0, 5), "y": (0, 5), "z": (1, 7)}.items()
        for kind, extra in {
            "granularity": {},
            "granular_sd": {},
            "spread": {"low": low, "high": high, "grain": 1},
        }.items()
    ]
    relations += [
        {"id": "binary", "kind": "binary_sd", "mean": "m.good", "sd": "s.good", "n": "n"},
        {
            "id": "psd",
            "kind": "correlation_matrix",
            "prefix": "c",
            "variables": ["x", "y", "z", "good"],
        },
        {
            "id": "whole",
            "kind": "granular_correlation",
            "n": "n",
            "columns": {
                "x": {"mean": "m.x", "sd": "s.x"},
                "y": {"mean": "m.y", "sd": "s.y"},
                "good": {"mean": "m.good"},
            },
            "correlations": [
                ["c.y.x", "x", "y"],
                ["c.good.x", "x", "good"],
                ["c.good.y", "y", "good"],
            ],
        },
    ]
    relations += [
        {
            "id": f"attainable.{v}",
            "kind": "binary_correlation",
            "correlation": f"c.good.{v}",
            "rate": "m.good",
            "mean": f"m.{v}",
            "sd": f"s.{v}",
            "low": low,
            "high": high,
            "n": "n",
        }
        for v, (low, high) in {"x": (0, 5), "z": (1, 7)}.items()
    ]
    moments = {v: {"of": v, "mean": f"m.{v}", "sd": f"s.{v}"} for v in ("x", "good")}
    relations.append(
        {
            "id": "joint",
            "kind": "joint",
            "variables": {"x": [0, 5, 1], "good": [0, 1, 1]},
            "conditions": [
                *({"of": v, "mean": f"m.{v}"} for v in moments),
                *({**moment, "n": "n"} for moment in moments.values()),
                {"correlation": "c.good.x", "n": "n", "x": moments["x"], "y": moments["good"]},
            ],
        }
    )
    printed = [
        value if isinstance(value, Printed) else number(name, value)
        for name, value in describe(x, y, z, good).items()
    ]
    found = audit(printed, {"relations": relations})
    assert found.loc[found["verdict"] != "consistent", "id"].tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.floats(-5, 5), st.floats(0.05, 3), st.integers(1, 4))
def test_significance_never_objects_to_stars_set_from_the_unrounded_ratio(b, error, decimals):
    p = 2 * norm.sf(abs(b) / error)
    levels = [0.0, 0.01, 0.05, 1.0]
    k = max(i for i in range(3) if levels[i] <= p)
    estimate = number("b", f"{b:.{decimals}f}", p=(levels[k], levels[k + 1]), stars="*" * (2 - k))
    printed = {"b": estimate, "e": f"{error:.{decimals}f}"}
    row = run("significance", printed, estimate="b", std_error="e")
    assert row["verdict"] == "consistent"


# ------------------------------------------------------------------------- machinery


def test_conflicts_are_certified():
    case = next(c for c in CASES if c["kind"] == "joint" and c.get("clash", {}).get("c") == "1.10")
    row = run("joint", case["clash"], **case["arguments"])
    conflict = json.loads(row["certificate"])["conflicts"][0]
    assert "c" in conflict["numbers"]
    assert conflict["gap"] > 0
    assert min(conflict["multipliers"]) >= 0
    assert math.isclose(sum(conflict["multipliers"]), 1, abs_tol=1e-6)


def test_multipliers_prove_infeasibility():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 40)) + 0.8
    excess, multipliers = slack(rows)
    assert excess > 0
    assert (multipliers @ rows).min() >= excess - 1e-9


def test_a_conflict_dissolves_when_any_member_is_dropped():
    rng = np.random.default_rng(1)
    rows, owners = rng.normal(size=(12, 30)), np.repeat(np.arange(6), 2)
    rows[owners == 2] += 3  # this one alone is infeasible
    rows[4] = -rows[6] + 0.5  # and these two together
    members = irreducible(rows, owners)
    assert slack(rows[np.isin(owners, members)])[0] > 0
    for member in members:
        rest = [m for m in members if m != member]
        assert not rest or slack(rows[np.isin(owners, rest)])[0] <= 1e-7


def test_an_interval_that_only_touches_does_not_meet():
    assert not Interval(1.6495, 1.6505).meets(Interval(1.6485, 1.6495))
    assert Interval(1.0, 2.0).meets(Interval(2.0, 2.0))
    assert Interval(1.0, 2.0).meets(Interval(1.9, 3.0))


@given(*[st.floats(-10, 10) for _ in range(4)])
def test_interval_arithmetic_encloses(a, b, c, d):
    x, y = Interval(*sorted((a, b))), Interval(*sorted((c, d)))
    corners = extremes(lambda u, v: u * v, x, y)
    assert (x * y).low == pytest.approx(corners.low)
    assert (x * y).high == pytest.approx(corners.high)
    assert (x + y).low <= a + c <= (x + y).high
    assert (x - y).low <= a - c <= (x - y).high


def test_for_lists_multiply_out_and_keep_types():
    entry = {"id": "r.{a}.{b}", "kind": "same", "numbers": ["{a}", "{b}"]}
    lists = {"a": ["x"], "b": [1, 2]}
    expanded = list(expand({"relations": [{**entry, "for": lists}]}))
    assert [e["id"] for e in expanded] == ["r.x.1", "r.x.2"]
    assert expanded[1]["arguments"]["numbers"] == ["x", 2]


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ({"kind": "nonsense"}, "no check is called nonsense"),
        ({"kind": "sign", "number": "tt", "claim": "positive"}, "Did you mean t"),
        ({"kind": "sign", "number": "t"}, "key claim is missing"),
        ({"kind": "sign", "number": "t", "claim": "negative", "blames": ["zzz"]}, "zzz"),
    ],
)
def test_mistakes_in_relations_are_named(relation, message):
    with pytest.raises(RelationError, match=message):
        run(relation.pop("kind"), {"t": "1.0"}, **relation)


def test_two_relations_may_not_share_an_id():
    twice = {"id": "r", "kind": "sign", "number": "t", "claim": "positive"}
    with pytest.raises(RelationError, match="same id"):
        audit([number("t", "1.0")], {"relations": [twice, twice]})


def test_certificates_prefer_an_attainable_value():
    numbers = [number("m", "3.47"), number("n", "25", unit="count"), number("k", "9.9")]
    relations = [
        {"id": "first", "kind": "order", "left": "m", "is": ">", "right": 4, "blames": ["m"]},
        {"id": "second", "kind": "granularity", "mean": "m", "n": "n"},
    ]
    findings = audit(numbers, {"relations": relations})
    assert list(findings.columns) == COLUMNS
    found = certificates(findings)
    assert found["m"].finding == "second"
    assert found["m"].nearest == pytest.approx(3.48)
    assert untouched(numbers, findings) == ["k"]
