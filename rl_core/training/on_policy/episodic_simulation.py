"""The sequential environment of a config, as arrays: episodes that a model plays."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pyarrow as pa

from banditloop.rl_core.agents import Model
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import EpisodicEnvironment, configured_episodic, episode_seeds
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.rollouts import IN_PROCESS, Engine, play, uniformly
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.training.on_policy.played_episodes import PlayedEpisodes, Recorder, all_of

FIT_EPISODES = 200  # of the random policy, that an encoder is fitted to


class EpisodicSimulation:
    """A sequential environment, with the encoding that a policy trained in it has.

    engine: where episodes are played.

    Raises:
        InvalidInput: there is none, or it does not list its actions.
    """

    def __init__(self, config: Config, engine: Engine = IN_PROCESS) -> None:
        self._engine = engine
        self.environment = configured_episodic(config.environment, "training on episodes")
        if config.task.action_ids is None:
            raise InvalidInput("task.actions: are not listed; on-policy training needs them, as a number or a list")
        self._task, self._section = config.task, config.episodes or EpisodesSection()
        self.encoding = self._encoding()

    def baselines(self) -> dict[str, float]:
        """Empty: what other policies earn in episodes is not known."""
        return {}

    @property
    def shape(self) -> tuple[int, int]:
        """The length of an observation, and the number of actions."""
        return self.encoding.context.dim, len(self.encoding.action_ids)

    def play(self, model: Model, exploration: float, rounds: Iterable[np.ndarray], decisions: int) -> PlayedEpisodes:
        """Whole episodes that a model plays, until they have `decisions` decisions.

        exploration: share of decisions drawn uniformly. rounds: seeds of the episodes to play side by side, uint64 [E].
        """
        batches: list[PlayedEpisodes] = []
        for seeds in rounds:
            part = partial(_play, self.environment, self.encoding, self._section, model, exploration, seeds)
            batches += self._engine.play(part, len(seeds))
            if sum(len(batch.entropies) for batch in batches) >= decisions:
                break
        return all_of(batches)

    def _encoding(self) -> Encoding:
        """The encoding of the task, fitted to what the random policy observes, and linear beyond it."""
        encoding = Encoding.unfitted(self._task)
        if not encoding.context.is_fitted:
            return encoding
        steps = play(self.environment, episode_seeds(0, 0, FIT_EPISODES), uniformly, self._section.max_steps)
        contexts = pa.concat_arrays([context_array(self._task, step.contexts) for step in steps])
        return encoding.model_copy(update={"context": encoding.context.fit(contexts).widened(contexts)})


def _play(
    environment: EpisodicEnvironment,
    encoding: Encoding,
    section: EpisodesSection,
    model: Model,
    exploration: float,
    seeds: np.ndarray,
    part: slice,
) -> PlayedEpisodes:
    """A part of the episodes of these seeds."""
    recorder = Recorder(environment.task, encoding, model, exploration)
    scales = np.ones(part.stop - part.start)
    for step in play(environment, seeds[part], recorder.choose, section.max_steps):
        if step.step == 0:  # one scale for a whole episode, so that no best policy changes
            scale = environment.reward_scale(step.contexts)
            scales = scales if scale is None else scale
        recorder.add(step)
    return recorder.played(section.discount, scales)
