"""The register of analyses and the one way to run them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from crosssell.errors import SpecificationError
from crosssell.results import Result

ANALYSES: dict[str, Callable[..., Result]] = {}


def analysis(function: Callable[..., Result]) -> Callable[..., Result]:
    """Make a function available to model specifications under its name."""
    ANALYSES[function.__name__] = function
    return function


def run(data: pd.DataFrame, spec: Mapping[str, Any], **options: Any) -> Result:
    """Run the analysis that a model specification names.

    Parameters
    ----------
    data : DataFrame
        The sample.
    spec : mapping
        ``analysis`` and its arguments; ``samples`` is not one.
    **options
        Settings of the run (seed, numbers of replicates); an analysis gets those it asks for.

    Raises
    ------
    SpecificationError
        If there is no such analysis or an argument is not one of its own.
    """
    arguments = {key: value for key, value in spec.items() if key not in ("analysis", "samples")}
    if spec["analysis"] not in ANALYSES:
        raise SpecificationError(
            f"models.yaml asks for the analysis {spec['analysis']!r}.",
            f"There are: {', '.join(sorted(ANALYSES))}.",
        )
    function = ANALYSES[spec["analysis"]]
    known = inspect.signature(function).parameters
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise SpecificationError(
            f"models.yaml gives {spec['analysis']} the arguments {unknown}.",
            f"It takes: {', '.join(name for name in known if name != 'data')}.",
        )
    options = {key: value for key, value in options.items() if key in known}
    return function(data, **arguments, **options)
