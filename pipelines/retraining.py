"""The retraining pipeline, run whenever the trigger says so: what is new, a better policy, the same endpoint."""

from kfp import dsl

from components.deployer import deployer
from components.ingester import ingester
from components.trainer import trainer


@dsl.pipeline(name="banditloop-retraining")
def retraining(config: dict, run_id: str = ""):
    """Ingest, train, deploy.

    Args:
        config: The loop's config.
        run_id: This run's id, for the policy's lineage.
    """
    ingested = ingester(config=config)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    deployed = deployer(config=config, policy=trained.outputs["policy"])
    for task in (ingested, trained, deployed):
        task.set_caching_options(False)  # or the cache would answer with yesterday's interactions
