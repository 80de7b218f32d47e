"""The tuning pipeline: tries settings and, if some are better than those in use, retrains with them and deploys."""

from kfp import dsl

from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.components.tuner import tuner
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


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
        released = evaluate_and_deploy(config, trained.outputs["policy"], run_id)
    name_tasks({tuned: "Tune", ingested: "Export interactions", trained: "Train", **released})
