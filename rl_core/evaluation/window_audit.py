"""The propensity audit of a window of the log, by the probabilities that its policies give now."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.evidence.propensity_audit import PropensityAudit


def audit_window(window: LoggedWindow) -> PropensityAudit:
    """Evidence that the window's actions were not drawn by the policies that logged them, as estimates assume.

    Decisions of unknown policies are left out. So are deferred decisions, and all decisions where those without a
    reward are ignored: as in the ingester's audit, how often their actions occur proves nothing.
    """
    audit = PropensityAudit()
    if window.config.reward.default == "ignore" or not window.table.num_rows:
        return audit
    not_deferred = replace(window, table=window.table.filter(pc.not_equal(window.table["mode"], "deferred")))
    for batch in not_deferred.batches():
        for index, policy in enumerate(window.policies.values()):
            rows = np.flatnonzero(batch.logged_by == index)
            actions, candidates = batch.interactions.actions[rows], batch.interactions.candidates.take(rows)
            observations = policy.observations(batch.interactions.contexts.take(rows))
            probabilities = policy.probabilities(observations, candidates)
            audit = audit.add(actions, probabilities[np.arange(len(rows)), actions], probabilities, candidates.ids)
    return audit
