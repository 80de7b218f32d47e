"""The table of actions: counts, mean rewards with bounds, and the share of exploration."""

import numpy as np
import pytest

from banditloop.rl_core.evaluation.interactions import Interactions
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.reports.action_totals import SHOWN, ActionTotals
from banditloop.rl_core.settings.reward_range import RewardRange


def interactions(rows: int, seed: int, exploration: float, actions: int = 4):
    """Interactions of a policy that prefers action 0, which earns most; those drawn uniformly; and propensities."""
    random = np.random.default_rng(seed)
    explored = random.random(rows) < exploration
    chosen = np.where(explored, random.integers(actions, size=rows), 0)
    propensity = exploration / actions + (1 - exploration) * (chosen == 0)
    rewards = (random.random(rows) < np.where(chosen == 0, 0.8, 0.3)).astype(float)
    candidates = Candidates(tuple(f"article {n}" for n in range(actions)))
    batch = Interactions(None, candidates, chosen, rewards, [str(row) for row in range(rows)])
    return batch, propensity, explored


def test_the_share_of_exploration_is_that_of_uniform_draws():
    totals = ActionTotals({"v1": 0.2})
    batch, propensities, explored = interactions(20_000, 0, 0.2)
    totals.add("v1", batch, propensities)
    rows = totals.rows(RewardRange(0.0, 10.0))
    assert rows[0]["action"] == "article 0"
    assert sum(row["chosen"] for row in rows) == 20_000
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    for row in rows:
        own = batch.actions == int(row["action"][-1])
        assert row["chosen"] == own.sum()
        assert row["mean_reward"] == pytest.approx(10 * batch.rewards[own].mean())
        assert row["low"] < (8 if row["action"] == "article 0" else 3) < row["high"]
        assert row["explored"] == pytest.approx(explored[own].mean(), abs=0.02)


def test_batches_add_up_and_an_unknown_version_has_no_share_of_exploration():
    whole, parts = ActionTotals({"v1": 0.2}), ActionTotals({"v1": 0.2})
    batch, propensities, _ = interactions(1_000, 1, 0.2)
    whole.add("v1", batch, propensities)
    for part in (slice(0, 300), slice(300, 1_000)):
        few = batch._replace(actions=batch.actions[part], rewards=batch.rewards[part])
        parts.add("v1", few, propensities[part])
    for one, other in zip(whole.rows(RewardRange(0, 1)), parts.rows(RewardRange(0, 1)), strict=True):
        assert one == pytest.approx(other)
    parts.add("pruned", batch, propensities)
    assert {row["explored"] for row in parts.rows(RewardRange(0, 1))} == {None}


def test_only_the_actions_that_were_chosen_most_are_shown():
    totals = ActionTotals({"v1": 1.0})
    batch, propensities, _ = interactions(5_000, 2, 1.0, actions=2 * SHOWN)
    totals.add("v1", batch, propensities)
    assert len(totals.rows(RewardRange(0, 1))) == SHOWN
