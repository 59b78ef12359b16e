"""What the terminal shows besides Snakemake's own lines: what jobs tell, and the last words."""

import logging
import os
import shlex
from pathlib import Path

import pytest
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_logger_plugins.common import LogEvent

from nucleiflow.terminal import Terminal, last_words, told

LOG = """\
2026-11-25 22:29:56,318 INFO /images/a.tif
Traceback (most recent call last):
ValueError: nucleiflow: no sentence
2026-11-25 22:29:56,330 WARNING nucleiflow: preprocess failed for /images/a.tif: it is cut short
2026-11-25 22:29:56,331 INFO 9 done, 1 failed of 10, 0 s left
2026-11-25 22:29:56,331 WARNING preprocess failed for /images/b.tif: it is cut short
2026-11-25 22:29:56,332 INFO nucleiflow: scores
IoU above      F1
0.5         0.959
2026-11-25 22:29:57,000 ERROR the job failed
Traceback (most recent call last):
OSError: no space
2026-11-25 22:29:57,001 ERROR nucleiflow: preprocess a failed: no space, 100 %s used
"""
FAILED = (logging.WARNING, "nucleiflow: preprocess failed for /images/a.tif: it is cut short")
SCORES = (logging.INFO, "nucleiflow: scores\nIoU above      F1\n0.5         0.959")
ENDED = (logging.ERROR, "nucleiflow: preprocess a failed: no space, 100 %s used")


def test_log_holds_sentences_for_the_terminal_of_one_line_or_several():
    assert told(LOG) == [FAILED, SCORES, ENDED]


@pytest.mark.parametrize("log", ["", "2026-11-25 22:29:56,318 INFO nothing to tell\n", "\n\n"])
def test_log_without_a_sentence_tells_nothing(log):
    assert told(log) == []


class Shown(logging.Handler):
    """A terminal that keeps what it is to show."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        if not hasattr(record, "event"):
            self.lines.append((record.levelno, record.getMessage()))


@pytest.fixture
def logger():
    """A logger as Snakemake's, which keeps in `shown` what the terminal shows."""
    logger = logging.Logger("snakemake", logging.INFO)
    logger.shown = Shown()
    logger.addHandler(logger.shown)
    return logger


def tell_of(logger, event, **facts):
    logger.info("an event", extra={"event": event} | facts)


def started(logger, number, *logs):
    tell_of(logger, LogEvent.JOB_INFO, jobid=number, log=[str(log) for log in logs])


def test_what_a_finished_job_tells_is_shown_once(logger, tmp_path):
    Terminal(logger, list)
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    for number, log in enumerate(logs):
        started(logger, number, log)
    logs[1].write_text(LOG)
    logs[2].write_text("2026-11-25 22:29:56,332 INFO nucleiflow: done\n")
    assert logger.shown.lines == []
    for _ in range(2):
        tell_of(logger, LogEvent.JOB_FINISHED, job_id=1)
    assert logger.shown.lines == [FAILED, SCORES, ENDED]
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=2)
    assert logger.shown.lines == [FAILED, SCORES, ENDED, (logging.INFO, "nucleiflow: done")]
    # No log was written; a job without one; one that was not started here.
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=0)
    started(logger, 3)
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=3)
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=4)
    assert len(logger.shown.lines) == 4


def test_of_a_failed_job_the_error_alone_is_shown(logger, tmp_path):
    Terminal(logger, list)
    log = tmp_path / "a.log"
    started(logger, 7, log)
    log.write_text(LOG)
    tell_of(logger, LogEvent.JOB_ERROR, jobid=7)
    assert logger.shown.lines == [ENDED]
    # It is tried again, and names its failed images now.
    started(logger, 7, log)
    log.write_text(LOG.replace("ERROR", "INFO"))
    os.utime(log, (2e9, 2e9))
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=7)
    assert logger.shown.lines[1] == FAILED


def test_the_log_of_an_earlier_run_is_not_shown(logger, tmp_path):
    Terminal(logger, list)
    log = tmp_path / "a.log"
    log.write_text(LOG)
    started(logger, 7, log)
    tell_of(logger, LogEvent.JOB_ERROR, jobid=7)
    assert logger.shown.lines == []


