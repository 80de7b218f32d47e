"""The recommender: predict requests in, predictions and logged decisions out."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import orjson

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import APPLICATION
from banditloop.rl_core.policies.release import hash_to_unit
from banditloop.rl_core.serving.candidate_sets import CandidateSet, CandidateSets, external_decisions
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.decision_writer import Batch, DecisionWriter
from banditloop.rl_core.serving.known_answers import Answer, KnownAnswers, Name, names_of, question_of
from banditloop.rl_core.serving.predict_request import NO_OPTIONS, InstanceOptions, PredictRequest
from banditloop.rl_core.serving.request_features import ContextReader, Features
from banditloop.rl_core.serving.traffic_split import DecisionRequest, TrafficSplit, VersionDecisions
from banditloop.rl_core.settings.task import Task

Contexts = np.ndarray | list[Features]  # of plain vectors, float32 [B, dim], or features by name


class Recommender:
    """Answers micro-batches of predict requests; decisions go to `log` as a JSON array before the answers are returned.

    All randomness of an instance with a key (its event_id or parameters.request_id) is drawn from the key: repeated, it
    gets the same action under the same event id from the same version. The latest of these answers are remembered
    across the processes of this machine, so that a newer version does not decide again, and no id names two decisions.
    A fraction `sample_rate` of all decisions is logged.
    """

    def __init__(
        self,
        task: Task,
        catalogue: Catalogue,
        log: Callable[[bytes], None],
        sample_rate: float = 1.0,
        answers: KnownAnswers | None = None,
    ) -> None:
        self._reader, self._candidates = ContextReader(task), CandidateSets(task, catalogue)
        self._writer = DecisionWriter(self._reader, self._candidates, sample_rate)
        self._log, self._random = log, np.random.default_rng()
        self._answers = KnownAnswers() if answers is None else answers

    def predict(self, split: TrafficSplit, requests: list[PredictRequest]) -> list[list[Any] | InvalidInput]:
        """The predictions for each request, or the error in it.

        Raises:
            OSError: the decisions cannot be logged at the moment.
        """
        contexts: list[Any] = []
        options: list[InstanceOptions] = []
        for request in requests:
            contexts += request.contexts
            options += request.options
        decide = self._decide_once if any(option.key for option in options) else self._decide
        try:
            answers = iter(decide(split, self._reader.read(contexts), options))
        except InvalidInput as error:
            if len(requests) == 1:
                return [error]
            return [predictions for request in requests for predictions in self.predict(split, [request])]
        return [_predictions(request, list(islice(answers, len(request.options)))) for request in requests]

    def _decide_once(self, split: TrafficSplit, contexts: Contexts, options: list[InstanceOptions]) -> list[Answer]:
        """Answers for all rows; only those that are not known are decided and logged."""
        questions = [question_of(option, context) for option, context in zip(options, contexts, strict=True)]
        names = [names_of(option, question) for option, question in zip(options, questions, strict=True)]
        with self._answers.held(name for row_names in names for name in row_names):
            answers = [self._answers.find(row_names) for row_names in names]
            rows = [row for row, answer in enumerate(answers) if answer is None]
            new_names = [name[:2] for row in rows for name in names[row]]
            if len(set(new_names)) < len(new_names):
                # It occurs in several requests, which `predict` then answers one by one.
                raise InvalidInput("request: an id occurs twice in a batch")
            new_contexts = contexts[rows] if isinstance(contexts, np.ndarray) else [contexts[row] for row in rows]
            new_answers = self._decide(split, new_contexts, [options[row] for row in rows])
            new = [(names[row], questions[row], answer) for row, answer in zip(rows, new_answers, strict=True)]
            self._remember(new)
        for row, answer in zip(rows, new_answers, strict=True):
            answers[row] = answer
        return [answer for answer in answers if answer is not None]

    def _remember(self, decided: list[tuple[list[Name], str, Answer]]) -> None:
        """Remember new answers under the names that their requests gave them, and under their event ids."""
        new: list[tuple[Name, Answer]] = []
        for names, question, answer in decided:
            if names:
                own_name = Name("event_id", answer["event_id"], question)
                new += [(name, answer) for name in {*names, own_name}]
        self._answers.add(new)

    def _decide(self, split: TrafficSplit, contexts: Contexts, options: list[InstanceOptions]) -> list[Answer]:
        """Answers for all rows; their decisions are logged."""
        if not options:
            return []
        chosen_from = self._candidates.of(options)
        requested = DecisionRequest(contexts, chosen_from.candidates, self._reader.vector)
        batch = Batch(options, contexts, chosen_from.features, [{}] * len(options), [])
        for group in self._assign(split, options, requested, chosen_from):
            self._writer.write(group, batch)
        self._log(orjson.dumps(batch.events, option=orjson.OPT_SERIALIZE_NUMPY))
        return batch.answers

    def _assign(
        self, split: TrafficSplit, options: list[InstanceOptions], requested: DecisionRequest, chosen_from: CandidateSet
    ) -> list[VersionDecisions]:
        """Decisions for all rows by version. Where the application decided itself, the champion is a shadow."""
        uniforms = self._random.random((len(options), 2))
        if options.count(NO_OPTIONS) == len(options):  # the common case
            return split.decide(range(len(options)), requested, [None] * len(options), uniforms)
        for row, option in enumerate(options):
            if option.key is not None:
                uniforms[row] = hash_to_unit(option.key, "version"), hash_to_unit(option.key, "action")
        keys = [option.episode_id or option.user for option in options]
        external_rows = [row for row, option in enumerate(options) if option.action is not None]
        if not external_rows:
            return split.decide(range(len(options)), requested, keys, uniforms)
        candidates = requested.candidates.take(external_rows)
        decisions = external_decisions(external_rows, options, chosen_from.take(external_rows))
        external = VersionDecisions(external_rows, APPLICATION, decisions, candidates, "external")
        own_rows = [row for row, option in enumerate(options) if option.action is None]
        own = split.decide(own_rows, requested, keys, uniforms) if own_rows else []
        return [external, *split.champion.attempt(external_rows, requested, uniforms, "shadow", 0.0), *own]


def _predictions(request: PredictRequest, answers: list[Answer]) -> list[Answer]:
    """One prediction per instance."""
    if request.instance_rows is None:
        return answers
    return [answers[rows] if isinstance(rows, int) else _merge(answers[rows]) for rows in request.instance_rows]


def _merge(answers: list[Answer]) -> Answer:
    """One prediction for the observations of an instance, with a list per field."""
    merged = {name: [answer[name] for answer in answers] for name in answers[0]}
    return merged | {"predicted_action": merged["action"]}  # the name in Google's sample
