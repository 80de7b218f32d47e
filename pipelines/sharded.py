"""The startup and the retraining pipeline with training.shards: several tasks train at a time, each on a shard."""

from typing import Any

from kfp import dsl

from banditloop.components.accumulator import accumulator
from banditloop.components.generator import generator
from banditloop.components.ingester import ingester
from banditloop.components.merger import merger
from banditloop.components.planner import planner
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


# Defined before the pipelines: KFP calls a pipeline's function as soon as it is decorated.
def _train_and_release(config: Any, run_id: Any, planned: dsl.PipelineTask) -> None:
    with dsl.ParallelFor(planned.outputs["Output"], name="shards") as shard:
        ingested = ingester(config=config, plan=planned.outputs["plan"], shard=shard)
        added = accumulator(config=config, examples=ingested.outputs["examples"])
    merged = merger(config=config, sums=dsl.Collected(added.outputs["sums"]), run_id=run_id)
    tasks = {
        planned: "Plan the shards",
        ingested: "Export a shard's interactions",
        added: "Add up a shard",
        merged: "Merge the shards",
    }
    name_tasks(tasks | evaluate_and_deploy(config, merged.outputs["policy"], run_id))


@dsl.pipeline(name="banditloop-retraining")
def sharded_retraining(config: dict, run_id: str = ""):
    """Plan, ingest and add up each shard, merge, evaluate, and deploy unless the evaluator refuses the policy.

    Args:
        config: Config of the loop, as JSON.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    _train_and_release(config, run_id, planner(config=config))


@dsl.pipeline(name="banditloop-startup")
def sharded_startup(config: dict, interactions: int = 1000, seed: int = 0, run_id: str = ""):
    """Generate, plan, ingest and add up each shard, merge, evaluate, and deploy unless the evaluator refuses.

    Args:
        config: Config of the loop, as JSON.
        interactions: Number of interactions to simulate.
        seed: Seed of the simulation.
        run_id: Id of this run, recorded in the policy's manifest and in the verdict.
    """
    generated = generator(config=config, interactions=interactions, seed=seed)
    name_tasks({generated: "Simulate the first interactions"})
    _train_and_release(config, run_id, planner(config=config).after(generated))
