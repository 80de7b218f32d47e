"""The recommender: predict requests in, predictions and logged decisions out."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import orjson

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.observations import check_observations
from banditloop.rl_core.events.rows import decision_row
from banditloop.rl_core.policies.release import hash_to_unit
from banditloop.rl_core.policies.saved_policy import Decisions
from banditloop.rl_core.serving.predict_request import NO_OPTIONS, InstanceOptions, PredictRequest
from banditloop.rl_core.serving.traffic_split import TrafficSplit, VersionDecisions

APPLICATION = "application"  # policy_version of decisions that the application took itself
ANSWER_FIELDS = ("event_id", "action", "propensity", "policy_version")
CACHED_ANSWERS = 10_000
SUM_TOLERANCE = 1e-6
Answer = dict[str, Any]


class Recommender:
    """Answers micro-batches of predict requests; decisions go to `log` as a JSON array before the answers are returned.

    An instance with a key (its event_id or parameters.request_id) has all its randomness from the key: repeated, it
    gets the same action under the same event id from the same version. The latest of these answers are cached, so that
    a newer version does not decide again. A fraction `sample_rate` of all decisions is logged.
    """

    def __init__(self, log: Callable[[bytes], None], sample_rate: float = 1.0) -> None:
        self._log, self._sample_rate = log, sample_rate
        self._random = np.random.default_rng()
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def predict(self, split: TrafficSplit, requests: list[PredictRequest]) -> list[list[Any] | InvalidInput]:
        """The predictions for each request, or the error in it.

        Raises:
            OSError: the decisions cannot be logged at the moment.
        """
        observations: list[Any] = []
        options: list[InstanceOptions] = []
        for request in requests:
            observations += request.observations
            options += request.options
        decide = self._decide_once if any(option.key for option in options) else self._decide
        try:
            answers = iter(decide(split, observations, options))
        except InvalidInput as error:
            if len(requests) == 1:
                return [error]
            return [predictions for request in requests for predictions in self.predict(split, [request])]
        return [_predictions(request, list(islice(answers, len(request.options)))) for request in requests]

    def _decide_once(
        self, split: TrafficSplit, observations: list[Any], options: list[InstanceOptions]
    ) -> list[Answer]:
        """Answers for all rows; only those that are not cached are decided and logged."""
        cached = [self._answers.get(option.key or "") for option in options]
        rows = [row for row, answer in enumerate(cached) if not answer]
        decided = iter(self._decide(split, [observations[row] for row in rows], [options[row] for row in rows]))
        answers = [answer or next(decided) for answer in cached]
        self._answers.update(
            (option.key, answer) for option, answer in zip(options, answers, strict=True) if option.key
        )
        while len(self._answers) > CACHED_ANSWERS:
            self._answers.popitem(last=False)
        return answers

    def _decide(self, split: TrafficSplit, observations: list[Any], options: list[InstanceOptions]) -> list[Answer]:
        """Answers for all rows, whose decisions are logged."""
        if not options:
            return []
        checked = check_observations(observations, split.champion.policy.manifest.dim)
        answers: list[Answer] = [{}] * len(options)
        events: list[Answer] = []
        for group in self._assign(split, options, checked):
            self._emit(group, options, checked, answers, events)
        self._log(orjson.dumps(events, option=orjson.OPT_SERIALIZE_NUMPY))
        return answers

    def _assign(
        self, split: TrafficSplit, options: list[InstanceOptions], observations: np.ndarray
    ) -> list[VersionDecisions]:
        """Decisions for all rows by version. Where the application decided itself, the champion is a shadow."""
        uniforms = self._random.random((len(options), 2))
        if options.count(NO_OPTIONS) == len(options):  # the common case
            return split.decide(range(len(options)), observations, [None] * len(options), uniforms)
        for row, option in enumerate(options):
            if option.key is not None:
                uniforms[row] = hash_to_unit(option.key, "version"), hash_to_unit(option.key, "action")
        users = [option.user for option in options]
        external_rows = [row for row, option in enumerate(options) if option.action is not None]
        if not external_rows:
            return split.decide(range(len(options)), observations, users, uniforms)
        actions = split.champion.policy.manifest.actions
        decisions = _external_decisions([options[row] for row in external_rows], actions)
        external = VersionDecisions(external_rows, APPLICATION, decisions, "logged")
        own_rows = [row for row, option in enumerate(options) if option.action is None]
        own = split.decide(own_rows, observations, users, uniforms) if own_rows else []
        return [external, split.champion.decide(external_rows, observations, uniforms, "shadow"), *own]

    def _emit(
        self,
        group: VersionDecisions,
        options: list[InstanceOptions],
        observations: np.ndarray,
        answers: list[Answer],
        events: list[Answer],
    ) -> None:
        """Append a version's decisions to `events` and set their `answers`, except a shadow's. One loop: it is hot."""
        now, random_ids = datetime.now(UTC), os.urandom(16 * len(group.rows)).hex()
        decisions = group.decisions
        for i, (row, action, propensity) in enumerate(
            zip(group.rows, decisions.actions.tolist(), decisions.propensities.tolist(), strict=True)
        ):
            option = options[row]
            event_id = random_ids[32 * i : 32 * i + 32] if option.key is None else _event_id(option, group)
            if group.mode != "shadow":
                answers[row] = {
                    "event_id": event_id,
                    "action": action,
                    "propensity": propensity,
                    "policy_version": group.version,
                }
            if self._sample_rate == 1 or hash_to_unit(event_id, "sample") < self._sample_rate:
                events.append(
                    decision_row(
                        event_id=event_id,
                        timestamp=now,
                        policy_version=group.version,
                        observation=observations[row],
                        action=action,
                        propensity=propensity,
                        probabilities=decisions.probabilities[i],
                        mode="deferred" if option.deferred and group.mode == "online" else group.mode,
                        pass_probability=self._sample_rate,
                    )
                )


def _event_id(option: InstanceOptions, group: VersionDecisions) -> str:
    """The event id of an instance with a key, the same whenever it is repeated; a shadow's decision has its own."""
    if option.event_id and group.mode != "shadow":
        return option.event_id
    return hashlib.sha256(f"{option.key} {group.version} {group.mode}".encode()).hexdigest()[:32]


