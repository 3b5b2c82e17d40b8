"""Essay II's firm: dyads meet the country rows, raw sources rebuild the rows they came from."""

import numpy as np
import pandas as pd
import pytest

from crosssell.measures import build
from synthetic.part2 import dyads, encounters, make
from synthetic.part2 import population as pop
from synthetic.part2.dyads import NAMES, UNATTAINABLE, cells, country_rows, spread_limits
from synthetic.part2.encounters import OWN, Clustering, draw, share_out
from synthetic.part2.moves import choose, chosen_in_stages, effects, gaps, look, pool
from synthetic.part2.names import COLUMNS, PURCHASE, RANGES
from synthetic.part2.report import chi_square, costs
from synthetic.part2.sources import raw_tables
from synthetic.published import by_id

PUBLISHED = by_id()


@pytest.fixture(scope="module")
def full_dyads():
    return dyads(PUBLISHED, int(PUBLISHED["p2.encounters"].value))


@pytest.mark.parametrize("side", ["customer_country", "agent_country"])
def test_dyads_print_the_country_rows(full_dyads, side):
    for country, rows in full_dyads.groupby(side):
        if country in UNATTAINABLE:
            continue
        distance = np.repeat(rows["distance"], rows["encounters"])
        assert PUBLISHED[f"p2.distance.{NAMES[country]}.mean"].matches(distance.mean())
        assert PUBLISHED[f"p2.distance.{NAMES[country]}.sd"].matches(distance.std())


def test_dyads_have_the_published_size_and_mean(full_dyads):
    assert full_dyads["encounters"].sum() == 117_721
    mean = np.average(full_dyads["distance"], weights=full_dyads["encounters"])
    assert PUBLISHED["t7.mean.cultural_distance"].matches(mean)


def test_printed_spread_of_distance_is_out_of_reach():
    table = cells(PUBLISHED)
    rows = country_rows(table, PUBLISHED)
    low, high = spread_limits(table, rows, PUBLISHED["t7.mean.cultural_distance"].value)
    assert low < high < PUBLISHED["t7.sd.cultural_distance"].value
    assert high == pytest.approx(39.446, abs=1e-3)


@pytest.fixture(scope="module")
def plain():
    table = dyads(PUBLISHED, 6_000, exact=False)
    rng = np.random.default_rng(3)
    population = pop.populate(PUBLISHED, table, "moments", rng, calibrated=False)
    purchases = pop.purchases(population, pop.relative_surplus(population, rng))
    sample = share_out(draw(population, purchases, rng), population.plan, Clustering(), rng)
    return table, purchases, sample, population.plan


def test_sources_rebuild_every_row(plain):
    table, _, sample, _ = plain
    rows = encounters(sample, table)
    analysis = build(raw_tables(rows, np.random.default_rng(4)), "part2")
    analysis["customer"] = analysis["customer_id"].str[1:].astype(int) - 1
    key = ["customer", "purchase", *COLUMNS]
    expected = rows[key].astype(float).sort_values(key).to_numpy()
    np.testing.assert_array_equal(analysis[key].astype(float).sort_values(key), expected)


def test_draw_keeps_cells_purchases_and_customers(plain):
    table, purchases, sample, _ = plain
    np.testing.assert_array_equal(np.bincount(sample["cell"]), table["encounters"])
    bought = np.bincount(sample["cell"], sample[PURCHASE], len(table))
    np.testing.assert_array_equal(bought, purchases)
    frame = pd.DataFrame(sample)
    own = frame.groupby("customer")[["cell", *OWN]].nunique()
    assert (own == 1).all(axis=None)


@pytest.mark.parametrize("variant", ["moments", "ranges"])
def test_quick_firm_is_reproducible(variant):
    first, second = (make(5, variant, "quick").raw for _ in range(2))
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_ranges_variant_keeps_the_ranges():
    analysis = build(make(5, "ranges", "quick").raw, "part2")
    for name, (low, high) in RANGES.items():
        assert analysis[name].between(low, high).all()


def test_chi_square_of_two_groups():
    purchase = np.array([1.0, 1, 0, 0, 1, 0, 0, 0])
    country = np.repeat(["A", "B"], 4)
    assert chi_square(purchase, country) == pytest.approx(8 / 15)


def test_share_out_moves_no_value(plain):
    _, _, sample, plan = plain
    again = share_out(sample, plan, Clustering(0.2, 0.5), np.random.default_rng(9))
    for name in (*COLUMNS, PURCHASE, "cell"):
        np.testing.assert_array_equal(np.sort(again[name]), np.sort(sample[name]))


