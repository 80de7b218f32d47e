"""The commands that show how a loop is doing: `status` and `warehouse`."""

from typing import Any

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, TargetOption, WideOption, load_config
from banditloop.pipelines.cli.progress import doing
from banditloop.rl_core.backends import connect

MAIN_COLUMNS = "version", "status", "traffic_percent", "interactions", "mean_reward", "made"
RUN_COLUMNS = "run_id", "state", "started", "seconds"
RUNS_SHOWN = 10


def status(
    wide: WideOption = False, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Show versions, traffic, interactions waiting to be trained on, the latest runs and event counts.

    Example: `banditloop status --json`
    """
    from banditloop.rl_core.reports.status import status as current_status

    settings = load_config(config, target)
    with doing("adding up the log", as_json):
        content = current_status(settings, connect(settings))
    display.json_or_call(content, as_json, lambda: _show(content, wide))


def warehouse(wide: WideOption = False, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the totals of the logged interactions per policy version.

    Example: `banditloop warehouse --json`
    """
    with doing("adding up the log", as_json):
        totals = connect(load_config(config)).warehouse.policy_totals()
    display.table("warehouse", totals, as_json, wide)


def _show(content: dict[str, Any], wide: bool) -> None:
    versions = content["versions"]
    rows = versions if wide else [{key: row[key] for key in MAIN_COLUMNS} for row in versions]
    display.table(f"endpoint {content['endpoint']}", rows, wide=wide)
    if ignored := sum(row["ignored"] for row in versions):
        display.line(f"left out, since they have no reward: {ignored:,} decisions")
    if content["warning"]:
        display.line(f"warning: {content['warning']}")
    display.line(f"serving: {', '.join(content['serving']) or 'nothing; start `banditloop serve`'}")
    display.line(
        f"new interactions: {content['new_interactions']:,} of {content['needed_interactions']:,} for a retraining"
    )
    if content["runs"]:
        runs = [{key: row[key] for key in (RUN_COLUMNS if not wide else row)} for row in content["runs"][-RUNS_SHOWN:]]
        display.table("latest runs", runs, wide=wide)
    for topic, outcomes in content["log"].items():
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items() if count)
        display.line(f"{topic} logged: {counts or 'none'}")
