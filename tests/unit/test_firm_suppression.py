"""Small groups cannot be seen, nor computed back from what is shown."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from crosssell.errors import SpecificationError
from crosssell.firm.confidentiality import (
    hash_identifiers,
    protect,
    read_key,
    suppressed,
)
from crosssell.results import values

MINIMUM = 5


def feasible(counts: np.ndarray, hidden: np.ndarray, place: int) -> tuple[float, float]:
    """Range of a hidden count for somebody who knows the others and the total."""
    target = np.arange(hidden.sum()) == np.flatnonzero(hidden).tolist().index(place)
    total = [counts[hidden].sum()]
    ends = [
        sign * linprog(sign * target, A_eq=np.ones((1, target.size)), b_eq=total).fun
        for sign in (1, -1)
    ]
    return ends[0], ends[1]


@given(arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 60)))
def test_no_small_cell_of_a_list_can_be_computed_from_its_total(counts):
    hidden = suppressed(counts, MINIMUM)
    small = (counts > 0) & (counts < MINIMUM)
    assert hidden[small].all()
    if small.any() and (counts > 0).sum() > 1:
        assert hidden.sum() >= 2
        for place in np.flatnonzero(small):
            low, high = feasible(counts, hidden, place)
            assert high - low >= min(MINIMUM, counts.sum())


def test_a_single_small_cell_takes_the_next_smallest_with_it():
    assert suppressed(np.array([3, 50, 20, 40]), MINIMUM).tolist() == [True, False, True, False]


def test_nothing_is_hidden_where_nothing_is_small():
    assert not suppressed(np.array([0, 50, 20, 40]), MINIMUM).any()


def test_results_lose_extremes_and_small_groups_everywhere():
    rows = pd.concat(
        [
            values("min", {"revenue": 1.0}),
            values("country", {"FRA": 0.5, "DEU": 0.4, "LUX": 0.5}),
            values("n.country", {"FRA": 100.0, "DEU": 80.0, "LUX": 2.0}),
        ]
    )
    shown = protect(rows, MINIMUM)
    assert "min" not in set(shown["equation"])
    left = shown.dropna(subset=["estimate"])
    assert set(left["term"]) == {"FRA"}


def test_a_division_keeps_its_own_total():
    sizes = {"risk~0": 300.0, "risk~1": 3.0, "risk~2": 200.0, "rank~1": 20.0, "rank~2": 483.0}
    rows = pd.concat([values("segment", dict.fromkeys(sizes, 1.0)), values("segment.size", sizes)])
    left = set(protect(rows, MINIMUM).dropna(subset=["estimate"])["term"])
    assert left == {"risk~0", "rank~1", "rank~2"}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("a secret of more than sixteen signs")
    return path


def test_hashes_join_alike_and_depend_on_the_key(key_file, tmp_path):
    ids = pa.array(["c1", "c2", "c1", None])
    once = hash_identifiers(ids, read_key(key_file)).to_pylist()
    assert once[0] == once[2] != once[1]
    assert once[3] is None
    other = tmp_path / "other"
    other.write_text("another secret of sixteen signs")
    assert hash_identifiers(ids, read_key(other)).to_pylist()[0] != once[0]
    assert "c1" not in once[0]


def test_a_short_secret_is_refused(tmp_path):
    (tmp_path / "key").write_text("short")
    with pytest.raises(SpecificationError, match="at least 16"):
        read_key(tmp_path / "key")
