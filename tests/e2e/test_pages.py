"""The HTML pages in a browser: complete on desktop and phone screens, offline, with any content."""

import html
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from plotly.offline import get_plotlyjs

from banditloop.rl_core.estimators import ESTIMATORS, evaluate, evaluate_episodes
from banditloop.rl_core.reports.episode_log_page import write_page as write_episode_log
from banditloop.rl_core.reports.evaluation_page import write_page as write_evaluation
from banditloop.rl_core.reports.learning_curve_page import write_page as write_loop
from banditloop.rl_core.reports.log_page import write_page as write_log
from banditloop.rl_core.reports.on_policy_page import content as on_policy_content
from banditloop.rl_core.reports.on_policy_page import write_page as write_on_policy_page
from banditloop.rl_core.reports.release_page import write_page as write_report
from banditloop.rl_core.reports.selection_page import write_selection
from banditloop.rl_core.training.on_policy import Curve, Loop

DISABLED_FEATURES = ["background-networking", "component-update", "gpu", "sync"]
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in DISABLED_FEATURES)]
HOSTILE = "</script><script>alert('x')</script>"
TIMESTAMP = "2026-01-02T03:04:05+00:00"


def estimate(value: float | None, width: float = 0.4) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - width, "high": value + 2 * width}


def evaluation(
    version: str = "v2-3b1a0364",
    reason: str = "earns more than random: 87 to 1",
    decision: str = "promote",
    name: str = "interests=sport",
):
    """name: that of features and actions."""
    counts = np.random.default_rng(0).multinomial(411, [1 / 12] * 12).tolist()
    diagnostics = {"effective_sample_size": 24.1, "largest_weight": 19.05, "without_overlap": 0.1} | {
        "mean_weight": 1.3
    }
    return {
        "verdict": {
            "version": version,
            "champion": "random",
            "decision": decision,
            "reason": reason,
            "at": TIMESTAMP,
            "until": TIMESTAMP,
        }
        | {"better": 18.3, "worse": -0.7},
        "interactions": 411,
        "unknown_version_rows": 3,
        "ignored": 7,
        "left_out": 1,
        "propensity_audit": {"log_wealth": 5.2, "needed": math.log(100)},
        "logging_mix": {"random": 0.6, version: 0.4},
        "coverage": 0.98,
        "estimates": {
            name: {"candidate": estimate(4 + number / 10), "champion": estimate(0.9, 0.1)}
            for number, name in enumerate(ESTIMATORS)
        },
        "difference": estimate(3.4),
        "diagnostics": {"candidate": diagnostics, "champion": diagnostics},
        "weights": {"edges": [0, *np.geomspace(1e-3, 100, 11).round(3).tolist(), None]}
        | {"candidate": counts, "champion": counts[::-1]},
        "wealth": [
            {"version": name, "log_wealth": log, "interactions": count}
            for name, log, count in (("v1", 1.6, 194), (version, 18.3, 411))
        ],
        "needed": math.log(40),
        "learning": [
            {"version": name, "interactions": 4000, "mean_reward": mean}
            for name, mean in (("random", 0.9), (version, 4.1))
        ],
        "action_ids": [f"{name} {number}" for number in range(20)],
        "actions": {"candidate": [0.01] * 10 + [0.09] * 10, "champion": [0.05] * 20},
        "by_action": [
            {"action": f"{name} {number}", "interactions": 20, "logged": 0.05, "candidate": 0.09, "champion": 0.05}
            | estimate(number / 5)
            for number in range(20)
        ],
        "segments": [
            {"segment": f"{name} {feature} below its mean", "fraction": 0.47} | estimate(feature - 3.0)
            for feature in range(12)
        ],
    }


def without_values(content: Any) -> Any:
    """The same content with None for every number and empty lists."""
    if isinstance(content, dict):
        return {key: without_values(value) for key, value in content.items()}
    return content if isinstance(content, str) else [] if isinstance(content, list) else None


def empty_evaluation() -> dict[str, Any]:
    whole = evaluation(decision="canary")
    empty = {"weights": whole["weights"] | {side: [0] * 12 for side in ("candidate", "champion")}, "interactions": 0}
    return without_values(whole) | empty | {"needed": whole["needed"], "logging_mix": {}, "ignored": 0}


