"""The workflow's configuration and its declarative specifications, checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from crosssell.errors import SpecificationError
from crosssell.io import read_yaml


def check(config: Mapping[str, Any], schema: Path) -> None:
    """Check a configuration against its JSON schema and tell every problem at once.

    Raises
    ------
    SpecificationError
        Naming each offending key with its value, the rule and the mend.
    """
    content = read_yaml(schema)
    errors = jsonschema.Draft202012Validator(content).iter_errors(config)
    problems = [line for error in errors for line in _sentences(error)]
    if problems:
        raise SpecificationError(
            "The configuration has mistakes (config/README.md lists every key):\n"
            + "\n".join(f"  - {problem}" for problem in sorted(problems))
        )


def _sentences(error: jsonschema.ValidationError) -> list[str]:
    """Plain sentences for one violation of the schema."""
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        lines = []
        for key in error.instance:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}."
                lines.append(f"{'.'.join(filter(None, [where, str(key)]))}: unknown key; {hint}")
        return lines
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{'.'.join(filter(None, [where, key]))}: missing." for key in missing]
    rules = {
        "type": "must be of type {}",
        "enum": "must be one of {}",
        "minimum": "must be at least {}",
        "minItems": "must have at least {} entry",
    }
    rule = rules.get(error.validator, error.message).format(error.validator_value)
    return [f"{where}: is {error.instance!r} but {rule}."]


def specs(folder: Path) -> dict[str, Any]:
    """Specifications by kind: models, samples, tables, figures, and numbers of the text.

    Raises
    ------
    SpecificationError
        If a model or a table names a sample or an estimate that is not specified.
    """
    kinds = ("models", "samples", "tables", "figures", "text")
    content = {kind: read_yaml(folder / f"{kind}.yaml") for kind in kinds}
    problems = [
        f"models.yaml: {study}.{name} names the sample {sample!r}, which samples.yaml lacks."
        for study, models in content["models"].items()
        for name, model in models.items()
        for sample in model.get("samples", ["full"])
        if sample not in content["samples"][study]
    ]
    if problems:
        raise SpecificationError("\n".join(problems))
    return content


def fits_of(spec: Mapping[str, Any]) -> set[str]:
    """Names of the fits (``study.model.sample``) that a table or a figure shows."""
    return {rule["fit"] for rule in spec.get("cells", []) if "fit" in rule} | set(
        spec.get("fits", {}).values()
    )


def shown(specs: Mapping[str, Any], studies: Sequence[str]) -> dict[str, Any]:
    """Tables or figures of the studies that run: a spec names its study or shows its fits."""
    return {
        name: spec
        for name, spec in specs.items()
        if {spec["study"]} | {fit.split(".")[0] for fit in fits_of(spec)} <= set(studies)
    }
