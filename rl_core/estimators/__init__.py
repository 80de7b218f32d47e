"""Off-policy estimators: the mean reward that a target policy would have earned, estimated from another policy's log.

`evaluate` takes a table of logged decisions, `evaluate_episodes` one of episodes, whose estimators are in `episodes`.
The estimators of single decisions, one per file, are streaming (`add`), mergeable (`+`) and vectorised. Formulas use

    r  reward of a logged decision, in [0, 1]
    p  propensity: the probability with which the logging policy chose the logged action
    π  probability with which the target policy would choose the logged action
    w  π / p, the importance weight
    q  a reward model's prediction for the logged action; Q, its mean over the target policy's actions
"""

from banditloop.rl_core.estimators.clipped_ips import ClippedIPS
from banditloop.rl_core.estimators.direct import DirectMethod
from banditloop.rl_core.estimators.dr import DR
from banditloop.rl_core.estimators.dros import DRos
from banditloop.rl_core.estimators.episodes.frame import EpisodeEvaluation, evaluate_episodes
from banditloop.rl_core.estimators.estimator import Estimator, Logged
from banditloop.rl_core.estimators.ips import IPS
from banditloop.rl_core.estimators.log_evaluation import LogEvaluation, evaluate
from banditloop.rl_core.estimators.replay import Replay
from banditloop.rl_core.estimators.snips import SNIPS
from banditloop.rl_core.estimators.switch_dr import SwitchDR

ESTIMATORS: dict[str, type[Estimator]] = {
    "replay": Replay,
    "ips": IPS,
    "clipped_ips": ClippedIPS,
    "snips": SNIPS,
    "direct": DirectMethod,
    "dr": DR,
    "switch_dr": SwitchDR,
    "dros": DRos,
}

__all__ = [
    "ESTIMATORS",
    "EpisodeEvaluation",
    "Estimator",
    "LogEvaluation",
    "Logged",
    "evaluate",
    "evaluate_episodes",
    *(kind.__name__ for kind in ESTIMATORS.values()),
]
