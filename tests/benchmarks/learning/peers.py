"""Other libraries in the served loop, where they are installed: none is in the lock.

All answer with probabilities or with one action, to which the loop adds the same floor as to ours.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np

from banditloop.rl_core.agents import Batch, one_hot


class VowpalWabbit:
    """`--cb_explore_adf --squarecb` with every action's own weights, one pass; its probabilities."""

    def start(self, dim: int, actions: int, features: np.ndarray | None) -> None:
        import vowpalwabbit

        self._actions = actions
        self._vw = vowpalwabbit.Workspace("--quiet --cb_explore_adf --squarecb -q ua --ignore_linear u -b 20")

    def learn(self, batch: Batch) -> None:
        assert batch.propensities is not None
        columns = batch.observations, batch.actions, batch.rewards, batch.propensities
        for x, action, reward, propensity in zip(*columns, strict=True):
            self._vw.learn(self._lines(x, int(action), f"0:{-reward}:{propensity} "))

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        predicted = np.array([self._vw.predict(self._lines(x)) for x in observations])
        return predicted / predicted.sum(axis=1, keepdims=True)

    def _lines(self, x: np.ndarray, chosen: int = -1, label: str = "") -> list[str]:
        shared = "shared |u constant" + "".join(f" {number}:{value:.6g}" for number, value in enumerate(x) if value)
        return [shared, *(f"{label * (action == chosen)}|a {action}" for action in range(self._actions))]


class MabWiser:
    """LinUCB with one ridge regression per arm."""

    def __init__(self, **settings: Any) -> None:
        self._settings = {"alpha": 1.0, "l2_lambda": 1.0} | settings

    def start(self, dim: int, actions: int, features: np.ndarray | None) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._actions, self._fitted = actions, False
        self._mab = MAB(list(range(actions)), LearningPolicy.LinUCB(**self._settings))

    def learn(self, batch: Batch) -> None:
        self._mab.partial_fit(batch.actions, batch.rewards, batch.observations) if self._fitted else self._mab.fit(
            batch.actions, batch.rewards, batch.observations
        )
        self._fitted = True

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        if not self._fitted:
            return np.full((len(observations), self._actions), 1 / self._actions)
        predicted = self._mab.predict(observations)
        return one_hot(np.atleast_1d(predicted).astype(int), self._actions)


class TFAgents:
    """LinearUCBAgent, trained in batches, compiled."""

    def start(self, dim: int, actions: int, features: np.ndarray | None) -> None:
        from banditloop.rl_core.tf import tf

        # isort: split
        from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
        from tf_agents.specs import tensor_spec
        from tf_agents.trajectories import time_step

        specs = time_step.time_step_spec(tensor_spec.TensorSpec([dim], tf.float32))
        action = tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1)
        self._agent = LinearUCBAgent(specs, action, dtype=tf.float64, use_eigendecomp=True)
        self._actions, self._seen = actions, False
        self._train = tf.function(self._agent.train, reduce_retracing=True)

    def learn(self, batch: Batch) -> None:
        from banditloop.rl_core.events.trajectories import trajectories

        info = self._agent.training_data_spec.policy_info
        observations, actions, rewards = batch[:3]
        self._train(
            trajectories(observations.astype(np.float32), actions.astype(np.int32), rewards.astype(np.float32), info)
        )
        self._seen = True

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        from tf_agents.trajectories import time_step

        if not self._seen:
            return np.full((len(observations), self._actions), 1 / self._actions)
        step = time_step.restart(observations.astype(np.float32), len(observations))
        return one_hot(self._agent.policy.action(step).action.numpy(), self._actions)


PEERS = {
    name: peer
    for name, package, peer in (
        ("Vowpal Wabbit", "vowpalwabbit", VowpalWabbit),
        ("MABWiser", "mabwiser", MabWiser),
        ("TF-Agents", "tf_agents", TFAgents),
    )
    if find_spec(package)
}
