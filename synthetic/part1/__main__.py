"""Show how well the firm is calibrated: ``python -m synthetic.part1 --seeds 2010 1 2 3 4 5``."""

from __future__ import annotations

import argparse
import logging
import time
import warnings

import numpy as np
import pandas as pd

from crosssell import measures
from crosssell.errors import CrossSellWarning
from synthetic.part1 import certificates, checks, make
from synthetic.part1 import population as populations
from synthetic.part1.buyers import enumerate_totals
from synthetic.part1.model import COLUMNS
from synthetic.part1.population import Population
from synthetic.part1.search import search


def looks(table: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of buyers' and non-buyers' fine columns."""
    fine = ["product_age", "product_price", "agent_resolution_ability", "failure_severity"]
    points = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    groups = {"non-buyers": 0, "buyers": 1}
    found = {k: table.loc[table["purchase"] == v, fine].quantile(points) for k, v in groups.items()}
    return pd.concat(found, axis=1).round(1)


def show(seed: int, population: Population) -> None:
    """Print one firm's counts of targets."""
    begin = time.process_time()
    firm = make(seed, population=population)
    table = measures.build(firm.raw, "part1")
    print(f"\nseed {seed}: {time.process_time() - begin:.1f} s of processor time")
    print(f"fingerprint of the raw sources: {firm.fingerprint()}")
    print(checks.verdicts(firm.calibration).drop(index=["d", "f"]).to_string())
    print("statsmodels' Probit + OLS prints column 1 except:", checks.confirm(table) or "nothing")
    text = checks.probit_text(table)
    print(
        f"probit text: {text['same_sign'].sum()} of 10 signs, "
        f"{(text['miss'].abs() <= 1).sum()} of 10 within one standard error "
        f"(largest miss {text['miss'].abs().max():.2f})"
    )
    of_customers = [c for c in COLUMNS if c != "cross_sell_good"]
    print(f"repeated rows: {table[of_customers].duplicated().mean():.2%}", end="; ")
    print(f"negative margins: {(table['product_price'] < 0).mean():.1%}", end="; ")
    bought = table["purchase"] == 1
    spent = table.loc[bought, "cross_sell_revenue"]
    print(f"revenue from {spent.min():.2f} to {spent.max():.2f}")


def main() -> None:
    """Parse the command line and print what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m synthetic.part1", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[2010], help="firms to check")
    parser.add_argument("--population", help="archive to write")
    parser.add_argument("--draws", type=int, default=0, help="random samples for recovery")
    parser.add_argument("--looks", action="store_true", help="how the first firm's rows look")
    parser.add_argument("--granularity", action="store_true", help="print the enumeration")
    parser.add_argument("--conflicts", action="store_true", help="print infeasible subsets")
    parser.add_argument("--search", action="store_true", help="search selection coefficients")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    warnings.simplefilter("ignore", CrossSellWarning)
    begin = time.process_time()
    if options.search:
        found = search(populations.guess())
        print(f"search: {time.process_time() - begin:.1f} s of processor time")
        print("selection", np.round(found.selection, 5), "intercept", round(found.outcome[0], 2))
        return
    population = populations.build()
    if options.population:
        population.save(options.population)
    print(f"population: {time.process_time() - begin:.1f} s of processor time")
    print(population.report[population.report["slack"] > 0.5].to_string(index=False))
    for seed in options.seeds:
        show(seed, population)
    if options.looks:
        table = measures.build(make(options.seeds[0], population=population).raw, "part1")
        print(looks(table).T.to_string())
        print(checks.roughness(table).round(2).to_string())
    if options.granularity:
        totals = enumerate_totals()
        counts = np.bincount([len(t.forbidden) for t in totals])
        for forbidden, number in enumerate(counts):
            print(f"{number} of {len(totals)} admissible totals forbid {forbidden} correlations")
        for id, proof in certificates.granular_means().items():
            print(f"{id}: {proof}")
        for id in totals[0].forbidden:
            print(f"{id}: forbidden by the best totals {totals[0].sums} {totals[0].squares}")
    if options.conflicts:
        for id, proof in certificates.conflicts(population).items():
            print(f"{id}: {proof}")
    if options.draws:
        report = checks.recovery(population, options.draws)
        print(report.round(4).to_string())
        print(f"mean coverage {report['coverage'].mean():.3f}")


if __name__ == "__main__":
    main()
