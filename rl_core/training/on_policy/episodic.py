"""On-policy training on whole episodes."""

from banditloop.rl_core.agents import OnlineAgent, Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.training.on_policy.curve import Loop
from banditloop.rl_core.training.on_policy.episodic_simulation import EpisodicSimulation
from banditloop.rl_core.training.on_policy.played_episodes import PlayedEpisodes


class EpisodicLearner:
    """An agent that plays episodes by its exact probabilities, and learns from those of each loop."""

    goes_on_anywhere = True

    def __init__(self, config: Config, agent: OnlineAgent, simulation: EpisodicSimulation) -> None:
        self._agent, self._settings, self._simulation = agent, config.on_policy, simulation
        self._statistics = agent.initial_statistics(*simulation.shape)

    @property
    def statistics(self) -> Statistics:
        """The agent's own."""
        return self._statistics

    def begin(self, loop: int) -> None:
        """Nothing to prepare: every loop has episodes of its own."""

    def run(self, loop: int) -> Loop:
        """Play with one model, then learn."""
        played = self._played(loop)
        self._statistics, measures = self._agent.learn(self._statistics, played.transitions)
        decisions, episodes = len(played.entropies), len(played.returns)
        measures = {"average_length": decisions / episodes, "entropy": float(played.entropies.mean()), **measures}
        return Loop(decisions, None, float(played.returns.mean()), episodes, measures)

    def restore(self, statistics: Statistics, loop: int) -> None:
        """The statistics: episodes follow from the number of the loop."""
        self._statistics = statistics

    def _played(self, loop: int) -> PlayedEpisodes:
        """The episodes of a loop: rounds of `batch_size` side by side, until it has its decisions."""
        settings, first_round = self._settings, loop * self._settings.steps_per_loop
        rounds = (  # an episode has at least one step, so that more rounds are never needed
            episode_seeds(settings.seed, number * settings.batch_size, settings.batch_size)
            for number in range(first_round, first_round + settings.steps_per_loop)
        )
        model = self._agent.model(self._statistics)
        exploration = 1 - (1 - self._agent.exploration(self._statistics)) * (1 - settings.exploration)
        return self._simulation.play(model, exploration, rounds, settings.interactions_per_loop)
