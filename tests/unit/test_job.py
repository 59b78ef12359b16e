"""How a job ends: one sentence for the terminal, the rest in its log."""

import logging
from types import SimpleNamespace

import pytest

from nucleiflow.job import JobError, logged


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (JobError("too many failed"), "nucleiflow: too many failed"),
        (KeyboardInterrupt(), "nucleiflow: measure a.b was interrupted, run again to go on"),
        (
            MemoryError(),
            "nucleiflow: measure a.b failed: the memory did not suffice, ask for more mem_mb",
        ),
        (
            OSError(28, "No space left", "/results/1.tif"),
            "nucleiflow: measure a.b failed: the disk is full (/results/1.tif), run again when "
            "that is mended",
        ),
        (OSError(5, "I/O error"), "nucleiflow: measure a.b failed: OSError: [Errno 5] I/O error"),
    ],
)
def test_an_error_becomes_a_sentence(tmp_path, error, sentence, caplog, capfd):
    log = tmp_path / "job.log"
    snakemake = SimpleNamespace(rule="measure", wildcards={"batch": "a.b"}, log=[str(log)])
    with pytest.raises(SystemExit) as caught, logged(snakemake):
        raise error
    assert caught.value.code == 1
    last = caplog.records[-1]
    assert last.levelno == logging.ERROR
    assert last.getMessage().startswith(sentence)
    assert "\n" not in last.getMessage()
    assert capfd.readouterr().err == ""


def test_a_job_without_an_error_ends_as_it_is(tmp_path):
    snakemake = SimpleNamespace(rule="tables", wildcards={}, log=[str(tmp_path / "job.log")])
    with logged(snakemake):
        done = True
    assert done


def test_a_log_that_cannot_be_written_is_told_on_the_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    (tmp_path / "file").write_text("")
    log = str(tmp_path / "file" / "job.log")
    snakemake = SimpleNamespace(rule="measure", wildcards={"batch": "a.b"}, log=[log])
    with pytest.raises(SystemExit) as caught, logged(snakemake):
        raise AssertionError("the job begins")
    assert str(caught.value) == (
        f"nucleiflow: measure a.b failed: NotADirectoryError: [Errno 20] Not a directory: '{log}'"
    )
