"""Essay II's firm: dyads meet the country rows, raw sources rebuild the rows they came from."""

import importlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crosssell.measures import build
from synthetic.part2 import dyads, encounters, make
from synthetic.part2 import population as pop
from synthetic.part2 import purchases as buying
from synthetic.part2.column import look
from synthetic.part2.dyads import NAMES, UNATTAINABLE, cells, country_rows, shares, spread_limits
from synthetic.part2.effects import (
    DYAD_RANGE,
    T_WIDTH,
    _beyond,
    _by_kind,
    _kind_width,
    effects,
    gaps,
    moment_conditions,
)
from synthetic.part2.encounters import OWN, Clustering, draw, share_out
from synthetic.part2.moves import LARGEST, NEAREST, PATIENCE, choose, chosen_in_stages, polish
from synthetic.part2.names import COLUMNS, PURCHASE, RANGES, RISK, TABLE8
from synthetic.part2.pool import pool
from synthetic.part2.report import (
    SCENARIOS,
    apart,
    by_kind,
    calibration,
    chi_square,
    conflicts,
    costs,
    error_ratios,
    looks,
    significance,
)
from synthetic.part2.sources import raw_tables
from synthetic.part2.start import DISTANCE_NEAR, SD_ERROR, SD_NEAR, _away
from synthetic.published import by_id
from synthetic.sample import SampleError

PUBLISHED = by_id()
part2, moving = (importlib.import_module(f"synthetic.part2{room}") for room in ("", ".moves"))


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


def test_dyads_are_the_least_informative_that_agree_with_the_rows():
    rows = country_rows(cells(PUBLISHED), PUBLISHED)
    share = shares(rows)
    entropy = -share @ np.log(share)
    # any step along which the rows stay as they are loses entropy
    free = np.linalg.svd(np.vstack([rows.moment, np.ones(len(share))]))[2]
    free = free[np.linalg.matrix_rank(rows.moment) + 1 :]
    assert len(free) > 3
    for direction in free:
        step = 0.01 * share.min() / np.abs(direction).max()
        for moved in (share + step * direction, share - step * direction):
            assert -moved @ np.log(moved) < entropy + 1e-12


@pytest.fixture(scope="module")
def plain():
    table = dyads(PUBLISHED, 6_000, exact=False)
    rng = np.random.default_rng(3)
    population = pop.populate(PUBLISHED, table, "moments", rng, calibrated=False)
    purchases = buying.whole_purchases(population, buying.relative_surplus(population, rng))
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


def test_a_collective_account_is_one_customer(plain):
    _, _, sample, plan = plain
    name = np.array(plan.dyad_of_cell[1])[sample["dyad"]]
    unknown = pop.unknown(sample)
    assert set(name[unknown]) <= {"FRA-MAR", "FRA-TUN", "FRA-SVK", "FRA-IND"}
    booked = unknown & (name == "FRA-MAR")
    account = np.unique(sample["customer"][booked])
    assert booked.sum() > 20
    assert len(account) == 1
    np.testing.assert_array_equal(sample["customer"] == account, booked)
    for variable, value in pop.ACCOUNT.items():
        assert (sample[variable][booked] == value).all()


def test_who_had_unknown_warranties_is_told(plain):
    _, _, sample, plan = plain
    columns = [look(sample, plan, column) for column in TABLE8]
    said = list(looks(sample, SimpleNamespace(plan=plan), columns))
    in_morocco = pop.unknown(sample) & (sample["dyad"] == plan.dyad_of_cell[1].index("FRA-MAR"))
    number, bought = in_morocco.sum(), sample[PURCHASE][in_morocco].sum()
    start = f"unknown warranties, FRA-MAR: {number} encounters, customers: 1, bought {bought:.0f} "
    assert sum(line.startswith(start) for line in said) == 1
    # within the ranges there are none
    known = sample | {RISK: np.minimum(sample[RISK], 5)}
    assert not any("unknown" in line for line in looks(known, SimpleNamespace(plan=plan), columns))


