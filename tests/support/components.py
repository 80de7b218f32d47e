"""Components called in this process, with artifacts for their outputs."""

from pathlib import Path
from typing import Any

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.ingester import ingester
from banditloop.rl_core.config import Config


def artifact(kind: type[dsl.Artifact], path: Path | str) -> dsl.Artifact:
    """An artifact at a path, named after it."""
    return kind(name=Path(path).name, uri=str(path), metadata={})


def ingest(config: Config, examples: dsl.Artifact, metrics: dsl.Artifact | None = None, **inputs: Any) -> None:
    """Run the ingester; of a loop's log, nothing is written to `held_out`."""
    outputs = {"held_out": artifact(dsl.Dataset, f"{examples.path}-held-out")}
    outputs["metrics"] = metrics or artifact(dsl.Metrics, "metrics")
    ingester.python_func(config=config.to_dict(), examples=examples, **outputs, **inputs)


def deploy_policy(config: Config, policy: dsl.Artifact, decision: str = "canary", ungated: bool = False) -> str:
    """Run the deployer, and return the version."""
    vertex = {name: artifact(dsl.Artifact, name) for name in ("vertex_model", "vertex_endpoint")}
    vertex |= {"metrics": artifact(dsl.Metrics, "metrics"), "decision": decision, "ungated": ungated}
    version: str = deployer.python_func(config=config.to_dict(), policy=policy, **vertex)
    assert vertex["metrics"].metadata["seconds"] > 0
    return version
