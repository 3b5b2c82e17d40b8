"""What the essays' recommendations would be worth: values of pitches, offers and routing.

Each number is a smooth function of a model's estimates for the customers and agents observed: its
interval says how unsure the model is, not what would happen if customers or agents changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import special

from crosssell.analyses.purchases import DISTANCE
from crosssell.analyses.registry import analysis
from crosssell.analyses.selection import heckman_model
from crosssell.design import regressors
from crosssell.nested_logit import NestedLogitModel
from crosssell.predictions import delta_method
from crosssell.results import Result, values
from crosssell.twostep import mills

#: Rows that predictions are averaged over; more change nothing that is printed.
ROWS = 20_000
#: Gains are told for so many pitches or offers.
PER = 1000
#: A measure with at most this many values is a segment by value; with more, by its quarters.
LEVELS = 8
ABILITY = "agent_resolution_ability"
GOOD = "cross_sell_good"
#: Variance of the logistic distribution in units of the normal's, 16 sqrt(3) / (15 pi) squared.
LOGISTIC = (16 * np.sqrt(3) / (15 * np.pi)) ** 2


def _sample(data: pd.DataFrame, seed: int) -> pd.DataFrame:
    if len(data) <= ROWS:
        return data.reset_index(drop=True)
    rows = np.random.default_rng(seed).choice(len(data), ROWS, replace=False)
    return data.iloc[np.sort(rows)].reset_index(drop=True)


def _high(values: pd.Series) -> np.ndarray:
    """Rows above the median, or at it where nothing is above."""
    middle = values.median()
    above = values > middle
    return (above if above.any() else values >= middle).to_numpy()


def _segments(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Masks of segments by one measure each, and by the first two together."""
    found = {}
    for name in names:
        known = rows[name]
        if known.nunique() > LEVELS:
            known = pd.qcut(known, 4, duplicates="drop").map(
                lambda part: f"{part.left:.4g} to {part.right:.4g}"
            )
        for level in sorted(known.unique(), key=lambda v: (isinstance(v, str), v)):
            label = level if isinstance(level, str) else f"{level:g}"
            found[f"{name}~{label}"] = (known == level).to_numpy()
    if len(names) > 1:
        first, second = (_high(rows[name]) for name in names[:2])
        for one, word in ((True, "high"), (False, "low")):
            for two, other in ((True, "high"), (False, "low")):
                found[f"{names[0]}:{names[1]}~{word}, {other}"] = (first == one) & (second == two)
    return {key: mask for key, mask in found.items() if mask.any()}


def _tell(
    equation: str,
    function: Callable[[np.ndarray], np.ndarray],
    params: np.ndarray,
    covariance: np.ndarray,
    weights: dict[str, np.ndarray],
) -> pd.DataFrame:
    """Rows of weighted sums of predictions, with delta-method intervals."""
    matrix = np.array(list(weights.values()))
    return delta_method(equation, lambda p: matrix @ function(p), params, covariance, list(weights))


def _mean(mask: np.ndarray, parts: int = 1, part: int = 0) -> np.ndarray:
    """Weights that average one of several stacked predictions over a mask."""
    weights = np.zeros((parts, mask.size))
    weights[part] = mask / mask.sum()
    return weights.ravel()