def test_few_unknown_warranties_are_far_away_and_buy_like_anybody(full_dyads):
    population = pop.populate(
        PUBLISHED, full_dyads, "moments", np.random.default_rng(2), calibrated=False
    )
    plan, rows = population.plan, pop.prepare(population.plan, population.rows)
    far = pop.unknown(rows) & (rows["dyad"] == plan.dyad_of_cell[1].index("FRA-SVK"))
    weight = plan.size * population.weights[far]
    assert 4 < weight.sum() < 16
    assert weight @ rows[PURCHASE][far] / weight.sum() == pytest.approx(pop.PURCHASE_RATE)
    # the model expects far more of them
    assert weight @ rows["p hypothesized"][far] / weight.sum() > 0.2


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


@pytest.mark.parametrize("seed", [2, 6, 14])
def test_moves_do_what_their_effects_say(seed):
    # Moments are linear in moves; estimates, t values and the dyads' SD to first order, where
    # neither SD is zero. A call of a day is not small: the typical set of moves is looked at.
    rng = np.random.default_rng(seed)
    cells = dyads(PUBLISHED, 6_000, exact=False)
    population = pop.populate(PUBLISHED, cells, "moments", rng, calibrated=False)
    plan = population.plan
    bought = buying.whole_purchases(population, rng.choice([-0.5, 0.5], len(plan.dyad_share)))
    sample = share_out(draw(population, bought, rng), plan, Clustering(2.5, 2.5), rng)
    before = look(sample, plan, "hypothesized")
    assert before.spreads.min() > 0.1
    moves = pool(sample, 400, rng)
    effect = effects(sample, plan, [before], moves)
    gap, start = gaps(sample, plan, [before]), np.r_[before.estimate, before.spreads]
    n = len(moment_conditions(plan))
    ends = [n, n + len(before.estimate), len(gap) - len(pop.kinds(plan))]
    moments, estimates, bands, _ = np.split(np.arange(len(gap)), ends)
    part, missed = rng.integers(0, 8, moves.number), []
    for k in range(8):
        chosen = (np.abs(effect).max(axis=0) < 100) & (part == k)
        moved = moves.made(sample, chosen)
        after = look(moved, plan, "hypothesized", start)
        changed, promised = gaps(moved, plan, [after]) - gap, effect @ chosen
        np.testing.assert_allclose(changed[moments], promised[moments], rtol=1e-9, atol=1e-6)
        # logs of t values are linear for a tenth or so, five half-widths
        few = bands[(promised[bands] != 0) & (np.abs(promised[bands]) < 5)]
        assert len(few)
        missed.append(
            [
                np.linalg.norm((changed - promised)[which]) / np.linalg.norm(promised[which])
                for which in (estimates, few)
            ]
        )
    assert (np.median(missed, axis=0) < [0.1, 0.15]).all()


def test_moves_do_to_kinds_of_encounter_what_their_effects_say(plain):
    # Given the column, exactly: purchases and expected ones of the encounters touched add up.
    _, _, sample, plan = plain
    column, kinds = look(sample, plan, "hypothesized"), pop.kinds(plan)
    moves = pool(sample, 400, np.random.default_rng(4))
    effect = effects(sample, plan, [column], moves)[-len(kinds) :]
    chosen = np.arange(moves.number) % 3 == 0
    before, after = [
        _by_kind(rows, plan, column).sum(axis=2) for rows in (sample, moves.made(sample, chosen))
    ]
    width = _kind_width(before[1])
    change = (after - before)[0] - (after - before)[1]
    assert (effect[:, chosen] != 0).any(axis=1).sum() > len(kinds) / 2
    np.testing.assert_allclose(effect @ chosen, change / width, atol=1e-9)
    # kinds of a dyad and variable share its purchases out, but for those of unknown warranty
    dyad = plan.dyad_of_cell[1].index("FRA-MAR")
    known = (sample["dyad"] == dyad) & (sample[RISK] <= 5)
    for name in pop.KINDS:
        mine = [k for k, kind in enumerate(kinds) if kind[:2] == (dyad, name)]
        assert before[0][mine].sum() == sample[PURCHASE][known].sum()


