"""Tasks that all pipelines end with, and their names."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator


def evaluate_and_deploy(config: Any, policy: Any, run_id: Any) -> dict[dsl.PipelineTask, str]:
    """Tasks that evaluate a policy, and deploy it unless the evaluator refuses it; with their names."""
    evaluated = evaluator(config=config, policy=policy, run_id=run_id)
    with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=policy, decision=evaluated.outputs["Output"])
    return {evaluated: "Evaluate", deployed: "Deploy"}


def name_tasks(tasks: Mapping[dsl.PipelineTask, str]) -> None:
    """Give tasks their names on a platform's page, and turn caching off."""
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # each reads or changes the warehouse or the endpoint
