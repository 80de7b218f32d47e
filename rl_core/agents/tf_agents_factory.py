"""TF-Agents' bandit agents, built by algorithm for observations [dim] and numbered actions. Imports TensorFlow."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.agents.tf_agent import TFAgent
from tf_agents.bandits.agents.dropout_thompson_sampling_agent import DropoutThompsonSamplingAgent
from tf_agents.bandits.agents.exp3_agent import Exp3Agent
from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
from tf_agents.bandits.agents.linear_thompson_sampling_agent import LinearThompsonSamplingAgent
from tf_agents.bandits.agents.neural_boltzmann_agent import NeuralBoltzmannAgent
from tf_agents.bandits.agents.neural_epsilon_greedy_agent import NeuralEpsilonGreedyAgent
from tf_agents.bandits.agents.neural_falcon_agent import NeuralFalconAgent
from tf_agents.bandits.agents.neural_linucb_agent import NeuralLinUCBAgent
from tf_agents.networks.encoding_network import EncodingNetwork
from tf_agents.networks.q_network import QNetwork
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.tf_agents_algorithms import (
    DropoutThompsonAlgorithm,
    Exp3Algorithm,
    LinearAlgorithm,
    LinTSAlgorithm,
    LinUCBAlgorithm,
    NeuralAlgorithm,
    NeuralBoltzmannAlgorithm,
    NeuralEpsilonGreedyAlgorithm,
    NeuralFalconAlgorithm,
    NeuralLinUCBAlgorithm,
)
from banditloop.rl_core.settings.section import Section

Specs = tuple[Any, Any]  # of time steps and of actions, which the agents' constructors take first


def make_tf_agent(algorithm: Section, dim: int, actions: int, seed: int = 0) -> TFAgent:
    """The agent of an algorithm, initialised, for float32 observations [B, dim] and int32 actions [B].

    seed: of the initial weights and of the draws, which TensorFlow takes from its global seed: it is set.
    """
    tf.random.set_seed(seed)
    observation = tensor_spec.TensorSpec([dim], tf.float32, "observation")
    action = tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action")
    agent = BUILDERS[type(algorithm)](algorithm, (time_step.time_step_spec(observation), action))
    # By default all agents of a process share one counter.
    agent._train_step_counter = tf.Variable(0, trainable=False, dtype=tf.int64)
    if optimizer := getattr(agent, "_optimizer", None):  # else the first training makes its variables, in another order
        optimizer._create_all_weights(list(agent.trainable_variables))
    agent.initialize()
    return agent


def variables(agent: TFAgent) -> Statistics:
    """The values of all that the agent learned, by position: those of its optimizer are among them.

    And an observation of zeros [dim], which tells its length: EXP3 has no variable that does.
    """
    values = {f"variable_{position:04d}": variable.numpy() for position, variable in enumerate(_variables(agent))}
    return values | {"observation": np.zeros(agent.time_step_spec.observation.shape, np.int8)}


def names(agent: TFAgent) -> list[str]:
    """TensorFlow's names of all that the agent learned, by position. Numbers in them depend on the process."""
    return [variable.name for variable in _variables(agent)]


def restore(agent: TFAgent, values: Statistics) -> None:
    """Give the agent the variables of another of the same algorithm, dim and actions."""
    for position, variable in enumerate(_variables(agent)):
        variable.assign(values[f"variable_{position:04d}"])


def _variables(agent: TFAgent) -> list[tf.Variable]:
    """All variables of the agent, each once, in an order that its construction fixes."""
    variables = [*agent.variables, agent.train_step_counter]
    if collection := getattr(agent, "_variable_collection", None):  # NeuralLinUCBAgent leaves some of them out
        variables += collection.variables
    if optimizer := getattr(agent, "_optimizer", None):
        variables += optimizer.variables()
    return list({id(variable): variable for variable in variables}.values())


def _linear(kind: type[TFAgent], algorithm: LinearAlgorithm, specs: Specs) -> TFAgent:
    return kind(*specs, **algorithm.model_dump(), enable_summaries=False)


def _epsilon_greedy(algorithm: NeuralEpsilonGreedyAlgorithm, specs: Specs) -> TFAgent:
    return NeuralEpsilonGreedyAgent(*specs, **_reward_network(algorithm, specs), epsilon=algorithm.epsilon)


def _boltzmann(algorithm: NeuralBoltzmannAlgorithm, specs: Specs) -> TFAgent:
    return NeuralBoltzmannAgent(*specs, **_reward_network(algorithm, specs), temperature=algorithm.temperature)


def _falcon(algorithm: NeuralFalconAlgorithm, specs: Specs) -> TFAgent:
    count = partial(tf.Variable, 0, trainable=False, dtype=tf.int64, name="count")
    counts = [count() for _ in range(specs[1].maximum + 1)]
    settings = {"num_samples_list": counts, "exploitation_coefficient": algorithm.exploitation_coefficient}
    return NeuralFalconAgent(*specs, **_reward_network(algorithm, specs), **settings)


def _reward_network(algorithm: NeuralAlgorithm, specs: Specs) -> dict[str, Any]:
    network = QNetwork(specs[0].observation, specs[1], fc_layer_params=tuple(algorithm.layers))
    return {"reward_network": network} | _training(algorithm)


def _training(algorithm: NeuralAlgorithm) -> dict[str, Any]:
    optimizer = tf.keras.optimizers.legacy.Adam(algorithm.learning_rate)
    clipping = algorithm.gradient_clipping
    return {"optimizer": optimizer, "gradient_clipping": clipping, "enable_summaries": False}


def _dropout(algorithm: DropoutThompsonAlgorithm, specs: Specs) -> TFAgent:
    return DropoutThompsonSamplingAgent(
        *specs,
        dropout_rate=algorithm.dropout_rate,
        network_layers=tuple(algorithm.layers),
        dropout_only_top_layer=algorithm.dropout_only_top_layer,
        **_training(algorithm),
    )


def _neural_linucb(algorithm: NeuralLinUCBAlgorithm, specs: Specs) -> TFAgent:
    settings = algorithm.model_dump(exclude={"layers", "learning_rate", "gradient_clipping"})
    widths = *algorithm.layers, algorithm.encoding_dim
    return NeuralLinUCBAgent(
        *specs,
        encoding_network=EncodingNetwork(specs[0].observation, fc_layer_params=widths),
        optimizer=tf.keras.optimizers.legacy.Adam(algorithm.learning_rate),
        gradient_clipping=algorithm.gradient_clipping,
        **settings,
    )


def _exp3(algorithm: Exp3Algorithm, specs: Specs) -> TFAgent:
    return Exp3Agent(*specs, learning_rate=algorithm.learning_rate)


BUILDERS: dict[type[Section], Callable[[Any, Specs], TFAgent]] = {
    LinUCBAlgorithm: partial(_linear, LinearUCBAgent),
    LinTSAlgorithm: partial(_linear, LinearThompsonSamplingAgent),
    NeuralEpsilonGreedyAlgorithm: _epsilon_greedy,
    NeuralBoltzmannAlgorithm: _boltzmann,
    NeuralFalconAlgorithm: _falcon,
    DropoutThompsonAlgorithm: _dropout,
    NeuralLinUCBAlgorithm: _neural_linucb,
    Exp3Algorithm: _exp3,
}
