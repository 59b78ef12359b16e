"""How a script ends: its log, and one sentence on the terminal instead of a traceback."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class JobError(Exception):
    """Why a job ends without success, in one sentence for the user."""


@contextmanager
def logged(snakemake) -> Iterator[None]:
    """Log to the job's file; turn an error into a sentence and exit status 1."""
    logging.basicConfig(
        filename=snakemake.log[0],
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.captureWarnings(True)
    job = f"{snakemake.rule} {snakemake.wildcards.get('batch', '')}".strip()
    try:
        yield
    except JobError as error:
        logging.error("%s", error)
        sys.exit(f"nucleiflow: {error}")
    except KeyboardInterrupt:
        logging.error("interrupted")
        sys.exit(f"nucleiflow: {job} was interrupted, run again to go on")
    except Exception as error:
        logging.exception("the job failed")
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            reason = "the memory did not suffice, ask for more mem_mb"
        sys.exit(f"nucleiflow: {job} failed: {reason}")