def _external_decisions(options: list[InstanceOptions], actions: int) -> Decisions:
    """The application's own decisions; without probabilities, its action has probability 1."""
    probabilities = np.zeros((len(options), actions))
    for row, option in enumerate(options):
        if not (option.action is not None and option.action < actions):
            raise InvalidInput(f"request: action = {option.action}: there are {actions} actions, numbered from 0")
        if option.probabilities is None:
            probabilities[row, option.action] = 1.0
        elif len(option.probabilities) == actions and abs(sum(option.probabilities) - 1) <= SUM_TOLERANCE:
            probabilities[row] = option.probabilities
        else:
            raise InvalidInput(f"request: probabilities: give one for each of the {actions} actions; they sum to 1")
    chosen = np.array([option.action for option in options])
    propensities = probabilities[np.arange(len(options)), chosen]
    if not propensities.all():
        raise InvalidInput("request: probabilities: that of the chosen action cannot be 0")
    return Decisions(chosen, propensities, probabilities)


def _predictions(request: PredictRequest, answers: list[Answer]) -> list[Answer]:
    """One prediction per instance."""
    if request.instance_rows is None:
        return answers
    return [answers[rows] if isinstance(rows, int) else _merge(answers[rows]) for rows in request.instance_rows]


def _merge(answers: list[Answer]) -> Answer:
    """One prediction for the observations of an instance, with a list per field."""
    merged = {name: [answer[name] for answer in answers] for name in ANSWER_FIELDS}
    return merged | {"predicted_action": merged["action"]}  # the name in Google's sample
