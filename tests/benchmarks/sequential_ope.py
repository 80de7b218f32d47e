"""Evaluation of episodes: errors on CartPole by estimator, and how often intervals contain the truth."""

import time
from collections.abc import Callable

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.environments.cartpole import FEATURES, CartPole
from banditloop.rl_core.environments.episodic import episode_seeds
from banditloop.rl_core.estimators.episodes import PRIMARY
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from banditloop.rl_core.estimators.episodes.step_features import StepFeatures, observed_features
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.policies.saved_policy import Decisions, draw_actions
from banditloop.rl_core.rollouts import Choose, play, returns
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.support.grid_world import ACTIONS, UNIFORM, episodes, epsilon_greedy, value

DISCOUNT, EPISODES, RUNS = 0.99, 200, 40
LOGGING, TARGET = 0.4, 0.2  # exploration
BOUNDS = {"weighted_dr": 2.5, "fqe": 5.0, "magic": 5.0, "sequential_dr": 20.0}  # of the root mean squared error
BOUNDS |= {"per_decision_weighted_is": 10.0, "weighted_is": 20.0, "per_decision_is": 1_000.0}
SOFT, SOFTER, BOLD = epsilon_greedy(0.5), epsilon_greedy(0.2), epsilon_greedy(0.3)
MIN_COVERAGE, LEAST_TOLD = 0.93, 10  # of 95 % intervals of weighted DR; logs that say something about coverage
MAX_SECONDS = 10.0
STILL_COVERAGE = 0.6  # where errors are below a percent, those that are quadratic in the model's count
DIRECTION = np.array([0.5, 1.0, 1.0, 1.5])  # a greedy policy that keeps the pole upright, but not with exploration


def probabilities(contexts: Contexts, exploration: float) -> np.ndarray:
    """Those of both actions [B, 2] of the policy that pushes towards where the pole falls."""
    right = np.column_stack([contexts[name] for name in FEATURES]) @ DIRECTION > 0
    greedy = np.column_stack([~right, right])
    return (1 - exploration) * greedy + exploration / 2


def choose(exploration: float) -> Choose:
    def decide(contexts: Contexts, candidates: Candidates, uniforms: np.ndarray) -> Decisions:
        return draw_actions(probabilities(contexts, exploration), uniforms)

    return decide


def cartpole_log(seed: int, count: int) -> Transitions:
    """Episodes of the logging policy."""
    steps = []
    for played in play(CartPole(), episode_seeds(seed, 0, count), choose(LOGGING)):
        observations, following = (
            np.column_stack([contexts[name] for name in FEATURES])
            for contexts in (played.contexts, played.next_contexts)
        )
        decisions, outcome, ones = played.decisions, played.outcome, np.ones(len(played.episodes))
        discounts = np.where(outcome.ended, 0.0, DISCOUNT)
        columns = observations, decisions.actions, outcome.rewards, following, discounts, ~outcome.truncated
        steps.append([*columns, played.episodes, played.step * ones, decisions.propensities])
    flat = Transitions(*(np.concatenate(column) for column in zip(*steps, strict=True)))
    return flat.take(np.lexsort((flat.steps, flat.episodes)))


def cartpole(target: float, count: int) -> Callable[[int], Side]:
    """Sides of logs by their seeds, with a target of an exploration."""

    def side(seed: int) -> Side:
        log = cartpole_log(seed, count)
        policy = probabilities(dict(zip(FEATURES, log.observations.T, strict=True)), target)
        return Side(log, policy, observed_features(log, 2))

    return side


