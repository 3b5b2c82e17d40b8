"""Essay II's calibrated firm: 117,721 encounters of customers and agents in eleven countries."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import pandas as pd

from synthetic.firm import Firm
from synthetic.part2 import population as pop
from synthetic.part2 import report
from synthetic.part2.dyads import dyads
from synthetic.part2.encounters import Table, draw
from synthetic.part2.moves import polish
from synthetic.part2.sources import raw_tables
from synthetic.published import by_id

logger = logging.getLogger(__name__)

Size = Literal["full", "quick"]
QUICK = 6_000


def make(seed: int, variant: pop.Variant = "moments", size: Size = "full") -> Firm:
    """Synthetic firm of Essay II.

    Parameters
    ----------
    seed : int
    variant : {"moments", "ranges"}
        Keep the printed moments, which takes a small share of records beyond the stated ranges, or
        keep the ranges.
    size : {"full", "quick"}
        117,721 encounters, calibrated; or 6,000 of the same kind, uncalibrated, in a second.

    Returns
    -------
    Firm

    Raises
    ------
    PopulationError, SampleError
        A step of the calibration found no solution; the message says what to change.
    """
    published = by_id()
    streams = np.random.SeedSequence(seed).spawn(4)
    support, sample, moves, sources = (np.random.default_rng(stream) for stream in streams)
    full = size == "full"
    number = int(published["p2.encounters"].value) if full else QUICK
    cells = dyads(published, number, exact=full)
    population = pop.populate(published, cells, variant, support, calibrated=full)
    table = draw(population, pop.purchases(population), sample)
    columns = []
    if full:
        table, columns = polish(table, population.plan, moves)
    return Firm(
        raw_tables(encounters(table, cells), sources),
        report.calibration(published, population, table, columns),
    )


def encounters(table: Table, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per encounter, as `synthetic.part2.sources.raw_tables` takes them."""
    place = cells[["culture", "customer_country", "agent_country"]].iloc[table["cell"]]
    values = {
        name: table[name] if name == pop.SEVERITY else table[name].astype(np.int64)
        for name in (pop.PURCHASE, *pop.COLUMNS)
    }
    return place.reset_index(drop=True).assign(customer=table["customer"], **values)
