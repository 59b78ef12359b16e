"""Pages of the report: HTML files that hold everything they show and need no network.

Texts are escaped here, names of files above all. Only what a function calls HTML is taken as it is.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from nucleiflow.files import replaced

STYLE = """
:root { color-scheme: light }
body { margin: 1.5rem auto; max-width: 74rem; padding: 0 1.25rem; color: #222;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; background: #fff }
h1 { font-size: 1.5rem; margin: 0 0 .5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .3rem 0 .8rem; max-width: 60rem }
table { border-collapse: collapse; font-size: 13px; margin: .5rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0;
  border-bottom: 1px solid #e2e2e2; overflow-wrap: anywhere }
th { border-bottom: 1px solid #888; white-space: nowrap }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code, pre { font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace }
pre { background: #f5f5f5; padding: .6rem .8rem; overflow: auto; white-space: pre-wrap }
summary { cursor: pointer; color: #0072b2; margin: .4rem 0 }
figure { margin: 1rem 0 1.6rem; break-inside: avoid }
figure svg { max-width: 100%; height: auto; display: block }
figcaption { font-size: 13.5px; color: #444; max-width: 60rem; margin-top: .3rem }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: .8rem 0 1.2rem; padding: 0 }
.facts div { border: 1px solid #ddd; border-radius: 6px; padding: .4rem .9rem; min-width: 5.5rem }
.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.facts .bad { border-color: #d55e00; border-left-width: 5px }
.flow { display: flex; flex-wrap: wrap; gap: 0 1.5rem }
.note { border-left: 4px solid #e69f00; padding: .2rem .8rem; background: #fdf6e7 }
"""


# Bytes of a table that the report holds. Larger ones lie beside it alone.
LARGEST_TABLE = 500_000


class Table(NamedTuple):
    """A table of texts and numbers.

    Attributes
    ----------
    columns : sequence of str
    rows : sequence of sequence
        Numbers, which stand on the right, and texts.
    more : str
        Where the rest is, if this is not all.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: str = ""

    def html(self) -> str:
        """As HTML."""
        kinds = [
            ' class="number"'
            if any(isinstance(row[index], (int, float)) for row in self.rows)
            else ""
            for index in range(len(self.columns))
        ]
        head = "".join(
            f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, self.columns, strict=True)
        )
        body = "\n".join(
            "<tr>"
            + "".join(
                f"<td{kind}>{escape(shown(value))}</td>"
                for kind, value in zip(kinds, row, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        more = f"<p>{escape(self.more)}</p>" if self.more else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>{more}"


def shown(value: object) -> str:
    """A number with thin spaces between thousands, a text as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value != value:
        return ""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    return f"{value:.4g}" if abs(value) < 10000 else f"{value:,.0f}".replace(",", "\u202f")


def facts(numbers: Iterable[tuple[str, object, bool]]) -> str:
    """HTML of numbers to be seen at once: label, value, and whether it is a bad sign."""
    tiles = "".join(
        f"<div{' class=bad' if bad else ''}><b>{escape(shown(value))}</b>{escape(label)}</div>"
        for label, value, bad in numbers
    )
    return f'<div class="facts">{tiles}</div>'


def figure(svg: str, caption: str) -> str:
    """HTML of a plot and what is to be said of it."""
    drawing = svg[svg.index("<svg") :]
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{drawing}{text}</figure>"


def flow(parts: Iterable[str]) -> str:
    """HTML of parts that stand beside each other where there is room."""
    return f'<div class="flow">{"".join(parts)}</div>'


def paragraph(text: str, kind: str = "") -> str:
    """HTML of a text; `note` is a kind that stands out."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def folded(title: str, html: str) -> str:
    """HTML that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def preformatted(text: str) -> str:
    """HTML of a text whose lines stay as they are."""
    return f"<pre>{escape(text)}</pre>"


def heading(text: str) -> str:
    """HTML of a heading."""
    return f"<h2>{escape(text)}</h2>"


def data_uri(content: bytes, mime: str) -> str:
    """A file as an address that holds it."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def page(title: str, parts: Iterable[str], style: str = "", script: str = "") -> str:
    """A whole page of HTML parts."""
    code = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + f"\n{code}</body></html>\n"
    )


def write(path: Path, text: str) -> None:
    """Write a page, or any other text."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")