@analysis
def pitch_values(
    data: pd.DataFrame,
    outcome: str,
    selected: str,
    outcome_terms: Sequence[str],
    selection_terms: Sequence[str],
    seed: int = 0,
) -> Result:
    """Expected revenue of a pitch by customer segment, and what Essay I's advice would be worth.

    Equation ``segment`` is the revenue of a pitch, refusals counted as zero; ``offer`` is that of
    a good and of a service by agent tier and by functionality; ``policy`` is the gain of a rule
    over present practice, in revenue for a thousand pitches; ``.size`` are customers.
    """
    fit = heckman_model(data, outcome, selected, outcome_terms, selection_terms).fit()
    rows = _sample(data, seed)
    buyers = data[data[selected] == 1]
    # What is known of buyers only is at their mean: revenue is linear in it.
    known_later = {n: buyers[n].mean() for n in rows if n != outcome and _of_buyers(data, n)}
    present = rows.assign(**known_later)
    offers = [present]
    if GOOD in known_later:
        offers += [present.assign(**{GOOD: float(value)}) for value in (1, 0)]
    Z = regressors(present, selection_terms).to_numpy()
    X = [regressors(offer, outcome_terms).to_numpy() for offer in offers]
    kz, parts = Z.shape[1], len(offers)

    def expected(params: np.ndarray) -> np.ndarray:
        gamma, beta, coefficient = params[:kz], params[kz:-1], params[-1]
        index = Z @ gamma
        chance, correction = special.ndtr(index), coefficient * mills(index)
        return np.concatenate([chance * (x @ beta + correction) for x in X])

    params, covariance = fit.params.to_numpy(), fit.cov_params().to_numpy()
    terms = {part for term in (*outcome_terms, *selection_terms) for part in term.split(":")}
    names = [n for n in ("risk_aversion", "product_functionality") if n in terms]
    everybody = np.ones(len(rows), dtype=bool)
    masks = {"all": everybody, **_segments(rows, names)}
    segment = {key: _mean(mask, parts) for key, mask in masks.items()}
    now = segment["all"]
    policy = {}
    if "risk_aversion" in names:
        queue = _high(rows["risk_aversion"])
        policy["risk_averse_queue"] = PER * (_mean(queue, parts) - now)
    if "product_functionality" in names:
        low = ~_high(rows["product_functionality"])
        policy["low_functionality_queue"] = PER * (_mean(low, parts) - now)
    tables = []
    if GOOD in known_later and GOOD in terms:
        splits = {n: _high(rows[n]) for n in (ABILITY, "product_functionality") if n in terms}
        offer = {
            f"{name}~{word}~{kind}": _mean(mask, parts, part)
            for name, high in splits.items()
            for word, mask in (("high", high), ("low", ~high))
            for part, kind in ((1, "good"), (2, "service"))
            if mask.any()
        }
        if offer:
            tables.append(_tell("offer", expected, params, covariance, offer))
        share = 1 / len(rows)
        if ABILITY in splits:
            able = splits[ABILITY]
            ruled = np.concatenate([0 * share * able, share * ~able, share * able])
            policy["services_by_able_agents"] = PER * (ruled - now)
        if "product_functionality" in splits:
            rich = splits["product_functionality"]
            ruled = np.concatenate([share * ~rich, share * rich, 0 * share * rich])
            policy["goods_for_high_functionality"] = PER * (ruled - now)
    tables.append(_tell("segment", expected, params, covariance, segment))
    tables.append(values("segment.size", _sizes(masks, len(data) / len(rows))))
    if policy:
        tables.append(_tell("policy", expected, params, covariance, policy))
    return Result(pd.concat(tables), {"n": len(data), "n_selected": len(buyers)})


def _of_buyers(data: pd.DataFrame, name: str) -> bool:
    return pd.api.types.is_numeric_dtype(data[name]) and bool(data[name].isna().any())


def _sizes(masks: dict[str, np.ndarray], factor: float) -> dict[str, float]:
    """Rows of the whole data in each segment, estimated where a sample was taken."""
    return {key: float(round(mask.sum() * factor)) for key, mask in masks.items()}


