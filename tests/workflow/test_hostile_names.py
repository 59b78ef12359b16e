"""Names of files are data: whatever they hold, no rule, log, table or page does what they say."""

import csv
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import tifffile
from project import Project, nuclei

from nucleiflow.spreadsheet import NUMBER, true_text

pytestmark = pytest.mark.long

DIRECTORY = "=d;$(touch pwned)<b>$\\frac$"
PRINTABLE = "".join(map(chr, range(33, 127))).replace("/", "")
NAMES = [
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned;b",
    "a|touch pwned&",
    "'; touch pwned; '",
    "<script>alert(1)<script>",
    "=cmd()",
    "'=cmd()",
    "+1+1",
    "-rf",
    "-1",
    "@SUM(A1)",
    "x;=1+1",
    "{batch}{wildcards}",
    "%s%d%n",
    "a,b",
    'q"uote',
    "back\\slash",
    "*",
    "[a]?",
    "$x^{y$",
    "~",
    " space ",
    "tab\tx",
    "cr\rx",
    "esc\x1b[31m",
    "line\n=break",
    "NA",
    "null",
    "True",
    "001",
    "1e5",
    "e\u0301 é ß \u202e 核",
    PRINTABLE,
    "n" * 251,
    "ü" * 125,
]
# They fail, so that the terminal, failed.csv and pages name them.
BAD = ["bad\nnucleiflow: forged", "=bad()<script>alert(2)<script>", "bad\x1b[31mred"]


