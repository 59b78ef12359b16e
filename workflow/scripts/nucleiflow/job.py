"""How a script ends: its log, and what of it the user's terminal shows."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucleiflow.files import printable

NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk of the results may only be read",
}


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
    job = f"{snakemake.rule} {snakemake.wildcards.get('batch', '')}".strip()
    # A full disk would be told in the place of what the log says, line by line.
    logging.raiseExceptions = False
    log = Path(snakemake.log[0])
    try:
        logging.basicConfig(
            filename=log,
            filemode="w",
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
        )
    except OSError as error:
        sys.exit(f"nucleiflow: {job} failed: {_reason(error)}")
    logging.captureWarnings(True)
    try:
        yield
        return
    except JobError as error:
        sentence = printable(str(error))
    except KeyboardInterrupt:
        sentence = f"{job} was interrupted, run again to go on"
    except Exception as error:
        logging.exception("the job failed")
        sentence = f"{job} failed: {_reason(error)}"
    tell(sentence, logging.ERROR)
    if log.exists() and sentence not in log.read_text(errors="replace"):
        # There was no room for it.
        print(f"nucleiflow: {sentence}", file=sys.stderr)
    sys.exit(1)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "the memory did not suffice, ask for more mem_mb"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f" ({error.filename})" if error.filename else ""
        return f"{NO_ROOM[error.errno]}{where}, run again when that is mended"
    return f"{type(error).__name__}: {error}"
