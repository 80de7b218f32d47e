"""The commands that show how a loop is doing: `status` and `warehouse`."""

from typing import Any

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, TargetOption, load_config
from banditloop.rl_core.backends import connect

RUNS_SHOWN = 10


def status(config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show versions, traffic, interactions waiting to be trained on, the latest runs and event counts.

    Example: `banditloop status --json`
    """
    from banditloop.rl_core.reports.status import status as current_status

    settings = load_config(config, target)
    content = current_status(settings, connect(settings))
    display.json_or_call(content, as_json, lambda: _show(content))


def warehouse(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the totals of the logged interactions per policy version.

    Example: `banditloop warehouse --json`
    """
    display.table("warehouse", connect(load_config(config)).warehouse.policy_totals(), as_json)


def _show(content: dict[str, Any]) -> None:
    rows = [{key: value for key, value in row.items() if key != "ignored"} for row in content["versions"]]
    display.table(f"endpoint {content['endpoint']}", rows)
    if ignored := sum(row["ignored"] for row in content["versions"]):
        display.line(f"left out, since they have no reward: {ignored:,} decisions")
    if content["warning"]:
        display.line(f"warning: {content['warning']}")
    display.line(f"serving: {', '.join(content['serving']) or 'nothing; start `banditloop serve`'}")
    display.line(
        f"new interactions: {content['new_interactions']} of {content['min_new_interactions']} for a retraining"
    )
    if content["runs"]:
        display.table("latest runs", content["runs"][-RUNS_SHOWN:])
    for topic, outcomes in content["log"].items():
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items() if count)
        display.line(f"{topic} logged: {counts or 'none'}")
