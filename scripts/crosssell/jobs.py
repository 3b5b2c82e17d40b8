"""What every workflow script shares: its log, and how it reports a user's mistake."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crosssell.errors import CrossSellError


@contextmanager
def job(snakemake: Any) -> Iterator[logging.Logger]:
    """Run a script's work under its rule's log.

    Messages and warnings go to the rule's log file and to the terminal. An error of the package's
    own kind is a user's to mend: its text is shown without a traceback and the job ends with
    status 1. Any other exception is a fault of ours and keeps its traceback.

    Parameters
    ----------
    snakemake : object
        The object Snakemake gives to a script.

    Yields
    ------
    logging.Logger
        Progress of the job.
    """
    logger = logging.getLogger("crosssell")
    logger.setLevel(logging.INFO)
    for handler in (logging.FileHandler(snakemake.log[0], mode="w"), logging.StreamHandler()):
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    # The generator's rooms log under their own name and through the same handlers.
    logging.getLogger("synthetic").parent = logger
    logging.getLogger("synthetic").setLevel(logging.INFO)
    # A warning is told as a sentence, without the line of code that Python would add.
    warnings.showwarning = lambda message, *_: logger.warning("Note: %s", message)
    try:
        yield logger
    except CrossSellError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("This is a fault of the package, not of your data; please report it:")
        raise