def cells(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def formulas(path: Path) -> list[str]:
    """Cells of a table that a spreadsheet would run, whatever it separates cells by."""
    return [
        cell
        for cell in cells(path)
        if not re.fullmatch(NUMBER, cell)
        and any(part[:1] in tuple("=+-@") for part in re.split("[;,\t\r\n]", cell))
    ]


def touched(project: Project) -> list[Path]:
    folders = (project.run.parent, project.clone)
    return [path for folder in folders for path in folder.glob("**/pwned*")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> tuple[Project, str]:
    """A run over images of all these names, and what it said."""
    folder = tmp_path_factory.mktemp("hostile")
    project = Project(Path(__file__).parents[2], folder / "images", folder / "run")
    (project.images / DIRECTORY).mkdir(parents=True)
    project.run.mkdir()
    for index, name in enumerate(NAMES):
        tifffile.imwrite(project.images / DIRECTORY / f"{name}.tif", nuclei(index, 64))
    for name in BAD:
        (project.images / DIRECTORY / f"{name}.tif").write_bytes(b"")
    config = ("batch_size=1000", "max_failed=0.9")
    formats = "tables={sqlite: true, partition_by: directory}"
    output = project.snakemake("all", "inventory", "preview", *config, formats).stdout
    return project, output + project.snakemake("--report", "report.html", *config, formats).stdout


def test_nothing_that_a_name_says_is_done(hostile):
    project, output = hostile
    assert touched(project) == []
    assert "\x1b" not in output
    assert "Traceback" not in output
    lines = output.splitlines()
    assert not any(line.startswith("nucleiflow: forged") for line in lines)
    assert sum(r"bad\nnucleiflow: forged.tif: the file is empty" in line for line in lines) == 1
    for log in (project.results / "logs").rglob("*.log"):
        text = log.read_text()
        assert "\x1b" not in text
        assert not re.search("^nucleiflow: forged", text, re.M)


@pytest.mark.parametrize("table", ["images.csv", "objects.csv", "inventory.csv"])
def test_tables_hold_no_formula_and_give_the_names_back(hostile, table: str):
    project, _ = hostile
    assert formulas(project.results / table) == []
    rows = project.rows(table)
    assert {true_text(row["directory"]) for row in rows} == {DIRECTORY}
    expected = {*NAMES, *BAD} - ({*BAD} if table == "objects.csv" else set())
    assert {true_text(row["image"]) for row in rows} == expected
    frame = pd.read_csv(project.results / table, dtype=str, keep_default_na=False)
    back = frame["image"].str.replace(r"(^|[;,\t\r\n])'('*[=+\-@])", r"\1\2", regex=True)
    assert set(back) == expected


def test_other_tables_hold_no_formula_and_the_true_names(hostile):
    project, _ = hostile
    for table in ("summary.csv", "report/tables/failed.csv", "report/tables/summary.csv"):
        assert formulas(project.results / table) == []
    (row,) = project.rows("summary.csv")
    assert true_text(row["directory"]) == DIRECTORY
    assert (row["images"], row["failed"]) == (str(len(NAMES) + len(BAD)), str(len(BAD)))
    failed = [true_text(row["file"]) for row in project.rows("report/tables/failed.csv")]
    assert sorted(failed) == sorted(f"{name}.tif" for name in BAD)
    objects = pd.read_parquet(project.results / "objects.parquet")
    assert set(objects["image"]) == {*NAMES}
    with sqlite3.connect(project.results / "objects.sqlite") as database:
        for table, names in (("objects", {*NAMES}), ("images", {*NAMES, *BAD})):
            found = database.execute(f"SELECT directory, image FROM {table}")
            assert set(found) == {(DIRECTORY, name) for name in names}
    parts = pd.read_parquet(project.results / "objects")
    assert set(parts["directory"].astype(str)) == {DIRECTORY}


def test_each_image_has_its_own_files_and_rows(hostile):
    project, _ = hostile
    objects = pd.read_parquet(project.results / "objects.parquet")
    for row in project.rows("images.csv"):
        name = true_text(row["image"])
        count = (objects["image"] == name).sum()
        assert int(row["objects"]) == count
        assert (name in BAD) == (row["status"] == "failed") == (count == 0)
        for product in ("labels", "csv", "overlay") if name in NAMES else ():
            path = project.results / true_text(row[product])
            assert path.is_file()
            assert path.stem == name


def test_pages_show_names_as_text(hostile):
    project, _ = hostile
    pages = [project.run / "report.html", *(project.results / "report").rglob("*.html")]
    assert len(pages) > 4
    for page in pages:
        text = page.read_text()
        assert not re.search("<script>alert", text)
        assert "<b>$" not in text
    assert "&lt;script&gt;alert(2)" in (project.results / "report" / "run.html").read_text()
    assert "&lt;b&gt;$\\frac$" in (project.results / "report" / "run.html").read_text()


def test_values_of_a_sheet_are_text(fresh: Project):
    values = ["=cmd()", "-x", '=HYPERLINK("a")']
    lines = ["file,image,well,compound,dose"]
    for index, value in enumerate(values):
        tifffile.imwrite(fresh.images / f"{index}.tif", nuclei(index))
        quoted = value.replace('"', '""')
        lines.append(f'{index}.tif,"{quoted}",A0{index + 1},"{quoted}",-{index}')
    fresh.images = fresh.images / "sheet.csv"
    fresh.images.write_text("\n".join(lines))
    fresh.snakemake("all", "summary={group_by: [compound]}")
    for table in ("images.csv", "objects.csv", "summary.csv", "report/plates/wells.csv"):
        assert formulas(fresh.results / table) == []
        compounds = dict.fromkeys(true_text(row["compound"]) for row in fresh.rows(table))
        assert sorted(compounds) == sorted(values)
    assert {row["dose"] for row in fresh.rows("images.csv")} == {"0", "-1", "-2"}


def test_what_leaves_the_dataset_is_refused_unless_allowed(fresh: Project):
    secret = fresh.run.parent / "elsewhere" / "x.tif"
    secret.parent.mkdir()
    tifffile.imwrite(secret, nuclei(1))
    tifffile.imwrite(fresh.images / "a.tif", nuclei(2))
    link, images = fresh.images / "link.tif", fresh.images
    link.symlink_to(secret)
    sheet = fresh.images / "sheet.csv"
    sheet.write_text("file\na.tif\n../elsewhere/x.tif\n")
    for path, said in (
        (images, f"images: link.tif is a link to {secret}, outside of the dataset: "),
        (sheet, f"{sheet} line 3, column file: ../elsewhere/x.tif leads to {secret}, outside of "),
    ):
        fresh.images = path
        output = fresh.snakemake("--dry-run", success=False).stdout
        (line,) = (line for line in output.splitlines() if line.startswith("nucleiflow: "))
        assert said in line
        assert "set follow_links to anywhere" in line
        assert "2 images" in fresh.snakemake("--dry-run", "follow_links=anywhere").stdout


@pytest.mark.parametrize("where", ["--configfile", "--config"])
def test_yaml_makes_no_objects(fresh: Project, where: str):
    tifffile.imwrite(fresh.images / "a.tif", nuclei(1))
    code = '!!python/object/apply:os.system ["touch pwned"]'
    path = fresh.run / "evil.yaml"
    path.write_text(f"keep: {code}\n")
    arguments = [where, str(path)] if where == "--configfile" else [f"keep={code}"]
    fresh.snakemake("--dry-run", *arguments, success=False)
    assert touched(fresh) == []
    assert not fresh.results.exists()
