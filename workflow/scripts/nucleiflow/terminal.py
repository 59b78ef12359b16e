"""The user's terminal, written to by the main process alone.

It listens to Snakemake's log for jobs that end, wherever they ran, and repeats what they logged
with `nucleiflow.job.tell`. At the very end it says what came out.
"""

import argparse
import logging
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# A line of a job's log for the terminal, up to the next line with a time.
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
TOLD = re.compile(
    rf"^{TIME} (INFO|WARNING|ERROR) (nucleiflow: .*?)\n(?=(?:{TIME} |\Z))", re.MULTILINE | re.DOTALL
)
NOTHING_TO_DO = "Nothing to be done"


class Terminal(logging.Handler):
    """A handler of Snakemake's logger that answers there, and prints the last words.

    Answers in the log come out as Snakemake's own lines do: above the progress bars, in the file
    of the run's log, and not at all with `--quiet all`.

    Attributes
    ----------
    ended : bool
        Whether there is something to say at the end.
    """

    def __init__(self, logger: logging.Logger, last_words: Callable[[], Sequence[str]]):
        super().__init__()
        self.ended = False
        self._logger = logger
        self._last_words = last_words
        # The logs of running jobs by the job's number, and the times of those that were there.
        self._logs: dict[int, dict[Path, int]] = {}
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            match getattr(record, "event", None):
                case "job_info":
                    self._logs[record.jobid] = {Path(log): _time(log) for log in record.log}
                case "job_finished":
                    self._repeat(record.job_id, logging.INFO)
                case "job_error":
                    # Failed images are named when the job has succeeded in the end.
                    self._repeat(record.jobid, logging.ERROR)
                case None:
                    self.ended |= str(record.msg).startswith(NOTHING_TO_DO)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Snakemake closes its handlers when everything else is printed, progress bars first."""
        if self.ended:
            self.ended = False
            for line in self._last_words():
                print(f"nucleiflow: {line}", file=sys.stderr)
        super().close()

    def _repeat(self, job: int, least: int) -> None:
        for path, before in self._logs.pop(job, {}).items():
            # Not the log of an earlier run, where the job never came to write one.
            if _time(path) != before:
                for level, sentence in told(path.read_text(errors="replace")):
                    if level >= least:
                        self._logger.log(level, sentence)


def told(log: str) -> list[tuple[int, str]]:
    """What a job's log holds for the terminal: levels and sentences."""
    return [(getattr(logging, level), sentence) for level, sentence in TOLD.findall(log)]


def outcome(run: dict, results: Path) -> list[str]:
    """What came out, of run.json, and where it is: two lines."""
    done = run["images"] - run["failed"]
    images = f"{done:,} of {run['images']:,} images done, {run['failed']:,} failed"
    images += f", {run['flagged']:,} flagged"
    if run["excluded"]:
        images += f", {run['excluded']:,} of them kept out of the objects"
    table = "objects.csv.gz" if run["config"]["tables"]["csv"] == "gzip" else "objects.csv"
    objects = f"{run['objects']:,} objects: {results / table}"
    if "overlay" in run["config"]["keep"]:
        objects += f", outlines: {results / 'overlay'}"
    return [f"{images}: {results / 'images.csv'}", objects]


def last_words(run: dict, results: Path, arguments: Sequence[str], here: Path) -> list[str]:
    """The three lines at the end of a run: its outcome, and where its report is.

    `run` is run.json, `results` its directory, `arguments` are those of the command line and
    `here` is the directory in which it was typed. A report that is older than run.json is none.
    """

    def shown(path: Path) -> Path:
        path = path.absolute()
        return path.relative_to(here) if path.is_relative_to(here) else path

    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--report", nargs="?", const="report.html")
    options.add_argument("--report-after-run", action="store_true")
    chosen, others = options.parse_known_args(arguments)
    path = Path(chosen.report) if chosen.report else results / "report.html"
    report = f"report: {shown(path)}"
    if _time(path) < _time(results / "run.json"):
        words = ["snakemake", "--report", str(path), *_without_tables(others)]
        report = f"report: {shlex.join(words)} makes it"
    return [*outcome(run, shown(results)), report]


def _without_tables(arguments: list[str]) -> list[str]:
    """Arguments without `tables` as a target: the tables alone have no pages of the report."""
    from snakemake.cli import get_argument_parser

    chosen, _ = get_argument_parser().parse_known_args(arguments)
    if "tables" not in chosen.targets:
        return arguments
    at = len(arguments) - 1 - arguments[::-1].index("tables")
    return [*arguments[:at], *arguments[at + 1 :]]


def _time(path: Path | str) -> int:
    """When a file was written, 0 where there is none."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
