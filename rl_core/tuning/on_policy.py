"""What settings earn on-policy: a policy is trained in the config's environment, and then tested."""

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy import train_on_policy
from banditloop.rl_core.training.on_policy.simulation import Simulation
from banditloop.rl_core.training.on_policy.vectorised import drawn
from banditloop.rl_core.training.train import with_action_features

TEST = 1 << 40  # added to the seed of a training, for the decisions that test it


def on_policy_reward(config: Config, seed: int) -> float:
    """The mean reward of `tuning.interactions` decisions of a policy, after its on-policy training.

    It decides as it is served, with `policy.exploration`. The same seed, the same contexts, whatever the settings.
    """
    section = config.on_policy.model_copy(update={"seed": seed})
    trained_in, tested_in = Simulation(config), Simulation(config)
    statistics, _ = train_on_policy(config.model_copy(update={"on_policy": section}), trained_in)
    random = np.random.default_rng([TEST, seed])
    visits = tested_in.visits(config.tuning.interactions, random)
    model = config.agent.model(with_action_features(statistics, trained_in.encoding))
    probabilities = model.probabilities(visits.observations, visits.eligible)
    eligible = np.ones_like(probabilities) if visits.eligible is None else visits.eligible.astype(float)
    floor = config.policy.exploration
    served = (1 - floor) * probabilities + floor * eligible / eligible.sum(axis=1, keepdims=True)
    return float(tested_in.feedback(visits, drawn(served, random), TEST)[0].mean())
