"""Settings that a tuning found to be better than those of the config, which the next trainings use."""

from datetime import datetime
from typing import Any

from pydantic import Field

from banditloop.rl_core.settings.section import Section


class Tuned(Section):
    """Tuned settings of the agent, the policy and on-policy training, and what they were tuned for."""

    base: str = Field(description="digest of the config's agent, policy and task: with others they are not used")
    agent: dict[str, Any] = Field(description="the agent section")
    policy: dict[str, Any] = Field({}, description="settings of the policy section that were tuned")
    on_policy: dict[str, Any] = Field({}, description="settings of on-policy training that were tuned")
    at: datetime = Field(strict=False, description="when the tuning ended")
    run: str = Field("", description="id of the pipeline run that tuned them")
