"""The command `init`: a folder with the config of a new loop, an example application, and the commands."""

import json
import math
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.new_loop import NewLoop, example_contexts, number_text
from banditloop.pipelines.cli.options import JsonOption
from banditloop.pipelines.cli.progress import doing
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import MAX_ABS_VALUE
from banditloop.rl_core.settings.feature_kinds import kind_text
from banditloop.rl_core.settings.task import OPEN, Task

CONFIG_FILE = "loop.toml"
ACTION, REWARD = "the action", "the reward"  # notes on columns of a log
FIELDS = {ACTION: "action", REWARD: "reward"}  # by note
PORT = 8080
WIDTH = 78  # characters of a line about the actions


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the loop.")],
    actions: Annotated[str, typer.Option(help="Ids, as a,b,c; their number, if they are 0, 1, …; or open.")] = "",
    feature: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=KIND",
            help="A feature of contexts; may be repeated. Kinds: number, boolean, category, categories (a set), "
            "vector:LENGTH, or the possible texts, as phone,tablet.",
        ),
    ] = [],
    reward_range: Annotated[str, typer.Option(help="Smallest and largest reward. Default: the log's, else 0,1.")] = "",
    endpoint: Annotated[str, typer.Option(help="Name of the endpoint. Default: the folder's.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the endpoint.")] = PORT,
    log: Annotated[
        Path | None, typer.Option("--from", help="Log with a row per decision, from which the rest is inferred.")
    ] = None,
    action: Annotated[str, typer.Option(metavar="COLUMN", help="The log's column with the chosen action.")] = "",
    reward: Annotated[str, typer.Option(metavar="COLUMN", help="The log's column with the reward.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a folder with the config of a loop of your own, an example application, and the commands.

    What is decided is inferred from a log (.csv, .parquet or .jsonl), given by options, or asked for in a terminal.

    Example: `banditloop init news --from log.csv`

    Example: `banditloop init news --actions politics,sport --feature age=number --feature device=phone,tablet`
    """
    name = endpoint or re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-0123456789") or "loop"
    _check_free(folder)
    if (action or reward) and not log:
        raise InvalidInput("--action and --reward name columns of a log: give it with --from")
    if not (log or actions):
        actions, feature = _ask(feature)
    with doing(f"reading {log}", quiet=as_json or not log):
        values, contexts, notes = _inferred(log, action, reward) if log else ({"context": {}}, [], {})
    task = _task(values, actions, feature, reward_range)
    written = _write(folder, NewLoop(task, name, port, contexts or example_contexts(task.context), notes))
    content = {"files": list(map(str, written)), "task": task.model_dump(mode="json"), "notes": notes}
    display.json_or_call(content, as_json, lambda: _show(folder, task, notes, log))


def _task(values: dict[str, Any], actions: str, features: list[str], reward_range: str) -> Task:
    """The task with the values that a log implies, overridden by options."""
    values["context"] |= dict(map(_parse_feature, features))
    values |= {"actions": _parse_actions(actions)} if actions else {}
    values |= {"reward_range": parse_range(reward_range)} if reward_range else {}
    return Task.parse(values, "task")


def _inferred(log: Path, action: str, reward: str) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    """The task's values that the log implies, contexts as examples, and notes on its other columns."""
    from banditloop.pipelines.cli.infer_task import infer_actions, infer_features, infer_range
    from banditloop.pipelines.cli.read_log import choose_column, read_log
    from banditloop.rl_core.logs.names import ACTION_NAMES, REWARD_NAMES

    table = read_log(log)
    action = choose_column(table.column_names, action, ACTION_NAMES, "--action")
    reward = choose_column(table.column_names, reward, REWARD_NAMES, "--reward")
    features = infer_features(table, action, reward)
    values = {
        "actions": infer_actions(table[action]),
        "reward_range": infer_range(table[reward]),
        "context": features.kinds,
    }
    chosen = {action: ACTION, reward: REWARD}
    return values, features.examples, chosen | features.notes


def _ask(features: list[str]) -> tuple[str, list[str]]:
    """The actions and the features that the user types."""
    if not sys.stdin.isatty():
        raise InvalidInput("--actions: is missing; give the actions' ids, or a log of decisions with --from")
    actions = typer.prompt("Actions to choose from, as a,b,c")
    while not features or features[-1]:
        prompt = "Feature of a context, as NAME=KIND (number, boolean, category, …); none to end"
        features = [*features, typer.prompt(prompt, default="", show_default=False)]
    return actions, features[:-1]


def _parse_actions(text: str) -> int | str | list[str]:
    if text.isdecimal():
        return int(text)
    return text if text == OPEN else [action.strip() for action in text.split(",")]


def _parse_feature(text: str) -> tuple[str, Any]:
    name, _, kind = text.partition("=")
    if not kind:
        raise InvalidInput(f"--feature {text!r}: give NAME=KIND, as age=number")
    if length := re.fullmatch(r"vector:(\d+)", kind):
        return name, {"vector": int(length[1])}
    return name, [text.strip() for text in kind.split(",")] if "," in kind else kind


def parse_range(text: str) -> list[float]:
    """The two numbers of a text such as 0,1, as JSON writes them. InvalidInput: it is none."""
    try:
        values = json.loads(f"[{text}]")
    except ValueError:
        values = []
    if not values or not all(type(value) in (int, float) and not math.isnan(value) for value in values):
        raise InvalidInput(f"--reward-range {text!r}: give the smallest and the largest reward, as 0,1")
    if not all(abs(value) <= MAX_ABS_VALUE for value in values):
        raise InvalidInput(f"--reward-range {text!r}: has values beyond {MAX_ABS_VALUE:,.0f}; scale the rewards")
    return values


def _check_free(folder: Path) -> None:
    """Refuse a folder that has any of the files, before anything is read or asked."""
    for name in (CONFIG_FILE, "application.py", "README.md"):
        if (folder / name).exists():
            raise InvalidInput(f"{folder / name}: exists already; give another folder")


def _write(folder: Path, loop: NewLoop) -> list[Path]:
    """Write all files, the config last, or none; returns their paths."""
    files = loop.files()
    Config.parse(tomllib.loads(files[CONFIG_FILE]))  # raises before anything is written
    existed, written = folder.exists(), list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, text in files.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                written.append(folder / name)
                file.write(text)
    except BaseException:
        for path in written:
            path.unlink()
        if not existed:
            folder.rmdir()
        raise
    return written


def _show(folder: Path, task: Task, notes: dict[str, str], log: Path | None) -> None:
    actions = task.actions if isinstance(task.actions, int | str) else f"{len(task.action_ids or ())}: "
    ids = "" if isinstance(task.actions, int) else ", ".join(task.action_ids or ())
    display.line(_shortened(f"actions: {actions}{ids}"))
    display.line(f"rewards: {number_text(task.rewards.low)} to {number_text(task.rewards.high)}")
    rows = [{"feature": name, "kind": _shortened(kind_text(kind))} for name, kind in task.context.items()]
    display.table("features of a context", rows)
    if notes:
        display.table("columns of the log", [{"column": name, "is": note} for name, note in notes.items()])
    display.line(f"wrote {folder}; next: {shlex.join(['banditloop', 'serve', '-c', str(folder / CONFIG_FILE)])}")
    if log:
        display.line("to learn from the log, too, import it once:")
        source = [] if "event_id" in {*notes, *task.context} else ["--source", log.stem]  # of which ids are made
        words = ["banditloop", "import", str(log), *_mapped(notes), *source, "-c", str(folder / CONFIG_FILE)]
        display.line(shlex.join(words))


def _mapped(notes: dict[str, str]) -> list[str]:
    """The options by which an import maps the log's columns as the notes say, and finds or ignores all others."""
    from banditloop.pipelines.cli.infer_task import CALLED

    names = {column: FIELDS.get(note) or note.partition(CALLED)[2] for column, note in notes.items()}
    options = [word for column, name in names.items() if name for word in ("--map", f"{name}={column}")]
    return options if all(names.values()) else [*options, "--ignore-others"]


def _shortened(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 2] + " …"