def world(logging: np.ndarray, target: np.ndarray, count: int, crude: bool) -> Callable[[int], Side]:
    """The 5 × 5 world with noisy rewards; crude: with a model in which values are linear in row and column."""

    def side(seed: int) -> Side:
        random = np.random.default_rng(seed)
        log = episodes(logging, count, random)
        log = log._replace(rewards=log.rewards + random.normal(0, 0.1, len(log.rewards)))
        state = log.observations.argmax(axis=1)
        features = np.column_stack([state % 5, state // 5, np.ones(len(state))]) if crude else log.observations
        return Side(log, target[state], StepFeatures(features))

    return side


def still_world(logging: np.ndarray, target: np.ndarray, count: int) -> Callable[[int], Side]:
    """The 5 × 5 world as it is, in which nothing is random but the actions, with random features of its states."""

    def side(seed: int) -> Side:
        log = episodes(logging, count, np.random.default_rng(seed))
        return Side(log, target[log.observations.argmax(axis=1)], observed_features(log, ACTIONS))

    return side


LOGS = {  # by name: sides of logs by their seeds, the truth, and the number of logs
    "5 × 5 world, ε .5 → .2, 30 episodes": (world(SOFT, SOFTER, 30, crude=False), value(SOFTER), 200),
    "the same, 100 episodes, a wrong model": (world(SOFT, SOFTER, 100, crude=True), value(SOFTER), 200),
    "5 × 5 world, uniform → ε .3, 100 episodes": (world(UNIFORM, BOLD, 100, crude=False), value(BOLD), 100),
    "the same, 500 episodes, a wrong model": (world(UNIFORM, BOLD, 500, crude=True), value(BOLD), 100),
}


def rows() -> list[Row]:
    truth = float(returns(choose(TARGET), CartPole(), 10_000, 20_000, DISCOUNT).discounted.mean())
    found = measure(cartpole(TARGET, EPISODES), RUNS)
    name = f"CartPole ε {LOGGING} → {TARGET} (truth {truth:.1f})"
    result = [at_most(f"{name}: rmse of {key}", [rmse(found[key], truth)], "", bound) for key, bound in BOUNDS.items()]
    result += coverage(name, found, truth)
    for name, (side, truth, count) in LOGS.items():
        result += coverage(name, measure(side, count), truth)
    still = measure(still_world(SOFT, SOFTER, 100), 40)
    name = "5 × 5 world without noise, 100 episodes"
    result += [at_most(f"{name}: rmse of {PRIMARY}", [rmse(still[PRIMARY], value(SOFTER))], "", 0.01)]
    result += coverage(name, {PRIMARY: still[PRIMARY]}, value(SOFTER), STILL_COVERAGE)
    return [*result, at_most("CPU of all estimators, 100,000 steps of CartPole", [cpu_seconds()], "s", MAX_SECONDS)]


def cpu_seconds() -> float:
    """The CPU time of an evaluation, divided by hundreds of thousands of steps."""
    side = cartpole(TARGET, 1_000)(0)
    start = time.process_time()
    evaluation(side)
    return (time.process_time() - start) * 1e5 / len(side.target)


def measure(side: Callable[[int], Side], logs: int) -> dict[str, np.ndarray]:
    """Value, lower and upper bound [logs, 3] of each estimator; NaN where there is none."""
    found: dict[str, list[list[float]]] = {}
    for seed in range(logs):
        for name, row in evaluation(side(seed))["returns"]["reward"]["estimates"].items():
            found.setdefault(name, []).append([row[key] for key in ("value", "low", "high")])
    return {name: np.array(values, float) for name, values in found.items()}


def rmse(values: np.ndarray, truth: float) -> float:
    """The root mean squared error of estimates [logs, 3]."""
    return float(np.sqrt(np.mean((values[:, 0] - truth) ** 2)))


def coverage(log: str, found: dict[str, np.ndarray], truth: float, least: float = MIN_COVERAGE) -> list[Row]:
    """How often the intervals that are told contain the truth, and in how many logs weighted DR's is told."""
    result = []
    for name, values in found.items():
        told = values[np.isfinite(values[:, 1])]
        covered = (told[:, 1] <= truth) & (truth <= told[:, 2])
        if len(told) >= LEAST_TOLD:
            bound = least if name == PRIMARY else 0.0
            text = f"{log}: coverage of {name}, {len(told)} of {len(values)} told"
            result.append(at_least(text, [float(covered.mean())], "of 1", bound))
    return result