def test_more_clustering_makes_more_customers_buy_twice(plain):
    _, _, sample, plan = plain
    # customers who share their own variables leave the sharing out most freedom
    sample = sample | {name: np.full_like(sample[name], 3) for name in OWN}
    twice = []
    for clustering in (0.0, 3.0):
        alike = Clustering(clustering, clustering)
        table = share_out(sample, plan, alike, np.random.default_rng(1))
        twice.append((np.bincount(table["customer"], table[PURCHASE]) > 1).sum())
    assert twice[1] > 2 * twice[0]


def test_moves_do_what_their_effects_say(plain):
    # Moments are linear in moves, estimates nearly so; both are told apart from no effect at all.
    _, _, sample, plan = plain
    rng = np.random.default_rng(5)
    before = look(sample, plan, "hypothesized")
    moves = pool(sample, 400, rng)
    effect = effects(sample, plan, [before], moves)
    # many small ones, as in use
    chosen = (np.abs(effect).max(axis=0) < 100) & (rng.random(moves.number) < 0.5)
    assert chosen.sum() > 50
    after = look(moves.made(sample, chosen), plan, "hypothesized")
    changed = gaps(moves.made(sample, chosen), plan, [after]) - gaps(sample, plan, [before])
    promised = effect @ chosen
    n_moments = len(changed) - len(before.estimate)
    np.testing.assert_allclose(changed[:n_moments], promised[:n_moments], rtol=1e-9, atol=1e-6)
    away = np.abs(changed - promised)[n_moments:]
    assert (away < 0.15 * np.abs(promised[n_moments:]).max()).all()


def test_no_customer_is_touched_by_two_moves(plain):
    _, _, sample, _ = plain
    moves = pool(sample, 400, np.random.default_rng(6))
    pairs = pd.DataFrame({"customer": sample["customer"][moves.row], "move": moves.move})
    assert (pairs.drop_duplicates().groupby("customer").size() == 1).all()


def test_programme_takes_the_fewest_moves():
    effect = np.array([[-1.0, -4.0, 0.5], [0.0, 0.0, 3.0]])
    chosen = choose(effect, np.array([4.0, 0.0]), 100.0, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen, [False, True, False])


def test_coarse_moves_are_followed_by_finer_ones():
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(-3, 1, 3000)
    effect = rng.normal(size=(6, 3000)) * size
    gap = np.array([200.0, -90.0, 3.0, 0.0, 15.0, -0.4])
    chosen = chosen_in_stages(effect, gap, 1.0, rng)
    assert np.abs(gap + effect @ chosen).max() < 1


def test_surpluses_of_dyads_leave_the_coefficients_between_them_alone(full_dyads):
    rng = np.random.default_rng(7)
    population = pop.populate(PUBLISHED, full_dyads, "moments", rng, calibrated=False)
    surplus = pop.relative_surplus(population, rng)
    plan, rows = population.plan, population.rows
    dyad = plan.dyad_of_cell[0][rows["cell"]]
    extra = population.weights * rows[PURCHASE] * surplus[dyad]
    x = pop.regressors(rows, plan.centre_of("hypothesized"))[
        [pop.TERMS.index(term) for term in pop.BETWEEN]
    ]
    assert (surplus != 0).sum() > 5
    assert np.abs(x @ extra).max() < 1e-9 * np.abs(x * extra).sum(axis=1).max()


def test_both_columns_cost_more_than_one(monkeypatch):
    monkeypatch.setattr(pop, "SUPPORT", 4_000)
    monkeypatch.setattr(pop, "FINAL_SUPPORT", 4_000)
    cells_of_quick = dyads(PUBLISHED, 6_000, exact=False)
    names = ["first column only", "one SD for both columns"]
    one, both = costs(PUBLISHED, cells_of_quick, 3, names)
    assert [one["scenario"], both["scenario"]] == names
    assert 0 < one["divergence"] < both["divergence"]


def test_weighted_chi_square_is_that_of_shares():
    purchase = np.array([1.0, 0, 1, 0])
    country = np.array(["A", "A", "B", "B"])
    weight = np.array([0.25, 0.25, 0.125, 0.375])
    assert 8 * chi_square(purchase, country, weight) == pytest.approx(8 / 15)


def test_coefficients_aimed_at_round_to_the_printed_ones():
    for column in ("hypothesized", "excluded_country"):
        printed = pop.coefficients(PUBLISHED, column)
        aimed = pop.aimed_at(PUBLISHED, column)
        assert (aimed != printed).any()
        np.testing.assert_array_equal(np.round(aimed, 4), printed)
