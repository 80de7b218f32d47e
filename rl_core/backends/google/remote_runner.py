"""The runner of pipelines that do not run on this machine: Vertex AI, or Kubeflow Pipelines."""

from typing import TYPE_CHECKING

from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.retries import with_retries
from banditloop.rl_core.settings.backend import GoogleBackend

if TYPE_CHECKING:
    from banditloop.rl_core.backends.google.runner import VertexRunner
    from banditloop.rl_core.backends.kubeflow.runner import KubeflowRunner


def remote_runner(backend: GoogleBackend) -> "VertexRunner | KubeflowRunner":
    """The runner that `backend.runner` names, kfp or vertex; either has `stop`. Its client takes a second to import."""
    if backend.runner == "kfp":
        from banditloop.rl_core.backends.kubeflow.runner import KUBEFLOW, KubeflowRunner

        return with_retries(KubeflowRunner(backend), KUBEFLOW)
    from banditloop.rl_core.backends.google.runner import VertexRunner

    return with_retries(VertexRunner(backend), GOOGLE)
