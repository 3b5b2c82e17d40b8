"""Simulated encounters in customers in countries, for benchmarks and tests."""

from __future__ import annotations

import numpy as np
import pandas as pd


def simulate(
    seed: int,
    *,
    countries: int = 28,
    customers: int = 63600,
    extra_encounters: float = 0.85,
    coefficients: tuple[float, ...] = (-3.8, 0.2, -0.15, 0.1, 0.3),
    sd: tuple[float, float] = (0.3, 0.8),
    evenness: float = 0.35,
) -> pd.DataFrame:
    """Return encounters with random intercepts of countries and customers.

    Parameters
    ----------
    seed : int
    countries, customers : int
        Numbers of groups; a country's share of customers is drawn from a Dirichlet distribution.
    extra_encounters : float
        Mean number of encounters of a customer beyond the first (Poisson).
    coefficients : tuple of float
        Constant, then one coefficient per standard normal regressor x1, x2, ...
    sd : (float, float)
        Standard deviations of the intercepts of countries and customers, in logits.
    evenness : float
        Of the Dirichlet distribution: small values make a few countries large.

    Returns
    -------
    DataFrame
        country, customer (both texts, customers unique), x1, x2, ..., y.
    """
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(countries, evenness))
    home = rng.choice(countries, customers, p=shares)
    customer = np.repeat(np.arange(customers), 1 + rng.poisson(extra_encounters, customers))
    x = rng.standard_normal((customer.size, len(coefficients) - 1))
    country = home[customer]
    index = coefficients[0] + x @ np.array(coefficients[1:])
    index += sd[0] * rng.standard_normal(countries)[country]
    index += sd[1] * rng.standard_normal(customers)[customer]
    data = pd.DataFrame(x, columns=[f"x{j}" for j in range(1, x.shape[1] + 1)])
    data.insert(0, "country", [f"k{j}" for j in country])
    data.insert(1, "customer", [f"c{j}" for j in customer])
    data["y"] = (rng.random(customer.size) < 1 / (1 + np.exp(-index))).astype(int)
    return data
