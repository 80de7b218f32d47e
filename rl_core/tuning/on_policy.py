"""What settings earn on-policy: a policy is trained in the config's environment, and then tested."""

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.training.on_policy import seeded, train_on_policy
from banditloop.rl_core.training.on_policy.simulation import Simulation
from banditloop.rl_core.training.on_policy.vectorised import drawn, explored
from banditloop.rl_core.training.train import with_action_features

TEST = 1 << 40  # added to the seed of a training, for the decisions that test it


def on_policy_reward(config: Config, seed: int) -> float:
    """The mean reward of `tuning.interactions` decisions of a policy, after its on-policy training.

    It decides as it is served, with `policy.exploration`. The same seed, the same contexts, whatever the settings.
    """
    trained_in, tested_in = Simulation(config), Simulation(config)
    statistics, _ = train_on_policy(seeded(config, seed), trained_in)
    random = np.random.default_rng([TEST, seed])
    visits = tested_in.visits(config.tuning.interactions, random)
    model = config.agent.model(with_action_features(statistics, trained_in.encoding))
    learned = model.probabilities(visits.observations, visits.eligible)
    served = explored(learned, config.policy.exploration, visits.eligible)
    return float(tested_in.feedback(visits, drawn(served, random), TEST)[0].mean())
