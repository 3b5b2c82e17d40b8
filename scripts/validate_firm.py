"""Check a firm's configuration and exports without writing any data.

    python scripts/validate_firm.py config/firm.example.yaml [--problems problems.csv]

Exit status 0 if there is nothing to mend, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from crosssell import io
from crosssell.errors import CrossSellError
from crosssell.firm import configuration, importing, problems, shrinking

SPECS = Path(__file__).resolve().parents[1] / "workflow" / "specs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(description="Check a firm's exports; no data are written.")
    parser.add_argument("configuration", help="such as config/firm.example.yaml")
    parser.add_argument("--problems", metavar="CSV", help="write every problem with its place")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        firm = configuration.load(chosen.configuration)
        specs = {
            name: io.read_yaml(SPECS / f"{name}.yaml")
            for name in ("models", "samples", "tables", "figures")
        }
        own = io.read_yaml(SPECS / "firm.yaml")
        models = shrinking.for_firm(specs, own, firm, "")[0]["models"]
        found = importing.read_firm(firm, models).problems
    except CrossSellError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.problems:
        io.write_csv(problems.to_frame(found), chosen.problems)
    text = problems.describe(firm.name, found)
    stopping = bool(problems.errors(found))
    print(text or "Nothing to mend.", file=sys.stderr if stopping else sys.stdout)
    return 1 if stopping else 0


if __name__ == "__main__":
    sys.exit(main())