def version_row(version: str, status: str, percent: int, mean: float | None, reason: str = "") -> dict[str, Any]:
    bounds = {"low": mean and mean - 0.2, "high": mean and mean + 0.2}
    counts = {"learned_from": 700, "interactions": 1200, "rewarded": 1100, "ignored": 40, "shadowed": 12}
    verdict = {"decision": "promote" if reason else "", "reason": reason}
    row = {"version": version, "status": status, "traffic_percent": percent, "mean_reward": mean}
    row |= {"made": TIMESTAMP, "promoted": TIMESTAMP if reason else None}
    return row | bounds | counts | verdict


def report(
    version: str = "v3-0f3c11aa",
    reason: str = "earns more than v2: 65 to 1 against chance, 40 needed",
    name: str = "interests=sport",
):
    """name: that of features."""
    means = {"random": 0.9, "v1-05d3c608": 3.4, "v2-3b1a0364": 4.1, version: 4.3, "v4-77aa0c1d": 4.5}
    return {
        "endpoint": "movielens",
        "at": TIMESTAMP,
        "read": {"interactions": 200_000, "whole": False},
        "versions": [
            *(version_row(name, "was champion", 0, means[name]) for name in list(means)[:3]),
            version_row(version, "champion", 90, 4.3, reason),
            version_row("v4-77aa0c1d", "canary", 10, None),
        ],
        "periods": [
            {"version": name, "until": TIMESTAMP, "interactions": 2000 * number + 200 * step, "mean_reward": mean}
            | {"low": mean - 1 / step, "high": mean + 1 / step}
            for number, (name, mean) in enumerate(means.items())
            for step in range(1, 10)
        ],
        "alarms": [{"kind": "reward", "text": f"the mean reward of {version} has fallen since it started serving"}],
        "features": [
            {"feature": f"{name} {n}", "training_mean": n / 10, "recent_mean": 0.7 - n / 12, "p_value": 0.003 * n}
            for n in range(20)
        ],
        "actions": [
            {"action": f"{name} {n}", "chosen": 900 - 40 * n, "share": 0.05, "mean_reward": 0.5, "explored": 0.02 * n}
            | {"low": 0.4, "high": None if n == 19 else 0.6}
            for n in range(20)
        ],
        "exploration": {"version": version, "mean_reward": 4.3, "greedy_value": 4.5, "low": 4.4, "high": 4.6},
        "evidence": {"champion": version, "challenger": "v4-77aa0c1d", "traffic_percent": 10}
        | {"unit": "interaction"}
        | {"wealth": [-0.2, 0.5, 1.8], "better": 1.8, "worse": -0.9}
        | {"needed": math.log(40), "needed_worse": math.log(2000)},
        "retrainings": [
            {"run": "retraining-1", "version": "v2-3b1a0364", "rows": 2_000_000, "seconds": 61.2}
            | {"rows_per_second": 32_679.7, "cpu_seconds": None, "peak_memory_mb": None},
            {"run": "retraining-20260102", "version": version, "rows": 20_000, "seconds": 12.3}
            | {"rows_per_second": 1626.0, "cpu_seconds": 14.1, "peak_memory_mb": 412.5},
        ],
        "verdicts": [
            {"at": TIMESTAMP, "version": version, "champion": "v2-3b1a0364", "decision": "promote", "by": "evaluator"}
            | {"reason": reason, "run": "retraining-20260102"}
        ],
    }


def empty_report() -> dict[str, Any]:
    empty = {"exploration": None, "evidence": None, "read": {"interactions": 0, "whole": True}}
    return without_values(report()) | empty


def loop(version: str = "v2-3b1a0364") -> dict[str, Any]:
    rows = [
        ("random", 100, 0.9, 0.88),
        ("v1-05d3c608", 600, 3.4, 3.5),
        (version, 600, 4.1, 4.2),
        ("v3-aa", 0, None, 4.3),
    ]
    keys = "version", "interactions", "mean_reward", "value"
    dates = {"made": TIMESTAMP, "promoted": None}
    versions = [dict(zip(keys, row, strict=True)) | {"greedy_value": row[-1] + 0.1} | dates for row in rows]
    return {"oracle": 4.57, "best_fixed": 2.38, "uniform": 0.88, "versions": versions}


def loop_without_values() -> dict[str, Any]:
    """Of an environment that does not know the value of a policy."""
    keys = "version", "interactions", "mean_reward", "made", "promoted"
    return {"versions": [{key: row[key] for key in keys} for row in loop()["versions"]]}


