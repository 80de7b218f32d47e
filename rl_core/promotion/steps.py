"""The steps of a pipeline as its components run them, with or without a loop: first the checks, then the work."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import EpisodicEnvironment, configured
from banditloop.rl_core.environments.history import simulated_history
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.logs.artifact import artifact_events
from banditloop.rl_core.logs.events import interactions
from banditloop.rl_core.logs.transitions import transitions
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.candidate import evaluate_candidate
from banditloop.rl_core.promotion.current import released
from banditloop.rl_core.promotion.logged_candidate import evaluate_log
from banditloop.rl_core.promotion.start import check_start
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.rollouts.engine import engine
from banditloop.rl_core.rollouts.history import episodic_history
from banditloop.rl_core.training.export import Export, export_log
from banditloop.rl_core.training.export_file import export_file
from banditloop.rl_core.training.policy import train_policy
from banditloop.rl_core.training.tuned import TUNED, with_tuned, with_tuned_of


class Trained(NamedTuple):
    """Metadata of a trained policy, the metrics of its training, and the number of examples that it added."""

    metadata: dict[str, Any]
    metrics: dict[str, float]
    rows: int

    @classmethod
    def of(cls, config: Config, manifest: Manifest, statistics: Statistics) -> "Trained":
        """The policy with this manifest, trained to these statistics."""
        metadata = manifest.model_dump(mode="json", include={"version", "parent", "interactions"})
        return cls(metadata, config.agent.metrics(statistics), manifest.window.interactions)


def simulate_step(config: Config, platform: Platform, interactions: int, seed: int) -> dict[str, float]:
    """Add simulated interactions to the loop's log; return how many were new, and their mean reward.

    In an environment of episodes, whole episodes are added, as many as it takes.
    """
    check_start(config, platform)
    decisions, rewards = _simulated_events(config, interactions, seed, platform.scratch)
    # Rewards first: every decision in the warehouse then has its reward, and a retry after a crash adds the rest.
    added = {"rewards_added": platform.warehouse.append("rewards", rewards)}
    added["decisions_added"] = platform.warehouse.append("decisions", decisions)
    ensure_champion(config, platform.endpoint)
    return {**added, "mean_reward": float(rewards["value"].to_numpy().mean())}


def _simulated_events(config: Config, interactions: int, seed: int, scratch: Path) -> tuple[pa.Table, pa.Table]:
    """Decisions of the random policy, and their rewards."""
    if isinstance(config.environment, EpisodicEnvironment):
        with engine(config.rollouts, scratch) as workers:
            return episodic_history(
                config.environment, interactions, config.reward.name, seed, config.max_steps, workers
            )
    environment = configured(config.environment, "the generator")
    history = simulated_history(environment, interactions, config.reward.name, seed)
    decisions, rewards = (pa.concat_tables(tables) for tables in zip(*history, strict=True))
    return decisions, rewards


def export_step(
    config: Config,
    platform: Platform | None,
    log: Path | None,
    examples: Path,
    held_out: Path,
    columns: Mapping[str, str],
    as_of: str,
    parent: str,
) -> Export:
    """Write the interactions of a log in a file as examples or, without one, those of the loop.

    The tuned settings of the loop that the training is to use are in the metadata of its examples.

    parent: the version to resume from; empty: the latest released.
    """
    if log:
        return export_file(config, log, columns, examples, held_out, as_of)
    platform = of_a_loop(platform, "an ingester without a log")
    check_start(config, platform)
    used, settings = tuned_settings(config, platform)
    export = export_log(used, platform, released(platform.endpoint, parent), examples, as_of)
    return export._replace(metadata=export.metadata | settings)


def tuned_settings(config: Config, platform: Platform) -> tuple[Config, dict[str, Any]]:
    """The config with the loop's tuned settings, if they apply to it, and the metadata by which a trainer gets them."""
    tuned = platform.endpoint.tuned()
    used = with_tuned(config, tuned)
    return used, {TUNED: tuned.model_dump(mode="json")} if tuned and used is not config else {}


def train_step(
    config: Config, platform: Platform | None, examples: Path, policy: Path, metadata: Mapping[str, Any], run_id: str
) -> Trained:
    """Train on a folder of examples with this metadata, with the tuned settings in it, and write the policy."""
    config = with_tuned_of(config, metadata)
    if platform:
        check_start(config, platform)
    return Trained.of(config, *train_policy(config, platform, examples, policy, metadata, run_id))


def evaluate_step(
    config: Config,
    platform: Platform | None,
    policy: Path,
    log: Path | None,
    columns: Mapping[str, str],
    baseline: Path | None,
    least_propensity: float,
    run_id: str,
) -> tuple[Verdict, Summary]:
    """The verdict on a policy, not saved yet: by a log in a file against a baseline, or by the loop's log."""
    if log:
        return evaluate_file(config, policy, log, columns, baseline, least_propensity, run_id)
    if baseline:
        raise InvalidInput("baseline: give a log with it; on the loop's log the champion is the baseline")
    platform = of_a_loop(platform, "an evaluator without a log")
    check_start(config, platform)
    return evaluate_candidate(platform, config, policy, run_id)


def evaluate_file(
    config: Config,
    policy: Path,
    log: Path,
    columns: Mapping[str, str],
    baseline: Path | None = None,
    least_propensity: float = 0.0,
    run_id: str = "",
) -> tuple[Verdict, Summary]:
    """The verdict by a log in a file, read with the features of the task and of the policies; see `evaluate_log`."""
    candidate, baseline_policy = SavedPolicy.load(policy), SavedPolicy.load(baseline) if baseline else None
    encodings = [compared.encoding for compared in (candidate, baseline_policy) if compared]
    config = config.model_copy(update={"task": with_features_of(config.task, encodings)})
    reward, left_out = config.reward, Counter[str]()
    events = artifact_events(log, config.task, columns, reward.name, config.other_rewards)
    if config.episodes:
        rows = transitions(events, config.task, config.episodes, reward, left_out)
    else:
        rows = interactions(events, config.task, reward.of_missing)
    return evaluate_log(
        config, rows, candidate, baseline_policy, least_propensity=least_propensity, run_id=run_id, left_out=left_out
    )


def of_a_loop(platform: Platform | None, who: str) -> Platform:
    """The platform. InvalidInput: there is none. who: the part that needs it."""
    if platform is None:
        raise InvalidInput(f'backend: is missing; {who} needs that of a loop, as {{"name": "local", "root": "…"}}')
    return platform
