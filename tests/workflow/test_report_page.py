"""The report in a browser: all there, all shown, nothing on the console, and small."""

import itertools
import subprocess
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
import tifffile
from browser import Browser
from project import ROOT, Project, nuclei

pytestmark = pytest.mark.long

CATEGORIES = ["1 Run", "2 Quality", "3 Pictures", "4 Plots", "5 Plates", "6 Doses", "7 Tables"]
# Names of files are data: none of this may become markup.
EVIL = "<b>x & 'y' $z$ \"é"
MENU = """
const links = [...document.querySelectorAll("nav a")];
const texts = links.map(link => link.innerText.trim());
if (arguments[0] === undefined) return texts.filter(text => /^\\d /.test(text));
links[texts.indexOf(arguments[0])].click();
"""
ROWS = """
return [...document.querySelectorAll("nav tbody tr")].map(row => row.innerText.trim());
"""
EYE = """
const row = [...document.querySelectorAll("nav tbody tr")][arguments[0]];
const eye = row.querySelector("a");
if (eye.download) return [eye.download, eye.href.slice(0, 14)];
eye.click();
return [];
"""
HOME = "document.querySelector('nav ol a').click()"
LOADED = """
return new Promise(resolve => {
  const look = () => document.readyState === "complete" && document.querySelector("h1")
    ? resolve(document.querySelector("h1").innerText) : setTimeout(look, 20);
  look();
});
"""
WIDTHS = """
return [...document.images].filter(image => image.src).map(image => image.naturalWidth);
"""
PLOTS = """
return [...document.querySelectorAll("figure svg")].map(plot => {
  const box = plot.getBoundingClientRect();
  return [box.width, box.height, plot.querySelectorAll("text").length];
});
"""


@pytest.fixture
def chromium(tmp_path: Path) -> Browser:
    if lacking := browser.missing():
        pytest.skip(lacking)
    (tmp_path / "browser").mkdir()
    with Browser(tmp_path / "browser") as opened:
        yield opened


def looked_at(chromium: Browser, report: Path) -> dict[str, dict]:
    """Every page that the menu leads to: its title, sizes of pictures and plots, text; tables."""
    chromium.open(report)
    found = {}
    for category in chromium.run(MENU):
        chromium.run(HOME)
        chromium.run(MENU, category)
        for number, name in enumerate(chromium.run(ROWS)):
            if table := chromium.run(EYE, number):
                assert table == [name.split(":")[0], "data:text/csv;"]
                found[table[0]] = {"category": category}
                continue
            chromium.enter("iframe")
            title = chromium.run(LOADED)
            found[title] = {
                "category": category,
                "pictures": chromium.run(WIDTHS),
                "plots": chromium.run(PLOTS),
                "text": chromium.run("return document.body.innerText"),
            }
            chromium.enter(None)
    return found


def errors(chromium: Browser) -> list[str]:
    """What the console holds, but for Snakemake's own notice on one of its libraries."""
    lines = [line["message"] for line in chromium.console() if line["level"] != "INFO"]
    return [line for line in lines if "cdn.tailwindcss.com should not be used" not in line]


def test_report_of_the_demo_shows_everything(chromium: Browser, tmp_path: Path):
    demo = tmp_path / "demo"
    command = [sys.executable, str(ROOT / "workflow" / "demo.py"), str(demo)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = demo / "results" / "report.html"
    assert report.stat().st_size < 8_000_000
    chromium.open(report)
    assert chromium.run(MENU) == CATEGORIES
    # The first page names all others.
    links = chromium.run(
        "return [...document.querySelectorAll('.prose li a')].map(a => a.innerText)"
    )
    assert len(links) == len(CATEGORIES) - 1
    assert "24" in chromium.run("return document.querySelector('.prose pre').innerText")

    pages = looked_at(chromium, report)
    assert [page["category"] for page in pages.values()] == [*CATEGORIES, "7 Tables", "7 Tables"]
    assert [title for title, page in pages.items() if page["category"] == "7 Tables"] == [
        *("failed.csv", "summary.csv", "wells.csv")
    ]
    assert len(pages["Pictures"]["pictures"]) >= 12
    assert min(pages["Pictures"]["pictures"]) > 100
    plots = {title: page["plots"] for title, page in pages.items() if "plots" in page}
    counts = {title: len(sizes) for title, sizes in plots.items()}
    assert counts["Measurements"] == 5
    assert counts["Plates"] == 4
    assert counts["Doses"] == 2
    assert counts["Quality"] >= 2
    for width, height, texts in itertools.chain(*plots.values()):
        assert width > 200 and height > 100 and texts > 5
    run = pages["What was run"]["text"]
    for text in ("24\nimages", "0\nfailed", "metadata.plate_map", "scikit-image", "Config"):
        assert text in run
    for text in ("dose (µM)", "placebo 1", "negative control (2 wells)", "nuclei an image"):
        assert text in pages["Doses"]["text"]
    assert errors(chromium) == []


@pytest.fixture
def odd(fresh: Project) -> Project:
    """A run on images with odd names, of which some failed."""
    folder = fresh.images / EVIL
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(folder / f"{EVIL} {number}.tif", nuclei(number))
    (folder / "broken<i>.tif").write_text("<html>")
    # Noise, for a page of more than 2 MB, which browsers do not show by a data address.
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 1500, (900, 900), np.uint16)
        tifffile.imwrite(fresh.images / f"noise {number}.tif", noise)
    config = ["max_failed=1", "threshold={method: manual, manual: {value: 1600}}"]
    fresh.snakemake("all", *config)
    fresh.snakemake(*config, "--report", "report.html")
    return fresh


def test_pages_of_any_size_and_names_of_any_kind_are_shown(chromium: Browser, odd: Project):
    assert (odd.results / "report" / "pictures.html").stat().st_size > 2_000_000
    pages = looked_at(chromium, odd.run / "report.html")
    # No wells are known.
    expected = [name for name in CATEGORIES if name not in ("5 Plates", "6 Doses")]
    assert list(dict.fromkeys(page["category"] for page in pages.values())) == expected
    assert len(pages["Pictures"]["pictures"]) == 8
    assert min(pages["Pictures"]["pictures"]) > 90
    for title in ("Pictures", "What was run", "Measurements"):
        assert EVIL in pages[title]["text"]
    failed = f"{EVIL}/broken<i>\tpreprocess\t"
    assert failed in pages["What was run"]["text"]
    assert "threshold.method\tmanual\thalf_maximum" in pages["What was run"]["text"]
    assert errors(chromium) == []

    # A picture opens in full, and leads to the others.
    chromium.open(odd.results / "report" / "pictures.html")
    shown = "const box = document.querySelector('dialog'); return [box.open, box.innerText];"
    assert chromium.run(shown)[0] is False
    chromium.run("document.querySelectorAll('.grid button')[2].click()")
    chromium.run("return document.querySelector('dialog img').decode()")
    is_open, text = chromium.run(shown)
    assert is_open and "(3 of 8;" in text
    width = "return document.querySelector('dialog img').getBoundingClientRect().width"
    assert chromium.run(width) > 400
    press = (
        "document.querySelector('dialog').dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"
    )
    for key, number in (("ArrowRight", 4), ("ArrowLeft", 3)):
        chromium.run(press % key)
        assert f"({number} of 8;" in chromium.run(shown)[1]
    chromium.run("document.querySelector('dialog').click()")
    assert chromium.run(shown)[0] is False
    assert errors(chromium) == []
