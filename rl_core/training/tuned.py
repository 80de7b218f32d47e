"""Tuned settings in a training: which config they are for, and what it becomes with them."""

import logging
from collections.abc import Mapping
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.settings.section import digest
from banditloop.rl_core.training.lineage import task_digest

TUNED = "tuned"  # key of the settings that an ingester found, in the metadata of its examples
log = logging.getLogger("banditloop.training")


def tuned_base(config: Config) -> str:
    """The digest of what tuned settings are for: the config's agent, policy and task, and on_policy if it is tuned."""
    policy = config.policy.model_dump(mode="json", exclude={"saved_model"})
    on_policy = [config.on_policy.model_dump(mode="json")] if config.tuning.search_space.on_policy else []
    return digest([config.agent.model_dump(mode="json"), policy, task_digest(config), *on_policy])


def with_tuned(config: Config, tuned: Tuned | None) -> Config:
    """The config with tuned settings; unchanged if there are none, or they are those of another config."""
    if tuned is None:
        return config
    if tuned.base != tuned_base(config):
        log.warning(
            "the tuned settings of %s are not used: agent, policy, on_policy or task have changed since", tuned.at
        )
        return config
    values = config.to_dict()
    changed = {key: values[key] | getattr(tuned, key) for key in ("policy", "on_policy")}
    return Config.parse(values | {"agent": tuned.agent} | changed)


def with_tuned_of(config: Config, metadata: Mapping[str, Any]) -> Config:
    """The config with the tuned settings that the examples with this metadata were exported for."""
    return with_tuned(config, Tuned.parse(metadata[TUNED], "examples")) if metadata.get(TUNED) else config
