"""Episodes in a table of transitions: where their rows are, and why some episodes do not count."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.evaluation.logged_batch import told_by_application
from banditloop.rl_core.training.transitions import starts_episode

UNUSABLE = "decisions of episodes with one that contradicts itself, or with a reward outside the task's range"
SAMPLED = "episodes of which only a part of the decisions was logged"
SEVERAL = "episodes answered by several versions"
UNKNOWN = "episodes answered by an unknown version, without propensities"


class EpisodeTable:
    """Where the rows of episodes are in a table: the first and last of each [E], and the episode of each row [B]."""

    def __init__(self, table: pa.Table) -> None:
        self.table, first = table, starts_episode(table)
        self.starts, self.episode = np.flatnonzero(first), np.cumsum(first) - 1
        self.lasts = np.flatnonzero(np.append(first[1:], table.num_rows > 0))

    def reasons(self, is_known: pa.ChunkedArray) -> np.ndarray:
        """Why each episode does not count [E]; empty if it does. is_known [B]: whether a row's policy is available."""
        table, is_last = self.table, np.isin(np.arange(self.table.num_rows), self.lasts)
        gaps = ~is_last & (table["steps_to_next"].to_numpy() > 1)
        sampled = gaps & (table["logging_probability"].to_numpy() < 1)
        versions = pc.index_in(table["policy_version"], table["policy_version"].unique()).to_numpy()
        differs, external = versions != versions[self.starts][self.episode], told_by_application(table).to_numpy()
        conditions = {
            SAMPLED: sampled,
            SEVERAL: differs & ~external,
            UNKNOWN: ~is_known.to_numpy() & ~external,
        }
        reasons = [np.logical_or.reduceat(rows, self.starts) for rows in conditions.values()]
        return np.select(reasons, list(conditions), "")
