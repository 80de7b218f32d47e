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
    decision: str = "canary",
    ungated: bool = False,
) -> str:
    """Deploy a policy and return its version. Idempotent.

    Args:
        config: Config of the loop, as JSON; its backend names the endpoint.
        policy: Policy directory, from the trainer or from elsewhere.
        decision: Decision of the evaluator. promote: the policy becomes the champion if the champion is still
            the one that its saved verdict compared it with, else a canary. canary: it serves release.canary_percent
            percent of the users; with 0 it is a shadow, whose decisions are logged but not shown.
        ungated: Whether a policy that was compared with no champion may answer everybody: an endpoint's first, or one
            to promote that has no verdict. Otherwise it is a canary, an endpoint's first beside the random policy.

    Returns:
        vertex_model: On Vertex AI, the version in the model registry, for Google's components; elsewhere empty.
        vertex_endpoint: On Vertex AI, the endpoint, for Google's components; elsewhere empty.
        Output: Version of the policy on the endpoint.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_loop
    from banditloop.rl_core.promotion.start import check_start
    from banditloop.rl_core.promotion.transitions import deploy

    settings, platform = connect_loop(config, "the deployer")
    check_start(settings, platform)
    version = deploy(settings, platform.endpoint, Path(policy.path), decision, ungated)
    resources = platform.endpoint.resources(version)
    for artifact, kind in ((vertex_model, "model"), (vertex_endpoint, "endpoint")):
        if resource := resources.get(kind):
            artifact.uri, artifact.metadata["resourceName"] = resource.uri, resource.name
    return version
