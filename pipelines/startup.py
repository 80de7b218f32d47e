"""The startup pipeline, run once: simulated interactions, a first policy, the endpoint."""

from kfp import dsl

from components.deployer import deployer
from components.generator import generator
from components.ingester import ingester
from components.trainer import trainer


@dsl.pipeline(name="banditloop-startup")
def startup(config: dict, interactions: int = 1000, seed: int = 0, run_id: str = ""):
    """Generate, ingest, train, deploy.

    Args:
        config: The loop's config.
        interactions: How many interactions to simulate.
        seed: Which ones.
        run_id: This run's id, for the policy's lineage.
    """
    generated = generator(config=config, interactions=interactions, seed=seed)
    ingested = ingester(config=config).after(generated)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    deployed = deployer(config=config, policy=trained.outputs["policy"])
    for task in (generated, ingested, trained, deployed):
        task.set_caching_options(False)  # each reads or changes the warehouse or the endpoint
