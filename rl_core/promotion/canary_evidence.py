"""The evidence about a challenger from its traffic: of interactions by action and version, of episodes by version."""

from typing import Any

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.comparison import compare, user_level_evidence
from banditloop.rl_core.evaluation.episodes.comparison import compare_versions
from banditloop.rl_core.evaluation.episodes.window import episode_window
from banditloop.rl_core.evaluation.log_window import logged_window
from banditloop.rl_core.evaluation.share_check import check_shares
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.release import CanaryEvidence, Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.begun_episodes import begun_episodes

MAX_WEALTH_POINTS = 500  # checks whose log wealth the release keeps for the report


def updated_evidence(
    config: Config, platform: Platform, release: Release, before: CanaryEvidence, window: Window
) -> CanaryEvidence:
    """The evidence with a window of the log added, which neither policy was trained on.

    Of episodes, those are added that began in the window, up to the first that is not complete yet. The evidence stays
    as it is if fewer decisions were logged up to there than there are between two checks.
    """
    policies = [SavedPolicy.load(platform.endpoint.policy(version)) for version in release.traffic()]
    update = _of_interactions if config.episodes is None else _of_episodes
    updated = update(config, platform, window, policies, before)
    if not updated:
        return before
    wealth = [*before.wealth, updated["better"].log_wealth()][-MAX_WEALTH_POINTS:]
    return before.model_copy(update=updated | {"wealth": wealth})


def _of_interactions(
    config: Config, platform: Platform, window: Window, compared: list[SavedPolicy], before: CanaryEvidence
) -> dict[str, Any]:
    champion, challenger = compared
    versions = champion.manifest.version, challenger.manifest.version
    logged = logged_window(platform, config, window, compared, sharing=versions)
    better, worse = compare(logged, champion, challenger, before.better, before.worse.restarted())
    return {
        "until": window.until,
        "better": better,
        "worse": worse,
        "worse_by_user": user_level_evidence(logged, *versions, before.worse_by_user.restarted()),
        "shares": check_shares(logged, *versions, before.shares),
        "unknown_shares": before.unknown_shares + int(np.isnan(logged.shares).sum()),
    }


def _of_episodes(
    config: Config, platform: Platform, window: Window, compared: list[SavedPolicy], before: CanaryEvidence
) -> dict[str, Any]:
    champion, challenger = compared
    versions = champion.manifest.version, challenger.manifest.version
    complete = episode_window(platform, config, window, compared, sharing=versions)
    begun = begun_episodes(platform, config, window, compared, complete.read)
    if begun.decisions < config.release.check_every_interactions:
        return {}
    logged = complete.only(begun.ids)
    tests = before.better, before.worse_by_user.restarted()
    better, worse = compare_versions(logged, champion.manifest.version, challenger, *tests)
    unknown = int(np.isnan(logged.shares).sum()) if logged.episodes else 0
    return {
        "until": begun.until,
        "better": better,
        "worse_by_user": worse,
        "shares": check_shares(begun.first, *versions, before.shares),
        "unknown_shares": before.unknown_shares + unknown,
    }
