"""The summary of an evaluation on episodes: plain numbers, as `evaluation.summary` has them of interactions."""

import math
from collections.abc import Sequence
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators.value_interval import TOO_LITTLE
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.evaluation.summary import Summary, finite, rewards_of_versions, wealth_of_line
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.release import Verdict

EPISODES, REWARD = "episodes", "reward"
BOUNDS = {"value": "", "low": "_low", "high": "_high"}  # of an estimate, and what is added to its name


def episode_summary(
    config: Config,
    window: EpisodeWindow,
    evaluation: Summary,
    verdict: Verdict,
    worse: BettingTest,
    verdicts: list[Verdict],
    totals: list[dict[str, Any]],
    needed: float,
    feature_names: Sequence[str],
) -> Summary:
    """The verdict with its evidence, estimates of returns and diagnostics; None for unknown or infinite numbers.

    evaluation: that of `episode_estimates`. The other arguments are those of `evaluation.summary.evaluation_summary`.
    """
    wealths = {"better": verdict.better.log_wealth(), "worse": worse.log_wealth()}
    summary: Summary = finite(
        {
            "kind": EPISODES,
            "verdict": verdict.model_dump(mode="json", exclude={"better"}) | wealths,
            **evaluation,
            "left_out": dict(window.left_out),
            "logging_mix": _answered_by(window),
            **rewards_of_versions(totals),
            "wealth": wealth_of_line([*verdicts, verdict], verdict.champion),
            "needed": math.log(needed),
        }
    )
    return summary | {TOO_LITTLE: _too_little(summary)}


def episode_metrics(summary: Summary) -> dict[str, float]:
    """The metrics that KFP and Vertex AI show, without unknown ones: of the reward, and of every named metric."""
    metrics = {"held_out_episodes": summary["episodes"], "held_out_interactions": summary["interactions"]}
    for name, of_reward in summary["returns"].items():
        prefix = "" if name == REWARD else f"{name}_"
        for side, row in headlines(summary, of_reward).items():
            metrics |= {prefix + side + end: row[bound] for bound, end in BOUNDS.items()}
    metrics |= {
        "log_wealth_better": summary["verdict"]["better"],
        "log_wealth_worse": summary["verdict"]["worse"],
        "log_wealth_needed": summary["needed"],
        "effective_episodes": summary["diagnostics"].get("candidate", {}).get("effective_episodes"),
        "reward_coverage": summary["coverage"],
    }
    return {name: value for name, value in metrics.items() if value is not None}


def is_of_episodes(summary: Summary) -> bool:
    """Whether a summary is that of an evaluation on episodes."""
    return summary.get("kind") == EPISODES


def headlines(summary: Summary, of_reward: Summary) -> dict[str, Summary]:
    """The primary estimate of either policy, and their difference, for one reward of a summary."""
    primary, of_log = summary["primary"], of_reward["logged"]
    return {
        "candidate_dr": of_reward["estimates"].get(primary, of_log),
        "champion_dr": of_reward["baseline_estimates"].get(primary, of_log),
        "difference": of_reward["difference"],
    }


def _answered_by(window: EpisodeWindow) -> dict[str, float]:
    """The fraction of the episodes that each version answered."""
    if not window.episodes:
        return {}
    counts = window.table["policy_version"].take(window.rows.starts).value_counts()
    return {count["values"].as_py(): count["counts"].as_py() / window.episodes for count in counts}


def _too_little(summary: Summary) -> list[str]:
    """The names of the rewards whose difference has no interval."""
    return [name for name, row in summary["returns"].items() if row["difference"]["low"] is None]
