"""The candidates of requests, from what they list, what they exclude, and the catalogue."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates, check_size
from banditloop.rl_core.policies.saved_policy import Decisions
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.predict_request import InstanceOptions
from banditloop.rl_core.serving.request_features import CandidateReader
from banditloop.rl_core.settings.task import Task

SUM_TOLERANCE = 1e-6
Features = dict[str, Any]


class CandidateSet(NamedTuple):
    """The candidates of B decisions.

    listed: in the order of each request; None where it may choose any of the catalogue.
    features: of those that a request describes, by id; None where none does.
    """

    candidates: Candidates
    listed: list[Sequence[str] | None]
    features: list[dict[str, Features]] | None

    def take(self, rows: Sequence[int]) -> "CandidateSet":
        """The candidates of some of the decisions."""
        features = self.features and [self.features[row] for row in rows]
        return CandidateSet(self.candidates.take(rows), [self.listed[row] for row in rows], features)


class CandidateSets:
    """Finds the candidates of the decisions of a batch of requests."""

    def __init__(self, task: Task, catalogue: Catalogue) -> None:
        self._reader, self._catalogue = CandidateReader(task), catalogue

    def of(self, options: Sequence[InstanceOptions]) -> CandidateSet:
        """The candidates of decisions with these options.

        Raises:
            InvalidInput: candidates are unknown, malformed, missing or too many.
        """
        actions = self._catalogue.actions
        ids = actions.ids
        if ids is not None and not any(option.actions is not None or option.exclude for option in options):
            actions.check_size(0)
            check_size(len(options), len(ids))
            return CandidateSet(Candidates(ids), [None] * len(options), None)
        listed: list[Sequence[str] | None] = []
        features: list[dict[str, Features]] = []
        for number, option in enumerate(options):
            described: list[Features] = []
            own = None
            if option.actions is not None:
                own, described = self._reader.read(number, option.actions)
            features.append(dict(zip(own or (), described, strict=False)))
            if ids is not None and own is None and not option.exclude:
                actions.check_size(number)
                listed.append(None)
            else:
                listed.append(actions.candidates(number, own, option.exclude))
        lists = [ids or () if candidates is None else candidates for candidates in listed]
        candidates = Candidates.of_lists(lists, actions.position if ids is not None else None)
        return CandidateSet(candidates, listed, features if any(features) else None)

    def are_all_numbers(self, candidates: Candidates) -> bool:
        """Whether these are all actions of a task that numbers them: a row that may choose any need not list them."""
        return self._catalogue.actions.numbered and candidates.ids == self._catalogue.actions.ids

    def answered(self, action: str) -> str | int:
        """The action as it is answered: a number where the task numbers its actions."""
        return int(action) if self._catalogue.actions.numbered else action


def external_decisions(options: Sequence[InstanceOptions], chosen_from: CandidateSet) -> Decisions:
    """The application's own decisions; without probabilities, its action has probability 1.

    Raises:
        InvalidInput: an action is not a candidate, or its probabilities are not those of the candidates.
    """
    candidates = chosen_from.candidates
    index = {action: position for position, action in enumerate(candidates.ids)}
    probabilities, actions = np.zeros((len(options), len(index))), np.zeros(len(options), int)
    for row, option in enumerate(options):
        ids, action = chosen_from.listed[row] or candidates.ids, option.action or ""
        if action not in ids:
            raise InvalidInput(f"request: action = {action!r}: is not one of the {len(ids)} candidates")
        actions[row] = index[action]
        if option.probabilities is None:
            probabilities[row, actions[row]] = 1.0
        elif len(option.probabilities) == len(ids) and abs(sum(option.probabilities) - 1) <= SUM_TOLERANCE:
            probabilities[row, [index[candidate] for candidate in ids]] = option.probabilities
        else:
            raise InvalidInput(f"request: probabilities: give one for each of the {len(ids)} candidates; they sum to 1")
    propensities = probabilities[np.arange(len(actions)), actions]
    if not propensities.all():
        raise InvalidInput("request: probabilities: that of the chosen action cannot be 0")
    return Decisions(actions, propensities, probabilities)