def test_bands_are_those_of_the_printed_stars(plain):
    _, _, sample, plan = plain
    column = look(sample, plan, "hypothesized")
    printed = [PUBLISHED[f"t8.hypothesized.{term}.estimate"] for term in pop.TERMS]
    for number, (low, high) in zip(printed, np.exp(column.band).T, strict=True):
        for t in (1.0, 2.2, 3.0, 4.0):
            stars = "*" * sum(2 * stats.norm.sf(t) < p for p in (0.05, 0.01, 0.001))
            assert (low < t < high) == (stars == number.stars), (number.id, t)
    # well inside its band a t value is left alone; on its end it counts one, outside more
    low = np.isfinite(column.band[0])
    for inwards, beyond in ((2.0, 0.0), (0.0, -1.0), (-1.0, -2.0)):
        t = np.where(low, np.exp(column.band[0] + inwards * T_WIDTH), 1.0)
        moved = replace(column, estimate=t * column.standard_error)
        np.testing.assert_allclose(_beyond(moved)[:-1][low], beyond, atol=1e-9)


def test_conditional_errors_are_those_at_known_spreads(plain):
    _, _, sample, plan = plain
    column = look(sample, plan, "hypothesized")
    rng = np.random.default_rng(8)
    root = rng.normal(size=(12, 12))
    both = replace(column, covariance=root @ root.T)
    expected = np.linalg.inv(np.linalg.inv(both.covariance)[:10, :10])
    np.testing.assert_allclose(both.conditional_error**2, np.diag(expected), rtol=1e-8)
    # one that is estimated zero has no covariance, and takes nothing
    free = np.arange(12) < 10
    zero = replace(both, covariance=both.covariance * np.outer(free, free))
    np.testing.assert_allclose(zero.conditional_error, zero.standard_error)


def test_a_dyad_that_buys_too_much_is_apart(plain):
    _, _, sample, plan = plain
    population = pop.Population(plan, {}, np.empty(0), pd.DataFrame(), 0.0)
    column = look(sample, plan, "excluded_country")
    far = apart(sample, population, column)
    assert not far.index.str.startswith(pop.LEFT_OUT).any()
    assert far.abs().max() < 4
    # fifty purchases more are far, and only where they are
    inside = sample["dyad"] == plan.dyad_of_cell[1].index("DEU-SVK")
    more = sample | {PURCHASE: sample[PURCHASE].copy()}
    more[PURCHASE][np.flatnonzero(inside & (sample[PURCHASE] == 0))[:50]] = 1
    moved = apart(more, population, column) - far
    assert moved["DEU-SVK"] > 3
    np.testing.assert_array_equal(moved.drop("DEU-SVK"), 0.0)


def test_purchases_of_one_kind_of_encounter_show(plain):
    _, _, sample, plan = plain
    population = pop.Population(plan, {}, np.empty(0), pd.DataFrame(), 0.0)
    columns = [look(sample, plan, column) for column in TABLE8]
    kinds = by_kind(sample, population, columns)
    known = sample[RISK] <= 5
    for name in pop.KINDS:
        mine = kinds.xs(name, level="variable")
        assert mine["encounters"].sum() == known.sum()
        assert mine["bought"].sum() == sample[PURCHASE][known].sum()
    # the same number of purchases in a dyad, all from customers without a warranty
    inside = known & (sample["dyad"] == plan.dyad_of_cell[1].index("FRA-MAR"))
    moved = sample | {PURCHASE: np.where(inside, 0, sample[PURCHASE])}
    without = np.flatnonzero(inside & (sample[RISK] == 0))
    moved[PURCHASE][without[: int(sample[PURCHASE][inside].sum())]] = 1
    after = by_kind(moved, population, columns)
    np.testing.assert_allclose(after["expected"], kinds["expected"])
    here = after.loc["FRA-MAR", RISK]
    assert here["bought"].sum() == kinds.loc["FRA-MAR", RISK]["bought"].sum() > 0
    assert (here["bought"].iloc[1:] == 0).all()
    others = ["FRA-MAR" not in index for index in after.index]
    pd.testing.assert_frame_equal(after[others], kinds[others])


