"""The retraining pipeline, submitted by the trigger: trains on new interactions, evaluates and deploys."""

from kfp import dsl

from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


@dsl.pipeline(name="banditloop-retraining")
def retraining(config: dict, run_id: str = ""):
    """Ingest, train, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    ingested = ingester(config=config)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    released = evaluate_and_deploy(config, trained.outputs["policy"], run_id)
    name_tasks({ingested: "Export interactions", trained: "Train", **released})
