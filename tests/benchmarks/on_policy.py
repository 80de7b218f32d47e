"""On-policy training compared with Google's step-by-step demo: TF-Agents' trainer with its defaults, in eager mode.

The demo runs 5 loops of 2 steps with 8 users, on MovieLens at rank 20 with 20 movies, by LinUCB with α = 10 and a
Tikhonov weight of 0.001, and reports TF-Agents' RegretMetric after every loop.
"""

import functools
import random
import tempfile
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.config import Config
from banditloop.rl_core.tf import tf
from banditloop.rl_core.training.on_policy import make_learner
from banditloop.rl_core.training.on_policy.drivers import DriverLearner
from banditloop.rl_core.training.on_policy.learner import Learner
from banditloop.rl_core.training.on_policy.simulation import Simulation
from tests.benchmarks.ratio import Row, at_least, at_most, seconds
from tests.support.ratings import write_ratings

# isort: split
from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
from tf_agents.bandits.environments.environment_utilities import compute_optimal_reward_with_movielens_environment
from tf_agents.bandits.environments.movielens_py_environment import MovieLensPyEnvironment
from tf_agents.bandits.metrics.tf_metrics import RegretMetric
from tf_agents.drivers.dynamic_step_driver import DynamicStepDriver
from tf_agents.environments.tf_py_environment import TFPyEnvironment
from tf_agents.replay_buffers.tf_uniform_replay_buffer import TFUniformReplayBuffer

LOOPS, STEPS, BATCH, MOVIES = 5, 2, 8, 20
HYPERPARAMETERS = {"alpha": 10.0, "tikhonov_weight": 0.001}
SEEDS, TIMED_LOOPS = 20, 10  # loops that are timed without a pause
LIN_UCB = AlgorithmSection(algorithm="lin_ucb", hyperparameters=HYPERPARAMETERS)
OURS = {"name": "linucb", "alpha": HYPERPARAMETERS["alpha"], "l2": HYPERPARAMETERS["tikhonov_weight"]}


class Theirs:
    """The trainer of the demo, `policy_util.train`, without its files."""

    def __init__(self, ratings: Path) -> None:
        self._environment = MovieLensPyEnvironment(str(ratings), MOVIES, BATCH, MOVIES, csv_delimiter="\t")
        self._steps = TFPyEnvironment(self._environment)
        best = functools.partial(compute_optimal_reward_with_movielens_environment, environment=self._environment)
        self._regret = RegretMetric(best)
        self.begin(0)

    def begin(self, seed: int) -> None:
        random.seed(seed)
        specs = self._steps.time_step_spec(), self._steps.action_spec()
        self._agent = LinearUCBAgent(*specs, **HYPERPARAMETERS, dtype=tf.float32)
        self._buffer = TFUniformReplayBuffer(self._agent.policy.trajectory_spec, BATCH, max_length=STEPS)
        observers = [self._buffer.add_batch, self._regret]
        policy = self._agent.collect_policy
        self._driver = DynamicStepDriver(self._steps, policy, observers=observers, num_steps=STEPS * BATCH)

    def run(self) -> float:
        """A loop; returns its regret."""
        self._driver.run()
        data = self._buffer.as_dataset(sample_batch_size=BATCH, num_steps=STEPS, single_deterministic_pass=True)
        experience, _ = next(iter(data))
        self._agent.train(experience)
        self._buffer.clear()
        return float(self._regret.result())


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(write_ratings(Path(folder) / "u.data"))
    config = Config.parse({"environment": {"name": "movielens"}, "agent": OURS})
    simulation = Simulation(config)
    drivers, vectorised = DriverLearner(config, LIN_UCB, simulation), make_learner(config, simulation)
    drivers.begin(0)
    curve = np.array([_their_curve(theirs, seed) for seed in range(SEEDS)])
    curves = {"TF-Agents' drivers": _curves(drivers), "vectorised": _curves(vectorised)}
    return [
        *(_same_curve(f"on-policy: regret, {name}", regrets, curve) for name, regrets in curves.items()),
        _faster("on-policy: a loop of TF-Agents' drivers, compiled", drivers, theirs, target=5),
        _faster("on-policy: a loop of our LinUCB, vectorised", vectorised, theirs, target=50),
    ]


def _their_curve(theirs: Theirs, seed: int) -> list[float]:
    theirs.begin(seed)
    return [theirs.run() for _ in range(LOOPS)]


def _curves(learner: Learner) -> np.ndarray:
    """Regrets [seeds, loops] of trainings from the start; the number of a loop is its seed."""
    start, regrets = learner.statistics, []
    for seed in range(SEEDS):
        learner.restore(start, 0)
        regrets.append([learner.run(seed * LOOPS + loop).regret for loop in range(LOOPS)])
    return np.array(regrets)


def _same_curve(name: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    """The difference of the mean regret of every loop, in its standard errors: the largest of five."""
    print(name, ours.mean(axis=0).round(2), "±", (ours.std(axis=0) / SEEDS**0.5).round(2))
    print("TF-Agents' trainer", theirs.mean(axis=0).round(2), "±", (theirs.std(axis=0) / SEEDS**0.5).round(2))
    error = np.sqrt((ours.var(axis=0, ddof=1) + theirs.var(axis=0, ddof=1)) / SEEDS)
    differences = np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / error
    return at_most(f"{name}, against theirs", differences.tolist(), "standard errors", 3, worst=True)


def _faster(name: str, learner: Learner, theirs: Theirs, target: float) -> Row:
    """How many times as fast a loop is as the demo's, after the first. They alternate."""
    ratios = []
    for repeat in range(5):
        eager = seconds(lambda: [theirs.run() for _ in range(TIMED_LOOPS)])
        first = repeat * TIMED_LOOPS
        ours = seconds(lambda first=first: [learner.run(first + loop) for loop in range(TIMED_LOOPS)])
        ratios.append(eager / ours)
    return at_least(name, ratios, "times faster", target)
