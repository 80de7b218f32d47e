"""Predictions: what requests ask in, answers and the decisions to log out."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import orjson

from rl_core.asking import PLAIN, Ask, Request
from rl_core.errors import InvalidInput
from rl_core.observations import check_observations
from rl_core.policy import Decisions
from rl_core.release import sticky
from rl_core.schema import SCHEMA_VERSION
from rl_core.serving import Part, Serving

APPLICATION = "application"  # the version of decisions that the application took itself
ANSWERED = ("event_id", "action", "propensity", "policy_version")
REMEMBERED = 10_000
TOLERANCE = 1e-6
Answer = dict[str, Any]


class Recommender:
    """Answers requests, as many as come at a time, and before that hands the decisions to `log`, a JSON array.

    What is asked with a key (an event_id, or parameters.request_id) has all its chance from that: asked again, the same
    version gives the same action under the same event id. The latest of these answers are remembered, so that no newer
    version decides again. Of all decisions a `sample` is logged.
    """

    def __init__(self, log: Callable[[bytes], None], sample: float = 1.0) -> None:
        self._log, self._sample = log, sample
        self._random = np.random.default_rng()
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def predict(self, serving: Serving, requests: list[Request]) -> list[list[Any] | InvalidInput]:
        """The predictions for every request, or what is wrong with it.

        Raises:
            OSError: the decisions cannot be logged at the moment.
        """
        asked: list[Any] = []
        asks: list[Ask] = []
        for request in requests:
            asked += request.observations
            asks += request.asks
        decide = self._decide_once if any(ask.key for ask in asks) else self._decide
        try:
            answers = iter(decide(serving, asked, asks))
        except InvalidInput as error:
            if len(requests) == 1:
                return [error]
            return [found for request in requests for found in self.predict(serving, [request])]
        return [_predictions(request, list(islice(answers, len(request.asks)))) for request in requests]

    def _decide_once(self, serving: Serving, asked: list[Any], asks: list[Ask]) -> list[Answer]:
        """Answers, those that are remembered from memory."""
        known = [self._answers.get(ask.key or "") for ask in asks]
        rows = [row for row, answer in enumerate(known) if not answer]
        new = iter(self._decide(serving, [asked[row] for row in rows], [asks[row] for row in rows]))
        answers = [answer or next(new) for answer in known]
        self._answers.update((ask.key, answer) for ask, answer in zip(asks, answers, strict=True) if ask.key)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return answers

    def _decide(self, serving: Serving, asked: list[Any], asks: list[Ask]) -> list[Answer]:
        """Answers, logged."""
        if not asks:
            return []
        observations = check_observations(asked, serving.champion.policy.manifest.dim)
        answers: list[Answer] = [{}] * len(asks)
        events: list[Answer] = []
        for part in self._parts(serving, asks, observations):
            self._take(part, asks, observations, answers, events)
        self._log(orjson.dumps(events, option=orjson.OPT_SERIALIZE_NUMPY))
        return answers

    def _parts(self, serving: Serving, asks: list[Ask], observations: np.ndarray) -> list[Part]:
        """Who decides what. Where the application has decided itself, the champion only says what it would have."""
        places = self._random.random((len(asks), 2))
        if asks.count(PLAIN) == len(asks):  # as most are
            return serving.decide(range(len(asks)), observations, [None] * len(asks), places)
        for row, ask in enumerate(asks):
            if ask.key is not None:
                places[row] = sticky(ask.key, "version"), sticky(ask.key, "action")
        taken = [row for row, ask in enumerate(asks) if ask.action is not None]
        if not taken:
            return serving.decide(range(len(asks)), observations, [ask.user for ask in asks], places)
        actions = serving.champion.policy.manifest.actions
        own = Part(taken, APPLICATION, _taken([asks[row] for row in taken], actions), "logged")
        left = [row for row, ask in enumerate(asks) if ask.action is None]
        ours = serving.decide(left, observations, [ask.user for ask in asks], places) if left else []
        return [own, serving.champion.decide(taken, observations, places, "shadow"), *ours]

    def _take(
        self, part: Part, asks: list[Ask], observations: np.ndarray, answers: list[Answer], events: list[Answer]
    ) -> None:
        """Take the decisions of a part into `events`, and what is shown of them into `answers`. One loop: it is hot."""
        now, fresh = datetime.now(UTC), os.urandom(16 * len(part.rows)).hex()
        decided = part.decisions
        for i, (row, action, propensity) in enumerate(
            zip(part.rows, decided.actions.tolist(), decided.propensities.tolist(), strict=True)
        ):
            ask = asks[row]
            event_id = fresh[32 * i : 32 * i + 32] if ask.key is None else _event_id(ask, part)
            if part.mode != "shadow":
                answers[row] = {
                    "event_id": event_id,
                    "action": action,
                    "propensity": propensity,
                    "policy_version": part.version,
                }
            if self._sample == 1 or sticky(event_id, "sample") < self._sample:
                events.append(
                    {
                        "schema_version": SCHEMA_VERSION,
                        "event_id": event_id,
                        "timestamp": now,
                        "policy_version": part.version,
                        "observation": observations[row],
                        "action": action,
                        "propensity": propensity,
                        "probabilities": decided.probabilities[i],
                        "mode": "deferred" if ask.deferred and part.mode == "online" else part.mode,
                        "pass_probability": self._sample,
                    }
                )


def _event_id(ask: Ask, part: Part) -> str:
    """The id of what is asked with a key, the same when it is asked again; a shadow's is another one."""
    if ask.event_id and part.mode != "shadow":
        return ask.event_id
    return hashlib.sha256(f"{ask.key} {part.version} {part.mode}".encode()).hexdigest()[:32]


def _taken(asks: list[Ask], actions: int) -> Decisions:
    """What the application chose, with the probabilities that it gives or, without them, for certain."""
    probabilities = np.zeros((len(asks), actions))
    for row, ask in enumerate(asks):
        if not (ask.action is not None and ask.action < actions):
            raise InvalidInput(f"request: action = {ask.action}: there are {actions} actions, from 0")
        if ask.probabilities is None:
            probabilities[row, ask.action] = 1.0
        elif len(ask.probabilities) == actions and abs(sum(ask.probabilities) - 1) <= TOLERANCE:
            probabilities[row] = ask.probabilities
        else:
            raise InvalidInput(f"request: probabilities: give one for each of the {actions} actions; they sum to 1")
    chosen = np.array([ask.action for ask in asks])
    propensities = probabilities[np.arange(len(asks)), chosen]
    if not propensities.all():
        raise InvalidInput("request: probabilities: that of the action chosen cannot be 0")
    return Decisions(chosen, propensities, probabilities)


def _predictions(request: Request, answers: list[Answer]) -> list[Answer]:
    """The answers, one for each instance."""
    if request.groups is None:
        return answers
    return [answers[rows] if isinstance(rows, int) else _several(answers[rows]) for rows in request.groups]


def _several(answers: list[Answer]) -> Answer:
    answer = {name: [one[name] for one in answers] for name in ANSWERED}
    return answer | {"predicted_action": answer["action"]}  # the name in Google's sample
