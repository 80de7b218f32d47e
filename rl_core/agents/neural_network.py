"""The network that predicts rewards: made of statistics, trained, saved as a TF-Agents policy. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from rl_core.tf import tf

# isort: split
from tf_agents.bandits.agents.greedy_reward_prediction_agent import GreedyRewardPredictionAgent
from tf_agents.bandits.policies.greedy_reward_prediction_policy import GreedyRewardPredictionPolicy
from tf_agents.networks.sequential import Sequential
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from rl_core.agents.arrays import Arrays
from rl_core.agents.trajectories import trajectories

STEEP = 10.0  # the longest gradient, for each array: one event is not all


def reward_network(statistics: Arrays, *after: tf.keras.layers.Layer) -> Sequential:
    """From observations [B, dim], standardised first, to standardised rewards [B, actions], and what comes after."""
    layers, (dim, *_) = tf.keras.layers, statistics["kernel_0"].shape
    *hidden, last = [len(array) for name, array in statistics.items() if name.startswith("bias_")]
    network = Sequential(
        [
            layers.Normalization(mean=statistics["mean"], variance=statistics["deviation"] ** 2),
            *(layers.Dense(width, activation="relu") for width in hidden),
            layers.Dense(last),
            *after,
        ],
        input_spec=tensor_spec.TensorSpec([dim], tf.float32, "observation"),
    )
    network.create_variables()
    for name, variable in _variables(network).items():
        variable.assign(statistics[name])
    return network


def _variables(network: Sequential) -> dict[str, tf.Variable]:
    kinds = ("kernel", "bias")
    return {f"{kinds[i % 2]}_{i // 2}": variable for i, variable in enumerate(network.trainable_variables)}


def _specs(network: Sequential, statistics: Arrays) -> tuple[time_step.TimeStep, tensor_spec.BoundedTensorSpec]:
    actions = len(statistics["counts"])
    action = tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action")
    return time_step.time_step_spec(network.input_tensor_spec), action


class Learner:
    """A network in training."""

    def __init__(self, statistics: Arrays, learning_rate: float) -> None:
        self._network = reward_network(statistics)
        specs = _specs(self._network, statistics)
        optimizer = tf.keras.optimizers.legacy.Adam(learning_rate)
        self._unit = statistics["unit"]
        self._agent = GreedyRewardPredictionAgent(
            *specs, self._network, optimizer, gradient_clipping=STEEP, enable_summaries=False
        )
        numbers, whole = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)
        rows = tf.TensorSpec([None, len(statistics["mean"])], tf.float32), whole, numbers, numbers
        self._epoch = tf.function(self._pass, input_signature=[rows, whole, tf.TensorSpec([], tf.int32)])

    def fit(self, rows: list[np.ndarray], minibatch: int, epochs: int, random: np.random.Generator) -> float:
        """Go over interactions in random order; return the mean loss of the last time, a share of rewards' variance.

        rows: observations [B, dim], actions [B], rewards [B], and how many each stands for [B].
        """
        observations, actions, rewards, weights = rows
        offset, scale = self._unit
        tensors = (
            tf.constant(observations, tf.float32),
            tf.constant(actions, tf.int32),
            tf.constant((rewards - offset) / scale, tf.float32),
            tf.constant(weights / weights.mean(), tf.float32),
        )
        for _ in range(epochs):
            loss = self._epoch(tensors, tf.constant(random.permutation(len(actions)), tf.int32), minibatch)
        return float(loss)

    def arrays(self) -> Arrays:
        """What the network has come to."""
        return {name: variable.numpy() for name, variable in _variables(self._network).items()}

    def _pass(self, rows: tuple[tf.Tensor, ...], order: tf.Tensor, minibatch: tf.Tensor) -> tf.Tensor:
        """The mean loss [] of a step for every so many of the rows in this order [B]."""
        train = tf.autograph.experimental.do_not_convert(self._agent.train)  # it is TensorFlow's own code already
        total = 0.0
        for start in tf.range(0, len(order), minibatch):
            chosen = order[start : start + minibatch]
            observations, actions, rewards, weights = (tf.gather(column, chosen) for column in rows)
            experience = trajectories(observations, actions, rewards, self._agent.training_data_spec.policy_info)
            total += train(experience, weights).loss * tf.cast(len(chosen), tf.float32)
        return total / tf.cast(len(order), tf.float32)


def save_network(statistics: Arrays, folder: Path) -> None:
    """Write a SavedModel whose `action` signature acts greedily and tells the rewards that it predicts."""
    offset, scale = statistics["unit"]
    network = reward_network(statistics, tf.keras.layers.Rescaling(scale, offset))
    told = (InfoFields.PREDICTED_REWARDS_MEAN,)
    policy = GreedyRewardPredictionPolicy(*_specs(network, statistics), network, emit_policy_info=told)
    PolicySaver(policy, batch_size=None).save(str(folder))
