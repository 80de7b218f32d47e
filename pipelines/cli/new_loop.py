"""The files of a new loop: its config, an example application, and the commands."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from banditloop.pipelines.cli.new_loop_texts import APPLICATION, CONFIG, README
from banditloop.rl_core.settings.feature_kinds import Kind, Vector, kind_text
from banditloop.rl_core.settings.task import OPEN, Task

MAX_SHOWN = 6  # items of a list of numbers
WIDTH = 110  # characters of a line


class NewLoop(NamedTuple):
    """A loop to be written: its task, its endpoint's name and port, two example contexts, and notes on columns."""

    task: Task
    endpoint: str
    port: int
    contexts: list[dict[str, Any]]
    notes: dict[str, str]

    def files(self) -> dict[str, str]:
        """The text of each file by its name."""
        texts = {"README.md": README, "application.py": APPLICATION, "loop.toml": CONFIG}
        values = self._values()
        return {name: text.format(**values) for name, text in texts.items()}

    def _values(self) -> dict[str, Any]:
        """The values of the placeholders in the texts."""
        low, high = self.task.reward_range
        is_binary, has_zero = (low, high) == (0, 1), low <= 0 <= high
        instance = {"context": self.contexts[0], "user": "u1"}
        actions = self.task.actions
        ids = self.task.action_ids or ("a", "b")
        if actions == OPEN:
            instance["actions"] = list(ids)
        rewards = [{"event_id": "EVENT_ID", "value": True if is_binary else high}]
        notes = [f"* {column}: {note}" for column, note in self.notes.items()]
        return {
            "endpoint": self.endpoint,
            "port": self.port,
            "actions": _list(actions) if isinstance(actions, list) else json.dumps(actions),
            "reward_range": f"[{number_text(low)}, {number_text(high)}]",
            "default": "0" if has_zero else '"ignore"',
            "unrewarded": "counts as 0" if has_zero else "is left out",
            "context": "\n".join(f"{name} = {_kind(kind)}" for name, kind in self.task.context.items()),
            "contexts": "\n".join(f"    {_python(context)}," for context in self.contexts),
            "candidates": f", actions={list(ids)}" if actions == OPEN else "",
            "favourite": int(ids[0]) if self.task.numbered else json.dumps(ids[0]),
            "value": "is_good" if is_binary else f"{number_text(high)} if is_good else {number_text(low)}",
            "predict": shlex.quote(json.dumps({"instances": [instance]})),
            "reward": shlex.quote(json.dumps({"rewards": rewards})),
            "notes": "\n".join(["\nOf the columns of the log:\n", *notes, ""]) if notes else "",
        }


def number_text(value: float) -> str:
    """A number as TOML and Python, exactly."""
    return repr(int(value)) if value.is_integer() else repr(value)


def example_contexts(kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """Two contexts with made-up values of these kinds."""
    made_up: dict[Any, list[Any]] = {
        "number": [1.0, 2.0],
        "boolean": [True, False],
        "category": ["a", "b"],
        "categories": [["a"], ["a", "b"]],
    }

    def value(kind: Kind, number: int) -> Any:
        if isinstance(kind, Vector):
            return [float(number)] * kind.vector
        return kind[-number] if isinstance(kind, list) else made_up[kind][number]

    return [{name: value(kind, number) for name, kind in kinds.items()} for number in range(2)]


def _kind(kind: Kind) -> str:
    return _list(kind) if isinstance(kind, list) else kind_text(kind)


def _list(texts: list[str]) -> str:
    """A list of texts as TOML, over several lines if it is long. (JSON texts are TOML texts.)"""
    items = [json.dumps(text, ensure_ascii=False) for text in texts]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= WIDTH else "[\n    {},\n]".format(",\n    ".join(items))


def _python(value: Any) -> str:
    """A Python literal of a value, in which a long list of numbers repeats its first one."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)}: {_python(item)}' for name, item in value.items())}}}"
    if isinstance(value, list) and len(value) > MAX_SHOWN and not isinstance(value[0], str):
        return f"[{value[0]:.3g}] * {len(value)}"
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