def log(policy: str = "uniform, on log.csv", country: str = "DE"):
    rewards = np.random.default_rng(0).random(50)
    table = {"reward": rewards, "propensity": np.full(50, 0.5), "target": np.tile([0.9, 0.1], 25)}
    table["country"] = np.array([country, "FR"] * 25, object)
    return {"policy": policy} | evaluate(table, by=["country"], detect=0.01).summary


def episode_log(policy: str = "uniform, on log.csv", metric: str = 'cost in "€"'):
    random = np.random.default_rng(0)
    table = {"episode_id": np.arange(200) // 4, "step": np.arange(200) % 4, "reward": random.random(200)}
    table |= {"propensity": np.full(200, 0.5), "target": random.random(200), metric: random.random(200)}
    return {"policy": policy} | evaluate_episodes(table, metrics=[metric]).summary


def on_policy(agent: str = "linucb", known: bool = True, measures: dict[str, float] | None = None):
    loops = [
        Loop(16 * (row + 1), 1 / (row + 1) if known else None, 3 - 1 / (row + 1), 16 * (row + 1), measures or {})
        for row in range(1200)
    ]
    baselines = {"uniform": 0.9, "best_fixed": 2.4, "oracle": 3.0} if known else {}
    return on_policy_content(Curve(loops), baselines, {"agent": agent, "environment": agent, "version": "v1-0a1b2c3d"})


PAGES = {
    "on-policy": (write_on_policy_page, on_policy, {"return", "regret"}),
    "on-policy without regret": (write_on_policy_page, lambda: on_policy(known=False), {"return"}),
    "log": (write_log, log, {"estimates", "segments"}),
    "log of episodes": (write_episode_log, episode_log, {"returns-reward", 'returns-cost in "€"'}),
    "evaluation": (write_evaluation, evaluation, {"estimates", "wealth", "weights", "actions", "segments", "learning"}),
    "report": (write_report, report, {"reward", "evidence", "features"}),
    "loop": (write_loop, loop, {"learning"}),
    "loop without values": (write_loop, loop_without_values, {"learning"}),
    "empty evaluation": (write_evaluation, empty_evaluation, set()),
    "empty report": (write_report, empty_report, set()),
}
HOSTILE_PAGES = {
    "on-policy": (
        write_on_policy_page,
        lambda: on_policy(HOSTILE, measures={"average_length": 3.0, "entropy": 0.5, HOSTILE: 1.0}),
    ),
    "log": (write_log, lambda: log(HOSTILE, HOSTILE)),
    "log of episodes": (write_episode_log, lambda: episode_log(HOSTILE, HOSTILE)),
    "evaluation": (write_evaluation, lambda: evaluation(HOSTILE, HOSTILE, name=HOSTILE)),
    "report": (write_report, lambda: report(HOSTILE, HOSTILE, HOSTILE)),
    "loop": (write_loop, lambda: loop(HOSTILE)),
}


@pytest.mark.parametrize(("log_wealth", "rings"), [(4.5, False), (4.7, True), (None, False)])
def test_the_page_alarms_where_the_propensity_audit_rejects(log_wealth, rings, tmp_path):
    audit = {"log_wealth": log_wealth, "needed": math.log(100)}
    write_evaluation(evaluation() | {"propensity_audit": audit}, tmp_path / "page.html")
    assert ('<p class="alarm">' in (tmp_path / "page.html").read_text()) == rings


def test_the_report_has_a_row_for_each_retraining_with_dashes_for_what_it_did_not_report(tmp_path):
    write_report(report(), tmp_path / "page.html")
    table = (tmp_path / "page.html").read_text().partition("<h2>Retrainings, newest first</h2>")[2]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.partition("</table>")[0].split("<tr>")[2:]]
    assert rows == [
        ["retraining-20260102", "v3-0f3c11aa", "20,000", "12.3", "1,626.0", "14.1", "412.5"],
        ["retraining-1", "v2-3b1a0364", "2,000,000", "61.2", "32,679.7", "–", "–"],
    ]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_who_can_read_the_pages_can_read_the_plotly_that_they_share(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_log(log(), tmp_path / "pages" / "page.html", tmp_path / "shared")
    finally:
        os.umask(before)
    files = [tmp_path / "pages" / "page.html", *(tmp_path / "shared").iterdir()]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o666 & ~umask] * 2


