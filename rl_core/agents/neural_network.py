"""The reward network: built from statistics, trained, and saved as a TF-Agents policy. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.bandits.agents.greedy_reward_prediction_agent import GreedyRewardPredictionAgent
from tf_agents.bandits.policies.greedy_reward_prediction_policy import GreedyRewardPredictionPolicy
from tf_agents.networks.sequential import Sequential
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.events.trajectories import trajectories

GRADIENT_CLIP = 10.0  # largest gradient norm per variable, which limits the effect of one extreme event


def reward_network(statistics: Statistics, *output_layers: tf.keras.layers.Layer) -> Sequential:
    """The network from observations [B, dim], which it standardises, to standardised rewards [B, actions].

    output_layers: layers to add after the rewards.
    """
    layers, (dim, *_) = tf.keras.layers, statistics["kernel_0"].shape
    *hidden, last = [len(array) for name, array in statistics.items() if name.startswith("bias_")]
    network = Sequential(
        [
            layers.Normalization(mean=statistics["mean"], variance=statistics["deviation"] ** 2),
            *(layers.Dense(width, activation="relu") for width in hidden),
            layers.Dense(last),
            *output_layers,
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


def _specs(network: Sequential, statistics: Statistics) -> tuple[time_step.TimeStep, tensor_spec.BoundedTensorSpec]:
    actions = len(statistics["counts"])
    action = tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action")
    return time_step.time_step_spec(network.input_tensor_spec), action


class Learner:
    """A reward network with its optimizer."""

    def __init__(self, statistics: Statistics, learning_rate: float) -> None:
        self._network = reward_network(statistics)
        specs = _specs(self._network, statistics)
        optimizer = tf.keras.optimizers.legacy.Adam(learning_rate)
        self._reward_scale = statistics["reward_scale"]
        self._agent = GreedyRewardPredictionAgent(
            *specs, self._network, optimizer, gradient_clipping=GRADIENT_CLIP, enable_summaries=False
        )
        floats, integers = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)
        rows = tf.TensorSpec([None, len(statistics["mean"])], tf.float32), integers, floats, floats
        self._epoch = tf.function(self._train_epoch, input_signature=[rows, integers, tf.TensorSpec([], tf.int32)])

    def fit(self, rows: list[np.ndarray], batch_size: int, epochs: int, random: np.random.Generator) -> float:
        """Train on interactions in random order; return the mean loss of the last epoch in units of reward variance.

        rows: observations [B, dim], actions [B], rewards [B] and sample weights [B].
        """
        observations, actions, rewards, sample_weight = rows
        mean, deviation = self._reward_scale
        tensors = (
            tf.constant(observations, tf.float32),
            tf.constant(actions, tf.int32),
            tf.constant((rewards - mean) / deviation, tf.float32),
            tf.constant(sample_weight / sample_weight.mean(), tf.float32),
        )
        for _ in range(epochs):
            loss = self._epoch(tensors, tf.constant(random.permutation(len(actions)), tf.int32), batch_size)
        return float(loss)

    def weights(self) -> Statistics:
        """The trained weights by layer."""
        return {name: variable.numpy() for name, variable in _variables(self._network).items()}

    def _train_epoch(self, rows: tuple[tf.Tensor, ...], order: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
        """Train once on all rows in this order [B], `batch_size` rows a step; return the mean loss []."""
        train = tf.autograph.experimental.do_not_convert(self._agent.train)  # TF-Agents' code needs no AutoGraph
        total = 0.0
        for start in tf.range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            observations, actions, rewards, sample_weight = (tf.gather(column, indices) for column in rows)
            experience = trajectories(observations, actions, rewards, self._agent.training_data_spec.policy_info)
            total += train(experience, sample_weight).loss * tf.cast(len(indices), tf.float32)
        return total / tf.cast(len(order), tf.float32)


def save_network(statistics: Statistics, folder: Path) -> None:
    """Write a SavedModel whose `action` signature returns the greedy actions and the predicted rewards."""
    mean, deviation = statistics["reward_scale"]
    network = reward_network(statistics, tf.keras.layers.Rescaling(deviation, mean))
    policy = GreedyRewardPredictionPolicy(
        *_specs(network, statistics), network, emit_policy_info=(InfoFields.PREDICTED_REWARDS_MEAN,)
    )
    PolicySaver(policy, batch_size=None).save(str(folder))
