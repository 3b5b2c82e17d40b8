"""Parts of the documentation that are generated, so that they cannot drift from the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosssell.io import read_yaml


def fill(text: str, part: str, content: str) -> str:
    """Replace what stands between ``<!-- part: ... -->`` and ``<!-- end of part -->``."""
    pattern = rf"(<!-- {part}: [^>]*-->\n).*?(<!-- end of {part} -->)"
    filled, found = re.subn(
        pattern, lambda m: f"{m[1]}\n{content.strip()}\n\n{m[2]}", text, flags=re.DOTALL
    )
    if found != 1:
        raise ValueError(f"the text has {found} places for {part!r}; it needs one.")
    return filled


def keys(schema: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines of a Markdown list of a schema's keys, nested keys written with dots."""
    lines = []
    for key, value in schema.get("properties", {}).items():
        kind = " or ".join(f"`{v}`" for v in value["enum"]) if "enum" in value else value["type"]
        lines.append(f"| `{prefix}{key}` | {kind} | {value['description']} |")
        lines += keys(value, f"{prefix}{key}.")
    return lines


def configuration(root: Path) -> str:
    """Table of every configuration key."""
    schema = read_yaml(root / "workflow/schemas/config.yaml")
    return "\n".join(["| key | values | meaning |", "|---|---|---|", *keys(schema)])


def programs(root: Path) -> str:
    """Table of the paper's tables: what each shows, where it comes from, and the program."""
    tables = read_yaml(root / "workflow/specs/tables.yaml")
    lines = ["| table | shows | estimates | program |", "|---|---|---|---|"]
    for name, spec in tables.items():
        fits = sorted({rule["fit"] for rule in spec.get("cells", []) if "fit" in rule})
        shown = ", ".join(f"`{fit}`" for fit in fits) or "definitions"
        title = read_yaml(root / spec["layout"])["title"]
        lines.append(f"| `results/tables/{name}` | {title} | {shown} | `scripts/set_tables.py` |")
    return "\n".join(lines)


def write(root: Path) -> dict[Path, str]:
    """Every documentation file with generated parts, as it should read."""
    files = {"config/README.md": {"keys": configuration}, "README.md": {"programs": programs}}
    made = {}
    for name, parts in files.items():
        text = (root / name).read_text(encoding="utf-8")
        for part, content in parts.items():
            text = fill(text, part, content(root))
        made[root / name] = text
    return made
