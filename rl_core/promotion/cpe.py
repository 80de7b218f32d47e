"""Counterfactual estimates of every training as curves in TensorBoard, under the names of ReAgent."""

from pathlib import Path

from banditloop.rl_core.evaluation.episodes.summary import REWARD, is_of_episodes
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.ports import Platform, Scalars

RUN = "cpe"
NAMES = {
    "weighted_dr": "Weighted_Sequential_Doubly_Robust",
    "fqe": "Direct_Method_Reward",
    "magic": "MAGIC",
    "sequential_dr": "Sequential_Doubly_Robust",
}


def show_cpe(platform: Platform, policy: Path, summary: Summary) -> str:
    """Add the estimates of a policy on episodes to the curves; return their page, empty where there is none.

    The step is the number of trainings up to the policy. Values are relative to the mean return of the log.
    """
    scalars = cpe_scalars(summary, read_manifest(policy).generation) if is_of_episodes(summary) else {}
    return platform.show_scalars(RUN, scalars) if scalars else ""


def cpe_scalars(summary: Summary, step: int) -> dict[str, Scalars]:
    """The candidate's estimates of the reward and of every metric, by tag, as CPE/Reward/MAGIC."""
    return {
        f"CPE/{'Reward' if name == REWARD else name}/{NAMES[estimator]}": [(step, numbers["relative_value"])]
        for name, row in summary["returns"].items()
        for estimator, numbers in row["estimates"].items()
        if estimator in NAMES and numbers["relative_value"] is not None
    }
