"""On-policy training on episodes: PPO orders for the newsvendor, and DQN balances the pole.

Policies are compared with ordering the mean demand on the same episodes, since what an episode earns differs by 100,000
from one to the next. They decide as they are served, with their exploration floor.
"""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.newsvendor import MULTIPLES
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.policies.saved_policy import Decisions, SavedPolicy, draw_actions
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.rollouts import Choose, chooses, greedily, returns
from tests.benchmarks.ratio import Row, at_least

SEEDS, DQN_SEEDS = (0, 1, 2), range(5)
TEST_SEED, EPISODES = 1_000_000, 20_000  # of the newsvendor's test, in which no policy was trained
LEAST_GAIN, LEAST_SPEED = 600.0, 15_000.0
BASE_STOCK = 78_580.0  # what a tuned base stock earns that sees the step: an episode's mean
LAST_ORDER = 34  # the last step whose order can still be sold
STEPS, GREEDY_EPISODES, LEAST_STEPS = 50_000, 50, 195.0  # of CartPole
STAGE = 5  # loops between two looks at the greedy policy
NEWSVENDOR = {"training_loops": 120, "steps_per_loop": 40, "batch_size": 256}
DQN = {
    "name": "dqn",
    "tau": 0.03,
    "learning_rate": 0.003,
    "final_learning_rate": 0.0001,
    "exploration_decisions": 15_000,
}


class Trained(NamedTuple):
    """A policy, and the decisions of its training for each second of this process's CPU."""

    config: Config
    policy: SavedPolicy
    interactions: int
    speed: float


def rows() -> list[Row]:
    without_step = [_newsvendor(seed, False) for seed in SEEDS]
    gains = [_gain(trained) for trained in without_step]
    with_step = _newsvendor(0, True)
    observed = earned(with_step, chooses(with_step.policy, with_step.config.task))
    stopping = earned(with_step, _order_mean)
    print(
        f"newsvendor with the step: PPO {observed.mean():,.0f}, ordering μ until it is too late {stopping.mean():,.0f}"
    )
    print(f"  difference {mean_and_error(observed - stopping)}")
    speeds = [trained.speed for trained in (*without_step, with_step)]
    return [
        at_least("online: newsvendor, PPO above ordering μ", gains, "reward an episode", LEAST_GAIN, worst=True),
        at_least("online: newsvendor, PPO that sees the step", [observed.mean()], "reward an episode", BASE_STOCK),
        at_least("online: newsvendor, steps with learning", speeds, "steps/CPU second", LEAST_SPEED, worst=True),
        at_least("online: CartPole, DQN", [_cartpole(seed) for seed in DQN_SEEDS], "steps", LEAST_STEPS, worst=True),
    ]


def _newsvendor(seed: int, step_observed: bool) -> Trained:
    environment = {"name": "newsvendor", "step_observed": step_observed}
    return trained_policy(environment, {"name": "ppo", "seed": seed}, NEWSVENDOR | {"seed": seed}, discount=1.0)


def trained_policy(
    environment: dict[str, Any],
    agent: dict[str, Any],
    on_policy: dict[str, Any],
    discount: float,
    checkpoints: Path | None = None,
) -> Trained:
    """A policy that was trained on-policy, as it is served. checkpoints: folder of those to go on from."""
    values = {"environment": environment, "agent": agent, "on_policy": on_policy, "episodes": {"discount": discount}}
    config = Config.parse(values | {"policy": {"saved_model": False, "exploration": 0.01}})
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        trained = on_policy_step(config, None, Path(folder) / "policy", checkpoints or Path(folder) / "checkpoints")
        spent, policy = time.process_time() - start, SavedPolicy.load(Path(folder) / "policy")
    return Trained(config, policy, trained.curve.interactions, trained.curve.interactions / spent)


def _gain(trained: Trained) -> float:
    """The mean reward of an episode minus that of ordering the mean demand, on the same episodes."""
    gains = earned(trained, chooses(trained.policy, trained.config.task)) - earned(trained, _order_mean)
    print(f"newsvendor: PPO minus ordering μ {mean_and_error(gains)}, {trained.speed:,.0f} steps a CPU second")
    return float(gains.mean())


def earned(trained: Trained, choose: Choose, episodes: int = EPISODES) -> np.ndarray:
    """What each episode of the test earns."""
    return returns(choose, trained.config.environment, TEST_SEED, episodes).undiscounted


def mean_and_error(values: np.ndarray) -> str:
    return f"{values.mean():+,.0f} ± {values.std(ddof=1) / len(values) ** 0.5:,.0f}"


def _order_mean(contexts: Contexts, candidates: Candidates, uniforms: np.ndarray) -> Decisions:
    """Order the mean demand; nothing any more after the last useful step, where the step is observed, as `period`."""
    is_late = np.asarray(contexts.get("period", np.zeros(len(uniforms)))) > LAST_ORDER
    multiples = np.where(is_late, 0.0, 1.0)[:, None] == MULTIPLES
    return draw_actions(multiples.astype(float), uniforms)


def _cartpole(seed: int) -> float:
    """The mean length of greedy episodes, trained until 50 other ones reach it, with less than STEPS decisions.

    The greedy policy of Q-learning gets worse again now and then.
    """
    with tempfile.TemporaryDirectory() as checkpoints:
        for loops in itertools.count(STAGE, STAGE):
            on_policy = {"training_loops": loops, "steps_per_loop": 50, "batch_size": 8, "seed": seed}
            agent = DQN | {"seed": seed}
            trained = trained_policy({"name": "cartpole"}, agent, on_policy, 0.99, Path(checkpoints))
            if _greedy_length(trained, first=GREEDY_EPISODES) >= LEAST_STEPS or trained.interactions >= STEPS:
                break
    length = _greedy_length(trained, first=0)
    print(f"CartPole: DQN, seed {seed}: {length:.1f} steps after {trained.interactions:,}")
    return length if trained.interactions < STEPS else 0.0


def _greedy_length(trained: Trained, first: int) -> float:
    """The mean length of greedy episodes from a number on."""
    choose = greedily(trained.policy, trained.config.task)
    played = returns(choose, trained.config.environment, TEST_SEED, GREEDY_EPISODES, first=first)
    return float(played.lengths.mean())