@pytest.mark.parametrize("seed", [3, 4])
def test_tilt_spreads_a_dyads_purchases_over_kinds_of_encounter(full_dyads, monkeypatch, seed):
    monkeypatch.setattr(pop, "FINAL_SUPPORT", 6_000)
    monkeypatch.setattr(pop, "SCALES", (0.1,))

    def farthest() -> float:
        rng = np.random.default_rng(seed)
        population = pop.populate(PUBLISHED, full_dyads, "moments", rng)
        plan, rows = population.plan, pop.prepare(population.plan, population.rows)
        inside = rows["dyad"] == plan.dyad_of_cell[1].index("FRA-TUN")
        inside &= rows[RISK] <= 5
        year, weights = rows[RISK][inside].astype(int), population.weights[inside]
        bought = np.bincount(year, weights * rows[PURCHASE][inside])
        expected = np.bincount(year, weights * rows["p hypothesized"][inside])
        return float(np.abs(bought - expected).max() / expected.sum())

    # of the dyad's purchases, in one year of warranty too many or too few
    spread = farthest()
    monkeypatch.setattr(pop, "KINDS", {})
    assert spread < 0.2 < 0.3 < farthest()


def test_a_start_is_far_in_the_coefficient_of_distance_or_the_dyads_spread_or_its_error(plain):
    _, _, sample, plan = plain
    k, column = pop.TERMS.index(pop.DISTANCE), look(sample, plan, "hypothesized")
    middle = np.sqrt(np.prod(DYAD_RANGE))

    def away(distance: float, spread: float, error: float = 0.0) -> float:
        estimate, covariance = column.target.copy(), column.covariance.copy()
        estimate[k] += distance * column.standard_error[k]
        covariance[len(pop.TERMS), len(pop.TERMS)] = error**2
        spreads = np.array([spread, 1.0])
        return _away(replace(column, estimate=estimate, spreads=spreads, covariance=covariance))

    assert away(0.0, middle) == 0
    assert away(0.5 * DISTANCE_NEAR, middle) == pytest.approx(0.5)
    for spread in (middle * SD_NEAR, middle / SD_NEAR):
        assert away(0.5 * DISTANCE_NEAR, spread) == pytest.approx(1.0)
    assert away(0.0, 0.0) == np.inf
    assert away(0.5 * DISTANCE_NEAR, middle, 2 * SD_ERROR) == pytest.approx(2.0)


def test_a_sample_that_comes_no_nearer_is_given_up(plain, monkeypatch):
    _, _, sample, plan = plain
    none = lambda effect, *_: np.zeros(effect.shape[1], dtype=bool)
    monkeypatch.setattr(moving, "chosen_in_stages", none)
    rounds = []
    monkeypatch.setattr(moving, "pool", lambda *a: rounds.append(1) or pool(*a))
    table = polish(sample, plan, np.random.default_rng(1), size=50)
    assert len(rounds) == PATIENCE
    for name in COLUMNS:
        np.testing.assert_array_equal(table[name], sample[name])


@pytest.mark.parametrize(
    ("ends", "best", "populations"),
    [([2.0, None, 0.5], 0.5, 1), ([2.0, 3.0, None, 1.5, 4.0, None], 1.5, 2), ([None] * 6, None, 2)],
)
def test_another_draw_is_tried_until_one_meets_the_printed_digits(
    monkeypatch, full_dyads, ends, best, populations
):
    # the polished table stands for how far it ends; None for one that cannot be clustered
    left, made = list(ends), []
    population = pop.Population(SimpleNamespace(columns=TABLE8), {}, np.empty(0), None, 0.0)

    def clustered(*_: object) -> float:
        if (end := left.pop(0)) is None:
            raise SampleError("no clustering")
        return end

    monkeypatch.setattr(part2.pop, "populate", lambda *_: made.append(1) or population)
    monkeypatch.setattr(part2, "drawn", lambda *_: None)
    monkeypatch.setattr(part2, "clustered", clustered)
    monkeypatch.setattr(part2, "polish", lambda end, *_: end)
    monkeypatch.setattr(part2, "look", lambda end, *_: end)
    monkeypatch.setattr(part2, "gaps", lambda end, *_: np.array([-end, 0.1]))
    if best is None:
        with pytest.raises(SampleError, match="none of 6 draws"):
            part2._calibrated(PUBLISHED, full_dyads, "moments", 1)
    else:
        _, table, columns, _ = part2._calibrated(PUBLISHED, full_dyads, "moments", 1)
        assert (table, columns) == (best, [best, best])
    assert not left
    assert len(made) == populations


