"""The check that a canary gets its share of the traffic, on a window of the log."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evidence.sample_ratio import SampleRatioTest


def check_shares(window: LoggedWindow, champion: str, challenger: str, before: SampleRatioTest) -> SampleRatioTest:
    """The evidence with the decisions of the two versions whose share of the traffic was known and not all or nothing.

    Those up to the last decision of any other version are left out: another release may have split the traffic then. So
    are deferred decisions, and all decisions where those without a reward are ignored: whether these become
    interactions may depend on the version.
    """
    if window.config.reward.default == "ignore" or not window.table.num_rows:
        return before
    table = window.of_known_policies.table
    other_rows = np.flatnonzero(~pc.is_in(table["policy_version"], pa.array([champion, challenger])).to_numpy())
    table = table.slice(other_rows[-1] + 1 if len(other_rows) else 0)
    table = table.filter(pc.not_equal(table["mode"], "deferred"))
    is_challenger = pc.equal(table["policy_version"], challenger).to_numpy()
    own_shares = table["assignment_share"].to_numpy()  # of the version that answered; NaN where unknown
    shares = np.where(is_challenger, own_shares, 1 - own_shares)
    known = (shares > 0) & (shares < 1)
    return before.add(is_challenger[known], shares[known])
