"""The loop's figures as one HTML page that works offline."""

import html
from pathlib import Path
from typing import Any

BASELINES = {"oracle": "best action for each user", "best_fixed": "best single action", "uniform": "uniform choice"}
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
th,td{padding:.35rem .7rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}"""


def write_page(summary: dict[str, Any], path: Path) -> None:
    """Write the learning curve and the table of a loop's summary."""
    rows = "".join(_row(version) for version in summary["versions"])
    last = summary["versions"][-1]
    share = last["value"] / summary["oracle"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>banditloop</title>
<style>{STYLE}</style></head>
<body><h1>What the loop learned</h1>
<p>The policy that serves now earns {last["value"]:.3f} a recommendation, exploration included: {share:.0%} of the
{summary["oracle"]:.3f} that knowing every user's best action would. Choosing uniformly earns {summary["uniform"]:.3f},
the best single action {summary["best_fixed"]:.3f}.</p>
{_curve(summary)}
<table><thead><tr><th>version</th><th>interactions</th><th>mean reward logged</th><th>value as served</th>
<th>value of its best guesses</th></tr></thead><tbody>{rows}</tbody></table></body></html>""")


def _curve(summary: dict[str, Any]) -> str:
    import plotly.graph_objects as go

    versions = summary["versions"]
    seen = [sum(v["interactions"] for v in versions[:i]) for i in range(len(versions))]
    figure = go.Figure()
    for key, name in (
        ("greedy_value", "value of its best guesses"),
        ("value", "value as served"),
        ("mean_reward", "mean reward logged"),
    ):
        figure.add_scatter(
            x=seen,
            y=[v[key] for v in versions],
            name=name,
            mode="lines+markers",
            text=[v["version"] for v in versions],
            hovertemplate="%{text}: %{y:.3f}",
        )
    for key, name in BASELINES.items():
        figure.add_hline(summary[key], line_dash="dot", line_color="#888", annotation_text=f"{name} {summary[key]:.2f}")
    figure.update_layout(
        template="plotly_white",
        xaxis_title="interactions learned from",
        yaxis_title="reward a recommendation",
        legend={"orientation": "h", "y": -0.2},
        margin={"l": 50, "r": 20, "t": 30, "b": 50},
    )
    return figure.to_html(full_html=False, include_plotlyjs=True, config={"responsive": True, "displayModeBar": False})


def _row(version: dict[str, Any]) -> str:
    figures = (version["mean_reward"], version["value"], version["greedy_value"])
    shown = "".join(f"<td>{'–' if figure is None else f'{figure:.3f}'}</td>" for figure in figures)
    return f"<tr><td>{html.escape(version['version'])}</td><td>{version['interactions']:,}</td>{shown}</tr>"
