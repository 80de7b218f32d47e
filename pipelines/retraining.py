"""The retraining pipeline, run whenever the trigger says so: what is new, a policy, its trial, the same endpoint."""

from kfp import dsl

from components.deployer import deployer
from components.evaluator import evaluator
from components.ingester import ingester
from components.trainer import trainer


@dsl.pipeline(name="banditloop-retraining")
def retraining(config: dict, run_id: str = ""):
    """Ingest, train, evaluate, and deploy unless it is refused.

    Args:
        config: The loop's config.
        run_id: This run's id, for the policy's lineage.
    """
    ingested = ingester(config=config)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    judged = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
    with dsl.If(judged.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=trained.outputs["policy"], judgement=judged.outputs["Output"])
    for task in (ingested, trained, judged, deployed):
        task.set_caching_options(False)  # or the cache would answer with yesterday's interactions
