"""Training of the reward network compared with plain Keras on the same network, per interaction, and a small update."""

import time
from collections.abc import Callable

import numpy as np

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.tf import tf
from tests.benchmarks.ratio import Row, at_least, at_most

DIM, BATCH, INTERACTIONS, REPEATS = 20, 64, 10_048, 5
LAYERS = 2


def rows() -> list[Row]:
    return [
        _compared("neural: Keras, 64 units, 20 actions", 64, 20),
        _compared("neural: Keras, 256 units, 20 actions", 256, 20),
        _compared("neural: Keras, 64 units, 1,682 actions", 64, 1682),
        at_most("neural: an update with 64 interactions", _small_updates(), "CPU-s", 0.1),
    ]


def _compared(name: str, units: int, actions: int) -> Row:
    """How many times less CPU time an epoch takes than Keras' train step in one compiled function. Calls alternate."""
    batch, agent = _interactions(actions), NeuralEpsilonGreedy(hidden_units=units, hidden_layers=LAYERS, epochs=1)
    initial, theirs = agent.initial_statistics(DIM, actions), _keras_epoch(batch, units, actions)
    pairs = [(_cpu_seconds(theirs), _cpu_seconds(lambda: agent.update(initial, [batch]))) for _ in range(REPEATS + 1)]
    return at_least(name, [keras / ours for keras, ours in pairs[1:]], "times less CPU", 1)  # the first warms


def _keras_epoch(batch: Batch, units: int, actions: int) -> Callable[[], object]:
    """An epoch of plain Keras: one compiled function, minibatches of one size, cut in the graph."""
    layers = [tf.keras.layers.Dense(units, activation="relu") for _ in range(LAYERS)]
    network = tf.keras.Sequential([tf.keras.Input([DIM]), *layers, tf.keras.layers.Dense(actions)])
    optimizer = tf.keras.optimizers.legacy.Adam(0.001)
    kinds = tf.float32, tf.int32, tf.float32
    columns = [tf.constant(column, kind) for column, kind in zip(batch[:3], kinds, strict=True)]

    @tf.function
    def epoch(order: tf.Tensor) -> None:
        for start in tf.range(0, INTERACTIONS, BATCH):
            x, taken, rewards = (tf.gather(column, order[start : start + BATCH]) for column in columns)
            with tf.GradientTape() as tape:
                predicted = tf.gather(network(x), taken, batch_dims=1)
                loss = tf.reduce_mean((predicted - rewards) ** 2)
            optimizer.apply_gradients(
                zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables, strict=True)
            )

    return lambda: epoch(tf.random.shuffle(tf.range(INTERACTIONS)))


def _interactions(actions: int, rows: int = INTERACTIONS) -> Batch:
    random = np.random.default_rng(0)
    observations = random.normal(size=(rows, DIM)).astype(np.float32)
    return Batch(observations, random.integers(actions, size=rows), random.normal(size=rows))


def _small_updates() -> list[float]:
    """What a training with nothing replayed costs in all, its twenty epochs included."""
    agent, batch = NeuralEpsilonGreedy(), _interactions(20, BATCH)
    initial = agent.initial_statistics(DIM, 20)
    return [_cpu_seconds(lambda: agent.update(initial, [batch])) for _ in range(REPEATS)]


def _cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
