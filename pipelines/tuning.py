"""The tuning pipeline: tries settings and, if some are better than those in use, retrains with them and deploys."""

from kfp import dsl

from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.components.tuner import tuner


@dsl.pipeline(name="banditloop-tuning")
def tuning(config: dict, run_id: str = ""):
    """Tune and, if better settings were found, ingest, train, evaluate, and deploy unless the evaluator refuses.

    Args:
        config: Config of the loop, as JSON, with a tuning section.
        run_id: Id of this run, recorded with the settings, in the policy's manifest and in the verdict.
    """
    tuned = tuner(config=config, run_id=run_id)
    with dsl.If(tuned.outputs["Output"] == "better", name="better"):
        ingested = ingester(config=config)
        trained = trainer(config=config, examples=ingested.outputs["examples"], run_id=run_id)
        evaluated = evaluator(config=config, policy=trained.outputs["policy"], run_id=run_id)
        with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
            deployed = deployer(config=config, policy=trained.outputs["policy"], decision=evaluated.outputs["Output"])
    tasks = {
        tuned: "Tune",
        ingested: "Export interactions",
        trained: "Train",
        evaluated: "Evaluate",
        deployed: "Deploy",
    }
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # each reads or changes the warehouse or the endpoint
