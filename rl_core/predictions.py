"""Predictions: what requests ask in, answers and the decisions to log out."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from rl_core.asking import Ask, Request
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
    """Answers requests, as many as come at a time, and before that hands every decision to `log`.

    What is asked with a key (an event_id, or parameters.request_id) has all its chance from that: asked again, the same
    version gives the same action under the same event id. For the latest of the application's own event ids the answer
    is remembered, so that no newer version decides again. Of all decisions a `sample` is logged.
    """

    def __init__(self, log: Callable[[list[bytes]], None], sample: float = 1.0) -> None:
        self._log, self._sample = log, sample
        self._random = np.random.default_rng()
        self._answers: OrderedDict[str | None, Answer] = OrderedDict()

    def predict(self, serving: Serving, requests: list[Request]) -> list[list[Any] | InvalidInput]:
        """The predictions for every request, or what is wrong with it.

        Raises:
            OSError: the decisions cannot be logged at the moment.
        """
        known = self._answers
        try:
            new = iter(
                self._decide(serving, [a for request in requests for a in request.asks if a.event_id not in known])
            )
        except InvalidInput as error:
            if len(requests) == 1:
                return [error]
            return [found for request in requests for found in self.predict(serving, [request])]
        answers = [[known[a.event_id] if a.event_id in known else next(new) for a in r.asks] for r in requests]
        self._remember(answers, requests)
        return [[_prediction(rows, own) for rows in r.groups] for r, own in zip(requests, answers, strict=True)]

    def _decide(self, serving: Serving, asks: list[Ask]) -> list[Answer]:
        """Answers to the asks, logged."""
        if not asks:
            return []
        observations = check_observations([ask.observation for ask in asks], serving.champion.policy.manifest.dim)
        answers: list[Answer] = [{}] * len(asks)
        events = []
        for part in self._parts(serving, asks, observations):
            for row, event in self._events(part, asks, observations):
                if part.mode != "shadow":
                    answers[row] = {name: event[name] for name in ANSWERED}
                if self._sample == 1 or sticky(event["event_id"], "sample") < self._sample:
                    events.append(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY))
        self._log(events)
        return answers

    def _parts(self, serving: Serving, asks: list[Ask], observations: np.ndarray) -> list[Part]:
        """Who decides what. Where the application has decided itself, the champion only says what it would have."""
        places = self._random.random((len(asks), 2))
        for row, ask in enumerate(asks):
            if ask.key is not None:
                places[row] = sticky(ask.key, "version"), sticky(ask.key, "action")
        taken = [row for row, ask in enumerate(asks) if ask.action is not None]
        if not taken:
            return serving.decide(np.arange(len(asks)), observations, [ask.user for ask in asks], places)
        actions, rows = serving.champion.policy.manifest.actions, np.array(taken)
        own = Part(rows, APPLICATION, _taken([asks[row] for row in taken], actions), "logged")
        left = np.setdiff1d(np.arange(len(asks)), rows)
        ours = serving.decide(left, observations, [ask.user for ask in asks], places) if len(left) else []
        return [own, serving.champion.decide(rows, observations, places, "shadow"), *ours]

    def _events(self, part: Part, asks: list[Ask], observations: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        """The decisions of a part, each with its row."""
        now, fresh = datetime.now(UTC).isoformat(), os.urandom(16 * len(part.rows)).hex()
        actions, propensities = part.decisions.actions.tolist(), part.decisions.propensities.tolist()
        for i, row in enumerate(part.rows.tolist()):
            ask = asks[row]
            yield (
                row,
                {
                    "schema_version": SCHEMA_VERSION,
                    "event_id": _event_id(ask, part) or fresh[32 * i : 32 * i + 32],
                    "timestamp": now,
                    "policy_version": part.version,
                    "observation": observations[row],
                    "action": actions[i],
                    "propensity": propensities[i],
                    "probabilities": part.decisions.probabilities[i],
                    "mode": "deferred" if ask.deferred and part.mode == "online" else part.mode,
                    "pass_probability": self._sample,
                },
            )

    def _remember(self, answers: list[list[Answer]], requests: list[Request]) -> None:
        for request, own in zip(requests, answers, strict=True):
            self._answers.update(
                {a.event_id: answer for a, answer in zip(request.asks, own, strict=True) if a.event_id}
            )
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)


def _event_id(ask: Ask, part: Part) -> str | None:
    """The id that a decision must have to be the same when asked again; of a shadow's, another one."""
    if ask.event_id and part.mode != "shadow":
        return ask.event_id
    return ask.key and hashlib.sha256(f"{ask.key} {part.version} {part.mode}".encode()).hexdigest()[:32]


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


def _prediction(rows: int | slice, answers: list[Answer]) -> Answer:
    if isinstance(rows, int):
        return answers[rows]
    several = answers[rows]
    answer = {name: [one[name] for one in several] for name in ANSWERED}
    return answer | {"predicted_action": answer["action"]}  # the name in Google's sample
