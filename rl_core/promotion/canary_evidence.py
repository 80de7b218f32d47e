"""The evidence about a challenger from its traffic: of interactions by action and version, of episodes by version."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.comparison import compare, user_level_evidence
from banditloop.rl_core.evaluation.episodes.comparison import compare_versions
from banditloop.rl_core.evaluation.episodes.window import episode_window
from banditloop.rl_core.evaluation.log_window import LoggedWindow, logged_window
from banditloop.rl_core.evaluation.share_check import check_shares
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.release import CanaryEvidence, Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform

MAX_WEALTH_POINTS = 500  # checks whose log wealth the release keeps for the report


def updated_evidence(
    config: Config, platform: Platform, release: Release, before: CanaryEvidence, window: Window
) -> CanaryEvidence:
    """The evidence with a window of the log added, which neither policy was trained on.

    Of episodes those are added that became complete in the window.
    """
    champion, challenger = (SavedPolicy.load(platform.endpoint.policy(version)) for version in release.traffic())
    versions = release.champion, challenger.manifest.version
    logged = logged_window(platform, config, window, [champion, challenger], sharing=versions)
    if config.episodes is None:
        updated = _of_interactions(logged, champion, challenger, before)
    else:
        updated = _of_episodes(platform, config, window, [champion, challenger], before)
        logged = replace(logged, table=logged.table.filter(pc.equal(logged.table["step"], 0)))
    shares, wealth = check_shares(logged, *versions, before.shares), updated["better"].log_wealth()
    updated |= {"until": window.until, "shares": shares, "wealth": [*before.wealth, wealth][-MAX_WEALTH_POINTS:]}
    return before.model_copy(update=updated)


def _of_interactions(
    logged: LoggedWindow, champion: SavedPolicy, challenger: SavedPolicy, before: CanaryEvidence
) -> dict[str, Any]:
    better, worse = compare(logged, champion, challenger, before.better, before.worse.restarted())
    versions = champion.manifest.version, challenger.manifest.version
    return {
        "better": better,
        "worse": worse,
        "worse_by_user": user_level_evidence(logged, *versions, before.worse_by_user.restarted()),
        "unknown_shares": before.unknown_shares + int(np.isnan(logged.shares).sum()),
    }


def _of_episodes(
    platform: Platform, config: Config, window: Window, compared: list[SavedPolicy], before: CanaryEvidence
) -> dict[str, Any]:
    champion, challenger = compared
    sharing = champion.manifest.version, challenger.manifest.version
    logged = episode_window(platform, config, window, compared, sharing=sharing)
    tests = before.better, before.worse_by_user.restarted()
    better, worse = compare_versions(logged, champion.manifest.version, challenger, *tests)
    unknown = int(np.isnan(logged.shares).sum()) if logged.episodes else 0
    return {"better": better, "worse_by_user": worse, "unknown_shares": before.unknown_shares + unknown}
