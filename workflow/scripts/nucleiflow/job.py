"""How a script ends: its log, and what of it the user's terminal shows."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nucleiflow.files import printable


class JobError(Exception):
    """Why a job ends without success, in one sentence for the user."""


def tell(sentence: str, level: int = logging.INFO) -> None:
    """Log what the terminal shows, too, when the job has ended (see nucleiflow.terminal).

    What a job prints goes to a file of Slurm's on a cluster, and is lost under progress bars.
    """
    lines = "\n".join(map(printable, sentence.split("\n")))
    logging.log(level, "nucleiflow: %s", lines)


@contextmanager
def logged(snakemake) -> Iterator[None]:
    """Log to the job's file; turn an error into a sentence for the terminal and exit status 1."""
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
        return
    except JobError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        sentence = f"{job} was interrupted, run again to go on"
    except Exception as error:
        logging.exception("the job failed")
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            reason = "the memory did not suffice, ask for more mem_mb"
        sentence = f"{job} failed: {reason}"
    tell(sentence, logging.ERROR)
    sys.exit(1)
