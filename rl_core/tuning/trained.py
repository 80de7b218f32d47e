"""Policies of a tuning: trained in memory on interactions, and never stored."""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.lineage import next_manifest
from banditloop.rl_core.training.train import initial_statistics, train, with_action_features
from banditloop.rl_core.training.training import fit_encoding, with_seen

EPOCH = datetime.fromtimestamp(0, UTC)


def encoding_of(config: Config, interactions: Sequence[pa.Table]) -> Encoding:
    """The encoding of the config's task, fitted to interactions, with their actions and the features of these."""
    encoding = fit_encoding(Encoding.unfitted(config.task), interactions)
    seen = ActionsSeen()
    for _ in seen.watch(interactions):
        pass
    return with_seen(encoding, config, seen).with_features(config.task, seen.features)


def train_policy(config: Config, encoding: Encoding, interactions: Iterable[pa.Table]) -> SavedPolicy:
    """The policy of the config's agent trained on interactions from nothing."""
    return policy_of(
        config, encoding, train(config, encoding, interactions, initial_statistics(config, encoding, None))
    )


def policy_of(config: Config, encoding: Encoding, statistics: Statistics) -> SavedPolicy:
    """The policy with these statistics, ready to decide. Policies of equal configs have equal versions."""
    with tempfile.TemporaryDirectory() as folder:
        config.agent.save(with_action_features(statistics, encoding), Path(folder))
        model = config.agent.load(Path(folder))
    manifest = next_manifest(config, Window(until=EPOCH, interactions=0), None, encoding, 1, "")
    return SavedPolicy(manifest, model, encoding)
