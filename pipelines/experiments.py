"""The pipeline of experiments: trains in simulation with several settings and seeds at a time, and deploys the best."""

from kfp import dsl

from banditloop.components.on_policy_trainer import on_policy_trainer
from banditloop.components.selector import selector
from banditloop.pipelines.tasks import evaluate_and_deploy, name_tasks


@dsl.pipeline(name="banditloop-experiments")
def experiments(config: dict, trials: list, run_id: str = "", episodes: int = 2000):
    """Train a policy for each trial, all at a time, compare them, evaluate the best, and deploy it unless refused.

    Args:
        config: Config of the loop, as JSON, with an environment.
        trials: Seeds and settings of the agent, as [{"seed": 0, "hyperparameters": {"learning_rate": 0.001}}, ...].
        run_id: Id of this run, recorded in the policies' manifests and in the verdict.
        episodes: Number of episodes by which policies are compared, in an environment of episodes.
    """
    with dsl.ParallelFor(trials, name="trials") as trial:
        settings = {"hyperparameters": trial.hyperparameters, "seed": trial.seed}
        trained = on_policy_trainer(config=config, run_id=run_id, **settings)
    policies = dsl.Collected(trained.outputs["policy"])
    selected = selector(config=config, policies=policies, trials=trials, episodes=episodes)
    released = evaluate_and_deploy(config, selected.outputs["policy"], run_id)
    name_tasks({trained: "Train on-policy", selected: "Select", **released})
