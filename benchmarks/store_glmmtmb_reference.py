"""``python -m benchmarks.store_glmmtmb_reference``: store Laplace estimates of R's glmmTMB.

Writes what ``tests/reference/test_nested_logit_reference.py`` compares with. Needs R and glmmTMB;
without them it says so and leaves the stored values alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.common import run_r
from benchmarks.nested_logit_data import simulate

REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "data" / "nested_logit_laplace.json"
#: Enough encounters per customer, and purchases, that the Laplace approximation behaves.
SIMULATION = {
    "seed": 11,
    "countries": 12,
    "customers": 400,
    "extra_encounters": 6.0,
    "coefficients": (-0.8, 0.5, -0.4),
    "sd": (0.5, 0.8),
    "evenness": 3.0,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "data.csv"
        simulate(**SIMULATION).to_csv(path, index=False, float_format="%.17g")
        found = run_r("nested_logit.R", path, "glmmTMB", packages=["glmmTMB"])
    if found is None:
        sys.exit("R with glmmTMB is not installed: the stored values stay as they are.")
    del found["seconds"]
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(json.dumps({"simulation": SIMULATION, "glmmTMB": found}, indent=1) + "\n")
    print(f"Stored {REFERENCE.name}: {found}")


if __name__ == "__main__":
    main()
