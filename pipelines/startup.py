"""The startup pipeline, run once: simulates interactions under the random policy, trains and deploys a first policy."""

from kfp import dsl

from banditloop.components.generator import generator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


@dsl.pipeline(name="banditloop-startup")
def startup(config: dict, interactions: int = 1000, seed: int = 0, run_id: str = ""):
    """Generate, ingest, train, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON.
        interactions: Number of interactions to simulate.
        seed: Seed of the simulation.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    generated = generator(config=config, interactions=interactions, seed=seed)
    ingested = ingester(config=config).after(generated)
    trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
    released = evaluate_and_deploy(config, trained.outputs["policy"], run_id)
    name_tasks(
        {generated: "Simulate the first interactions", ingested: "Export interactions", trained: "Train", **released}
    )
