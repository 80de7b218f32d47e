"""The on-policy pipeline: trains in simulation, evaluates on the loop's log and deploys."""

from kfp import dsl

from banditloop.components.on_policy_trainer import on_policy_trainer
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


@dsl.pipeline(name="banditloop-on-policy")
def on_policy(config: dict, profile: bool = False, run_id: str = ""):
    """Train in the config's environment, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON, with an environment.
        profile: Whether to trace the first loops for TensorBoard's profiler.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    trained = on_policy_trainer(config=config, profile=profile, run_id=run_id)
    released = evaluate_and_deploy(config, trained.outputs["policy"], run_id)
    name_tasks({trained: "Train on-policy", **released})