@pytest.mark.parametrize("name", PAGES)
def test_every_plot_is_drawn_in_an_element_of_the_page(name, tmp_path):
    write, example, plots = PAGES[name]
    write(example(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text().replace(get_plotlyjs(), "")
    elements = re.findall(r'<div class="plot" id="(.*?)">', page)
    drawn = re.findall(r"Plotly\.newPlot\((\".*?\"),\{", page)
    assert [json.loads(name) for name in drawn] == list(map(html.unescape, elements))
    assert set(map(html.unescape, elements)) == plots


@pytest.mark.parametrize(
    ("oracle", "text"), [(4.57, "included: 94% of the 4.570 of"), (0.0, "included; the best action")]
)
def test_the_newest_policy_is_compared_with_the_best_action_whatever_that_earns(oracle, text, tmp_path):
    content = loop() | {"oracle": oracle}
    write_loop(content, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text().replace("\n", " ")
    assert text in page
    assert f"{oracle:.3f}" in page


@pytest.mark.parametrize("unit", ["episodes", "contexts"])
@pytest.mark.parametrize(
    ("trial", "text"),
    [
        ({"hyperparameters": {}, "seed": None}, "trained with the config's settings, is"),
        ({"hyperparameters": {"alpha": 2}, "seed": 0}, "trained with alpha = 2 and seed 0, is"),
    ],
)
def test_policies_are_compared_by_what_they_were_trained_with(trial, text, unit, tmp_path):
    names = ("value", "standard_error", "setting_value", "difference", "difference_error")
    row = trial | {"version": "v1-0a1b2c3d"} | dict.fromkeys(names, 0.5)
    compared = {"metric": "mean reward", "samples": 500, "unit": unit, "policies": [row]}
    write_selection(compared, tmp_path / "selection.json", tmp_path / "page.html")
    page = html.unescape((tmp_path / "page.html").read_text())
    assert text in page
    assert f"All policies were compared on the same 500 {unit}" in page
    assert ">None<" not in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = "chromium", "chromium-browser", "google-chrome"
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no browser: none of {', '.join(names)} is on PATH")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()


def open_page(browser: Browser, path: Path, width: int) -> tuple[Page, list[str]]:
    """The opened page and its problems: errors, warnings, dialogs, and requests for any other address."""
    page, problems = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.url == path.as_uri() else problems.append(request.url))
    page.goto(path.as_uri())
    return page, problems


def inside(box: dict[str, float], frame: dict[str, float]) -> bool:
    across, down = (
        (box[side] + box[size], frame[side] + frame[size]) for side, size in (("x", "width"), ("y", "height"))
    )
    return box["x"] >= frame["x"] - 1 and across[0] <= across[1] + 1 and down[0] <= down[1] + 1


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_desktop_and_phone_screens(name, width, browser, tmp_path):
    write, example, plots = PAGES[name]
    write(example(), tmp_path / "page.html")
    page, problems = open_page(browser, tmp_path / "page.html", width)
    assert {plot.get_attribute("id") for plot in page.locator(".plot").all()} == plots
    for element in [page.locator("#decision"), *page.locator(".plot").all(), *page.locator(".plot .main-svg").all()]:
        box = element.bounding_box()
        assert element.is_visible() and box["width"] > 200 and box["height"] > 20, element
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, element
    for plot in page.locator(".plot").all():
        frame, area = plot.bounding_box(), plot.locator(".nsewdrag").bounding_box()
        for part in [*plot.locator(".main-svg").all(), *plot.locator(".xtitle, .ytitle, .legend").all()]:
            assert inside(part.bounding_box(), frame), part
        for legend in plot.locator(".legend").all():
            box = legend.bounding_box()
            assert box["y"] + box["height"] <= area["y"] + 1, legend  # above the plot area
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not problems
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_references_no_external_address(name, tmp_path):
    write, example, _ = PAGES[name]
    write(example(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text().replace(get_plotlyjs(), "")
    assert 'src="http' not in page and 'href="http' not in page


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_html_in_the_content_is_shown_as_text(name, browser, tmp_path):
    write, example = HOSTILE_PAGES[name]
    write(example(), tmp_path / "page.html")
    assert HOSTILE not in (tmp_path / "page.html").read_text()
    page, problems = open_page(browser, tmp_path / "page.html", 1280)
    assert HOSTILE in page.locator("body").inner_text()
    assert not problems
    page.close()
