"""HTML pages that work offline: their shell, tables, and plots for a screen of any width."""

import html
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

BLUE, ORANGE, GREY = "#2563eb", "#d97706", "#8b949e"  # the candidate or challenger, the champion, all others
LONG = 24  # characters, above which a cell breaks its lines
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
# Nothing is dragged or zoomed: a finger on a plot scrolls the page.
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 12},
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    "margin": {"l": 45, "r": 10, "t": 30, "b": 45},
    "dragmode": False,
}


def write(path: Path, title: str, body: str) -> None:
    """Write a page with everything it needs inside. The title is plain text, the body HTML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = html.escape(title)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f"""<!doctype html><html lang="en"><head>{head}<title>{shown}</title><style>{STYLE}</style>
<script>{get_plotlyjs()}</script></head>
<body><h1>{shown}</h1>
{body}</body></html>"""
    path.write_text(page, encoding="utf-8")


def section(name: str, title: str, words: str, figure: go.Figure | None) -> str:
    """A plot under a title and some words, as HTML; without a figure it says that there is nothing yet."""
    drawn = plot(name, figure) if figure else "<p><em>Nothing to draw yet.</em></p>"
    return f"<section><h2>{title}</h2><p>{words}</p>{drawn}</section>\n"


def plot(name: str, figure: go.Figure) -> str:
    """A figure as HTML, as wide as its place."""
    # A module is run when the whole page is there and places have their width. to_json escapes what could end a script.
    draw = f'Plotly.newPlot("{name}",{{...{figure.to_json()},config:{{responsive:true,displayModeBar:false}}}})'
    return f'<div class="plot" id="{name}"></div><script type="module">{draw}</script>'


def chart(x: str, y: str, height: int = 320) -> go.Figure:
    """An empty figure with titles on its axes."""
    return go.Figure(layout=LAYOUT | {"height": height, "xaxis": {"title": x}, "yaxis": {"title": y}})


def whiskers(axis: str, rows: Sequence[Mapping[str, Any]], key: str = "value") -> dict[str, Any]:
    """What makes the markers of a scatter have intervals along an axis, from value, low and high of every row."""
    above, below = ([_gap(row[end], row[key]) for row in rows] for end in ("high", "low"))
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 2, "width": 0}
    return {f"error_{axis}": bars, "text": [interval(row, key) for row in rows]}


def wealth(
    x: str, seen: Sequence[float], logs: Sequence[float | None], names: Sequence[str], needed: float
) -> go.Figure:
    """Log wealth after every look, from the beginning, and the line it has to reach."""
    figure = chart(x, "log wealth")
    labels = [plain(f"{name}: {odds(log)}") for name, log in zip(names, logs, strict=True)]
    figure.add_scatter(
        x=[0, *seen], y=[0, *logs], text=["start", *labels], hovertemplate="%{text}<extra></extra>", line_color=BLUE
    )
    label = {"text": f"needed: {needed:.2f}, {odds(needed)}", "yanchor": "bottom", "xshift": 8}
    figure.add_hline(needed, line_dash="dot", line_color=GREY, annotation=label, annotation_position="top left")
    return figure


def tiles(content: Mapping[str, tuple[str, str]]) -> str:
    """Figures to see first, as HTML: by name, the figure and what is to be said beside it."""
    shown = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(figure)}<small>{html.escape(beside)}</small></dd></div>"
        for name, (figure, beside) in content.items()
    )
    return f'<dl class="tiles">{"".join(shown)}</dl>'


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], text: Collection[str] = ()) -> str:
    """Rows as HTML, scrolling inside their place; columns of text and the first one are to the left."""
    kinds = ["text" if name in text else "" for name in header]
    names = "".join(f'<th class="{kind}">{html.escape(name)}</th>' for kind, name in zip(kinds, header, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, kinds, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def number(value: float | None) -> str:
    """A figure as people read it."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "–" if share is None else f"{share:.1%}"


def interval(row: Mapping[str, Any], key: str = "value") -> str:
    """A value with its interval."""
    return f"{number(row[key])} {bounds(row)}".rstrip()


def bounds(row: Mapping[str, Any]) -> str:
    """An interval, or nothing where it is not known."""
    known = row["low"] is not None and row["high"] is not None
    return f"[{number(row['low'])}, {number(row['high'])}]" if known else ""


def moment(iso: str | None) -> str:
    """A time to the minute."""
    return "–" if iso is None else iso[:16].replace("T", " ")


def odds(log_wealth: float | None) -> str:
    """Log wealth as people say it."""
    if log_wealth is None:
        return "–"
    wealth = math.exp(min(log_wealth, 700))
    return f"{wealth:,.0f} to 1" if 100 <= wealth < 1e6 else f"{wealth:.3g} to 1"


def plain(text: str) -> str:
    """Text that a plot shows as it is, though it may look like HTML."""
    return html.escape(text, quote=False)


def _gap(end: float | None, value: float | None) -> float | None:
    return None if end is None or value is None else abs(end - value)


def _cell(kind: str, cell: Any) -> str:
    shown = cell if isinstance(cell, str) else number(cell)
    return f'<td class="{kind}{" long" if len(shown) > LONG else ""}">{html.escape(shown)}</td>'
