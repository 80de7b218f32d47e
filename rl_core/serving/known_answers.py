"""The latest answers by the ids of their decisions, each with a digest of its question. They survive the process."""

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.serving.answer_file import AnswerFile
from banditloop.rl_core.serving.predict_request import InstanceOptions

CACHED_ANSWERS = 10_000
CACHED_PROBABILITIES = 10  # that take as much memory as an answer without any
Answer = dict[str, Any]


class IdConflict(InvalidInput):
    """An event_id or a request_id that names another decision. The endpoint answers 409."""


class Name(NamedTuple):
    """An id of a decision: its kind, so that different kinds never collide, and the digest of what was asked."""

    kind: str
    id: str
    question: str


def question_of(option: InstanceOptions, context: np.ndarray | dict[str, Any]) -> str:
    """A digest of context and options, without the ids; empty without a key."""
    if option.key is None:
        return ""
    options = tuple(option._replace(key=None, event_id=None, request=None))
    content = [context.tolist() if isinstance(context, np.ndarray) else context, options]
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def names_of(option: InstanceOptions, question: str) -> list[Name]:
    """The names that a request gives to a decision: its event_id, and its place in a request with an id."""
    names = [Name("event_id", option.event_id, question)] if option.event_id else []
    if option.request:
        request_id, row, rows = option.request
        names.append(Name("request_id", f"{request_id} {row}", f"{question} {rows} {option.event_id or ''}"))
    return names


class KnownAnswers:
    """The latest answers by the names of their decisions, of all processes that share the file and of earlier ones."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = AnswerFile(path) if path else None
        self._answers: OrderedDict[tuple[str, str], tuple[str, Answer]] = OrderedDict()
        self._size = 0  # number of answers, where probabilities count too
        if self._file:
            self._load(self._file.read())

    def __len__(self) -> int:
        return len(self._answers)

    @contextlib.contextmanager
    def held(self, names: Iterable[Name]) -> Iterator[None]:
        """Lock these names and load what other processes added: meanwhile, none of them finds or adds one of the names.

        So only one process makes a decision, however many are asked for it at the same moment.
        """
        ids = {f"{kind} {name_id}" for kind, name_id, _ in names}
        if self._file is None or not ids:
            yield
            return
        with self._file.held(ids):
            self._load(self._file.read())
            yield

    def find(self, names: Iterable[Name]) -> Answer | None:
        """The answer to the decision with these names; None if it is not known.

        Raises:
            IdConflict: one of the names is known for another question.
        """
        answer = None
        for kind, name_id, question in names:
            if known := self._answers.get((kind, name_id)):
                if known[0] != question:
                    raise IdConflict(
                        f"request: {kind} = {name_id!r:.80}: was given before with another context, action or option; "
                        "give each decision its own"
                    )
                answer = known[1]
        return answer

    def add(self, entries: list[tuple[Name, Answer]]) -> None:
        """Remember answers.

        Raises:
            OSError: the disk is full.
        """
        if self._file and entries:
            self._load(self._file.append([orjson.dumps([*name, answer]) for name, answer in entries]))
        for name, answer in entries:
            self._remember(name, answer)

    def _remember(self, name: Name, answer: Answer) -> None:
        _, replaced = self._answers.pop(name[:2], ("", None))
        self._answers[name[:2]] = name.question, answer
        self._size += _weight(answer) - (_weight(replaced) if replaced else 0)
        while self._size > CACHED_ANSWERS:
            self._size -= _weight(self._answers.popitem(last=False)[1][1])

    def _load(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                *name, answer = orjson.loads(line)
                self._remember(Name(*name), answer)
            except (ValueError, TypeError):
                continue  # cut off by a crash


def _weight(answer: Answer) -> int:
    """The space of an answer in the cache, in answers without probabilities."""
    return 1 + len(answer.get("probabilities", ())) // CACHED_PROBABILITIES
