"""Small exports and their configuration, for the tests of another firm's path."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from synthetic import desk

TABLES = ("customers", "encounters", "failures", "agents", "sales", "survey")


def tables(encounters: int = 900) -> dict[str, pd.DataFrame]:
    """Raw tables of a small desk, times as text."""
    made = desk.make(encounters)
    texts = {
        "customers": made["customers"].assign(
            purchase_date=made["customers"]["purchase_date"].dt.strftime("%Y-%m-%d")
        ),
        "encounters": made["encounters"].assign(
            started_at=made["encounters"]["started_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
        ),
    }
    return made | texts


def content(folder: Path, made: dict[str, pd.DataFrame]) -> dict:
    """Configuration for CSV files that have our own names."""
    return {
        "name": "small",
        "studies": ["part1", "part2"],
        "minimum_buyers": 20,
        "files": {name: {"path": str(folder / f"{name}.csv")} for name in TABLES},
        "tables": {
            **{
                name: {"from": name, "columns": {column: column for column in made[name]}}
                for name in TABLES
            },
            "models": {"rows": made["models"].astype(object).to_dict("records")},
        },
    }


def write(folder: Path, made: dict[str, pd.DataFrame]) -> Path:
    """Write exports and configuration, and return the latter's path."""
    for name in TABLES:
        made[name].to_csv(folder / f"{name}.csv", index=False)
    path = folder / "firm.yaml"
    path.write_text(yaml.safe_dump(content(folder, made)), encoding="utf-8")
    return path
