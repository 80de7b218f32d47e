"""DQN: a network of the values of actions, trained on logged or on-policy episodes, served without TensorFlow.

Mnih et al.: Human-level Control through Deep Reinforcement Learning, Nature 2015, with double Q-learning and soft
updates of the target (`q_learning`). It is the algorithm of TF-Agents' DdqnAgent and of ReAgent's DiscreteDQN, with the
squared error.

The network after the last gradient step is served, trained on all episodes. Choosing an earlier one by its score on a
held-out tenth of the episodes was tried on offline CartPole (`make bench-sequential`): the rank correlation with the
true score is at most 0.2, for fitted Q evaluation and for temporal differences, and training misses the tenth. With
fitted Q evaluation on all episodes it is at most 0.4. A falling learning rate makes the last network a good one; far
more gradient steps than needed make it worse.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Model, learning_metrics
from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.network import initial_layers, named_arrays
from banditloop.rl_core.agents.neural_model import NeuralModel, mean_std, served_arrays
from banditloop.rl_core.agents.online_agent import Learned, OnlineAgent
from banditloop.rl_core.agents.q_learning import STATE, QLearner
from banditloop.rl_core.agents.replay import replay, replay_with_actions, with_replay
from banditloop.rl_core.agents.sequential_agent import (
    followed,
    initial_counts,
    transition_counts,
    tried_actions,
    with_untried,
)
from banditloop.rl_core.agents.softmax_values import SoftmaxValues
from banditloop.rl_core.agents.transitions import Transitions, joined

LEAST_EXPLORATION = 0.05  # share of decisions drawn uniformly while learning, after exploration_decisions


class DQN(OnlineAgent):
    """Double DQN with a network of ReLU layers."""

    name: Literal["dqn"] = "dqn"
    hidden_layers: int = Field(2, ge=1, le=10, description="number of hidden layers")
    hidden_units: int = Field(64, ge=1, le=4096, description="number of units in each hidden layer")
    learning_rate: float = Field(0.005, gt=0, le=1, description="learning rate of Adam at the first gradient step")
    final_learning_rate: float = Field(
        0.00025, ge=0, le=1, description="learning rate at the last gradient step; it falls linearly"
    )
    batch_size: int = Field(512, ge=1, le=65_536, description="transitions per gradient step")
    gradient_steps: int = Field(500, ge=1, le=1_000_000, description="number of gradient steps")
    tau: float = Field(
        0.1,
        gt=0,
        le=1,
        description="soft-update rate: share of the network's weights mixed into the target network at each gradient "
        "step",
    )
    temperature: float = Field(
        0.0,
        ge=0,
        description="temperature of the softmax over action values that actions are drawn from, in units of value; "
        "0: take the best action",
    )
    seed: int = Field(0, ge=0, description="seed of the initial weights and of all random draws in training")
    exploration_decisions: int = Field(
        10_000,
        ge=1,
        description="on-policy: decisions over which the share drawn uniformly falls from 1 to 0.05, and the learning "
        "rate to its last value",
    )
    decisions_per_step: int = Field(8, ge=1, description="on-policy: decisions per gradient step")
    replay_size: int = Field(
        50_000, ge=1, le=10_000_000, description="on-policy: latest transitions that gradient steps draw from"
    )

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return {
            **self._initial_weights(dim, actions),
            "mean": np.zeros(dim, np.float32),
            "deviation": np.ones(dim, np.float32),
            "reward_scale": np.array([0.0, 1.0]),
            "loss": np.zeros(()),
            **initial_counts(actions),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """The network's last layer gives untried actions the mean value of the others. Its copy and Adam start anew."""
        kept = {name: array for name, array in statistics.items() if not name.startswith(STATE)}
        return with_untried(kept | replay_with_actions(kept, actions), actions, self._last_layer)

    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        nonempty = [batch for batch in batches if len(batch.actions)]
        if not nonempty:
            return statistics
        transitions = joined(nonempty)
        dim, actions = len(statistics["mean"]), len(statistics["counts"])
        statistics = self.initial_statistics(dim, actions) | transition_counts(transitions, actions)
        known = followed(transitions, actions)
        statistics |= _scales(transitions)
        if len(known.actions):
            rates = [self.learning_rate_at(step / self.gradient_steps) for step in range(self.gradient_steps)]
            statistics |= self._trained(statistics, known, rates, np.random.default_rng(self.seed))
        return with_untried(statistics, actions, self._last_layer, tried_actions(known, actions))

    def exploration(self, statistics: Statistics) -> float:
        return 1 - (1 - LEAST_EXPLORATION) * self._explored(statistics)

    def learn(self, statistics: Statistics, played: Transitions) -> Learned:
        actions, before = len(statistics["counts"]), int(statistics["counts"].sum())
        if not before:
            statistics = statistics | _scales(played)
        statistics = with_replay(statistics, played, self.replay_size)
        statistics |= {name: statistics[name] + array for name, array in transition_counts(played, actions).items()}
        buffer = replay(statistics)
        assert buffer is not None
        steps = statistics["counts"].sum() // self.decisions_per_step - before // self.decisions_per_step
        rates = [self.learning_rate_at(self._explored(statistics))] * int(steps)
        random = np.random.default_rng([self.seed, before])
        statistics |= self._trained(statistics, buffer, rates, random, keep=True)
        return Learned(statistics, {"value_loss": float(statistics["loss"])})

    def learner(self, statistics: Statistics) -> QLearner:
        """The network of statistics in training: `step` takes a minibatch of what `followed` returns."""
        return QLearner(statistics, self.learning_rate, self.tau)

    def learning_rate_at(self, fraction: float) -> float:
        """The learning rate when this fraction of the gradient steps, in [0, 1], is done."""
        return self.learning_rate + fraction * (self.final_learning_rate - self.learning_rate)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return learning_metrics(statistics) | {"loss": float(statistics["loss"])}

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, served_arrays(statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.neural_saved_model import save_network, save_softmax  # imports TensorFlow

        if self.temperature:
            save_softmax(folder, dim, actions, self.temperature)
        else:
            save_network(folder, actions)

    def model(self, statistics: Statistics) -> Model:
        return self._drawing(NeuralModel.of(statistics))

    def load(self, folder: Path) -> Model:
        """The model of weights.npz. Does not import TensorFlow."""
        return self._drawing(NeuralModel.checked(folder / WEIGHTS, read_arrays(folder / WEIGHTS)))

    def _drawing(self, values: Model) -> Model:
        return SoftmaxValues(values, self.temperature) if self.temperature else values

    @property
    def _last_layer(self) -> tuple[str, str]:
        return f"kernel_{self.hidden_layers}", f"bias_{self.hidden_layers}"

    def _initial_weights(self, dim: int, actions: int) -> Statistics:
        widths = [dim, *[self.hidden_units] * self.hidden_layers, actions]
        return named_arrays(initial_layers(widths, "relu", np.random.default_rng(self.seed)))

    def _explored(self, statistics: Statistics) -> float:
        """How much of the exploration is over, in [0, 1]."""
        return min(1.0, float(statistics["counts"].sum()) / self.exploration_decisions)

    def _trained(
        self,
        statistics: Statistics,
        transitions: Transitions,
        rates: Sequence[float],
        random: np.random.Generator,
        keep: bool = False,
    ) -> Statistics:
        """The weights after a gradient step at each of the learning rates, and the mean loss of the last tenth of them.

        keep: also return the state that learning resumes from.
        """
        learner, losses = self.learner(statistics), [float(statistics["loss"])]
        with np.errstate(over="ignore", invalid="ignore"), learner.threads(self.batch_size):
            for rate in rates:
                rows = random.integers(len(transitions.actions), size=self.batch_size)
                losses.append(learner.step(transitions.take(rows), rate))
        loss = np.mean(losses[-max(1, len(rates) // 10) :])
        return learner.weights() | {"loss": np.array(loss)} | (learner.state() if keep else {})


def _scales(transitions: Transitions) -> Statistics:
    """Mean and deviation of observations, [dim] each, and the unit of values: the rewards' root mean square."""
    mean, deviation = mean_std(transitions.observations)
    unit = float(np.sqrt(np.mean(np.square(transitions.rewards))))
    return {
        "mean": mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "reward_scale": np.array([0.0, unit or 1.0]),
    }
