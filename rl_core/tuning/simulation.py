"""A loop simulated in the config's environment: what its settings earn, from the first decision on.

It begins with the uniform policy and learns from all interactions but those held out. It retrains as soon as the
interactions have grown by a fifth or by `retraining.min_new_interactions`. Rewards arrive at once, and every retraining
is deployed.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import configured
from banditloop.rl_core.environments.history import chosen_actions, features_by_id, listed_candidates
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts, context_array
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import Decisions, SavedPolicy
from banditloop.rl_core.policies.uniform import UniformModel
from banditloop.rl_core.training.lineage import random_manifest
from banditloop.rl_core.training.train import initial_statistics, train
from banditloop.rl_core.tuning.trained import EPOCH, policy_of

FIT_CONTEXTS = 1000  # that the encoder is fitted to
FIRST, GROWTH = 8, 0.2  # new interactions before the first training; before the next ones, as a fraction of all


def simulated_reward(config: Config, seed: int) -> float:
    """The mean reward of a simulated loop of `tuning.interactions` decisions. The same seed, the same contexts."""
    loop = _Loop(config, seed)
    rewards: list[np.ndarray] = []
    while loop.decided < config.tuning.interactions:
        rewards.append(loop.step(config.tuning.interactions - loop.decided))
    return float(np.concatenate(rewards).mean())


class _Loop:
    """A loop between two trainings: its policy, and the statistics of what it has learned from."""

    def __init__(self, config: Config, seed: int) -> None:
        environment = configured(config.environment, "tuning in simulation")
        self._config, self._environment = config, environment.restarted()
        self._seed, self._random, self.decided = seed, np.random.default_rng([seed, 0]), 0
        self._features = features_by_id(self._environment)
        encoding = Encoding.unfitted(config.task).with_features(config.task, self._features)
        if encoding.context.is_fitted:
            contexts = environment.restarted().observe(FIT_CONTEXTS, np.random.default_rng([seed, 1]))
            fitted = encoding.context.fit(context_array(config.task, contexts))
            encoding = encoding.model_copy(update={"context": fitted})
        self._encoding = encoding
        self._statistics = initial_statistics(config, encoding, None)
        uniform = UniformModel(encoding.context.dim, len(encoding.action_ids))
        self._policy = SavedPolicy(random_manifest(config), uniform, encoding)

    def step(self, most: int) -> np.ndarray:
        """Take at most `most` decisions, until the next training, then train; returns the rewards [B]."""
        limit = self._config.retraining.min_new_interactions
        size = min(limit, max(FIRST, int(GROWTH * self.decided)), most)
        contexts = self._environment.observe(size, self._random)
        interactions = self._interactions(contexts, size)
        self.decided += size
        fraction = self._config.gate.holdout_fraction
        kept = [not is_held_out(event_id, fraction) for event_id in interactions["event_id"].to_pylist()]
        learned = interactions.filter(pa.array(kept))
        if learned.num_rows and self.decided < self._config.tuning.interactions:
            self._statistics = train(self._config, self._encoding, [learned], self._statistics)
            self._policy = policy_of(self._config, self._encoding, self._statistics)
        return interactions["reward"].to_numpy()

    def _interactions(self, contexts: Contexts, size: int) -> pa.Table:
        """Decisions of the policy, with their rewards."""
        task, array = self._config.task, context_array(self._config.task, contexts)
        listed = listed_candidates(self._environment, contexts, self._random)
        candidates = Candidates.of_lists(listed) if listed else Candidates(self._encoding.action_ids)
        decisions = self._policy.decide(self._policy.observations(array), self._random.random(size), candidates)
        event_ids = [f"tuning-{self._seed}-{self.decided + row}" for row in range(size)]
        columns = self._columns(decisions, candidates, listed)
        table = decision_table(
            task,
            event_id=event_ids,
            timestamp=EPOCH,
            policy_version=self._policy.manifest.version,
            context=array,
            mode="simulated",
            **columns,
        )
        rewards = self._environment.reward(contexts, chosen_actions(task, columns["action"]), event_ids)
        return table.append_column("reward", pa.array(task.rewards.clip(rewards)))

    def _columns(self, decisions: Decisions, candidates: Candidates, listed: list[list[str]] | None) -> dict[str, Any]:
        """The columns of actions, candidates and probabilities, as in the log."""
        rows = range(len(decisions.actions))
        columns: dict[str, Any] = {
            "action": [candidates.ids[position] for position in decisions.actions],
            "propensity": decisions.propensities,
        }
        if listed is None:
            ids = [] if self._config.task.numbered else list(candidates.ids)
            return columns | {"candidates": [ids for _ in rows], "probabilities": list(decisions.probabilities)}
        index = {action: position for position, action in enumerate(candidates.ids)}
        probabilities = [decisions.probabilities[row, [index[action] for action in listed[row]]] for row in rows]
        features = [[self._features[action] for action in ids] if self._features else [] for ids in listed]
        return columns | {"candidates": listed, "probabilities": probabilities, "candidate_features": features}
