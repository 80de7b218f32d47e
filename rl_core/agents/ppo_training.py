"""A loop of PPO: the clipped policy gradient, and the regression of values."""

from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents.advantages import advantages
from banditloop.rl_core.agents.trained_network import TrainedNetwork
from banditloop.rl_core.agents.transitions import Transitions

LEAST_PROBABILITY = np.float32(1e-8)  # the least that a logarithm is taken of
LEAST_DEVIATION = 1e-8  # keeps advantages finite that are all alike


class Losses(NamedTuple):
    """The means over the minibatches of a loop's last epoch; the value's is in units of the variance of returns."""

    policy_loss: float
    value_loss: float


class PPOTraining(NamedTuple):
    """Actor and critic in training; clip: ε, trace: λ, entropy: weight of the entropy of the probabilities."""

    actor: TrainedNetwork
    critic: TrainedNetwork
    clip: float
    trace: float
    entropy: float

    def run(
        self,
        played: Transitions,
        x: np.ndarray,
        next_x: np.ndarray,
        batch_size: int,
        epochs: int,
        random: np.random.Generator,
    ) -> Losses:
        """Train on a loop's episodes. x, next_x: the critic's inputs at the steps and at the next ones [B, dim + 1].

        The actor's inputs are x without the last column, the step. Rewards are in units of the critic's outputs.
        """
        values, next_values = (self.critic.network.outputs(inputs)[:, 0] for inputs in (x, next_x))
        gains = advantages(played, values, next_values, self.trace)
        columns = (
            x,
            played.actions,
            played.propensities.astype(np.float32),
            ((gains - gains.mean()) / (gains.std() + LEAST_DEVIATION)).astype(np.float32),
            (values + gains).astype(np.float32),
        )
        losses = []
        for _ in range(epochs):
            losses = self._epoch(columns, played.eligible, batch_size, random.permutation(len(x)))
        return Losses(*np.mean(losses, axis=0).tolist())

    def _epoch(
        self, columns: tuple[np.ndarray, ...], eligible: np.ndarray | None, batch_size: int, order: np.ndarray
    ) -> list[tuple[float, float]]:
        losses = []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            x, actions, propensities, gains, targets = (column[rows] for column in columns)
            mask = None if eligible is None else eligible[rows]
            policy_loss = self._policy_step(x[:, :-1], actions, propensities, gains, mask)
            losses.append((policy_loss, self._value_step(x, targets)))
        return losses

    def _policy_step(
        self,
        x: np.ndarray,
        actions: np.ndarray,
        propensities: np.ndarray,
        gains: np.ndarray,
        eligible: np.ndarray | None,
    ) -> float:
        """A step down −min(r A, clip(r) A) − entropy · H, with r = π / propensity."""
        inputs, scores = self.actor.network.forward(x)
        probabilities = _softmax(scores, eligible)
        taken = np.arange(len(x)), actions
        ratios = probabilities[taken] / propensities
        clipped = np.clip(ratios, 1 - self.clip, 1 + self.clip)
        is_unclipped = ratios * gains <= clipped * gains  # where the unclipped term is the smaller one, and has a slope
        logs = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
        entropies = -(probabilities * logs).sum(axis=1, keepdims=True)
        slopes = (is_unclipped * ratios * gains)[:, None]
        derivative = probabilities * (slopes + np.float32(self.entropy) * (logs + entropies))
        derivative[taken] -= slopes[:, 0]
        self.actor.step(inputs, derivative / np.float32(len(x)))
        return float(-np.minimum(ratios * gains, clipped * gains).mean())

    def _value_step(self, x: np.ndarray, targets: np.ndarray) -> float:
        """A step down the mean squared error of the values."""
        inputs, values = self.critic.network.forward(x)
        errors = values[:, 0] - targets
        self.critic.step(inputs, (errors * np.float32(2 / len(x)))[:, None])
        return float(errors @ errors) / len(x)


def _softmax(scores: np.ndarray, eligible: np.ndarray | None) -> np.ndarray:
    """Probabilities float32 [B, actions] of scores, exactly 0 where an action is not eligible."""
    scores = scores if eligible is None else np.where(eligible, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