@analysis
def routing(
    data: pd.DataFrame,
    outcome: str,
    terms: Sequence[str],
    groups: Sequence[str],
    centre: bool | Sequence[str] = True,
    seed: int = 0,
) -> Result:
    """Purchase rates by who serves whom, and what Essay II's routing would be worth.

    Equation ``segment`` is the predicted purchase rate; ``policy`` the gain of a rule over present
    routing, in purchases for a thousand offers; ``.size`` are encounters. A rule exchanges agents
    or customers within a country only, so that every agent keeps the workload and every country
    its customers. Predictions are averaged over the random intercepts (approximately, as a logistic
    with a normal intercept).
    """
    fit = NestedLogitModel(
        data[outcome], regressors(data, terms, centre=centre), data[list(groups)]
    ).fit()
    columns = list(dict.fromkeys(part for term in terms for part in term.split(":")))
    centred = columns if centre is True else list(centre or [])
    means = data[centred].astype(float).mean()
    rows = _sample(data, seed)
    deviation = fit.params.loc["sd"].to_numpy() if "sd" in fit.params.index else np.zeros(0)
    shrunk = np.sqrt(1 + LOGISTIC * (deviation**2).sum())
    scenarios = {"now": rows}
    by_agent = rows.get("agent_country", pd.Series("", index=rows.index))
    by_customer = rows.get("customer_country", pd.Series("", index=rows.index))
    if {ABILITY, DISTANCE} <= set(columns):
        scenarios["able_agents_to_distant_customers"] = rows.assign(
            **{ABILITY: _paired(rows[ABILITY], rows[DISTANCE], by_agent)}
        )
    for name, sign, policy in (
        ("failure_severity", -1, "severe_failures_to_near_agents"),
        ("risk_aversion", 1, "risk_averse_customers_to_distant_agents"),
    ):
        if {name, DISTANCE} <= set(columns):
            moved = _paired(rows[name], sign * rows[DISTANCE], by_customer)
            scenarios[policy] = rows.assign(**{name: moved})
    if ABILITY in columns and not {ABILITY, DISTANCE} <= set(columns):
        scenarios["offers_by_less_able_agents"] = rows[~_high(rows[ABILITY])]
    designs = {}
    for name, table in scenarios.items():
        shifted = table[columns].astype(float)
        shifted[centred] -= means
        designs[name] = regressors(shifted, terms).to_numpy()
    sizes = [len(design) for design in designs.values()]
    stacked = np.concatenate(list(designs.values()))

    def rate(params: np.ndarray) -> np.ndarray:
        return special.expit(stacked @ params / shrunk)

    start = dict(zip(designs, np.r_[0, np.cumsum(sizes)[:-1]], strict=True))

    def mean(name: str, mask: np.ndarray) -> np.ndarray:
        weights = np.zeros(len(stacked))
        weights[start[name] : start[name] + mask.size] = mask / mask.sum()
        return weights

    everybody = np.ones(len(rows), dtype=bool)
    masks = {"all": everybody}
    for name in (ABILITY, "failure_severity", "risk_aversion"):
        if {name, DISTANCE} <= set(columns):
            masks |= {
                key: mask for key, mask in _segments(rows, [name, DISTANCE]).items() if ":" in key
            }
    outcome_params = fit.params.loc["outcome"].to_numpy()
    size = outcome_params.size
    covariance = fit.cov_params().to_numpy()[:size, :size]
    segment = {key: mean("now", mask) for key, mask in masks.items()}
    policy = {
        name: PER * (mean(name, np.ones(len(table), dtype=bool)) - segment["all"])
        for name, table in scenarios.items()
        if name != "now"
    }
    tables = [
        _tell("segment", rate, outcome_params, covariance, segment),
        values("segment.size", _sizes(masks, len(data) / len(rows))),
    ]
    if policy:
        tables.append(_tell("policy", rate, outcome_params, covariance, policy))
    return Result(pd.concat(tables), {"n": len(data)})


def _paired(values: pd.Series, by: pd.Series, within: pd.Series) -> np.ndarray:
    """Values handed out anew within groups, the largest where ``by`` is largest."""
    group = pd.factorize(within)[0]
    moved = np.empty(len(values))
    moved[np.lexsort((by, group))] = values.to_numpy(float)[np.lexsort((values, group))]
    return moved
