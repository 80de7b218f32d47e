"""Component that adds a policy to the endpoint as a new version, with the traffic that the evaluator decided on."""

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deployer(config: dict, policy: dsl.Input[dsl.Model], decision: str = "canary") -> str:
    """Deploy a policy and return its version. Idempotent.

    Args:
        config: Config of the loop, as JSON.
        policy: Policy directory from the trainer.
        decision: Decision of the evaluator. promote: the policy becomes the champion if the champion is still
            the one that it was compared with, else a canary. canary: it serves release.canary_percent percent of
            the users; with 0 it is a shadow, whose decisions are logged but not shown.

    Returns:
        Version of the policy on the endpoint.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect
    from banditloop.rl_core.config import Config
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import deploy

    settings = Config.parse(config)
    platform = connect(settings)
    check_start(settings, platform)
    return deploy(settings, platform.endpoint, Path(policy.path), decision)
