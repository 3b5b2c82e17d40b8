"""Constraints as rows of a matrix: they vanish exactly where the number holds."""

import numpy as np
import pandas as pd
import pytest

from synthetic import constraints as c
from synthetic.constraints import Block, Moments
from synthetic.published import by_id


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(400, 2)), columns=["risk_aversion", "product_age"])
    rows["product_age"] += 0.4 * rows["risk_aversion"]
    rows["inside"] = rng.random(400) < 0.3
    return rows


def standardised(values, mean, sd):
    return (values - values.mean()) / values.std(ddof=0) * sd + mean


def test_block_moments_vanish_when_the_numbers_hold(sample):
    number = by_id()
    block = Block(lambda rows: rows["inside"].astype(float), sample["inside"].mean())
    known = {"risk_aversion": Moments(2.5, 1.386), "product_age": Moments(984.2, 612.0)}
    inside = sample["inside"]
    for column, (mean, sd) in known.items():
        sample.loc[inside, column] = standardised(sample.loc[inside, column], mean, sd)
    r = sample.loc[inside, list(known)].corr().iloc[0, 1]
    printed = number["t2.corr.product_age.risk_aversion"]
    found = [
        c.mean(number["t2.mean.risk_aversion"], "risk_aversion", block, 1.0),
        c.spread(
            number["t2.sd.risk_aversion"], "risk_aversion", known["risk_aversion"], block, 1.0
        ),
        c.correlation(printed, "product_age", "risk_aversion", known, block, 1.0),
    ]
    rows = {k: v.to_numpy() for k, v in sample.items()}
    system = c.evaluate(found, rows)
    achieved = system.F.mean(axis=1)
    np.testing.assert_allclose(achieved[:2], 0, atol=1e-10)
    report = c.table(found, achieved, np.zeros(3))
    # the report speaks the printed number's unit
    assert report["achieved_population"].tolist() == pytest.approx([2.5, 1.386, r])
    assert report["target"].tolist() == pytest.approx([2.5, 1.386, printed.value])


def test_half_widths_follow_the_print(sample):
    number = by_id()["t4.a.1.share"]
    share = c.share(number, lambda rows: rows["inside"], 1.0, unit=100)
    assert (share.target, share.half_width) == (0.36, 0.005)
    block = Block(lambda rows: rows["inside"], 0.25)
    mean = c.mean(by_id()["t2.mean.risk_aversion"], "risk_aversion", block, 1.0)
    assert mean.half_width == pytest.approx(0.25 * 0.0005)


def test_systems_join():
    one = c.wish("x", lambda rows: rows["x"], 1.0, 0.1, 2.0)
    two = c.wish("y", lambda rows: rows["x"] ** 2, 2.0, 0.2, 3.0)
    rows = {"x": np.arange(4.0)}
    joined = c.evaluate([one], rows).joined(c.evaluate([two], rows))
    assert joined.ids == ["x", "y"]
    np.testing.assert_array_equal(joined.F, [[0, 1, 2, 3], [0, 1, 4, 9]])
    assert joined.priority.tolist() == [2.0, 3.0]
