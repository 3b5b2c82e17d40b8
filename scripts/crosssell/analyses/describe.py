"""Descriptives and simple tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from crosssell import results
from crosssell.analyses.registry import analysis
from crosssell.design import regressors
from crosssell.results import Result, coefficients, values


@analysis
def descriptives(
    data: pd.DataFrame,
    columns: Sequence[str],
    explanatory: Sequence[str] = (),
    count: Sequence[str] = (),
) -> Result:
    """Means (with standard errors), standard deviations, ranges and the lower correlation triangle.

    Missing values are left out column by column, and pair by pair for correlations. The critical
    correlations are those at which a correlation of this many rows becomes significant; the highest
    is the largest in size among `explanatory` columns. Of the columns in `count`, the number of
    ``distinct`` values and of rows per value (``rows_per``) are given.
    """
    table = data[[name for name in columns if name in data]].astype(float)
    table = table.loc[:, table.notna().any()]
    mean, sd, n = table.mean(), table.std(), table.count()
    error = (sd / np.sqrt(n)).to_dict()
    correlation = table.corr()
    pairs = {
        f"{row}~{column}": correlation.at[row, column]
        for i, row in enumerate(correlation)
        for column in correlation.columns[: i + 1]
        if not np.isnan(correlation.at[row, column])
    }
    df = len(table) - 2
    t = {level: stats.t.isf(level / 2, df) for level in (0.01, 0.05)}
    critical = {str(level): value / np.sqrt(df + value**2) for level, value in t.items()}
    among = [f"{row}~{column}" for row in explanatory for column in explanatory if row != column]
    highest = max((pairs[pair] for pair in among if pair in pairs), key=abs, default=np.nan)
    distinct = data[[name for name in count if name in data]].nunique().astype(float)
    rows = [
        values("mean", mean.to_dict(), std_error=error),
        values("sd", sd.to_dict()),
        values("n", n.astype(float).to_dict()),
        values("min", table.min().to_dict()),
        values("max", table.max().to_dict()),
        values("correlation", pairs),
        values("critical_correlation", critical),
        values("highest_correlation", {"explanatory": highest}),
        values("present", (n / len(table)).to_dict()),
        values("distinct", distinct.to_dict()),
        values("rows_per", (len(table) / distinct).to_dict()),
    ]
    return Result(pd.concat(rows), {"n": len(table)})


@analysis
def ols(data: pd.DataFrame, outcome: str, terms: Sequence[str]) -> Result:
    """Least squares on the rows that have the outcome."""
    from statsmodels.regression.linear_model import OLS

    rows = data[data[outcome].notna()]
    design = regressors(rows, terms)
    fit = OLS(rows[outcome], design).fit()
    table = coefficients("outcome", fit.params, fit.bse, design.columns, df=fit.df_resid)
    return Result(table, {"n": len(rows), "r_squared": fit.rsquared})


@analysis
def two_groups(data: pd.DataFrame, outcome: str, group: str) -> Result:
    """Compare the outcome's mean between group 1 and group 0 (Student's and Welch's t)."""
    rows = data[data[outcome].notna() & data[group].notna()]
    one, zero = (rows.loc[rows[group] == value, outcome].astype(float) for value in (1, 0))
    tests = []
    for name, equal in (("student", True), ("welch", False)):
        test = stats.ttest_ind(one, zero, equal_var=equal)
        tests.append(results.test("test", name, test.statistic, test.df, test.pvalue))
    means = values(
        "mean",
        {"1": one.mean(), "0": zero.mean(), "difference": one.mean() - zero.mean()},
        std_error={"1": one.sem(), "0": zero.sem()},
    )
    sizes = values("n", {"1": len(one), "0": len(zero), "all": len(rows)})
    return Result(pd.concat([means, sizes, *tests]), {"n": len(rows)})


@analysis
def rates(data: pd.DataFrame, outcome: str, by: Sequence[str]) -> Result:
    """Rates of a 0/1 outcome by each column and by all together, with Pearson's chi-square."""
    rows = []
    for column in by:
        table = pd.crosstab(data[column], data[outcome])
        test = stats.chi2_contingency(table, correction=False)
        rows.append(_rates(column, data.groupby(column)[outcome]))
        rows.append(results.test("chi_square", column, test.statistic, test.dof, test.pvalue))
    first, *others = (data[column].astype(str) for column in by)
    pair = first.str.cat(others, sep="~")
    rows.append(_rates("~".join(by), data[outcome].groupby(pair)))
    return Result(pd.concat(rows), {"n": len(data)})


def _rates(equation: str, grouped: Any) -> pd.DataFrame:
    """Share and number of each group, with Wilson's interval."""
    from statsmodels.stats.proportion import proportion_confint

    count, n = grouped.sum(), grouped.size()
    low, high = proportion_confint(count, n, method="wilson")
    shares = (count / n).to_dict()
    table = values(equation, shares, conf_low=low.to_dict(), conf_high=high.to_dict())
    return pd.concat([table, values(f"n.{equation}", n.astype(float).to_dict())])


@analysis
def means_by(data: pd.DataFrame, outcome: str, by: Sequence[str]) -> Result:
    """Mean, standard deviation and number of rows of a measure by each of several columns."""
    rows = []
    for column in by:
        group = data.groupby(column)[outcome].agg(["mean", "std", "size"]).astype(float)
        for name in group:
            rows.append(values(f"{column}.{name}", group[name].to_dict()))
    return Result(pd.concat(rows), {"n": len(data)})