def test_conflicts_are_named_only_where_a_number_is_missed(plain):
    _, _, sample, plan = plain
    population = pop.Population(plan, {}, np.empty(0), pd.DataFrame(), 0.0)
    names = ["hypothesized", "excluded_country"]
    intercepts = [f"t8.{name}.intercept.std_error" for name in names]
    columns = [look(sample, plan, name) for name in names]
    rows = calibration(PUBLISHED, population, sample, columns).set_index("id")
    named = rows[rows["conflict"] != ""]
    assert set(intercepts) <= set(named.index)
    assert (named["slack"] > 0).all()
    assert (named["certificate"] == "").all()
    assert f"{columns[0].conditional_error[-1]:.4f}" in named.loc[intercepts[0], "conflict"]
    # a standard error as printed needs no excuse
    for k, column in enumerate(columns):
        variance = np.r_[np.ones(9), PUBLISHED[intercepts[k]].value ** 2, 0, 0]
        columns[k] = replace(column, covariance=np.diag(variance))
    rows = calibration(PUBLISHED, population, sample, columns).set_index("id")
    assert (rows.loc[intercepts, "conflict"] == "").all()


def test_every_missed_standard_error_and_t_value_names_what_it_gives_way_to(plain):
    table, _, sample, plan = plain
    rng = np.random.default_rng(3)
    population = pop.populate(PUBLISHED, table, "moments", rng, calibrated=False)
    report = pd.DataFrame([{"id": "t7.mean.risk_aversion", "achieved_population": 1.6}])
    population = replace(population, report=report.assign(priority=1.0))
    columns = [look(sample, plan, name) for name in TABLE8]
    rows = calibration(PUBLISHED, population, sample, columns).set_index("id")
    expected = pd.Series(pop.standard_errors(population))
    found = rows.loc[expected.index]
    pd.testing.assert_series_equal(found["achieved_population"], expected, check_names=False)
    for kind in (".std_error", ".t_value"):
        missed = rows[rows.index.str.endswith(kind) & (rows["slack"] > 0)]
        assert len(missed) > 5
        assert (missed["conflict"] != "").all()
    id_ = "t8.hypothesized.duration.std_error"
    for value, words in ((PUBLISHED[id_].value, "as printed"), (0.0021, "outweigh")):
        named = conflicts(PUBLISHED, plan, [], {id_: value})
        assert words in named[id_]
        assert f"{value:.4f}" in named[id_]
        assert id_ in named[id_.replace("std_error", "t_value")]


def test_no_customer_is_touched_by_two_moves(plain):
    _, _, sample, _ = plain
    moves = pool(sample, 400, np.random.default_rng(6))
    pairs = pd.DataFrame({"customer": sample["customer"][moves.row], "move": moves.move})
    assert (pairs.drop_duplicates().groupby("customer").size() == 1).all()


def test_programme_takes_the_fewest_moves():
    effect = np.array([[-1.0, -4.0, 0.5], [0.0, 0.0, 3.0]])
    chosen = choose(effect, np.array([4.0, 0.0]), 100.0, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen, [False, True, False])


def test_of_many_roundings_the_one_that_leaves_least_counts():
    # each of twenty moves is wanted at .94: drawn once, all are made with probability .29
    chosen = choose(-10 * np.eye(20), np.full(20, 10.0), 100.0, np.random.default_rng(0))
    assert chosen.all()


def test_coarse_moves_are_followed_by_finer_ones():
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(-3, 1, 3000)
    effect = rng.normal(size=(6, 3000)) * size
    gap = np.array([200.0, -90.0, 3.0, 0.0, 15.0, -0.4])
    coarse = np.repeat([1.5, 40.0], 3)
    chosen = chosen_in_stages(effect, gap, np.full(6, LARGEST), coarse, rng)
    assert np.abs(gap + effect @ chosen).max() < 1


