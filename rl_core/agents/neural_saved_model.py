"""A reward network as a TF-Agents policy. Imports TensorFlow.

The network is trained in NumPy (neural_network.py). What is exported is the policy of TF-Agents'
GreedyRewardPredictionAgent, with the trained weights.
"""

from pathlib import Path
from typing import Any

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.bandits.policies.greedy_reward_prediction_policy import GreedyRewardPredictionPolicy
from tf_agents.networks.sequential import Sequential
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from banditloop.rl_core.agents.arrays import WEIGHTS, Statistics, read_arrays
from banditloop.rl_core.agents.exploration import softmax
from banditloop.rl_core.agents.linear_thompson_saved_model import thompson
from banditloop.rl_core.agents.network import layers_of
from banditloop.rl_core.agents.neural_model import SMALLEST_DEVIATION
from banditloop.rl_core.agents.saved_model import save_policy


def reward_network(arrays: Statistics) -> Sequential:
    """The network from observations [B, dim] to rewards [B, actions], in their units."""
    layers, dim = tf.keras.layers, len(arrays["mean"])
    weights, (mean, deviation) = layers_of(arrays), arrays["reward_scale"]
    network = Sequential(
        [
            layers.Normalization(mean=arrays["mean"], variance=arrays["deviation"] ** 2),
            *(layers.Dense(len(bias), activation="relu") for _, bias in weights[:-1]),
            layers.Dense(len(weights[-1][1])),
            layers.Rescaling(deviation, mean),
        ],
        input_spec=tensor_spec.TensorSpec([dim], tf.float32, "observation"),
    )
    network.create_variables()
    for variable, array in zip(network.trainable_variables, (array for pair in weights for array in pair), strict=True):
        variable.assign(array)
    return network


def save_network(folder: Path, actions: int) -> None:
    """Write the network of weights.npz as a SavedModel with the greedy actions and the predicted rewards."""
    network = reward_network(read_arrays(folder / WEIGHTS))
    policy = GreedyRewardPredictionPolicy(
        time_step.time_step_spec(network.input_tensor_spec),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action"),
        network,
        emit_policy_info=(InfoFields.PREDICTED_REWARDS_MEAN,),
    )
    PolicySaver(policy, batch_size=None).save(str(folder))


def save_softmax(folder: Path, dim: int, actions: int, temperature: float) -> None:
    """See save_policy: actions are drawn by the softmax of the network's predictions."""

    def decide(arrays: Any, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        (kernel, bias), (mean, deviation) = layers_of(arrays)[-1], tf.unstack(arrays["reward_scale"])
        scores = mean + deviation * (_last_hidden_layer(arrays, x) @ kernel + bias)
        return softmax(scores, temperature, xp=tf.experimental.numpy), scores

    save_policy(folder, dim, actions, decide)


def save_neural_linear(folder: Path, dim: int, actions: int, prefix: str) -> None:
    """See save_policy: Thompson sampling on the last hidden layer, by the arrays whose names begin with `prefix`."""

    def decide(arrays: Any, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        regression = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        return thompson(regression, _last_hidden_layer(arrays, x))

    save_policy(folder, dim, actions, decide)


def _last_hidden_layer(arrays: Any, x: tf.Tensor) -> tf.Tensor:
    """The units of the last hidden layer [B, units] for observations [B, dim]."""
    x = (x - arrays["mean"]) / tf.maximum(arrays["deviation"], SMALLEST_DEVIATION)
    for kernel, bias in layers_of(arrays)[:-1]:
        x = tf.nn.relu(x @ kernel + bias)
    return x
