"""How far Essay II's firm came, and what its columns cost: ``python -m synthetic.part2 --help``."""

from __future__ import annotations

import argparse
import logging
import time

from synthetic.part2 import make
from synthetic.part2.dyads import dyads
from synthetic.part2.report import FEW, SCENARIOS, costs, error_ratios, significance
from synthetic.published import by_id


def main() -> None:
    """Make a firm and print what it misses, or print the costs of Table 8's columns."""
    parser = argparse.ArgumentParser(prog="python -m synthetic.part2", description=__doc__)
    parser.add_argument("--check", action="store_true", help="print the numbers that are missed")
    parser.add_argument("--costs", action="store_true", help="print what Table 8's columns cost")
    parser.add_argument("--seed", type=int, default=2010)
    parser.add_argument("--variant", choices=["moments", "ranges"], default="moments")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.costs:
        _print_costs(arguments.seed)
        return
    start = time.process_time()
    firm = make(arguments.seed, arguments.variant)
    table = firm.calibration
    missed = table["slack"] > 0
    excused = missed & (table["certificate"] != "")
    print(
        f"{len(table)} numbers: {(~missed).sum()} as printed, {excused.sum()} cannot hold, "
        f"{(missed & ~excused).sum()} missed; {time.process_time() - start:.0f} s of processor time"
    )
    print(f"fingerprint of the raw sources: {firm.fingerprint()}")
    published, found = by_id(), table.set_index("id")["achieved_sample"]
    stars = significance(published, found)
    print(f"{stars['agrees'].sum()} of {len(stars)} coefficients as significant as printed")
    if arguments.check:
        if not stars["agrees"].all():
            print(stars[~stars["agrees"]].drop(columns="agrees").to_string(index=False))
        print("\nstandard errors over the printed ones")
        print(error_ratios(published, found).round(2).to_string())
        shown = table.loc[
            missed, ["id", "target", "achieved_sample", "slack", "certificate", "conflict"]
        ]
        print(shown.to_string(index=False, max_colwidth=70))


def _print_costs(seed: int) -> None:
    published = by_id()
    cells = dyads(published, int(published["p2.encounters"].value))
    logging.getLogger("synthetic").setLevel(logging.WARNING)
    print(f"{'':34}  nats   slack  % buyers below {FEW}  chi2 customers  agents  stars as printed")
    for row in costs(published, cells, seed, list(SCENARIOS)):
        print(
            f"{row['scenario']:34}{row['divergence']:6.2f}{row['slack']:8.1f}{row['few']:20.0f}"
            f"{row['chi2_customer']:16.0f}{row['chi2_agent']:8.0f}"
            f"{row['stars']:7} of {row['coefficients']}",
            *(f"\n{'':6}{id_}: t {t:.2f}" for id_, t in row["otherwise"].items()),
            sep="",
            flush=True,
        )


if __name__ == "__main__":
    main()
