"""The startup pipeline, run once: simulated interactions, a first policy beside the random one, the endpoint."""

from kfp import dsl

from components.deployer import deployer
from components.evaluator import evaluator
from components.generator import generator
from components.ingester import ingester
from components.trainer import trainer


@dsl.pipeline(name="banditloop-startup")
def startup(config: dict, interactions: int = 1000, seed: int = 0, run_id: str = ""):
    """Generate, ingest, train, evaluate, and deploy unless it is refused.

    Args:
        config: The loop's config.
        interactions: How many interactions to simulate.
        seed: Which ones.
        run_id: This run's id, for the policy's lineage.
    """
    generated = generator(config=config, interactions=interactions, seed=seed)
    ingested = ingester(config=config).after(generated)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    judged = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
    with dsl.If(judged.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=trained.outputs["policy"], judgement=judged.outputs["Output"])
    for task in (generated, ingested, trained, judged, deployed):
        task.set_caching_options(False)  # each reads or changes the warehouse or the endpoint
