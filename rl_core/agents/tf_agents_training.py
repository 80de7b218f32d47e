"""Training of TF-Agents' agents on logged interactions. Imports TensorFlow."""

import itertools
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Batch, append_zeros, reward_sums
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.agents.tf_agents_factory import TFAgent, make_tf_agent, names, restore, tf, variables
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.trajectories import trajectories


class Trainer:
    """An agent of TF-Agents with its training step, traced once for batches of any size."""

    def __init__(self, section: AlgorithmSection, dim: int, actions: int) -> None:
        self.agent: TFAgent = make_tf_agent(section.parsed, dim, actions, section.seed)
        self.initial = variables(self.agent)
        floats, integers = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)
        rows = tf.TensorSpec([None, dim], tf.float32)
        self._step = tf.function(self._train, input_signature=[rows, integers, floats, floats])

    def train(self, batch: Batch) -> None:
        """Take one training step on a batch."""
        weights = np.ones(len(batch.actions)) if batch.sample_weight is None else batch.sample_weight
        columns = batch.observations, batch.actions, batch.rewards, weights
        kinds = tf.float32, tf.int32, tf.float32, tf.float32
        self._step(*(tf.constant(column, kind) for column, kind in zip(columns, kinds, strict=True)))

    def _train(self, x: Any, actions: Any, rewards: Any, weights: Any) -> None:
        info = self.agent.training_data_spec.policy_info  # without fields, except EXP3's
        train = tf.autograph.experimental.do_not_convert(self.agent.train)
        train(trajectories(x, actions, rewards, info), weights=weights)


def trainer(section: AlgorithmSection, dim: int, actions: int) -> Trainer:
    """The trainer of a section, made once per process."""
    key = section.model_dump(mode="json", include={"algorithm", "hyperparameters", "seed"})
    return _trainer(type(section), json.dumps(key, sort_keys=True), dim, actions)


@lru_cache(maxsize=8)
def _trainer(kind: type[AlgorithmSection], section: str, dim: int, actions: int) -> Trainer:
    return Trainer(kind.parse(json.loads(section)), dim, actions)


def learned(section: Any, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
    """The statistics with batches added, each in minibatches in random order, as often as the section says.

    Raises:
        InvalidInput: the algorithm learns from its own actions only, or has no sample weights and needs some.
    """
    sums = {name: statistics[name] for name in ("counts", "rewards")}
    section_trainer = trainer(section, len(statistics["observation"]), len(sums["counts"]))
    restore(section_trainer.agent, statistics)
    for batch in batches:
        if not len(batch.actions):
            continue
        _check(section, batch)
        random = np.random.default_rng([section.seed, int(sums["counts"].sum())])
        tf.random.set_seed(int(random.integers(1 << 31)))  # of dropout
        for _ in range(section.epochs):
            order = random.permutation(len(batch.actions))
            for start in range(0, len(order), section.batch_size):
                section_trainer.train(batch.take(order[start : start + section.batch_size]))
        added = reward_sums(batch, len(sums["counts"]))
        sums = {name: sums[name] + array for name, array in added.items()}
    return statistics | variables(section_trainer.agent) | sums


def _check(section: AlgorithmSection, batch: Batch) -> None:
    where = f"agent.algorithm = {section.algorithm!r}"
    if section.algorithm == "exp3":
        raise InvalidInput(f"{where}: learns from its own actions only, as by `banditloop train --on-policy`")
    weights = batch.sample_weight
    if section.algorithm == "neural_linucb" and weights is not None and (weights != weights[0]).any():
        raise InvalidInput(
            f"{where}: has no sample weights, which a log sampled at different rates needs; choose another algorithm, "
            "or leave logging.sample_rate the same"
        )


def grown(section: AlgorithmSection, statistics: Statistics, actions: int) -> Statistics:
    """The statistics with more actions: an array per action starts as initial; new entries of an array are its mean."""
    dim, before = len(statistics["observation"]), len(statistics["counts"])
    old, new = trainer(section, dim, before), trainer(section, dim, actions)
    values = dict(new.initial)
    for old_group, new_group in zip(_groups(old.agent), _groups(new.agent), strict=True):
        for old_name, new_name in zip(old_group, new_group, strict=False):  # one variable per action: new ones are last
            values[new_name] = _padded(statistics[old_name], values[new_name].shape)
    sums = {name: append_zeros(statistics[name], actions) for name in ("counts", "rewards")}
    return values | sums


def _groups(agent: TFAgent) -> list[list[str]]:
    """The names of statistics, grouped where the names of consecutive variables differ in numbers only."""
    pairs = [(re.sub(r"\d+", "", name), f"variable_{i:04d}") for i, name in enumerate(names(agent))]
    return [[key for _, key in group] for _, group in itertools.groupby(pairs, key=lambda pair: pair[0])]


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a shape that is longer along one axis, filled with the mean along it."""
    for axis, length in enumerate(shape):
        if length > array.shape[axis]:
            mean = array.mean(axis=axis, keepdims=True, dtype=np.float64).astype(array.dtype)
            array = np.concatenate([array, mean.repeat(length - array.shape[axis], axis=axis)], axis=axis)
    return array
