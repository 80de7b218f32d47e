"""SavedPolicy: a policy read from a policy directory, and its decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.agents import Model, best_actions, one_hot
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import verify_policy
from banditloop.rl_core.policies.manifest import MANIFEST, Manifest, agent_of
from banditloop.rl_core.policies.uniform import UniformModel

MAX_NEW_EXPLORATION = 0.5  # of all new actions together


class Decisions(NamedTuple):
    """Actions [B], positions among the K candidates; their propensities [B]; probabilities of all of them [B, K]."""

    actions: np.ndarray
    propensities: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class SavedPolicy:
    """A policy read from its directory, ready to decide.

    Its methods take candidates; without any, all actions of its encoding are candidates, in their order there.
    """

    manifest: Manifest
    model: Model
    encoding: Encoding

    @classmethod
    def load(cls, folder: Path) -> "SavedPolicy":
        """The policy of a directory. An agent of your own may run code from it: load only directories that you trust.

        Raises:
            InvalidInput: the directory is incomplete or corrupt; names the file.
        """
        manifest = verify_policy(folder)
        encoding = Encoding.read_if_any(folder) or Encoding.of_vectors(manifest.dim, manifest.actions)
        shape = encoding.context.dim, len(encoding.action_ids)
        model = UniformModel(*shape) if manifest.version == RANDOM else agent_of(manifest).load(folder)
        if not model.shape == shape == (manifest.dim, manifest.actions):
            raise InvalidInput(f"policy {folder}: the shape of its model differs from dim and actions in {MANIFEST}")
        return cls(manifest, model, encoding)

    def observations(self, contexts: pa.StructArray | Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Observations [B, dim] of contexts of the log, or of requests."""
        encoder = self.encoding.context
        return encoder.encode(contexts) if isinstance(contexts, pa.StructArray) else encoder.encode_rows(contexts)

    def probabilities(self, observations: np.ndarray, candidates: Candidates | None = None) -> np.ndarray:
        """The exact probability of every candidate [B, K].

        The agent's, mixed with uniform exploration of the eligible candidates and with the least exploration of new
        actions: those that joined later and were not tried enough, and those that the policy does not know. Empty
        without any candidates, as where a policy has no actions yet.
        """
        floor = self.manifest.exploration
        candidates = candidates or Candidates(self.encoding.action_ids)
        are_its_own = candidates.eligible is None and candidates.ids == self.encoding.action_ids
        if are_its_own and not self.encoding.new_actions:  # the common case
            return (1 - floor) * self.model.probabilities(observations) + floor / max(1, self.manifest.actions)
        eligible = candidates.mask(len(observations))
        uniform = eligible / eligible.sum(axis=1, keepdims=True)
        least = eligible * (self._is_new(candidates.ids) * self.manifest.new_action_exploration)
        excess = np.maximum(least.sum(axis=1, keepdims=True), MAX_NEW_EXPLORATION) / MAX_NEW_EXPLORATION
        least = (1 - floor) * least / excess
        learned = 1 - floor - least.sum(axis=1, keepdims=True)
        return learned * self._learned(observations, candidates, uniform) + floor * uniform + least

    def decide(self, observations: np.ndarray, uniforms: np.ndarray, candidates: Candidates | None = None) -> Decisions:
        """Actions for observations [B, dim], selected by numbers in [0, 1): uniforms [B].

        InvalidInput: there are no candidates.
        """
        probabilities = self.probabilities(observations, candidates)
        if not probabilities.shape[1]:
            raise InvalidInput(f"policy {self.manifest.version}: candidates = (): list one at least")
        return draw_actions(probabilities, uniforms)

    def greedy_probabilities(self, observations: np.ndarray, candidates: Candidates | None = None) -> np.ndarray:
        """The probabilities [B, K], 0 or 1, of always taking the model's greedy candidate.

        That is the one with the highest expected reward, or of a policy that imitates others, the most probable one.
        """
        ids, eligible = candidates or Candidates(self.encoding.action_ids)
        if not ids:
            return np.zeros((len(observations), 0))
        scores = self._of_candidates(self.model.greedy_scores(observations), ids)
        return one_hot(best_actions(scores, eligible), len(ids))

    def expected_rewards(self, observations: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The expected reward of every candidate [B, K]; of an unknown one, the mean of those of the known actions."""
        return self._of_candidates(self.model.expected_rewards(observations), candidates.ids)

    def _of_candidates(self, scores: np.ndarray, ids: Sequence[str]) -> np.ndarray:
        """Scores of all known actions [B, actions] as those of candidates [B, K]: their mean for unknown ones."""
        positions = self._positions(ids)
        mean = scores.mean(axis=1, keepdims=True) if scores.shape[1] else np.zeros((len(scores), 1))
        return np.where(positions >= 0, np.hstack([scores, mean])[:, positions], mean)

    def _learned(self, observations: np.ndarray, candidates: Candidates, uniform: np.ndarray) -> np.ndarray:
        """The agent's probabilities of the candidates [B, K]; uniform where it knows none of them."""
        positions, actions = self._positions(candidates.ids), len(self.encoding.action_ids)
        known = positions >= 0
        if candidates.eligible is None and np.array_equal(positions, np.arange(actions)):
            return self.model.probabilities(observations)
        eligible = np.zeros((len(observations), actions), bool)
        eligible[:, positions[known]] = candidates.mask(len(observations))[:, known]
        knows_none = ~eligible.any(axis=1)
        if knows_none.all():
            return uniform
        eligible[knows_none] = True
        learned = np.zeros(uniform.shape)
        learned[:, known] = self.model.probabilities(observations, eligible)[:, positions[known]]
        learned[knows_none] = uniform[knows_none]
        return learned

    def _positions(self, ids: Sequence[str]) -> np.ndarray:
        """The positions of actions in the encoding [K]; -1: unknown."""
        return _positions(self.encoding.action_ids, tuple(ids))

    def _is_new(self, ids: tuple[str, ...]) -> np.ndarray:
        """Whether actions are new [K]."""
        return (self._positions(ids) < 0) | np.isin(ids, self.encoding.new_actions)


def draw_actions(probabilities: np.ndarray, uniforms: np.ndarray) -> Decisions:
    """Actions of these probabilities [B, K], drawn by inverse-CDF sampling with numbers in [0, 1): uniforms [B]."""
    cumulative = probabilities.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # exactly 1 from the last eligible candidate on, despite rounding errors
    actions = (cumulative <= uniforms[:, None]).argmin(axis=1)
    return Decisions(actions, probabilities[np.arange(len(actions)), actions], probabilities)


@lru_cache(maxsize=64)
def _positions(known: tuple[str, ...], ids: tuple[str, ...]) -> np.ndarray:
    index = {action: position for position, action in enumerate(known)}
    return np.array([index.get(action, -1) for action in ids], int)
