"""What settings earn in episodes: a policy is trained on-policy in the config's environment, and then tested."""

from itertools import count

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.training.on_policy import seeded, train_on_policy
from banditloop.rl_core.training.on_policy.episodic_simulation import EpisodicSimulation

TEST_SEED = 1 << 40  # added to the seed of a training, for the seed of the episodes that test it
EPISODES = 100  # of a test, side by side


def episode_reward(config: Config, seed: int) -> float:
    """The mean reward of the episodes that a trained policy plays, until they have `tuning.interactions` decisions.

    It decides as it is served, with `policy.exploration`. The same seed, the same episodes, whatever the settings.
    """
    simulation = EpisodicSimulation(config)
    statistics, _ = train_on_policy(seeded(config, seed), simulation)
    rounds = (episode_seeds(TEST_SEED + seed, number * EPISODES, EPISODES) for number in count())
    model, exploration = config.agent.model(statistics), config.policy.exploration
    return float(simulation.play(model, exploration, rounds, config.tuning.interactions).returns.mean())
