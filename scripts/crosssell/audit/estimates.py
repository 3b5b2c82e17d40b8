"""Checks of estimates, their standard errors, test statistics and what is derived from them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import special

from crosssell.audit.intervals import Interval
from crosssell.audit.registry import Outcome, Relation, check


def _ratio(numerator: Interval, denominator: Interval) -> Interval:
    """Ratio of magnitudes; a standard error printed as zero is below half its last digit."""
    top, bottom = numerator.magnitude, denominator.magnitude
    low = top.low / bottom.high if bottom.high > 0 else math.inf
    high = top.high / bottom.low if bottom.low > 0 else math.inf
    return Interval(low, high)


def _p_values(t: Interval) -> Interval:
    """Two-sided normal p-values of a magnitude."""
    return Interval(2 * special.ndtr(-t.high), 2 * special.ndtr(-t.low))


def _span(p: Interval) -> str:
    """Interval of p-values to three digits, told once where both ends agree."""
    ends = dict.fromkeys(f"{end:.3g}" for end in (p.low, p.high))
    return " to ".join(ends)


def _levels(bounds: tuple[float, float]) -> str:
    return f"p < {bounds[1]:g}" if bounds[1] < 1 else f"p > {bounds[0]:g}"


@check("inconsistent", "statcheck: Nuijten et al. (2016)")
def significance(r: Relation) -> Outcome:
    """Estimate over standard error agrees with the stars, or with the significance a text states.

    Keys: estimate, std_error; stated, the number carrying the statement where it is another.
    """
    stated = r.number(r.get("stated", r["estimate"]))
    estimate = r.of("estimate")
    t = _ratio(estimate, r.of("std_error"))
    p, allowed = _p_values(t), Interval(*stated.p_interval)
    # a statement p < .05 is true of any smaller p; stars and "ns" distinguish the levels
    if stated.significance not in ("", "ns"):
        allowed = Interval(0.0, allowed.high)
    holds = p.low < allowed.high and p.high >= allowed.low
    one_sided = p.low / 2 < allowed.high and p.high / 2 >= allowed.low
    error = r.of("std_error").magnitude
    sizes = Interval(
        -float(special.ndtri(allowed.high / 2)) * error.low,
        -float(special.ndtri(allowed.low / 2)) * error.high if error.high > 0 else math.inf,
    )
    hint = " (a one-sided test would agree)" if not holds and one_sided else ""
    return Outcome(
        holds=holds,
        implied=f"|t| {t.low:.3f} to {t.high:.3f}, p {_span(p)}",
        size=p.distance(allowed),
        explanation=f"The ratio of estimate and standard error has p = {_span(p)}, printed as "
        f"{_levels(stated.p_interval)}{hint}.",
        certificate={"t": [t.low, t.high], "p": [p.low, p.high]},
        nearest={}
        if holds
        else {r["estimate"]: math.copysign(sizes.clamp(abs(estimate.middle)), estimate.middle)},
    )


@check("inconsistent", "ratio of estimate and standard error")
def t_value(r: Relation) -> Outcome:
    """A printed t is the ratio of the printed estimate and standard error.

    Keys: estimate, std_error, t.
    """
    estimate = r.of("estimate")
    t = _ratio(estimate, r.of("std_error"))
    printed = r.of("t")
    same_sign = printed.middle * estimate.middle >= 0
    holds = t.meets(printed.magnitude) and same_sign
    return Outcome(
        holds=holds,
        implied=f"|t| {t.low:.3f} to {t.high:.3f}",
        size=t.distance(printed.magnitude),
        explanation=f"The ratio lies between {t.low:.3f} and {t.high:.3f} in absolute value"
        + ("." if same_sign else ", and the sign differs."),
        certificate={"t": [t.low, t.high]},
        nearest={} if holds else {r["t"]: math.copysign(t.low, estimate.middle)},
    )


@check("inconsistent", "statcheck: Nuijten et al. (2016)")
def p_value(r: Relation) -> Outcome:
    """A test statistic's p-value agrees with the printed significance.

    Keys: statistic, df (an id or a number, or mappings rows and columns of a table), distribution
    (chi2 or t).
    """
    number = r.number(r["statistic"])
    statistic, df = r.of("statistic").magnitude, r.of("df").middle
    chi2 = r.get("distribution", "chi2") == "chi2"
    tail = lambda x: float(special.chdtrc(df, x) if chi2 else 2 * special.stdtr(df, -x))
    p = Interval(tail(statistic.high), tail(statistic.low))
    allowed = Interval(*number.p_interval)
    holds = p.low < allowed.high and p.high >= allowed.low
    if number.significance not in ("", "ns"):
        holds = p.low < allowed.high
    return Outcome(
        holds=holds,
        implied=f"p {_span(p)}",
        size=p.distance(allowed),
        explanation=f"With {df:g} degrees of freedom p = {_span(p)}, "
        f"printed as {_levels(number.p_interval)}.",
        certificate={"df": df, "p": [p.low, p.high]},
    )


@check("inconsistent", "comparison of stated significance")
def same_significance(r: Relation) -> Outcome:
    """Two places give one estimate the same significance level, or one claim says they do.

    Keys: numbers (two); sign (true where the signs are to agree too).
    """
    first, second = (r.number(name) for name in r["numbers"])
    overlap = Interval(*first.p_interval).meets(Interval(*second.p_interval))
    signs = first.value * second.value >= 0 or not r.get("sign")
    told = f"{_levels(first.p_interval)} against {_levels(second.p_interval)}"
    return Outcome(
        holds=overlap and signs,
        implied=told + ("" if signs else f", {first.printed} against {second.printed}"),
        size=Interval(*first.p_interval).distance(Interval(*second.p_interval)),
        explanation=f"The two places say {told}" + ("." if signs else ", with opposite signs."),
        certificate={"p": [first.p_interval, second.p_interval], "signs_agree": signs},
    )


@check("inconsistent", "software rules for the Wald test after two-step estimation")
def degrees_of_freedom(r: Relation) -> Outcome:
    """Degrees of freedom of a Wald test equal the number of coefficients under some known rule.

    Rules tried: the outcome's slopes; those and the inverse Mills ratio; those with the selection
    equation's slopes; all of these.  Keys: df, outcome and selection (lists of terms).
    """
    df, k, m = round(r.of("df").middle), len(r["outcome"]), len(r["selection"])
    rules = {
        "outcome slopes": k,
        "with the Mills ratio": k + 1,
        "with the selection slopes": k + m,
        "with both": k + m + 1,
    }
    told = ", ".join(f"{rule} {count}" for rule, count in rules.items())
    return Outcome(
        holds=df in rules.values(),
        implied=" or ".join(map(str, rules.values())),
        size=float(min(abs(df - count) for count in rules.values())),
        explanation=f"Printed {df}; the printed terms give {told}.",
        certificate={"rules": rules},
        nearest={}
        if df in rules.values()
        else {r["df"]: float(min(rules.values(), key=lambda c: abs(df - c)))},
    )


def _r_squared(statistic: Interval, residual_df: float) -> Interval:
    """Share of variance explained that a Wald statistic of all slopes implies."""
    return statistic.map(lambda w: w / (w + residual_df))


@check("inconsistent", "nested least squares: R squared does not fall with regressors")
def nested_statistics(r: Relation) -> Outcome:
    """Wald statistics of all slopes grow with the model, as its R squared does.

    Keys: small and large, each with statistic and parameters; n; optional claim, an upper bound
    on the p-value that the added terms are said to have.
    """
    n = r.of("n").middle
    shares = {
        side: _r_squared(r.interval(r[side]["statistic"]), n - r[side]["parameters"])
        for side in ("small", "large")
    }
    added = r["large"]["parameters"] - r["small"]["parameters"]
    rest = n - r["large"]["parameters"]
    gain = shares["large"].high - shares["small"].low
    best = max(gain, 0) / (1 - shares["large"].high) * rest / added
    p = float(special.fdtrc(added, rest, best))
    level = r.of("claim").high if r.get("claim") else 1.0
    holds = gain >= 0 and p < level if r.get("claim") else gain >= 0
    return Outcome(
        holds=holds,
        implied=f"R squared {shares['small'].middle:.4f} then {shares['large'].middle:.4f}",
        size=max(-gain, 0.0) if not r.get("claim") else max(p - level, 0.0),
        explanation=f"The statistics imply an R squared of {shares['small'].middle:.4f} without "
        f"and {shares['large'].middle:.4f} with the added terms, at best p = {p:.2g} for them.",
        certificate={"r_squared": [[s.low, s.high] for s in shares.values()], "best_p": p},
    )


@check("inconsistent", "least squares: a slope's standard error is at least s / (sd sqrt(n - 1))")
def regressor_sd(r: Relation) -> Outcome:
    """A regressor's standard deviation is large enough for its slope's standard error.

    The residual standard deviation s is bounded below through the R squared that the Wald
    statistic of all slopes allows.  Keys: sd, std_error, outcome_sd, statistic, parameters, n.
    """
    sd, error, n = r.of("sd"), r.of("std_error"), r.of("n").middle
    rest = n - r["parameters"]
    share = _r_squared(r.of("statistic"), rest).high
    residual = r.of("outcome_sd").low * math.sqrt((1 - share) * (n - 1) / rest)
    needed = residual / (error.high * math.sqrt(n - 1))
    holds = sd.high >= needed
    times = sd.map(lambda s: s * math.sqrt(n))
    return Outcome(
        holds=holds,
        implied=f"at least {needed:.4g}",
        size=max(needed - sd.high, 0.0),
        explanation=f"The slope's standard error needs a standard deviation of at least "
        f"{needed:.4g}"
        + ("." if holds else f"; read as a standard error of the mean it would be {times}."),
        certificate={"needed": needed, "r_squared_at_most": share},
        nearest={} if holds else {r["sd"]: needed},
    )


@check(
    "inconsistent", "least squares passes through the means; the Mills ratio falls with the rate"
)
def intercept(r: Relation) -> Outcome:
    """An intercept agrees with the means, and leaves an attainable mean inverse Mills ratio.

    mean(y) = intercept + sum of slope * mean + mills * mean inverse Mills ratio.  No case's
    ratio is below the one at the highest predicted rate.

    Keys: intercept, outcome_mean, mills, highest_rate (per cent), terms (pairs of slope and mean)
    and products (slope, mean, mean, correlation, sd, sd).
    """
    total = Interval(0.0, 0.0)
    for slope, mean in r["terms"]:
        total += r.interval(slope) * r.interval(mean)
    for slope, *parts in r["products"]:
        mx, my, correlation, sx, sy = map(r.interval, parts)
        total += r.interval(slope) * (mx * my + correlation * sx * sy)
    mean, printed, mills = r.of("outcome_mean"), r.of("intercept"), r.of("mills")
    ratio = (mean - printed - total) * mills.map(lambda x: 1 / x)
    z = special.ndtri(r.of("highest_rate").high / 100)
    least = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / float(special.ndtr(z))
    largest = mean.high - total.low - mills.low * least
    holds = ratio.high >= least
    return Outcome(
        holds=holds,
        implied=f"mean Mills ratio {ratio}",
        size=max(printed.low - largest, 0.0),
        explanation=f"The means leave a mean inverse Mills ratio of {ratio}; at the highest "
        f"predicted rate it is {least:.3f}, so the intercept is at most {largest:.3f}.",
        certificate={"mean_ratio": [ratio.low, ratio.high], "least_ratio": least},
        nearest={} if holds else {r["intercept"]: largest},
    )


@check("inconsistent", "deviance of a 0/1 outcome against the gain that t statistics allow")
def likelihood_scale(r: Relation) -> Outcome:
    """An information criterion of a 0/1 model is on the scale of its likelihood.

    Without regressors the deviance is 2 n H(rate).  The sum of squared t statistics approximates
    what the printed effects take off it; `margin` says how many times that is still accepted.

    Keys: criterion, n, rate (per cent), t (ids), margin.
    """
    n, rate = r.of("n").middle, r.of("rate").map(lambda x: x / 100)
    null = rate.map(lambda p: -2 * n * (p * math.log(p) + (1 - p) * math.log(1 - p)))
    gain = sum(r.interval(t).magnitude.high ** 2 for t in r["t"])
    least = null.low - r["margin"] * gain
    printed = r.of("criterion")
    share = 1 - printed.middle / null.middle
    return Outcome(
        holds=printed.high >= least,
        implied=f"at least {least:.0f}",
        size=max(least - printed.high, 0.0),
        explanation=f"Without regressors the deviance is about {null.middle:.0f}, and the squared "
        f"t statistics sum to {gain:.0f}; the printed criterion would mean that the model "
        f"explains {share:.0%} of the deviance.",
        certificate={"null_deviance": [null.low, null.high], "gain": gain},
        nearest={} if printed.high >= least else {r["criterion"]: null.middle - gain},
    )


@check("inconsistent", "likelihood ratio against Wald statistics of the added terms")
def criterion_difference(r: Relation) -> Outcome:
    """The criterion's fall is of the order of the added terms' squared t statistics.

    Keys: small, large (criteria of the two models), t (ids of the added terms), margin.
    """
    drop = r.evaluate([[1, r["small"]], [-1, r["large"]]])
    wald = sum(r.interval(t).magnitude.high ** 2 for t in r["t"])
    most = r["margin"] * wald
    return Outcome(
        holds=drop.low <= most,
        implied=f"about {wald:.0f}",
        size=max(drop.low - most, 0.0),
        explanation=f"The criterion falls by {drop.middle:.0f}; the added terms' squared t "
        f"statistics sum to at most {wald:.0f}.",
        certificate={"drop": [drop.low, drop.high], "wald": wald},
    )


@check("inconsistent", "predictions from an index that is linear in the variable")
def linear_steps(r: Relation) -> Outcome:
    """Predictions for unit changes of one variable rise by one step on the index's scale.

    Keys: values in order of the variable; link (identity, or probit for rates in per cent);
    optional step, the slope that the model implies (terms as in `derived`).  Of two values the
    second counts as the one that cannot hold.
    """
    probit = r.get("link", "identity") == "probit"
    values = [r.interval({"probit": x} if probit else x) for x in r["values"]]
    steps = [b - a for a, b in itertools.pairwise(values)]
    common = Interval(max(s.low for s in steps), min(s.high for s in steps))
    implied = r.evaluate(r["step"]) if r.get("step") else None
    holds = common.low <= common.high if implied is None else all(s.meets(implied) for s in steps)
    told = "; ".join(f"{s.low:.3g} to {s.high:.3g}" for s in steps)
    size = max(common.low - common.high, 0.0)
    if implied is not None:
        size = max(s.distance(implied) for s in steps)
    return Outcome(
        holds=holds,
        implied=f"steps {told}" if implied is None else f"step {implied}",
        size=size,
        explanation=f"On the {'index' if probit else 'printed'} scale the steps are {told}"
        + (
            ", and a linear prediction has one."
            if implied is None
            else f"; the model's is {implied}."
        ),
        certificate={"steps": [[s.low, s.high] for s in steps]},
        nearest={}
        if holds or implied is None or probit or len(values) > 2
        else {r["values"][1]: (values[0] + implied).clamp(values[1].middle)},
    )


@check("inconsistent", "linear interaction")
def sign_over_range(r: Relation) -> Outcome:
    """A moderated effect said to be weakened or strengthened keeps its sign over the range.

    The moderator is centred, so effect + interaction * (moderator - centre) is judged at the
    ends of its range.  Keys: effect, interaction, low, high, centre.
    """
    at = [
        r.evaluate([[1, r["effect"]], [r["interaction"], end], [-1, r["interaction"], r["centre"]]])
        for end in (r["low"], r["high"])
    ]
    sign = np.sign(r.of("effect").middle)
    holds = all(sign * (v.high if sign > 0 else v.low) > 0 for v in at)
    return Outcome(
        holds=holds,
        implied=f"{at[0]} at the lowest, {at[1]} at the highest moderator",
        size=0.0 if holds else max(max(-sign * v.low, -sign * v.high, 0.0) for v in at),
        explanation=f"The effect is {at[0]} at the lowest and {at[1]} at the highest value of the "
        "moderator" + ("." if holds else ", so its sign turns within the range."),
        certificate={"effect": [[v.low, v.high] for v in at]},
    )


@check("inconsistent", "slope of an uncentred interaction")
def main_effect_in_range(r: Relation) -> Outcome:
    """With uncentred interactions a main effect holds where the moderators are zero.

    Keys: effects, moderators (a list of mappings with low and high).
    """
    for effect in r["effects"]:
        r.number(effect)
    outside = [
        m
        for m in r["moderators"]
        if not r.interval(m["low"]).low <= 0 <= r.interval(m["high"]).high
    ]
    told = "; ".join(f"{r.interval(m['low'])} to {r.interval(m['high'])}" for m in outside)
    return Outcome(
        holds=not outside,
        implied=f"moderators in {told}" if outside else "zero is in range",
        size=max((r.interval(m["low"]).low for m in outside), default=0.0),
        explanation="The printed main effects are effects at moderators of zero"
        + (f", outside their ranges {told}." if outside else ", which they attain."),
        certificate={"ranges": told},
    )


@check("inconsistent", "chance of agreement in every digit")
def repeated(r: Relation) -> Outcome:
    """Different quantities do not agree to every printed digit.

    Keys: numbers; digits, the significant digits from which agreement counts.
    """
    numbers = [r.number(name) for name in r["numbers"]]
    digits = len(numbers[0].printed.strip("-$ .0").replace(".", "").replace(",", ""))
    same = len({number.printed for number in numbers}) == 1
    holds = not (same and digits >= r.get("digits", 3))
    return Outcome(
        holds=holds,
        implied=numbers[0].printed,
        size=0.0,
        explanation="Different quantities, "
        + (f"yet both are printed as {numbers[0].printed}." if same else "printed differently."),
        certificate={"digits": digits, "chance": 10.0**-digits},
    )
