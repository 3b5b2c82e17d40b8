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
from synthetic.part2.encounters import Table, draw, share_out
from synthetic.part2.moves import clustered, look, polish
from synthetic.part2.names import COLUMNS, PURCHASE, SEVERITY, TABLE8
from synthetic.part2.sources import raw_tables
from synthetic.published import by_id

logger = logging.getLogger(__name__)

Size = Literal["full", "quick"]
QUICK = 6_000
ATTEMPTS = 2  # draws of the full firm


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
    full = size == "full"
    number = int(published["p2.encounters"].value) if full else QUICK
    cells = dyads(published, number, exact=full)
    best = None
    # Some draws of the plain encounters lead to samples whose dyads' variance sits between two
    # maxima of the likelihood; another draw then serves better than more moves.
    for stream in np.random.SeedSequence(seed).spawn(ATTEMPTS if full else 1):
        support, sample, moves, customers, sources = stream.spawn(5)
        population = pop.populate(
            published, cells, variant, np.random.default_rng(support), calibrated=full
        )
        table = draw(population, pop.purchases(population), np.random.default_rng(sample))
        if full:
            table = clustered(table, population.plan, customers)
            table, worst = polish(table, population.plan, np.random.default_rng(moves))
        else:
            rng = np.random.default_rng(customers)
            table, worst = share_out(table, population.plan, pop.CUSTOMER_SD, rng), 0.0
        if best is None or worst < best[0]:
            best = worst, population, table, sources
        if worst < 1:
            break
        logger.warning("this draw ends %.1f half-widths from the printed digits", worst)
    _, population, table, sources = best
    # the report holds what the estimator finds, not what the moves were steered by
    columns = [look(table, population.plan, column) for column in TABLE8 if full]
    return Firm(
        raw_tables(encounters(table, cells), np.random.default_rng(sources)),
        report.calibration(published, population, table, columns),
    )


def encounters(table: Table, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per encounter, as `synthetic.part2.sources.raw_tables` takes them."""
    place = cells[["culture", "customer_country", "agent_country"]].iloc[table["cell"]]
    values = {
        name: table[name] if name == SEVERITY else table[name].astype(np.int64)
        for name in (PURCHASE, *COLUMNS)
    }
    return place.reset_index(drop=True).assign(customer=table["customer"], **values)
