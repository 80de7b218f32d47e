"""A replay buffer in an agent's statistics: the latest transitions, to learn from again (Lin 1992)."""

import numpy as np

from banditloop.rl_core.agents.agent import append_zeros
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.transitions import Transitions, joined

REPLAY = "replay_"  # prefix of its arrays


def with_replay(statistics: Statistics, played: Transitions, size: int) -> Statistics:
    """The statistics with transitions added to the buffer, which keeps the latest `size` of them."""
    others = {name: array for name, array in statistics.items() if not name.startswith(REPLAY)}
    before = replay(statistics)
    latest = joined([played] if before is None else [before, played]).take(slice(-size, None))
    columns = {f"{REPLAY}{name}": column for name, column in latest._asdict().items() if column is not None}
    return others | columns


def replay(statistics: Statistics) -> Transitions | None:
    """The transitions in the buffer; None if it was never filled."""
    columns: dict[str, np.ndarray | None] = {name: statistics.get(f"{REPLAY}{name}") for name in Transitions._fields}
    return None if columns["actions"] is None else Transitions(**columns)  # type: ignore[arg-type]


def replay_with_actions(statistics: Statistics, actions: int) -> Statistics:
    """The buffer's arrays of eligible actions, of which there were some, widened to `actions`: later ones were not."""
    names = [name for name in (f"{REPLAY}eligible", f"{REPLAY}next_eligible") if name in statistics]
    return {name: append_zeros(statistics[name], actions, axis=1) for name in names}
