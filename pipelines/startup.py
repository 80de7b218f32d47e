"""The startup pipeline, run once: simulates interactions under the random policy, trains and deploys a first policy."""

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator
from banditloop.components.generator import generator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer


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
    evaluated = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
    with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=trained.outputs["policy"], decision=evaluated.outputs["Output"])
    tasks = {
        generated: "Simulate the first interactions",
        ingested: "Export interactions",
        trained: "Train",
        evaluated: "Evaluate",
        deployed: "Deploy",
    }
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # each reads or changes the warehouse or the endpoint