def test_conditions_near_their_targets_are_spared_coarse_moves():
    # the second move closes the first condition at once, at the cost of the second condition
    effect = np.array([[-1.0, -30.0], [0.0, 5.0]])
    gap = np.array([30.0, 0.0])
    rng = np.random.default_rng(0)
    largest = np.full(2, LARGEST)
    for coarse, taken in ((1.5, [True, False]), (40.0, [True, True])):
        chosen = chosen_in_stages(effect, gap, largest, np.array([40.0, coarse]), rng)
        np.testing.assert_array_equal(chosen, taken)


@pytest.mark.parametrize(("gap", "whole"), [(8.0, 0), (12.0, 1), (48.0, 2)])
def test_only_gaps_of_more_than_half_a_whole_move_are_its_own(gap, whole):
    # two moves of twenty half-widths; what fifty small ones to either side can do is theirs
    effect = np.r_[-20.0, -20.0, np.repeat([-0.2, 0.2], 50)][None]
    largest, coarse = np.array([NEAREST]), np.array([1.5])
    rng = np.random.default_rng(0)
    chosen = chosen_in_stages(effect, np.array([gap]), largest, coarse, rng)
    assert chosen[:2].sum() == whole
    assert np.abs(gap + effect @ chosen) < 1


def test_surpluses_of_dyads_leave_the_coefficients_between_them_alone(full_dyads):
    rng = np.random.default_rng(7)
    population = pop.populate(PUBLISHED, full_dyads, "moments", rng, calibrated=False)
    surplus = buying.relative_surplus(population, rng)
    plan, rows = population.plan, population.rows
    dyad = plan.dyad_of_cell[0][rows["cell"]]
    extra = population.weights * rows[PURCHASE] * surplus[dyad]
    x = pop.regressors(rows, plan.centre_of("hypothesized"))[
        [pop.TERMS.index(term) for term in buying.BETWEEN]
    ]
    assert (surplus != 0).sum() > 5
    expected = np.bincount(dyad, plan.size * population.weights * rows[PURCHASE])
    typical = np.sqrt(pop.DYAD_SD**2 + 1 / expected)
    assert np.abs(surplus / typical).max() < buying.FAR_OFF
    assert np.abs(x @ extra).max() < 1e-9 * np.abs(x * extra).sum(axis=1).max()


def test_both_columns_cost_more_than_one(full_dyads, monkeypatch):
    monkeypatch.setattr(pop, "SUPPORT", 8_000)
    monkeypatch.setattr(pop, "FINAL_SUPPORT", 8_000)
    monkeypatch.setattr(pop, "SCALES", (0.03, 0.1, 0.1))
    names = ["first column only", "one SD for both columns"]
    one, both = costs(PUBLISHED, full_dyads, 3, names)
    assert [one["scenario"], both["scenario"]] == names
    assert 0 < one["divergence"] < both["divergence"]


def test_weighted_chi_square_is_that_of_shares():
    purchase = np.array([1.0, 0, 1, 0])
    country = np.array(["A", "A", "B", "B"])
    weight = np.array([0.25, 0.25, 0.125, 0.375])
    assert 8 * chi_square(purchase, country, weight) == pytest.approx(8 / 15)


RATES = {  # in alphabetical order of the countries
    "customer_country": [0.046, 0.010, 0.029, 0.045, 0.048, 0.021, 0.008],
    "agent_country": [0.009, 0.040, 0.045, 0.032],
}


