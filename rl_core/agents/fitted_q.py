"""Fitted Q iteration: values of actions that are linear in features, trained by exact least squares on logged episodes.

Ernst, Geurts, Wehenkel: Tree-Based Batch Mode Reinforcement Learning, JMLR 2005, with ridge regressions on random
features (`q_features`) in place of trees.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import best_actions
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.linear_q_agent import LinearQAgent
from banditloop.rl_core.agents.linear_q_model import VALUES
from banditloop.rl_core.agents.q_features import QFeatures
from banditloop.rl_core.agents.transitions import Transitions


class FittedQ(LinearQAgent):
    """Fitted Q iteration by one ridge regression per action.

    Predicted values of the next observations are clipped to the range of the previous targets: otherwise errors grow
    from one iteration to the next where the log has few transitions.
    """

    name: Literal["fitted_q"] = "fitted_q"
    iterations: int = Field(50, ge=1, le=10_000, description="number of decisions that values look ahead")

    def fit(self, features: QFeatures, logged: Transitions, known: Transitions, actions: int) -> Statistics:
        x, next_x = features(known.observations), features(known.next_observations)
        weights = np.ones(len(x)) if known.sample_weight is None else known.sample_weight
        taken = [np.flatnonzero(known.actions == action) for action in range(actions)]
        solvers = [self._solver(x[rows], weights[rows]) for rows in taken]
        values, targets, all_rows = np.zeros((x.shape[1], actions)), np.zeros(1), np.arange(len(x))
        for _ in range(self.iterations):
            next_values = np.clip(next_x @ values, targets.min(initial=0), targets.max(initial=0))
            best = best_actions(next_values, known.next_eligible)
            targets = known.rewards + known.discounts * next_values[all_rows, best]
            values = np.column_stack([s @ targets[rows] for s, rows in zip(solvers, taken, strict=True)])
        errors = (x @ values)[all_rows, known.actions] - targets
        return {VALUES: values, "error": np.sqrt(np.mean(errors**2)) if len(errors) else np.zeros(())}

    def _solver(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The matrix (XᵀWX + λI)⁻¹XᵀW [features, B], which takes targets [B] to the weights of the features."""
        weighted = x.T * weights
        return np.linalg.solve(weighted @ x + self.l2 * np.eye(x.shape[1]), weighted)
