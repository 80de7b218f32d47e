"""The deployer puts a policy behind the one endpoint as a new version."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deployer(config: dict, policy: dsl.Input[dsl.Model]) -> str:
    """Deploy a policy directory and return its version. Doing it again changes nothing.

    Args:
        config: The loop's config.
        policy: The trainer's policy directory.

    Returns:
        The version that now serves.
    """
    from pathlib import Path

    from rl_core.backends import connect
    from rl_core.config import Config

    return connect(Config.parse(config)).endpoint.deploy(Path(policy.path))
