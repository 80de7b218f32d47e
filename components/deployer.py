"""Component that adds a policy to the endpoint as a new version, with the traffic that the evaluator decided on."""

from kfp import dsl

from banditloop.components import IMAGE
from banditloop.components.vertex import VertexEndpoint, VertexModel


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deployer(
    config: dict,
    policy: dsl.Input[dsl.Model],
    vertex_model: dsl.Output[VertexModel],
    vertex_endpoint: dsl.Output[VertexEndpoint],
    metrics: dsl.Output[dsl.Metrics],
    decision: str = "canary",
    ungated: bool = False,
) -> str:
    """Deploy a policy and return its version. Idempotent.

    To promote makes it the champion if the champion is still the one that its saved verdict compared it with, else a
    canary. A canary serves release.canary_percent percent of the users; with 0 it is a shadow, whose decisions are
    logged but not shown. An endpoint's first policy is a canary beside the random policy.

    Args:
        config: Config of the loop, as JSON; its backend names the endpoint.
        policy: Policy directory, from the trainer or from elsewhere.
        decision: Decision of the evaluator, promote or canary.
        ungated: Whether an endpoint's first policy, or one to promote without a verdict, may answer everybody at once.

    Returns:
        Output: Version of the policy on the endpoint.
        vertex_model: On Vertex AI, the version in its model registry, for Google's components; elsewhere empty.
        vertex_endpoint: On Vertex AI, the endpoint, for Google's components; elsewhere empty.
        metrics: Time, memory and bytes.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import deploy
    from banditloop.rl_core.usage import usage

    with usage(metrics.log_metric, [policy.path]):
        settings, platform = connect_loop(config)
        check_start(settings, platform)
        version = deploy(settings, platform.endpoint, Path(policy.path), decision, ungated)
    resources = platform.endpoint.resources(version)
    for artifact, kind in ((vertex_model, "model"), (vertex_endpoint, "endpoint")):
        if resource := resources.get(kind):
            artifact.uri, artifact.metadata["resourceName"] = resource.uri, resource.name
    return version
