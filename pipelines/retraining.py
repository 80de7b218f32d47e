"""The retraining pipeline, submitted by the trigger: trains on new interactions, evaluates and deploys."""

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer


@dsl.pipeline(name="banditloop-retraining")
def retraining(config: dict, run_id: str = ""):
    """Ingest, train, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    ingested = ingester(config=config)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    evaluated = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
    with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=trained.outputs["policy"], decision=evaluated.outputs["Output"])
    tasks = {
        ingested: "Export interactions",
        trained: "Train",
        evaluated: "Evaluate",
        deployed: "Deploy",
    }
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # a cached task would return outdated interactions
