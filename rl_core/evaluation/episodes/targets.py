"""What policies would have done in the episodes of a window: probabilities of their actions, step by step."""

from functools import cached_property

import numpy as np

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.returns import predicted_returns, return_range
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.events.candidates import Candidates, action_positions, logged_candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import contexts

BATCH_ROWS = 8192
LEAST = 1e-300  # smaller probabilities count as this one, so that logarithms are finite


class Targets:
    """The probabilities of policies in a window of at least one episode, computed once for each policy."""

    def __init__(self, window: EpisodeWindow) -> None:
        self.window = window
        self._probabilities: dict[str, np.ndarray] = {}

    @cached_property
    def actions(self) -> np.ndarray:
        """The logged actions [B], positions among the window's ids."""
        return action_positions(self.window.table, self.window.ids)

    @cached_property
    def candidates(self) -> Candidates:
        """What could be chosen in each step."""
        return logged_candidates(self.window.table, self.window.ids)

    def probabilities(self, policy: SavedPolicy) -> np.ndarray:
        """The policy's probability of every candidate in each step [B, K]."""
        version = policy.manifest.version
        if version not in self._probabilities:
            parts = [
                policy.probabilities(
                    policy.observations(contexts(self.window.table.slice(start, BATCH_ROWS))),
                    self.candidates.take(np.arange(start, min(start + BATCH_ROWS, len(self.actions)))),
                )
                for start in range(0, len(self.actions), BATCH_ROWS)
            ]
            self._probabilities[version] = np.vstack(parts)
        return self._probabilities[version]

    def log_probabilities(self, policy: SavedPolicy) -> np.ndarray:
        """The logarithm of the policy's probability of each episode's actions up to each step [B]."""
        chosen = self.probabilities(policy)[np.arange(len(self.actions)), self.actions]
        return self._since_start(np.log(np.maximum(chosen, LEAST)))

    @cached_property
    def log_propensities(self) -> np.ndarray:
        """As `log_probabilities`, of the mixture of the policies that were to answer; of unknown ones, as logged."""
        window, episode = self.window, self.window.rows.episode
        by_policy = [self.log_probabilities(policy) for policy in window.policies.values()]
        mix = window.mix
        log_mix = np.log(mix, out=np.full(mix.shape, -np.inf), where=mix > 0)
        terms = np.reshape(by_policy, (len(by_policy), len(episode))).T + log_mix[episode]
        mixture = np.logaddexp.reduce(terms, axis=1, initial=-np.inf)
        logged = self._since_start(np.log(window.table["propensity"].to_numpy()))
        return np.where(window.answered_by[episode] < 0, logged, mixture)

    @property
    def propensities(self) -> np.ndarray:
        """The propensity of each step [B], given the steps before it: their products are those of the mixture."""
        joint, starts = self.log_propensities, self.window.rows.starts
        before = np.concatenate([[0.0], joint[:-1]])
        before[starts] = 0.0
        return np.exp(joint - before).clip(max=1.0)

    def decisions(self, model: SavedPolicy) -> EpisodeDecisions:
        """The episodes as large decisions; model: the policy whose model predicts returns at their start."""
        window, episodes = self.window, self.window.section
        possible_returns = return_range(window.config.task.rewards, episodes)
        returns = possible_returns.scale(window.returns(self.rewards)).clip(0, 1)
        values = possible_returns.scale(self._values(model)).clip(0, 1)
        most_candidates = self.candidates.mask(len(self.actions)).sum(axis=1).max()
        floors = np.array([policy.manifest.exploration / most_candidates for policy in window.policies.values()])
        least = window.least_propensity
        return EpisodeDecisions(
            returns,
            predicted_returns(values, returns),
            self.at_end(self.log_propensities),
            window.answered_by,
            window.mix,
            episodes.max_steps * np.log(floors),
            episodes.max_steps * np.log(least) if least else -np.inf,
        )

    def as_target(self, episodes: EpisodeDecisions, policy: SavedPolicy, rows: np.ndarray) -> Logged:
        """Some of the episodes, by a mask [E], as decisions with a policy as the target."""
        versions, version = list(self.window.policies), policy.manifest.version
        index = versions.index(version) if version in versions else None
        return episodes.where(rows).as_target(self.at_end(self.log_probabilities(policy))[rows], index)

    @cached_property
    def rewards(self) -> np.ndarray:
        """The rewards of the steps [B]."""
        return self.window.table["reward"].to_numpy()

    def at_end(self, sums: np.ndarray) -> np.ndarray:
        """Sums up to each step [B], as they are at the last step of each episode [E]."""
        return sums[self.window.rows.lasts]

    def _values(self, model: SavedPolicy) -> np.ndarray:
        """What the policy expects of each episode [E] at its start."""
        starts = self.window.rows.starts
        first, candidates = self.window.table.take(starts), self.candidates.take(starts)
        expected = model.expected_rewards(model.observations(contexts(first)), candidates)
        return (self.probabilities(model)[starts] * expected).sum(axis=1)

    def _since_start(self, terms: np.ndarray) -> np.ndarray:
        """The sum of an episode's terms [B] up to each step [B]."""
        sums, rows = np.concatenate([[0.0], np.cumsum(terms)]), self.window.rows
        return sums[1:] - sums[rows.starts[rows.episode]]
