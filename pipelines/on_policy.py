"""The on-policy pipeline: trains in simulation, evaluates on the loop's log and deploys."""

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator
from banditloop.components.on_policy_trainer import on_policy_trainer


@dsl.pipeline(name="banditloop-on-policy")
def on_policy(config: dict, run_id: str = ""):
    """Train in the config's environment, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON, with an environment.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    trained = on_policy_trainer(config=config, run_id=run_id)
    evaluated = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
    with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=trained.outputs["policy"], decision=evaluated.outputs["Output"])
    tasks = {trained: "Train on-policy", evaluated: "Evaluate", deployed: "Deploy"}
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # each reads or changes the warehouse or the endpoint
