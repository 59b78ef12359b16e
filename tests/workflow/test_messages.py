"""What a user sees of a run: failed images, errors, and three lines at the end."""

import shlex
from pathlib import Path

import pytest
import tifffile
from project import Project, nuclei

pytestmark = pytest.mark.long

SENTENCE = "nucleiflow: preprocess failed for {}: the file is empty (0 bytes), copy it again"
# The first stage again, which names the failed images, and no other.
AGAIN = ("--forcerun", "preprocess", "--until", "preprocess")


def said(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("nucleiflow: ")]


def last(output: str) -> list[str]:
    """The last three lines; where there is no terminal, empty ones of `rich` follow."""
    return output.rstrip().splitlines()[-3:]


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> tuple[Project, str]:
    """A run with two good and seven empty files, under progress bars, and what was printed."""
    folder = tmp_path_factory.mktemp("terminal")
    project = Project(Path(__file__).parents[2], folder / "images", folder / "run")
    project.images.mkdir()
    project.run.mkdir()
    for index in range(2):
        tifffile.imwrite(project.images / f"{index}.tif", nuclei(index))
    for index in range(7):
        (project.images / f"empty{index}.tif").write_bytes(b"")
    return project, project.snakemake("batch_size=100", "--logger", "rich", success=False).stdout


def failures(project: Project) -> list[str]:
    """What is said of the failed images of the only batch."""
    (log,) = (project.results / "logs" / "preprocess").iterdir()
    return [
        *(SENTENCE.format(project.images / f"empty{index}.tif") for index in range(5)),
        f"nucleiflow: preprocess failed for 2 more of batch {log.stem}, see "
        f"{log.relative_to(project.run)}",
    ]


def ending(project: Project, *arguments: str) -> list[str]:
    """What is said at the end to somebody in the directory above that of the run."""
    objects = len(project.rows("objects.csv"))
    assert objects > 2
    command = project.command("batch_size=100", *arguments)[3:]
    # The report is offered with its pages, of which a run of the tables alone has none.
    command.remove("tables")
    command = shlex.join(["snakemake", "--report", "results/report.html", *command])
    return [
        "nucleiflow: 2 of 9 images done, 7 failed, 0 flagged: run/results/images.csv",
        f"nucleiflow: {objects:,} objects: run/results/objects.csv, outlines: run/results/overlay",
        f"nucleiflow: report: {command} makes it",
    ]


def test_run_with_too_many_failed_images_says_so_and_what_came_out(started):
    project, output = started
    (found, *lines, error) = said(output)[:-3]
    assert "9 images in 1 directory" in found
    assert lines == failures(project)
    assert error.startswith("nucleiflow: 7 of 9 images failed, more than max_failed (0.05) allows")
    assert last(output) == ending(project, "--logger", "rich")
    assert "Traceback" not in output


def test_what_came_out_is_said_last_with_and_without_work(started):
    project, _ = started
    config = ("batch_size=100", "max_failed=0.9")
    for nothing_to_do, options in ((False, []), (True, ["--logger", "rich"])):
        output = project.snakemake(*config, *options).stdout
        assert ("Nothing to be done" in output) == nothing_to_do
        assert said(output)[1:] == ending(project, "max_failed=0.9", *options)
        assert last(output) == said(output)[1:]
    report = ("--report", "results/report.html", "--report-after-run")
    output = project.snakemake(*config, "--quiet", *report).stdout
    assert (project.results / "report.html").exists()
    assert last(output)[-1] == "nucleiflow: report: run/results/report.html"
    assert len(said(output)) == 4


@pytest.mark.parametrize(
    "arguments", [["--dry-run"], ["--quiet", "all"], ["results/images.csv"], AGAIN]
)
def test_what_came_out_is_not_said_of_other_runs(started, arguments):
    project, _ = started
    output = project.snakemake("batch_size=100", "max_failed=0.9", *arguments).stdout
    assert not any("objects: " in line for line in said(output))


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--logger", "rich"]])
def test_failed_images_are_named_once_when_their_batch_ends(started, options):
    project, _ = started
    output = project.snakemake("batch_size=100", *AGAIN, *options).stdout
    assert said(output)[1:] == failures(project)
    for line in failures(project):
        assert output.count(line) == 1


def test_nothing_is_said_where_nothing_is_wanted(started):
    project, _ = started
    output = project.snakemake("batch_size=100", *AGAIN, "--quiet", "all").stdout
    assert "nucleiflow" not in output.replace("nucleiflow/", "")


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--logger", "rich"]])
def test_job_that_fails_says_why(started, options):
    project, _ = started
    # Not the image's fault: what the stage before left is damaged.
    (records,) = (project.results / "preprocess").glob("*/batch.json")
    text = records.read_text()
    records.write_text("{")
    try:
        arguments = ["--forcerun", "threshold", "--until", "threshold"]
        output = project.snakemake("batch_size=100", *arguments, *options, success=False).stdout
    finally:
        records.write_text(text)
    (sentence,) = said(output)[1:]
    batch = records.parent.name
    assert sentence.startswith(f"nucleiflow: threshold {batch} failed: JSONDecodeError: ")
