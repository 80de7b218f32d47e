"""PPO: proximal policy optimisation, trained on episodes of its own policy and served without TensorFlow.

Schulman, Wolski, Dhariwal, Radford, Klimov: Proximal Policy Optimization Algorithms, 2017: with the clipped objective.
Its critic sees the number of the step beside the observation, since the value depends on it where the number of steps
is limited. The policy does not see it, unless the environment shows it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.advantages import returns
from banditloop.rl_core.agents.agent import Model, append_zeros, learning_metrics
from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.network import Layers, initial_layers, layers_of
from banditloop.rl_core.agents.neural_model import mean_std, standardised
from banditloop.rl_core.agents.online_agent import Learned, OnlineAgent
from banditloop.rl_core.agents.ppo_model import ACTOR, PPOModel
from banditloop.rl_core.agents.ppo_training import Losses, PPOTraining
from banditloop.rl_core.agents.trained_network import TrainedNetwork
from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.errors import InvalidInput

CRITIC = "critic_"


class PPO(OnlineAgent):
    """A policy network and a value network of tanh layers, trained by Adam on episodes that the policy has played."""

    EXPLORATION: ClassVar[float] = 0.01
    LEARNS_FROM_LOG: ClassVar[bool] = False

    name: Literal["ppo"] = "ppo"
    hidden_layers: int = Field(2, ge=1, le=10, description="number of hidden layers of both networks")
    hidden_units: int = Field(64, ge=1, le=4096, description="number of units in each hidden layer")
    learning_rate: float = Field(0.001, gt=0, le=1, description="learning rate of Adam")
    clip: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="clip range: a loop moves an action's probability no further from the old one once the ratio of "
        "the two is outside 1 plus or minus this",
    )
    trace: float = Field(
        0.95,
        ge=0,
        le=1,
        description="lambda of generalised advantage estimation: at 0 rely on the value network after one reward, at 1 "
        "use all rewards of the episode",
    )
    entropy: float = Field(0.0, ge=0, description="weight of the entropy of the probabilities, against early certainty")
    epochs: int = Field(10, ge=1, le=1000, description="passes over the decisions of a loop")
    batch_size: int = Field(1024, ge=1, le=1_000_000, description="decisions per gradient step")
    seed: int = Field(0, ge=0, description="seed of the initial weights and of the order of decisions in training")

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        """Networks whose last layers are 0: a policy that draws uniformly. The critic sees the step, too."""
        random, hidden = np.random.default_rng(self.seed), [self.hidden_units] * self.hidden_layers
        actor = initial_layers([dim, *hidden, actions], "tanh", random)
        critic = initial_layers([dim + 1, *hidden, 1], "tanh", random)
        return {
            **self._new(actor).statistics(ACTOR),
            **self._new(critic).statistics(CRITIC),
            "mean": np.zeros(dim + 1, np.float32),
            "deviation": np.ones(dim + 1, np.float32),
            "return_scale": np.ones(()),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
            "loops": np.zeros((), np.int64),
            "losses": np.zeros(2),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """An untried action has a preference of 0. The optimizer of the policy starts anew."""
        last = f"{ACTOR}kernel_{self.hidden_layers}", f"{ACTOR}bias_{self.hidden_layers}"
        per_action = {
            name: append_zeros(statistics[name], actions, statistics[name].ndim - 1)
            for name in (*last, "counts", "rewards")
        }
        grown = statistics | per_action
        return grown | self._new(layers_of(grown, ACTOR)).statistics(ACTOR)

    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        """Refuses: see `learn`."""
        raise InvalidInput(
            "agent.name = 'ppo': learns from episodes of its own policy, not from a log; train it in an environment, "
            "by `banditloop train --on-policy` or the pipeline on-policy"
        )

    def learn(self, statistics: Statistics, played: Transitions) -> Learned:
        if not statistics["loops"]:
            statistics = statistics | _scales(played)
        actor, critic = (
            TrainedNetwork.of(statistics, prefix, "tanh", self.learning_rate) for prefix in (ACTOR, CRITIC)
        )
        scaled = played._replace(rewards=played.rewards / statistics["return_scale"])
        x, next_x = _inputs(statistics, played)
        random = np.random.default_rng([self.seed, int(statistics["loops"])])
        with (
            np.errstate(over="ignore", invalid="ignore"),
            actor.network.threads(self.batch_size),
        ):  # Adam skips infinities
            training = PPOTraining(actor, critic, self.clip, self.trace, self.entropy)
            losses = training.run(scaled, x, next_x, self.batch_size, self.epochs, random)
        actions = len(statistics["counts"])
        learned = {
            **actor.statistics(ACTOR),
            **critic.statistics(CRITIC),
            "counts": statistics["counts"] + np.bincount(played.actions, minlength=actions),
            "rewards": statistics["rewards"] + np.bincount(played.actions, played.rewards, actions),
            "loops": statistics["loops"] + 1,
            "losses": np.array(losses),
        }
        return Learned(statistics | learned, losses._asdict())

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        losses = zip(Losses._fields, statistics["losses"].tolist(), strict=True)
        return learning_metrics(statistics) | dict(losses)

    def save(self, statistics: Statistics, folder: Path) -> None:
        write_arrays(folder / WEIGHTS, _served(statistics))

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.ppo_saved_model import save_ppo  # imports TensorFlow

        save_ppo(folder, dim, actions)

    def load(self, folder: Path) -> Model:
        """The model of weights.npz. Does not import TensorFlow."""
        return PPOModel.checked(folder / WEIGHTS, read_arrays(folder / WEIGHTS))

    def model(self, statistics: Statistics) -> Model:
        return PPOModel.of(_served(statistics))

    def _new(self, layers: Layers) -> TrainedNetwork:
        return TrainedNetwork.new(layers, "tanh", self.learning_rate)


def _served(statistics: Statistics) -> Statistics:
    """The statistics that the policy needs: its network, and the mean and deviation of observations."""
    layers = {name: array for name, array in statistics.items() if name.startswith((f"{ACTOR}kernel", f"{ACTOR}bias"))}
    return layers | {name: statistics[name][:-1] for name in ("mean", "deviation")}


def _inputs(statistics: Statistics, played: Transitions) -> tuple[np.ndarray, np.ndarray]:
    """What the critic sees of each step and of the next one, float32 [B, dim + 1]: the observation and the step."""
    rows = ((played.observations, played.steps), (played.next_observations, played.steps + 1))
    scales = statistics["mean"], statistics["deviation"]
    now, following = (standardised(np.column_stack(columns), *scales) for columns in rows)
    return now, following


def _scales(played: Transitions) -> Statistics:
    """Mean and deviation of observations and steps, [dim + 1] each, and the deviation of returns []."""
    mean, deviation = mean_std(np.column_stack([played.observations, played.steps]))
    _, scale = mean_std(returns(played))
    return {
        "mean": mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "return_scale": np.array(scale),
    }
