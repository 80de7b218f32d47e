"""The policy that on-policy training made: a policy directory as the trainer writes, for the evaluator and deployer."""

from datetime import UTC, datetime
from pathlib import Path

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.training.lineage import next_manifest
from banditloop.rl_core.training.train import with_action_features

CONTENT = "on-policy"  # tells the version from one that was trained on a log


def write_on_policy(
    folder: Path,
    config: Config,
    encoding: Encoding,
    statistics: Statistics,
    interactions: int,
    previous: Manifest | None = None,
    run_id: str = "",
) -> Manifest:
    """Write the policy with what was learned from simulated interactions, and return its manifest.

    previous: the endpoint's latest policy, whose generation this one follows. The new policy's window of the log is
    empty, so that a retraining adds the whole log to what was learned in simulation.
    """
    window = Window(until=datetime.fromtimestamp(0, UTC), interactions=0)
    generation = previous.generation + 1 if previous else 1
    manifest = next_manifest(config, window, None, encoding, generation, run_id, CONTENT)
    manifest = manifest.model_copy(update={"interactions": interactions})
    complete = with_action_features(statistics, encoding)
    return write_policy(folder, manifest, complete, encoding, config.policy.saved_model)
