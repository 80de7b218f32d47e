"""The deployer puts a policy behind the one endpoint as a new version, with the traffic that it has earned."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deployer(config: dict, policy: dsl.Input[dsl.Model], judgement: str = "canary") -> str:
    """Deploy a policy directory and return its version. Doing it again changes nothing.

    Args:
        config: The loop's config.
        policy: The trainer's policy directory.
        judgement: The evaluator's: promote lets it answer everybody, if the champion is still the one
            that it was compared with; canary lets it answer a share, or nobody and be logged.

    Returns:
        The version.
    """
    from pathlib import Path

    from rl_core.backends import connect
    from rl_core.backends.releasing import deploy
    from rl_core.config import Config

    settings = Config.parse(config)
    return deploy(settings, connect(settings).endpoint, Path(policy.path), judgement)
