"""Essay II's calibrated firm: 117,721 encounters of customers and agents in eleven countries."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from synthetic.firm import Firm
from synthetic.part2 import population as pop
from synthetic.part2 import report
from synthetic.part2.column import Column, look
from synthetic.part2.dyads import dyads
from synthetic.part2.effects import gaps
from synthetic.part2.encounters import Clustering, Table, draw, share_out
from synthetic.part2.moves import polish
from synthetic.part2.names import COLUMNS, PURCHASE, SEVERITY, TABLE8
from synthetic.part2.purchases import relative_surplus, whole_purchases
from synthetic.part2.sources import raw_tables
from synthetic.part2.start import clustered, drawn
from synthetic.published import Printed, by_id
from synthetic.sample import SampleError

logger = logging.getLogger(__name__)

Size = Literal["full", "quick"]
QUICK = 6_000
POPULATIONS, DRAWS = 2, 3  # tried for the full firm; draws of each


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
    if size == "quick":
        cells = dyads(published, QUICK, exact=False)
        support, sample, sources = np.random.SeedSequence(seed).spawn(3)
        population = pop.populate(
            published, cells, variant, np.random.default_rng(support), calibrated=False
        )
        rng = np.random.default_rng(sample)
        bought = whole_purchases(population, relative_surplus(population, rng))
        table = share_out(draw(population, bought, rng), population.plan, Clustering(), rng)
        columns = []
    else:
        cells = dyads(published, int(published["p2.encounters"].value), exact=True)
        population, table, columns, sources = _calibrated(published, cells, variant, seed)
        for line in report.looks(table, population, columns):
            logger.info(line)
    return Firm(
        raw_tables(encounters(table, cells), np.random.default_rng(sources)),
        report.calibration(published, population, table, columns),
    )


def _calibrated(
    published: Mapping[str, Printed], cells: pd.DataFrame, variant: pop.Variant, seed: int
) -> tuple[pop.Population, Table, list[Column], np.random.SeedSequence]:
    """Population and sample of the first draw that meets the printed digits, or comes nearest.

    The columns of Table 8 are those that the estimator finds by itself: started from the printed
    numbers, as the moves start it, it could stop at a lower maximum of the likelihood.
    """
    best = None
    for stream in np.random.SeedSequence(seed).spawn(POPULATIONS):
        support, *draws = stream.spawn(1 + DRAWS)
        population = pop.populate(published, cells, variant, np.random.default_rng(support))
        for each in draws:
            sample, moves, customers, sources = each.spawn(4)
            try:
                table = clustered(drawn(population, sample), population.plan, customers)
                table = polish(table, population.plan, np.random.default_rng(moves))
            except SampleError as error:
                logger.warning("another draw is tried: %s", error)
                continue
            columns = [look(table, population.plan, column) for column in TABLE8]
            aimed_at = columns[: len(population.plan.columns)]
            worst = np.abs(gaps(table, population.plan, aimed_at)).max()
            if best is None or worst < best[0]:
                best = worst, population, table, columns, sources
            if worst < 1:
                return best[1:]
            logger.warning("this draw ends %.1f half-widths from the printed digits", worst)
    if best is None:
        raise SampleError(
            f"none of {POPULATIONS * DRAWS} draws from seed {seed} could be brought to the printed "
            "digits; try another seed"
        )
    return best[1:]


def encounters(table: Table, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per encounter, as `synthetic.part2.sources.raw_tables` takes them."""
    place = cells[["culture", "customer_country", "agent_country"]].iloc[table["cell"]]
    values = {
        name: table[name] if name == SEVERITY else table[name].astype(np.int64)
        for name in (PURCHASE, *COLUMNS)
    }
    return place.reset_index(drop=True).assign(customer=table["customer"], **values)
