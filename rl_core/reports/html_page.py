"""Parts of HTML pages, which work offline: the page itself, tables, tiles, and numbers as text."""

import html
import math
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from plotly.offline import get_plotlyjs, get_plotlyjs_version

from banditloop.rl_core.estimators.value_interval import TOO_LITTLE

LONG_CELL = 24  # characters above which a table cell wraps its text
STYLE = """*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;
overflow-wrap:anywhere}h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin:0 0 .3rem}
#decision{font-size:1.1rem;padding:.7rem 1rem;border-left:.4rem solid #8b949e;background:#f6f8fa;border-radius:.3rem}
#decision.good{border-color:#1a7f37;background:#eef9f0}#decision.unsure{border-color:#bf8700;background:#fff9e5}
#decision.bad,.alarm{border-color:#cf222e;background:#fff1f0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.7rem;margin:1rem 0}
.tiles div{border:1px solid #d8dee4;border-radius:.5rem;padding:.5rem .8rem}dt{color:#57606a;font-size:.85rem}
dd{margin:0;font-size:1.25rem;font-weight:600}dd small{font-size:.85rem;font-weight:400;display:block}
.columns{columns:2 26rem;column-gap:1rem;margin-bottom:1rem}
.columns>*{break-inside:avoid}.columns>:only-child{column-span:all}
section{border:1px solid #d8dee4;border-radius:.5rem;padding:.8rem 1rem;margin-bottom:1rem}
section p{margin:.2rem 0;color:#57606a;font-size:.9rem}
section .alarm{border-left:.3rem solid #cf222e;padding:.3rem .6rem;color:#1b1f24}
.scroll{overflow-x:auto;margin-bottom:.7rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap;vertical-align:top}
th:first-child,td:first-child,.text{text-align:left}
.long{white-space:normal;min-width:9rem}.text.long{min-width:17rem}"""


def write_html(path: Path, title: str, body: str, shared: Path | None = None) -> None:
    """Write a page with its styles inlined. The title is plain text, the body HTML.

    shared: folder with one copy of plotly for all pages, which is written there if it is missing; None: it is inlined.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    escaped = html.escape(title)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f"""<!doctype html><html lang="en"><head>{head}<title>{escaped}</title><style>{STYLE}</style>
{_plotly(path.parent, shared)}</head>
<body><h1>{escaped}</h1>
{body}</body></html>"""
    path.write_text(page, encoding="utf-8")


def _plotly(folder: Path, shared: Path | None) -> str:
    """The script element of a page in a folder."""
    script = get_plotlyjs()
    if shared is None:
        return f"<script>{script}</script>"
    content, file = script.encode(), shared / f"plotly-{get_plotlyjs_version()}.min.js"
    if not file.exists() or file.stat().st_size != len(content):
        shared.mkdir(parents=True, exist_ok=True)
        copy = shared / f".{uuid.uuid4().hex}"  # with the mode of the pages, which a temporary file would not have
        copy.write_bytes(content)
        copy.replace(file)
    return f'<script src="{quote(os.path.relpath(file, folder))}"></script>'


def decision(content: str, kind: str = "") -> str:
    """The highlighted first paragraph of a page, from HTML. Kind: good, unsure, bad, or "" for neutral."""
    return f'<p id="decision" class="{kind}">{content}</p>\n'


def tiles(content: Mapping[str, tuple[str, str]]) -> str:
    """Key figures as HTML: name -> (value, note)."""
    items = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}<small>{html.escape(note)}</small></dd></div>"
        for name, (value, note) in content.items()
    )
    return f'<dl class="tiles">{"".join(items)}</dl>'


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], text: Collection[str] = ()) -> str:
    """A horizontally scrolling HTML table. The first column and those named in `text` are left-aligned."""
    classes = ["text" if name in text else "" for name in header]
    names = "".join(
        f'<th class="{style}">{html.escape(name)}</th>' for style, name in zip(classes, header, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, classes, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def number(value: float | None) -> str:
    """An integer with thousands separators, or a decimal with three places; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def percent(fraction: float | None) -> str:
    """A fraction in percent; a dash for None."""
    return "–" if fraction is None else f"{fraction:.1%}"


def interval(row: Mapping[str, Any], key: str = "value") -> str:
    """A value with its interval, if it has one: "1.234 [1.000, 1.500]", "1.234 too little to tell" or "1.234"."""
    return f"{number(row[key])} {bounds(row)}".rstrip()


def bounds(row: Mapping[str, Any]) -> str:
    """The interval [low, high] of a row, or "too little to tell" if either bound is None; empty if it has no bounds."""
    if "low" not in row:
        return ""
    finite = row["low"] is not None and row["high"] is not None
    return f"[{number(row['low'])}, {number(row['high'])}]" if finite else TOO_LITTLE


def moment(iso: str | None) -> str:
    """An ISO 8601 time to the minute; a dash for None."""
    return "–" if iso is None else iso[:16].replace("T", " ")


def odds(log_wealth: float | None) -> str:
    """Log wealth as odds, "87 to 1"; a dash for None."""
    if log_wealth is None:
        return "–"
    wealth = math.exp(min(log_wealth, 700))
    return f"{wealth:,.0f} to 1" if 100 <= wealth < 1e6 else f"{wealth:.3g} to 1"


def _cell(style: str, cell: Any) -> str:
    content = cell if isinstance(cell, str) else number(cell)
    return f'<td class="{style}{" long" if len(content) > LONG_CELL else ""}">{html.escape(content)}</td>'
