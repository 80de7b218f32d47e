"""The candidates of requests, from what they list, what they exclude, and the catalogue."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates, check_size
from banditloop.rl_core.events.consistency import TOLERANCE
from banditloop.rl_core.policies.saved_policy import Decisions
from banditloop.rl_core.serving.catalogue import Actions, Catalogue
from banditloop.rl_core.serving.predict_request import InstanceOptions
from banditloop.rl_core.serving.request_features import CandidateReader, Features
from banditloop.rl_core.settings.task import Task


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
        remaining: dict[tuple[str, ...], Sequence[str]] = {}
        for number, option in enumerate(options):
            own, described = None, list[Features]()
            if option.actions is not None:
                own, described = self._reader.read(number, option.actions)
            features.append(dict(zip(own or (), described, strict=False)))
            listed.append(_listed(number, own, option.exclude, actions, remaining))
        lists = [ids or () if candidates is None else candidates for candidates in listed]
        candidates = Candidates.of_lists(lists, actions.position if ids is not None else None)
        return CandidateSet(candidates, listed, features if any(features) else None)

    def are_all_numbers(self, candidates: Candidates) -> bool:
        """Whether these are all actions of a task that numbers them: a row that may choose any need not list them."""
        return self._catalogue.actions.numbered and candidates.ids == self._catalogue.actions.ids

    def answered(self, action: str) -> str | int:
        """The action as it is answered: a number where the task numbers its actions."""
        return int(action) if self._catalogue.actions.numbered else action


def _listed(
    number: int,
    own: Sequence[str] | None,
    exclude: tuple[str, ...],
    actions: Actions,
    remaining: dict[tuple[str, ...], Sequence[str]],
) -> Sequence[str] | None:
    """The candidates of a decision; None: any of the catalogue. `remaining` keeps the catalogue without each `exclude`.

    An instance of many vectors has the same one for all of them.
    """
    if own is not None:
        return actions.candidates(number, own, exclude)
    if actions.ids is not None and not exclude:
        actions.check_size(number)
        return None
    if exclude not in remaining:
        remaining[exclude] = actions.candidates(number, None, exclude)
    return remaining[exclude]


def external_decisions(rows: Sequence[int], options: Sequence[InstanceOptions], chosen_from: CandidateSet) -> Decisions:
    """The application's own decisions in these rows; without probabilities, its action has probability 1.

    chosen_from: the candidates of these rows.

    Raises:
        InvalidInput: an action is not a candidate, or its probabilities are not those of the candidates.
    """
    candidates = chosen_from.candidates
    index = {action: position for position, action in enumerate(candidates.ids)}
    probabilities, actions = np.zeros((len(rows), len(index))), np.zeros(len(rows), int)
    for place, row in enumerate(rows):
        ids, option = chosen_from.listed[place] or candidates.ids, options[row]
        probabilities[place, [index[candidate] for candidate in ids]] = _own_probabilities(row, option, ids)
        actions[place] = index[option.action or ""]
    return Decisions(actions, probabilities[np.arange(len(actions)), actions], probabilities)


def _own_probabilities(row: int, option: InstanceOptions, ids: Sequence[str]) -> list[float]:
    """The probability of each of the candidates when the application chose."""
    where, count, given = f"context {row}", len(ids), option.probabilities
    if option.action not in ids:
        raise InvalidInput(f"{where}: action = {option.action!r}: is not one of the {count} candidates")
    if given is None:
        return [float(candidate == option.action) for candidate in ids]
    if len(given) != count or abs(sum(given) - 1) > TOLERANCE:
        raise InvalidInput(f"{where}: probabilities: give one for each of the {count} candidates; they sum to 1")
    if given[ids.index(option.action)] == 0:
        raise InvalidInput(f"{where}: probabilities: that of the chosen action cannot be 0")
    return given