def test_log_that_is_no_text_harms_nothing(logger, tmp_path):
    Terminal(logger, list)
    started(logger, 1, tmp_path / "a.log", tmp_path / "b.log")
    (tmp_path / "a.log").write_bytes(b"\xff\xfe\0")
    (tmp_path / "b.log").write_bytes(LOG.replace("a.tif", "ä.tif").encode("latin-1"))
    tell_of(logger, LogEvent.JOB_FINISHED, job_id=1)
    ((_, sentence), *_) = logger.shown.lines
    assert sentence == "nucleiflow: preprocess failed for /images/\ufffd.tif: it is cut short"


@pytest.mark.parametrize("message", ["Building DAG of jobs...", NOTHING_TO_BE_DONE_MSG, "the end"])
def test_last_words_are_said_once_where_there_is_something_to_say(logger, capsys, message):
    terminal = Terminal(logger, lambda: ["one", "two"])
    logger.info(message)
    if message == "the end":
        terminal.ended = True
    assert capsys.readouterr().err == ""
    terminal.close()
    terminal.close()
    said = "" if message.startswith("Building") else "nucleiflow: one\nnucleiflow: two\n"
    assert capsys.readouterr().err == said


CONFIG = {"keep": [], "tables": {"csv": "plain"}}
RUN = {"images": 1024, "failed": 2, "flagged": 31, "excluded": 0}
RUN |= {"objects": 3089000, "config": CONFIG}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The directory of the results `out`, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/run.json").write_text("{}")
    os.utime("out/run.json", (1000, 1000))
    return Path("out")


def test_last_words_tell_what_came_out_and_where_it_is(results):
    words = last_words(RUN, results, ["-c", "all", "--config", "images=a b"], Path.cwd())
    assert words == [
        "1,022 of 1,024 images done, 2 failed, 31 flagged: out/images.csv",
        "3,089,000 objects: out/objects.csv",
        "report: snakemake --report out/report.html -c all --config 'images=a b' makes it",
    ]
    config = {"keep": ["overlay"], "tables": {"csv": "gzip"}}
    kept = RUN | {"config": config, "images": 1, "failed": 1, "objects": 0, "excluded": 9}
    assert last_words(kept, results, [], Path.cwd())[:2] == [
        "0 of 1 images done, 1 failed, 31 flagged, 9 of them kept out of the objects: "
        "out/images.csv",
        "0 objects: out/objects.csv.gz, outlines: out/overlay",
    ]


@pytest.mark.parametrize(("age", "there"), [(999, False), (1000, True), (1001, True)])
@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ([], "out/report.html"),
        (["--report", "out/report.html", "--report-after-run"], "out/report.html"),
        (["--report=page.zip"], "page.zip"),
        (["--report", "--report-after-run", "-c", "2"], "report.html"),
        (["all", "--config", "a=1", "--report"], "report.html"),
    ],
)
def test_report_is_named_if_it_is_there_and_not_older(results, arguments, path, age, there):
    Path(path).write_text("")
    os.utime(path, (age, age))
    line = last_words(RUN, results, arguments, Path.cwd())[2]
    if there:
        assert line == f"report: {path}"
    else:
        others = [word for word in arguments if "report" not in word]
        assert line == f"report: {shlex.join(['snakemake', '--report', path, *others])} makes it"


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["-c", "1", "tables"], ["-c", "1"]),
        (["--config", "images=a", "--", "tables"], ["--config", "images=a", "--"]),
        (["-d", "tables", "all"], ["-d", "tables", "all"]),
        (["-R", "tables", "--", "tables"], ["-R", "tables", "--"]),
        (["--until", "tables", "-c", "1"], ["--until", "tables", "-c", "1"]),
        # Behind an option that has no value.
        (["--slurm-no-account", "tables", "-n"], ["--slurm-no-account", "-n"]),
        (["-c1", "tables", "--config", "images=a"], ["-c1", "--config", "images=a"]),
    ],
)
def test_report_that_is_offered_after_the_tables_alone_has_its_pages(results, arguments, others):
    line = last_words(RUN, results, arguments, Path.cwd())[2]
    command = ["snakemake", "--report", "out/report.html", *others]
    assert line == f"report: {shlex.join(command)} makes it"


def test_paths_are_named_from_where_the_command_was_typed(results, tmp_path):
    lines = last_words(RUN, results, [], tmp_path.parent)
    assert lines[1] == f"3,089,000 objects: {tmp_path.name}/out/objects.csv"
    lines = last_words(RUN, results, [], tmp_path / "elsewhere")
    assert lines[1] == f"3,089,000 objects: {tmp_path}/out/objects.csv"
    Path("out/report.html").write_text("")
    lines = last_words(RUN, results, [], tmp_path.parent)
    assert lines[2] == f"report: {tmp_path.name}/out/report.html"
