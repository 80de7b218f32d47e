"""Off-policy estimators: what a policy would have earned, from what another one logged.

Each is one idea in one file. All are streaming (`add`), mergeable (`+`) and vectorised, and state their formula with

    r  the reward of a logged decision, in [0, 1]
    p  the propensity with which the logging policy chose its action
    π  the probability with which the target policy would have
    w  π / p, the importance weight
    q  a model's guess of the reward of the logged action, and Q its mean over the target policy's actions
"""

from rl_core.estimators.clipped_ips import ClippedIPS
from rl_core.estimators.direct import DirectMethod
from rl_core.estimators.dr import DR
from rl_core.estimators.dros import DRos
from rl_core.estimators.estimator import Estimator, Logged
from rl_core.estimators.ips import IPS
from rl_core.estimators.replay import Replay
from rl_core.estimators.snips import SNIPS
from rl_core.estimators.switch_dr import SwitchDR

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

__all__ = ["ESTIMATORS", "Estimator", "Logged", *(kind.__name__ for kind in ESTIMATORS.values())]
