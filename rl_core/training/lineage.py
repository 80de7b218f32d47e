"""The lineage of policies: what a training resumes from, and the manifests of the first policy and of the next."""

from datetime import UTC, datetime

from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import MAX_LEAD, RANDOM
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.settings.section import digest

FIT_ROWS = 100_000  # interactions that an encoder is fitted to
REFIT_GROWTH = 2  # an encoder is fitted again when the log has grown by this factor, which reads it once more


def resumable(config: Config, manifest: Manifest | None, encoding: Encoding | None) -> bool:
    """Whether training can resume from this policy's statistics. Else it reads the whole log.

    It can with the same agent and the same task, unless the log has outgrown what the encoder was fitted to. Actions
    may have joined.
    """
    if manifest is None or encoding is None or manifest.version == RANDOM:
        return False
    if manifest.window.until > datetime.now(UTC) + MAX_LEAD:
        return False  # taken while the clock was ahead: what was logged since would be skipped
    outgrown = encoding.context.is_fitted and manifest.interactions >= REFIT_GROWTH * encoding.context.fitted_rows
    same = config.agent.can_resume_from(manifest.agent) and manifest.task == task_digest(config)
    return same and not (outgrown and encoding.context.fitted_rows < FIT_ROWS)


def task_digest(config: Config) -> str:
    """Digest of the settings besides the agent that the statistics depend on.

    The hold-out fraction is one of them: held-out interactions must not be in the statistics. The actions are not:
    they may join.
    """
    sections = [config.environment, config.reward]
    values = [section.model_dump(mode="json") if section else None for section in sections]
    features = config.task.model_dump(mode="json", include={"context", "action_features"})
    return digest([*values, features, config.gate.holdout_fraction])


def random_manifest(config: Config) -> Manifest:
    """The manifest of the uniformly random policy, the first champion of every loop."""
    encoding = Encoding.unfitted(config.task)
    return Manifest(
        version=RANDOM,
        generation=0,
        agent=config.agent.model_dump(mode="json"),
        task=task_digest(config),
        reward_range=config.task.reward_range,
        exploration=1.0,
        dim=encoding.context.dim,
        actions=len(encoding.action_ids),
        window=Window(until=datetime.fromtimestamp(0, UTC), interactions=0),
        interactions=0,
    )


def next_manifest(
    config: Config,
    window: Window,
    parent: Manifest | None,
    encoding: Encoding,
    generation: int,
    run_id: str,
    content: str = "",
) -> Manifest:
    """The manifest of the policy that a training produces. The same training always gets the same version."""
    agent = config.agent.model_dump(mode="json")
    identity = [parent and parent.version, config.to_dict(), window.model_dump(mode="json"), content]
    identity = identity if content else identity[:-1]
    return Manifest(
        version=f"v{generation}-{digest(identity)}",
        parent=parent.version if parent else None,
        generation=generation,
        agent=agent,
        task=task_digest(config),
        reward_range=config.task.reward_range,
        exploration=config.policy.exploration,
        new_action_exploration=config.policy.new_action_exploration,
        dim=encoding.context.dim,
        actions=len(encoding.action_ids),
        window=window,
        interactions=window.interactions + (parent.interactions if parent else 0),
        seed=agent.get("seed"),
        run=run_id,
    )
