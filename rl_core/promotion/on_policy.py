"""On-policy training, as the component and the command line run it: checked, resumed, and written as a policy."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.current import latest_released
from banditloop.rl_core.promotion.start import check_start
from banditloop.rl_core.rollouts import engine
from banditloop.rl_core.training.on_policy import Curve, make_simulation, train_on_policy
from banditloop.rl_core.training.on_policy.policy import write_on_policy
from banditloop.rl_core.training.tuned import with_tuned


class OnPolicy(NamedTuple):
    """The policy's manifest, the learning curve, and the environment's baselines, empty where they are unknown."""

    manifest: Manifest
    curve: Curve
    baselines: dict[str, float]


def on_policy_step(
    config: Config,
    platform: Platform | None,
    policy: Path,
    checkpoints: Path,
    resume: bool = True,
    run_id: str = "",
    tensorboard: Path | None = None,
    profile: bool = False,
    on_loop: Callable[[Curve], object] = lambda curve: None,
) -> OnPolicy:
    """Train in simulation, with checkpoints in a folder, and write the policy.

    platform: of the loop whose endpoint the policy is for, with its tuned settings; None: no loop. tensorboard: folder
    of TensorBoard's logs, with a trace for its profiler if `profile`. on_loop: called with the curve so far after every
    loop.
    """
    if platform:
        check_start(config, platform)
        config = with_tuned(config, platform.endpoint.tuned())
    previous = latest_released(platform.endpoint)[0] if platform else None
    scratch = platform.scratch if platform else None
    with engine(config.rollouts, scratch) as workers, _summaries(tensorboard, profile) as summarise:
        simulation = make_simulation(config, workers)

        def after_loop(curve: Curve) -> None:
            summarise(curve)
            on_loop(curve)

        statistics, curve = train_on_policy(config, simulation, checkpoints, resume, after_loop)
    manifest = write_on_policy(policy, config, simulation.encoding, statistics, curve.interactions, previous, run_id)
    return OnPolicy(manifest, curve, simulation.baselines())


@contextlib.contextmanager
def _summaries(folder: Path | None, profile: bool) -> Iterator[Callable[[Curve], object]]:
    if folder is None:
        yield lambda curve: None
        return
    from banditloop.rl_core.training.on_policy.tensorboard import summaries  # imports TensorFlow

    with summaries(folder, profile) as summarise:
        yield summarise
