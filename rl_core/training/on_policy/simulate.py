"""On-policy training from its start or from a checkpoint to its end."""

from collections.abc import Callable
from pathlib import Path

from banditloop.rl_core.agents import Statistics, check_shapes
from banditloop.rl_core.config import Config
from banditloop.rl_core.rollouts import engine
from banditloop.rl_core.training.on_policy.checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from banditloop.rl_core.training.on_policy.curve import Curve
from banditloop.rl_core.training.on_policy.episodic_simulation import EpisodicSimulation
from banditloop.rl_core.training.on_policy.learner import make_learner, make_simulation
from banditloop.rl_core.training.on_policy.simulation import Simulation


def simulate(config: Config, seed: int | None = None, on_loop: Callable[[Curve], object] = lambda curve: None) -> Curve:
    """The learning curve of the config's agent in its environment; nothing is written.

    seed: of contexts, decisions and rewards, instead of the config's; the environment, whose own seed says which
    problem it is, stays the same. on_loop: called with the curve so far after every loop; an exception that it raises
    ends the training, for instance to prune a trial.

    Raises:
        InvalidInput: the config has no environment, or its agent cannot act in it.
    """
    if seed is not None:
        config = seeded(config, seed)
    with engine(config.rollouts) as workers:
        return train_on_policy(config, make_simulation(config, workers), on_loop=on_loop)[1]


def seeded(config: Config, seed: int) -> Config:
    """The config with another seed of on-policy training."""
    return config.model_copy(update={"on_policy": config.on_policy.model_copy(update={"seed": seed})})


def train_on_policy(
    config: Config,
    simulation: Simulation | EpisodicSimulation,
    folder: Path | None = None,
    resume: bool = False,
    on_loop: Callable[[Curve], object] = lambda curve: None,
) -> tuple[Statistics, Curve]:
    """The statistics that the agent has learned after `on_policy.training_loops` loops, and its learning curve.

    folder: of the checkpoint, written every `checkpoint_loops` and, where the learner can go on from there, at the end;
    None: none is written. resume: whether to go on from the checkpoint there, if there is one; the result is that of an
    uninterrupted training.

    Raises:
        InvalidInput: the agent cannot act in the environment, or the checkpoint is of another config.
    """
    learner, curve, settings = make_learner(config, simulation), Curve(), config.on_policy
    if folder and resume and (checkpoint := read_checkpoint(folder, config)):
        statistics, curve = checkpoint
        check_shapes(folder / CHECKPOINT, statistics, learner.statistics)
        learner.restore(statistics, len(curve.loops))
    learner.begin(len(curve.loops))
    while (number := len(curve.loops)) < settings.training_loops:
        curve.add(learner.run(number))
        on_loop(curve)
        is_last, is_due = number + 1 == settings.training_loops, (number + 1) % settings.checkpoint_loops == 0
        if folder and (is_due or (is_last and learner.goes_on_anywhere)):
            write_checkpoint(folder, config, learner.statistics, curve)
        if is_due:
            learner.begin(number + 1)
    return learner.statistics, curve
