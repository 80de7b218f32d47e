"""The answers to decisions, and the events that are logged of them."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.events.rows import Row, decision_row
from banditloop.rl_core.policies.release import hash_to_unit
from banditloop.rl_core.serving.candidate_sets import CandidateSets
from banditloop.rl_core.serving.known_answers import Answer
from banditloop.rl_core.serving.predict_request import InstanceOptions
from banditloop.rl_core.serving.request_features import ContextReader, Features
from banditloop.rl_core.serving.traffic_split import VersionDecisions

NONE_LISTED: Sequence[str] = ()


class Batch(NamedTuple):
    """The rows of a batch of requests, and what is answered and logged about them.

    described: features of each row's candidates by id; None where no request gives any.
    """

    options: list[InstanceOptions]
    contexts: np.ndarray | list[Features]
    described: list[dict[str, Features]] | None
    answers: list[Answer]
    events: list[Row]


class DecisionWriter:
    """Turns the decisions of a version into answers and, a fraction `sample_rate` of them, into events."""

    def __init__(self, reader: ContextReader, candidates: CandidateSets, sample_rate: float) -> None:
        self._reader, self._candidates, self._sample_rate = reader, candidates, sample_rate

    def write(self, group: VersionDecisions, batch: Batch) -> None:
        """Append the decisions to the batch's events and set their answers, except a shadow's. This loop is hot."""
        options, contexts, described, answers, events = batch
        now, random_ids = datetime.now(UTC), os.urandom(16 * len(group.rows)).hex()
        decisions, ids = group.decisions, group.candidates.ids
        numbered = self._candidates.are_all_numbers(group.candidates)
        implied = numbered and group.candidates.eligible is None and not described
        for i, (row, position, propensity) in enumerate(
            zip(group.rows, decisions.actions.tolist(), decisions.propensities.tolist(), strict=True)
        ):
            option, listed, probabilities = options[row], NONE_LISTED, decisions.probabilities[i]
            if not implied:
                listed, probabilities = _listed(group, i, numbered and not (described and described[row]))
            event_id = random_ids[32 * i : 32 * i + 32] if option.key is None else _event_id(option, group)
            if group.mode != "shadow":
                answered = position if numbered else self._candidates.answered(ids[position])
                answers[row] = _answer(event_id, answered, propensity, group.version)
                if option.explain:
                    answers[row]["probabilities"] = dict(zip(listed or ids, probabilities.tolist(), strict=True))
            if self._sample_rate == 1 or hash_to_unit(event_id, "sample") < self._sample_rate:
                row_features = described[row] if described else {}
                events.append(
                    decision_row(
                        event_id=event_id,
                        timestamp=now,
                        policy_version=group.version,
                        context=self._reader.row(contexts[row]),
                        candidates=listed,
                        candidate_features=[row_features[candidate] for candidate in listed] if row_features else (),
                        action=ids[position],
                        propensity=propensity,
                        probabilities=probabilities,
                        mode="deferred" if option.deferred and group.mode == "online" else group.mode,
                        logging_probability=self._sample_rate,
                        assignment_share=group.share,
                        episode_id=option.episode_id,
                        step=option.step,
                    )
                )


def _listed(group: VersionDecisions, i: int, may_imply: bool) -> tuple[Sequence[str], np.ndarray]:
    """The candidates of the group's i-th row and their probabilities; no candidates stand for all of the task."""
    ids, eligible, probabilities = group.candidates.ids, group.candidates.eligible, group.decisions.probabilities[i]
    if may_imply and (eligible is None or eligible[i].all()):
        return (), probabilities
    if eligible is None:
        return ids, probabilities
    positions = np.flatnonzero(eligible[i])
    return [ids[k] for k in positions.tolist()], probabilities[positions]


def _answer(event_id: str, action: str | int, propensity: float, version: str) -> Answer:
    return {"event_id": event_id, "action": action, "propensity": propensity, "policy_version": version}


def _event_id(option: InstanceOptions, group: VersionDecisions) -> str:
    """The event id of an instance with a key, the same whenever it is repeated; a shadow's decision has its own."""
    if option.event_id and group.mode != "shadow":
        return option.event_id
    return hashlib.sha256(f"{option.key} {group.version} {group.mode}".encode()).hexdigest()[:32]
