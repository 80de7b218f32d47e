"""The startup and the retraining pipeline with training.shards: several tasks train at a time, each on a shard."""

from typing import Any

from kfp import dsl

from banditloop.components.accumulator import accumulator
from banditloop.components.deployer import deployer
from banditloop.components.evaluator import evaluator
from banditloop.components.generator import generator
from banditloop.components.ingester import ingester
from banditloop.components.merger import merger
from banditloop.components.planner import planner


def _train_and_release(config: Any, run_id: Any, planned: dsl.PipelineTask) -> None:  # KFP calls pipelines at once
    with dsl.ParallelFor(planned.outputs["Output"], name="shards") as shard:
        ingested = ingester(config=config, plan=planned.outputs["plan"], shard=shard)
        added = accumulator(config=config, examples=ingested.outputs["examples"])
    merged = merger(config=config, sums=dsl.Collected(added.outputs["sums"]), run_id=run_id)
    evaluated = evaluator(config=config, policy=merged.outputs["policy"], run_id=run_id)
    with dsl.If(evaluated.outputs["Output"] != "refuse", name="not-refused"):
        deployed = deployer(config=config, policy=merged.outputs["policy"], decision=evaluated.outputs["Output"])
    tasks = {
        planned: "Plan the shards",
        ingested: "Export a shard's interactions",
        added: "Add up a shard",
        merged: "Merge the shards",
        evaluated: "Evaluate",
        deployed: "Deploy",
    }
    _name(tasks)


def _name(tasks: dict[dsl.PipelineTask, str]) -> None:
    for task, name in tasks.items():
        task.set_display_name(name).set_caching_options(False)  # each reads or changes the warehouse or the endpoint


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
    _name({generated: "Simulate the first interactions"})
    _train_and_release(config, run_id, planner(config=config).after(generated))
