"""What a study's generator returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Firm:
    """A synthetic firm.

    Attributes
    ----------
    raw : mapping of str to DataFrame
        Raw sources by name, as a firm's own systems would export them; `crosssell.measures.build`
        turns them into the analysis table.
    calibration : DataFrame
        One row per published number: id, target, achieved_population, achieved_sample, slack
        (half-widths), priority, certificate (why a number cannot hold; empty otherwise); in Essay
        II's also conflict (what else keeps one from being reached).
    """

    raw: Mapping[str, pd.DataFrame]
    calibration: pd.DataFrame

    def fingerprint(self) -> str:
        """First twelve digits of the SHA-256 of the raw sources: equal firms have equal ones."""
        text = "".join(f"{name}\n{self.raw[name].to_csv(index=False)}" for name in sorted(self.raw))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
