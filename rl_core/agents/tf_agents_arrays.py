"""The arrays that policies of TF-Agents' algorithms decide by, from its agents' variables. Imports TensorFlow."""

from typing import Any

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.tf_agents_algorithms import (
    AlgorithmSection,
    DropoutThompsonAlgorithm,
    Exp3Algorithm,
    LinearAlgorithm,
    LinTSAlgorithm,
    NeuralLinUCBAlgorithm,
)
from banditloop.rl_core.agents.tf_agents_factory import TFAgent, restore
from banditloop.rl_core.agents.tf_agents_training import trainer
from banditloop.rl_core.agents.whitening import whitening

DRAWS = 200  # of the expected rewards, or of dropped units; probabilities are shares of them


def served_arrays(section: AlgorithmSection, statistics: Statistics) -> Statistics:
    """The arrays of the section's model, in double precision."""
    dim, actions = len(statistics["observation"]), len(statistics["counts"])
    agent, random = trainer(section, dim, actions).agent, np.random.default_rng(section.seed)
    restore(agent, statistics)
    arrays = _of_algorithm(section.parsed, agent, statistics, random) | {"shape": np.array([dim, actions])}
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


def _of_algorithm(algorithm: Any, agent: TFAgent, statistics: Statistics, random: np.random.Generator) -> Statistics:
    counts = statistics["counts"]
    if isinstance(algorithm, LinearAlgorithm):
        draws = {"draws": random.normal(size=(DRAWS, len(counts)))} if isinstance(algorithm, LinTSAlgorithm) else {}
        return _linear(agent._variable_collection, algorithm.tikhonov_weight) | draws
    if isinstance(algorithm, NeuralLinUCBAlgorithm):
        encoder, collection = _layers(agent._encoding_network.variables), agent._variable_collection
        kernel, by_layer = agent._reward_layer.kernel.numpy(), collection.actions_from_reward_layer.numpy()
        return encoder | _linear(collection, 1.0) | {"reward_kernel": kernel, "by_reward_layer": np.array(by_layer)}
    if isinstance(algorithm, Exp3Algorithm):
        mean_rewards = statistics["rewards"] / np.maximum(counts, 1)
        return {"weights": agent.weights.numpy(), "mean_rewards": mean_rewards}
    layers = _layers(agent._reward_network.variables)
    sizes = {"interactions": counts.sum(), "weights": sum(array.size for array in layers.values())}
    masks = _masks(algorithm, random) if isinstance(algorithm, DropoutThompsonAlgorithm) else {}
    return layers | masks | {name: np.array(value) for name, value in sizes.items()}


def _linear(collection: Any, l2: float) -> Statistics:
    """Weights [actions, dim], and whitening [dim, actions · dim], of TF-Agents' sums."""
    covariances = np.array([matrix.numpy() for matrix in collection.cov_matrix_list], np.float64)
    vectors = np.array([vector.numpy() for vector in collection.data_vector_list], np.float64)
    whiteners = whitening(covariances, l2)
    theta = np.einsum("aij,akj,ak->ai", whiteners, whiteners, vectors, optimize=True)
    return {"theta": theta, "whitening": whiteners.swapaxes(0, 1).reshape(vectors.shape[1], -1)}


def _layers(variables: Any) -> Statistics:
    kinds = "kernel", "bias"
    return {f"{kinds[i % 2]}_{i // 2}": variable.numpy() for i, variable in enumerate(variables)}


def _masks(algorithm: DropoutThompsonAlgorithm, random: np.random.Generator) -> Statistics:
    """Factors [DRAWS, units] of the units of a layer: 0 where they are dropped."""
    last, keep = len(algorithm.layers) - 1, 1 - algorithm.dropout_rate
    layers = [last] if algorithm.dropout_only_top_layer else range(last + 1)
    return {f"mask_{i}": (random.random((DRAWS, algorithm.layers[i])) < keep) / keep for i in layers}
