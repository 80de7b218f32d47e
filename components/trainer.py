"""Component that trains a policy off-policy on logged interactions, resuming from its parent."""

from typing import Optional

from kfp import dsl

from banditloop.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def trainer(
    config: dict,
    examples: dsl.Input[dsl.Dataset],
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    agent: str = "",
    exploration: Optional[float] = None,
    alpha: Optional[float] = None,
    l2: Optional[float] = None,
    hyperparameters: dict = {},
    run_id: str = "",
):
    """Train an agent off-policy and save a policy directory for serving and for the next training.

    Args:
        config: Config of the loop, as JSON; without a backend it is of no loop, and one with a task is enough.
        examples: Files from the ingester, or in its format.
        agent: Name of the agent; empty is the config's, or dqn where it has episodes, or linear_thompson.
        exploration: Fraction of decisions drawn uniformly; not given, it is the config's, or 0.01.
        alpha: Of linear_thompson and linucb, how much they explore; not given, it is the config's, or 0.5 and 1.
        l2: Of linucb, ridge weight λ; not given, it is the config's, or 1.
        hyperparameters: Other settings of the agent by name, as {"hidden_units": 32} of neural_epsilon_greedy.
        run_id: Id of the pipeline run, recorded in the policy's manifest.

    Returns:
        policy: Policy directory, which is a SavedModel too, with metadata: version, parent, interactions.
        metrics: Mean reward, arms seen, and the noise, the condition number or the loss; time, memory, bytes and rows.
    """
    from pathlib import Path

    from banditloop.rl_core.backends import connect_if_any
    from banditloop.rl_core.promotion.steps import train_step
    from banditloop.rl_core.training.hyperparameters import with_hyperparameters
    from banditloop.rl_core.usage import usage

    source, folder = Path(examples.path), Path(policy.path)
    values = with_hyperparameters(config, agent, exploration, hyperparameters, alpha=alpha, l2=l2)
    with usage(metrics.log_metric, [source], [folder]) as count_rows:
        trained = train_step(*connect_if_any(values), source, folder, examples.metadata, run_id)
        count_rows(trained.rows)
    policy.metadata.update(trained.metadata)
    for name, value in trained.metrics.items():
        metrics.log_metric(name, value)
