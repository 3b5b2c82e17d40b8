"""The three-level logit against other software; its memory, and its time up to 5 million rows.

``python -m benchmarks.nested_logit CUSTOMERS`` prints rows, processor seconds and memory of one fit
in a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import glmm
import numpy as np

from benchmarks.common import Ratio, run_r, seconds
from benchmarks.nested_logit_data import simulate
from crosssell.nested_logit import NestedLogitModel

TITLE = "Three-level logit, 117,000 encounters of 63,600 customers in 28 countries, 3% purchases"
#: Ten coefficients, as in the essay's main model.
COEFFICIENTS = (-3.8, 0.2, -0.15, 0.1, 0.3, -0.1, 0.05, -0.2, 0.15, 0.1)
TERMS = [f"x{j}" for j in range(1, len(COEFFICIENTS))]
GROUPS = ("country", "customer")
#: Customers of the time curve; the essay's data have 63,600.
SIZES = (63_600, 200_000, 650_000, 2_700_000)
MEMORY_GOAL = 400


def fit(data) -> object:
    """Return the fit with standard errors, from the table on, as the others do it."""
    return NestedLogitModel.from_formula("y ~ " + " + ".join(TERMS), GROUPS, data).fit()


def compare(scratch: Path) -> Iterator[Ratio]:
    """Time the tasks, ours first, then print memory and the time curve."""
    data = simulate(1, coefficients=COEFFICIENTS)
    path = scratch / "nested_logit.csv"
    data.to_csv(path, index=False, float_format="%.17g")
    ours, result = seconds(lambda: fit(data), repeats=7)
    task = "fit and standard errors"
    formula = f"y ~ {' + '.join(TERMS)} + (1 | country) + (1 | customer)"
    theirs, laplace = seconds(lambda: glmm.fit(data, formula, "binomial"), repeats=3)
    note = f"Laplace: customer sd {np.sqrt(laplace.varcorr[1][0]):.3f}; ours {sd(result):.3f}"
    yield Ratio(task, "glmm (Laplace)", ours, theirs, 5, note)
    for engine, package, name, goal in (
        ("lme4_0", "lme4", "lme4 nAGQ=0", None),
        ("glmmTMB", "glmmTMB", "glmmTMB (Laplace)", 150),
        ("lme4_1", "lme4", "lme4 nAGQ=1 (Laplace)", 500),
    ):
        r = run_r("nested_logit.R", path, engine, packages=[package])
        note = f"customer sd {r['sd.customer']:.3f}" if r else f"R with {package} is absent"
        yield Ratio(task, name, ours, r["seconds"] if r else None, goal, note)
    warm, _ = seconds(
        lambda: NestedLogitModel.from_formula(
            "y ~ " + " + ".join(TERMS), GROUPS, data
        ).fit(start_params=result.params)
    )  # fmt: skip
    print(f"   warm start: {warm:.3g} s against {ours:.3g} s cold")
    for customers in SIZES:
        command = [sys.executable, "-m", "benchmarks.nested_logit", str(customers)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        goal = f" (goal: below {MEMORY_GOAL})" if customers == SIZES[0] else ""
        print(
            f"   {found['rows']:>9,} rows: {found['seconds']:7.2f} s, "
            f"{1e6 * found['seconds'] / found['rows']:5.2f} s per million, "
            f"memory above imports {found['megabytes']:6.0f} MB{goal}"
        )


def sd(result) -> float:
    return float(result.params["sd", "customer"])


def measure(customers: int) -> dict[str, float]:
    """Fit simulated data of a size in this process; return rows, seconds and memory.

    Memory is the growth of the process's largest resident size since the imports, data included.
    """
    fit(simulate(1, customers=2000, coefficients=COEFFICIENTS))  # loads the compiled functions
    before = peak()
    data = simulate(0, customers=customers, coefficients=COEFFICIENTS)
    for level in GROUPS:  # codes instead of text: a large firm's table has them too
        data[level] = data[level].str[1:].astype(np.int64)
    start = time.process_time()
    fit(data)
    spent = time.process_time() - start
    return {"rows": len(data), "seconds": spent, "megabytes": (peak() - before) / 1024}


def peak() -> int:
    """Return the largest resident size of this process in kilobytes.

    Linux's getrusage would start from the parent's, so the kernel's own account is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")})
    print(json.dumps(measure(int(sys.argv[1]))))