def test_significance_is_read_off_t_values():
    ids = [f"t8.{c}.{term}" for c in ("hypothesized", "excluded_country") for term in pop.TERMS]
    values = {f"{i}.estimate": PUBLISHED[f"{i}.estimate"].value for i in ids}
    # errors as far from the bounds of stars as can be
    t = {"": 0.5, "*": 2.2, "**": 2.9, "***": 9.0}
    for i in ids:
        values[f"{i}.std_error"] = (
            abs(values[f"{i}.estimate"]) / t[PUBLISHED[f"{i}.estimate"].stars]
        )
    values["t8.excluded_country.duration.std_error"] = 0.0011  # of an estimate printed as zero
    assert significance(PUBLISHED, values)["agrees"].all()
    values["t8.hypothesized.failure_severity.std_error"] /= 2  # t 4.4: three stars for one
    off = significance(PUBLISHED, values).query("not agrees")
    assert off["id"].tolist() == ["t8.hypothesized.failure_severity.estimate"]
    ratios = error_ratios(PUBLISHED, values)
    assert ratios.loc["failure_severity", "hypothesized"] == pytest.approx(0.0368 / 4.4 / 0.015)
    assert ratios.isna().to_numpy().sum() == len(pop.NO_DIGIT)


@pytest.mark.parametrize("side", pop.SIDES)
def test_purchases_by_country_print_the_chi_square(full_dyads, side):
    printed = PUBLISHED[f"p2.chi2.{side}"]
    size = full_dyads.groupby(side)["encounters"].sum().to_numpy()
    rng = np.random.default_rng(11)
    for _ in range(5):
        expected = size * RATES[side] * rng.uniform(0.9, 1.1, len(size))
        expected *= round(0.0376 * size.sum()) / expected.sum()
        total = round(expected.sum())
        whole = buying.near_chi_square(printed, size, expected, np.arange(total - 9, total + 10))
        assert abs(whole.sum() - total) < 10
        # no farther from what is expected than chance would be
        scale = np.sqrt(
            printed.value / (((expected / size - 0.0376) ** 2) @ size / 0.0376 / 0.9624)
        )
        near = 0.0376 * size + scale * (expected - 0.0376 * size)
        assert (((whole - near) ** 2 / near) < 1).all()
        assert whole.min() >= 0
        outcome = np.tile([1.0, 0.0], len(size))
        share = np.stack([whole, size - whole], axis=1).ravel() / size.sum()
        country = np.repeat(np.arange(len(size)), 2)
        assert printed.matches(size.sum() * chi_square(outcome, country, share))


def test_chi_square_out_of_reach_is_said(full_dyads):
    size = full_dyads.groupby("agent_country")["encounters"].sum().to_numpy()
    printed = replace(PUBLISHED["p2.chi2.agent_country"], value=50_000.0)
    expected = np.round(size * RATES["agent_country"])
    with pytest.raises(SampleError, match="below zero in some country"):
        buying.near_chi_square(printed, size, expected, np.array([round(expected.sum())]))


def test_purchases_by_cell_add_up_to_both_sides(full_dyads):
    rng = np.random.default_rng(12)
    population = pop.populate(PUBLISHED, full_dyads, "moments", rng, calibrated=False)
    rates = {side: dict.fromkeys(np.unique(full_dyads[side]), 0.0) for side in pop.SIDES}
    planned = replace(population, plan=replace(population.plan, directions=rates))
    whole = buying.whole_purchases(planned, buying.relative_surplus(population, rng))
    count = full_dyads["encounters"].to_numpy()
    assert (
        abs(whole.sum() / count.sum() - pop.PURCHASE_RATE) < buying.RATE_REACH + 0.5 / count.sum()
    )
    assert ((whole >= 0) & (whole <= count)).all()
    outcome = np.repeat([1.0, 0.0], len(count))
    share = np.concatenate([whole, count - whole]) / count.sum()
    for side in pop.SIDES:
        found = count.sum() * chi_square(outcome, np.tile(full_dyads[side], 2), share)
        assert PUBLISHED[f"p2.chi2.{side}"].matches(found)
    distance = full_dyads["distance"].to_numpy(dtype=float)
    z = distance - np.average(distance, weights=count)
    spread = np.sqrt(np.average(z**2, weights=count) * pop.PURCHASE_RATE * (1 - pop.PURCHASE_RATE))
    correlation = PUBLISHED["t7.corr.cultural_distance.purchase"]
    assert correlation.matches(z @ whole / count.sum() / spread)


