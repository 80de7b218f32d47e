"""TF-Agents' bandit algorithms by name, with their hyperparameters. Does not import TensorFlow.

Names and defaults are TF-Agents' own, except for values that fail there silently: with a tikhonov_weight of 0 a
linear agent always takes action 0.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.settings.section import Section

MAX_SEED = 2**31 - 1  # of TensorFlow


class LinearAlgorithm(Section):
    """One ridge regression per action."""

    alpha: float = Field(1.0, ge=0, description="width of the confidence bound or of the posterior")
    gamma: float = Field(1.0, gt=0, le=1, description="factor by which a training forgets what was learned before")
    tikhonov_weight: float = Field(1.0, gt=0, description="ridge weight")
    add_bias: bool = Field(False, description="add a constant 1 to the observation")
    use_eigendecomp: bool = Field(False, description="solve by eigendecomposition instead of conjugate gradients")


class LinUCBAlgorithm(LinearAlgorithm):
    """LinearUCBAgent: upper confidence bounds (Li et al. 2010)."""


class LinTSAlgorithm(LinearAlgorithm):
    """LinearThompsonSamplingAgent: Thompson sampling (Agrawal and Goyal 2013)."""


class NeuralAlgorithm(Section):
    """A network of ReLU layers that predicts the reward of every action, trained by Adam: one step per training."""

    layers: list[int] = Field([64, 64], min_length=1, max_length=10, description="units of each hidden layer")
    learning_rate: float = Field(0.001, gt=0, le=1, description="learning rate of Adam")
    gradient_clipping: float | None = Field(None, gt=0, description="largest norm of a gradient; none: not clipped")


class NeuralEpsilonGreedyAlgorithm(NeuralAlgorithm):
    """NeuralEpsilonGreedyAgent."""

    epsilon: float = Field(0.1, ge=0, le=1, description="probability of a uniformly random action")


class NeuralBoltzmannAlgorithm(NeuralAlgorithm):
    """NeuralBoltzmannAgent: softmax of the predicted rewards."""

    temperature: float = Field(1.0, gt=0, description="the predictions are divided by it")


class NeuralFalconAlgorithm(NeuralAlgorithm):
    """NeuralFalconAgent: inverse gap weighting (Simchi-Levi and Xu 2020)."""

    exploitation_coefficient: float = Field(1.0, gt=0, description="the larger, the greedier")


class DropoutThompsonAlgorithm(NeuralAlgorithm):
    """DropoutThompsonSamplingAgent: dropout stays on when it decides (Riquelme et al. 2018)."""

    dropout_rate: float = Field(0.1, gt=0, lt=1, description="fraction of units that are dropped")
    dropout_only_top_layer: bool = Field(True, description="drop units of the last hidden layer only")


class NeuralLinUCBAlgorithm(NeuralAlgorithm):
    """NeuralLinUCBAgent: LinUCB on what the network encodes, once that has been trained."""

    alpha: float = Field(1.0, ge=0, description="width of the confidence bound")
    gamma: float = Field(1.0, gt=0, le=1, description="factor by which a training forgets what was learned before")
    encoding_dim: int = Field(10, ge=1, le=1000, description="length of the encoding")
    encoding_network_num_train_steps: int = Field(
        1000, ge=0, description="trainings of the network, before LinUCB takes over"
    )
    epsilon_greedy: float = Field(0.1, ge=0, le=1, description="share of random actions while the network is trained")


class Exp3Algorithm(Section):
    """Exp3Agent: exponential weights, without regard to the observation (Auer et al. 2002). Rewards are in [0, 1]."""

    learning_rate: float = Field(0.1, gt=0, le=1, description="inverse temperature and factor of the weights")


ALGORITHMS: dict[str, type[Section]] = {
    "lin_ucb": LinUCBAlgorithm,
    "lin_ts": LinTSAlgorithm,
    "neural_epsilon_greedy": NeuralEpsilonGreedyAlgorithm,
    "neural_boltzmann": NeuralBoltzmannAlgorithm,
    "neural_falcon": NeuralFalconAlgorithm,
    "dropout_thompson": DropoutThompsonAlgorithm,
    "neural_linucb": NeuralLinUCBAlgorithm,
    "exp3": Exp3Algorithm,
}


class AlgorithmSection(Section):
    """The part of an agent section that chooses an algorithm of TF-Agents.

    Its statistics are the variables of the agent that `tf_agents_factory.make_tf_agent` builds, as `variables` returns
    them, with counts and rewards [actions] of the interactions that it learned from.
    """

    algorithm: Literal[
        "lin_ucb",
        "lin_ts",
        "neural_epsilon_greedy",
        "neural_boltzmann",
        "neural_falcon",
        "dropout_thompson",
        "neural_linucb",
        "exp3",
    ] = Field("lin_ucb", description="algorithm of TF-Agents")
    hyperparameters: dict[str, Any] = Field({}, description="its hyperparameters, by TF-Agents' names")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="seed of the initial weights and of all random draws")

    @field_validator("hyperparameters")
    @classmethod
    def _check_hyperparameters(cls, values: dict[str, Any], others: ValidationInfo) -> dict[str, Any]:
        if algorithm := others.data.get("algorithm"):
            parse_algorithm(algorithm, values)
        return values

    @cached_property
    def parsed(self) -> Section:
        """The algorithm with all its hyperparameters."""
        return parse_algorithm(self.algorithm, self.hyperparameters)


def parse_algorithm(name: str, hyperparameters: Mapping[str, Any], where: str = "") -> Section:
    """The algorithm of a name with these hyperparameters, by TF-Agents' names; others have their defaults.

    Raises:
        InvalidInput: there is no such algorithm or hyperparameter, or a value is out of range.
    """
    if name not in ALGORITHMS:
        raise InvalidInput(f"algorithm = {name!r}: {nearest(name, ALGORITHMS, 'TF-Agents')}")
    return ALGORITHMS[name].parse(dict(hyperparameters), where)
