"""The data dictionary, from the schemas: ``python -m crosssell.firm.dictionary`` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frictionless import Field

from crosssell.firm.configuration import SCHEMAS, raw_schemas
from crosssell.firm.studies import NEEDS
from crosssell.io import read_yaml

STUDIES = {"part1": "Essay I", "part2": "Essay II", "telecom": "inbound calls"}
HEAD = """# Data dictionary

*Generated from `workflow/schemas/raw.yaml` and `workflow/schemas/firm.yaml`; do not edit.*

The raw tables are what every analysis starts from. A firm's exports are mapped to them by its
configuration ([adapting.md](adapting.md)). A table or column that is not required may be left out:
the models then do without the measures made from it, and the tables say so.
"""


def markdown() -> str:
    """The dictionary as Markdown."""
    content = read_yaml(SCHEMAS / "raw.yaml")
    parts = [HEAD]
    for name, schema in raw_schemas().items():
        parts.append(
            f"## {name}\n\n{content[name]['description']} Key: {_code(schema.primary_key)}.\n"
        )
        lines = [
            "| column | type | description | rules | required for | needed by |",
            "|" + "---|" * 6,
        ]
        refers = {
            key["fields"][0]: f"refers to {key['reference']['resource']}"
            for key in schema.foreign_keys
        }
        for field in schema.fields:
            rules = "; ".join(filter(None, [*_rules(field), refers.get(field.name, "")]))
            required = ", ".join(STUDIES[s] for s in field.custom.get("requiredFor", []))
            lines.append(
                f"| `{field.name}` | {_type(field)} | {field.description} | {rules} | {required} "
                f"| {_code(_measures(f'{name}.{field.name}'))} |"
            )
        parts.append("\n".join(lines) + "\n")
    parts.append("## Keys of the configuration\n")
    schema = read_yaml(SCHEMAS / "firm.yaml")
    lines = ["| key | description |", "|---|---|"]
    lines += [f"| `{key}` | {text} |" for key, text in _keys(schema, schema["$defs"])]
    parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _type(field: Field) -> str:
    return f"{field.type}, {field.custom['unit']}" if "unit" in field.custom else field.type


def _rules(field: Field) -> Iterator[str]:
    constraints = field.constraints
    if constraints.get("unique"):
        yield "unique"
    if "enum" in constraints:
        yield "one of " + ", ".join(map(str, constraints["enum"]))
    if "minimum" in constraints:
        yield f"{constraints['minimum']} to {constraints['maximum']}"
    if constraints.get("pattern") == "[A-Z]{3}":
        yield "three capital letters"


def _measures(column: str) -> list[str]:
    """Measures that a raw column goes into."""
    found = [m for needs in NEEDS.values() for m, columns in needs.items() if column in columns]
    if column in ("agents.rank", "agent_days.date", "agent_days.resolved"):
        found.append("agent_resolution_ability")
    return list(dict.fromkeys(found))


def _keys(
    schema: Mapping[str, Any], defs: Mapping[str, Any], place: str = ""
) -> Iterator[tuple[str, str]]:
    """Every described key under a schema, with placeholders for names of the user's choice."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[1]]
    named = list(schema.get("properties", {}).items())
    named += [("<table>", inner) for inner in schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        named.append(("<name>", schema["additionalProperties"]))
    for key, inner in named:
        path = f"{place}.{key}" if place else key
        if "description" in inner:
            yield path, inner["description"]
        yield from _keys(inner, defs, path)
        for other in inner.get("oneOf", []):
            yield from _keys(other, defs, path)


if __name__ == "__main__":
    print(markdown(), end="")
