"""Whether an agent's own log can tell what its next policy is worth, where the truth is known."""

import numpy as np

from banditloop.rl_core.environments.environment import known_rewards
from banditloop.rl_core.estimators import DR, Logged
from banditloop.rl_core.estimators.reward_model import RewardModel
from tests.benchmarks.learning.deciders import OurDecider
from tests.benchmarks.learning.served import served_batches
from tests.benchmarks.learning.tasks import LearningTask


def error_in_standard_errors(task: LearningTask, decider: OurDecider, seed: int, floor: float) -> float:
    """How far DR on the whole log is from the true value of the policy trained on all of it, in standard errors.

    For a task of plain vectors. The standard error is the delta method's, which is narrower than our intervals.
    """
    environment = task.environment(seed)
    [feature], (low, high) = environment.task.context, environment.task.rewards
    log = list(served_batches(task, decider, seed, floor))
    observations = np.concatenate([np.asarray(served.contexts[feature]) for served in log])
    columns = (np.concatenate(part) for part in zip(*(served[1:4] for served in log), strict=True))
    actions, rewards, propensities = columns
    rewards, rows = ((rewards - low) / (high - low)).clip(0, 1), np.arange(len(actions))
    target = _with_floor(decider, observations, floor)
    model = RewardModel(observations.shape[1], target.shape[1])
    folds = model.fold([str(row) for row in rows])
    model.add(observations, actions, rewards, folds)
    predicted = model.predict(observations, folds)
    estimator = DR()
    expected = (target * predicted).sum(axis=1)
    estimator.add(Logged(rewards, propensities, target[rows, actions], predicted[rows, actions], expected))
    means, population = ((known_rewards(environment) - low) / (high - low)).clip(0, 1), environment.population()
    assert population is not None
    truth = (_with_floor(decider, np.asarray(population[feature]), floor) * means).sum(axis=1).mean()
    return abs(estimator.value() - truth) / estimator.standard_error()


def _with_floor(decider: OurDecider, observations: np.ndarray, floor: float) -> np.ndarray:
    probabilities = decider.probabilities(observations)
    return (1 - floor) * probabilities + floor / probabilities.shape[1]
