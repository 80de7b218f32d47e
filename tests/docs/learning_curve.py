"""The picture of the README: the learning curve of a run of `make demo`, as a small SVG.

`python -m tests.docs.learning_curve build/demo/summary.json` draws docs/learning-curve.svg anew. The figures that it
shows stand in its metadata.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT

PICTURE = ROOT / "docs" / "learning-curve.svg"
WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 700, 30, 290  # of the plot
BASELINES = {"oracle": "best movie for each user", "best_fixed": "best single movie", "uniform": "uniform choice"}
METADATA = re.compile(r"<metadata>(.*)</metadata>")


def figures(summary: dict[str, Any]) -> dict[str, Any]:
    """What the picture shows of a summary of `banditloop loop`: baselines, and values by interactions before."""
    versions, before, points = summary["versions"], 0, []
    for version in versions:
        name = version["version"].partition("-")[0]
        points.append([name, before, round(version["value"], 2), version["status"]])
        before += version["interactions"]
    return {**{name: round(summary[name], 2) for name in BASELINES}, "interactions": before, "points": points}


def svg(shown: dict[str, Any]) -> str:
    """The picture of these figures."""
    top = shown["oracle"] * 1.05

    def x(interactions: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * interactions / shown["interactions"], 1)

    def y(reward: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * reward / top, 1)

    points = [(name, x(before), y(value), value, status) for name, before, value, status in shown["points"]]
    line = " ".join(f"{left},{height}" for _, left, height, *_ in points)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        "<title>Reward per recommendation of each policy version, by interactions before it</title>",
        f"<metadata>{json.dumps(shown)}</metadata>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16">reward per recommendation</text>',
        *(_tick(LEFT, y(reward), str(reward)) for reward in range(int(top) + 1)),
        *(_label(x(number), BOTTOM + 18, f"{number:,}", "middle") for number in range(0, shown["interactions"], 1000)),
        _label((LEFT + RIGHT) / 2, BOTTOM + 38, "interactions served by earlier versions", "middle"),
        *(_baseline(y(shown[name]), f"{text} {shown[name]:.2f}") for name, text in BASELINES.items()),
        f'<polyline fill="none" stroke="#0969da" stroke-width="2" points="{line}"/>',
        *(_point(*point) for point in points),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _tick(left: float, y: float, text: str) -> str:
    return f'<path d="M{left} {y}H{RIGHT}" stroke="#eee"/>' + _label(left - 8, y + 4, text, "end")


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _baseline(y: float, text: str) -> str:
    line = f'<path d="M{LEFT} {y}H{RIGHT}" stroke="#777" stroke-dasharray="3 4"/>'
    return line + _label(RIGHT, y - 5, text, "end")


def _point(name: str, x: float, y: float, value: float, status: str) -> str:
    circle = f'<circle cx="{x}" cy="{y}" r="4" fill="#0969da"><title>{name}, {status}: {value:.2f}</title></circle>'
    return circle + _label(x + 3, y + 18, name, "start") + _label(x + 3, y + 32, f"{value:.2f}", "start")


def main() -> None:
    """Draw the picture from a summary."""
    PICTURE.write_text(svg(figures(json.loads(Path(sys.argv[1]).read_text()))))


if __name__ == "__main__":
    main()
