"""The check of single rewards against the task's range, when they are accepted."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task


def outside_range(rewards: pa.Table, task: Task, reward: RewardSection) -> dict[int, str]:
    """The errors of the rewards outside the task's range, by row.

    Rewards of other names are not trained on and may have any value. Where rewards are added up, only their sum must be
    in the range, and is checked when it is read.
    """
    if reward.aggregation == "sum":
        return {}
    trained_on = pc.equal(rewards["name"], reward.name).to_numpy()
    values, (low, high) = rewards["value"].to_numpy(), task.rewards
    rows = np.flatnonzero(trained_on & ~task.rewards.contains(values)).tolist()
    where = f"is outside task.reward_range, {low:g} to {high:g}"
    return {row: f"event {rewards['event_id'][row]}: value = {values[row]:g}: {where}" for row in rows}
