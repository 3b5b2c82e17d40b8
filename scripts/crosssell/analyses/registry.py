"""The register of analyses and the one way to run them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from crosssell.errors import ConvergenceError, SpecificationError
from crosssell.results import Result, values

#: Keys of a model specification that are the workflow's, not the analysis'.
NOT_ARGUMENTS = {"analysis", "samples", "heavy"}
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
        ``analysis`` and its arguments; ``samples`` and ``heavy`` are not among these.
    **options
        Settings of the run (seed, numbers of replicates); an analysis gets those it asks for.

    Returns
    -------
    Result
        Without estimates, and with the reason in ``info``, where an iteration did not converge.

    Raises
    ------
    SpecificationError
        If there is no such analysis or an argument is not one of its own.
    """
    arguments = {key: value for key, value in spec.items() if key not in NOT_ARGUMENTS}
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
    try:
        return function(data, **arguments, **options)
    except ConvergenceError as error:
        # One model that the data do not identify must not cost the others: its cells stay empty.
        warnings.warn(f"{spec['analysis']} gives no estimates: {error}", stacklevel=2)
        numbers = {"n": float(len(data)), "converged": 0.0}
        return Result(values("fit", numbers), {"n": len(data), "not_converged": str(error)})
