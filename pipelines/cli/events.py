"""An event of a loop, as `banditloop serve` prints it: one line for people, or one JSON object."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from banditloop.pipelines.cli.table import cell, header

What = Literal[
    "serving",  # the endpoint, at a URL
    "started",  # a run
    "trained",  # a version
    "judged",  # a version, on held-out interactions
    "canary",  # a version serves some of the users
    "shadow",  # a version's decisions are logged, but not shown
    "promoted",
    "rolled back",
    "replaced",  # a challenger by another one
    "finished",  # a run
    "failed",  # a run, or what the loop does besides
    "restarted",  # a process
    "repaired",  # a damaged file
    "warning",  # of a process
    "stopped",
]
WIDTH = 11  # characters of the longest of them
REPEAT_SECONDS = 600.0
SHOWN = "learned_from", "seconds"  # the numbers that the text does not contain


class Event(NamedTuple):
    """What has happened, to which version or run, with the key numbers."""

    what: What
    text: str
    version: str = ""
    run: str = ""
    numbers: Mapping[str, Any] = MappingProxyType({})

    def line(self) -> str:
        """The event in one line, with the time of the day in UTC."""
        shown = {name: value for name, value in self.numbers.items() if name in SHOWN}
        numbers = ", ".join(f"{header(name)} {cell(value, name)}" for name, value in shown.items())
        text = " · ".join(filter(None, [self.version, self.run, " ".join(self.text.split()), numbers]))
        return f"{datetime.now(UTC):%H:%M:%S} {self.what:{WIDTH}} {text}"

    def json(self) -> str:
        """The event as a JSON object in one line, without empty fields."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        content = {"time": now, "event": self.what, "version": self.version, "run": self.run, "text": self.text}
        return json.dumps({**{key: value for key, value in content.items() if value}, **self.numbers})


class Unrepeated:
    """Tells which warnings are new: the same text counts again only after REPEAT_SECONDS. Threads may share it."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}  # times by text
        self._lock = threading.Lock()

    def is_new(self, event: Event) -> bool:
        """Whether an event is shown: all are, but a warning or a repair that was shown in the last minutes."""
        if event.what not in ("warning", "repaired"):
            return True
        with self._lock:
            now = time.monotonic()
            self._told = {text: at for text, at in self._told.items() if now - at < REPEAT_SECONDS}
            if event.text in self._told:
                return False
            self._told[event.text] = now
            return True
