"""Types of Vertex AI's own artifacts, which Google's components take and its console shows."""

from kfp import dsl


class VertexModel(dsl.Artifact):
    """A version of a model in Vertex AI's registry, by `resourceName` in its metadata."""

    schema_title = "google.VertexModel"
    schema_version = "0.0.1"


class VertexEndpoint(dsl.Artifact):
    """An endpoint of Vertex AI, by `resourceName` in its metadata."""

    schema_title = "google.VertexEndpoint"
    schema_version = "0.0.1"
