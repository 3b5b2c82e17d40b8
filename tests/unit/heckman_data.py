"""A simulated selection sample for the tests."""

import numpy as np
import pandas as pd

GAMMA = {"intercept": -0.4, "x": 0.7, "w": -0.5, "z": 0.6}
BETA = {"intercept": 2.0, "x": 1.5, "w": -1.0, "good": 0.8}
RHO, SIGMA = 0.5, 2.0


def simulate(n: int = 2000, seed: int = 0, rho: float = RHO) -> pd.DataFrame:
    """Return x, w, z, good (known for selected rows only), s and y (missing where s is 0)."""
    rng = np.random.default_rng(seed)
    x, w, z = rng.normal(size=(3, n))
    v, u = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n).T
    good = rng.binomial(1, 0.5, n).astype(float)
    s = GAMMA["intercept"] + GAMMA["x"] * x + GAMMA["w"] * w + GAMMA["z"] * z + v > 0
    y = BETA["intercept"] + BETA["x"] * x + BETA["w"] * w + BETA["good"] * good + SIGMA * u
    frame = pd.DataFrame({"x": x, "w": w, "z": z, "good": good, "s": s.astype(int), "y": y})
    frame.loc[~s, ["y", "good"]] = np.nan
    return frame