def test_intercepts_of_unknown_warranties_take_what_generalised_least_squares_says(full_dyads):
    rng = np.random.default_rng(21)
    population = pop.populate(PUBLISHED, full_dyads, "moments", rng, calibrated=False)
    plan, column = population.plan, "hypothesized"
    rows, weights = pop.prepare(plan, population.rows), population.weights
    names = plan.dyad_of_cell[1]
    unknown, dyad = pop.unknown(rows), rows["dyad"]
    x, p = rows[f"x {column}"], rows[f"p {column}"]
    variance = plan.aims.customer_sd[column] ** 2
    score, root = (pop._less_unknown(plan, rows, weights, column, power) for power in (1, 0.5))
    np.testing.assert_array_equal(score[:, ~unknown], x[:, ~unknown])
    for name in ("FRA-MAR", "FRA-TUN"):
        mine = unknown & (dyad == names.index(name))
        w = plan.size * (weights * p * (1 - p))[mine]
        residual = rng.normal(size=mine.sum())
        # of a normal approximation with responses' variances 1 / w and a common intercept
        inverse = np.linalg.inv(np.diag(1 / w) + variance)
        np.testing.assert_allclose(
            (w * root[:, mine]) @ root[:, mine].T, x[:, mine] @ inverse @ x[:, mine].T, rtol=1e-7
        )
        np.testing.assert_allclose(
            score[:, mine] @ residual, x[:, mine] @ inverse @ (residual / w), rtol=1e-7
        )
    # a customer of its own
    k = np.flatnonzero(unknown & (dyad == names.index("FRA-SVK")))[0]
    w = (p * (1 - p))[k]
    np.testing.assert_allclose(score[:, k], x[:, k] / (1 + variance * w))
    np.testing.assert_allclose(root[:, k] ** 2, x[:, k] ** 2 / (1 + variance * w))


def test_information_is_that_of_the_weighted_regression(full_dyads, monkeypatch):
    # without dyads' intercepts: the cross product of the regressors, weighted by p (1 - p)
    monkeypatch.setattr(pop, "DYAD_SD", 0.0)
    rng = np.random.default_rng(13)
    population = pop.populate(PUBLISHED, full_dyads, "moments", rng, calibrated=False)
    plan, column = population.plan, "excluded_country"
    rows = pop.prepare(plan, population.rows)
    p, x = rows[f"p {column}"], rows[f"x {column}"]
    inside = plan.remaining[rows["cell"]]
    weight = plan.size * population.weights * inside * p * (1 - p)
    expected = np.linalg.inv((x * weight) @ x.T)
    found = pop._covariances(population)[column][-1]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    # in the population that it comes from, a combination leaves the information it says
    plan = replace(plan, covariances={column: (found,)})
    for constraint in pop.standard_error_constraints(plan, rows, population.weights):
        term = constraint.id.split()[1]
        j = pop.TERMS.index(term)
        achieved = population.weights @ constraint.values(rows)
        assert achieved == pytest.approx(1 / found[j, j], rel=1e-8), term


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_aims_print_as_published(full_dyads, scenario):
    # coefficients round to the printed ones; standard errors go with them and the printed stars
    variant, aims = SCENARIOS[scenario]
    plan = pop.design(PUBLISHED, full_dyads, variant, aims)
    for column in plan.columns:
        printed, aimed = pop.coefficients(PUBLISHED, column), plan.aimed_at(column)
        assert (aimed != printed).any()
        np.testing.assert_array_equal(np.round(aimed, 4), printed)
        for term, size in zip(pop.TERMS, np.abs(aimed), strict=True):
            name = f"t8.{column}.{term}"
            number, error = PUBLISHED[f"{name}.estimate"], PUBLISHED[f"{name}.std_error"]
            if error.id in pop.NO_DIGIT:
                continue
            smallest, largest = pop._limits(error, size, plan.t_limits(number))
            assert 0 < smallest < largest
            assert abs(smallest - error.value) < error.half_width + 0.04 * error.value
            if variant == "moments" and size:
                lowest, highest = pop.t_interval(number)
                middle = (smallest + largest) / 2
                assert lowest < size / middle < highest
