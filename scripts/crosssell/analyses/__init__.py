"""Analyses that a model specification can name: each takes rows and arguments and gives a `Result`.

Estimation itself is elsewhere (`heckman`, `nested_logit`, `resampling`, statsmodels, scipy,
linearmodels); here its answers take the package's one schema. The rooms: `describe` (descriptives
and simple tests), `selection` (Essay I's model), `purchases` (Essay II's).
"""

from crosssell.analyses import (  # noqa: F401 (they register)
    curves,
    describe,
    policies,
    purchases,
    selection,
    telecom,
)
from crosssell.analyses.registry import ANALYSES, run

__all__ = ["ANALYSES", "run"]
