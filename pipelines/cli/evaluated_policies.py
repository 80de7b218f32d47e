"""The policies that the command `evaluate` takes, and what they decide."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.pipelines.cli.progress import Report, watched
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import logged_candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.settings.task import OPEN, Task
from banditloop.rl_core.training.train import contexts

UNIFORM = "uniform"
ROWS = 10_000  # that a policy decides at a time
Policy = SavedPolicy | str  # of a directory; or uniform, or the name of a column


def parse_policy(text: str, option: str) -> Policy:
    """The policy of a directory; uniform, or the name of a column.

    Raises:
        InvalidInput: it looks like a path, but there is no such directory; or the directory is not a policy.
    """
    if Path(text).is_dir():
        return SavedPolicy.load(Path(text))
    if "/" in text:
        raise InvalidInput(f"{option} {text!r}: there is no such directory")
    return text


def task_of(policies: Sequence[Policy | None], reward_range: Sequence[float] | None) -> Task:
    """The task of the policies, an open one if none has a directory. reward_range: None: the policies', else [0, 1]."""
    saved = [policy for policy in policies if isinstance(policy, SavedPolicy)]
    context = {name: kind for policy in saved for name, kind in policy.encoding.context.kinds.items()}
    actions: Any = saved[0].encoding.actions if saved else OPEN
    limits = reward_range or next((policy.manifest.reward_range for policy in saved), None) or (0.0, 1.0)
    return Task.parse(
        {
            "context": context,
            "actions": OPEN if isinstance(actions, list) and len(actions) < 2 else actions,
            "reward_range": list(limits),
        },
        "task",
    )


def probabilities_of(policy: SavedPolicy, decisions: pa.Table, ids: Sequence[str], report: Report) -> np.ndarray:
    """A policy's probabilities of the candidates with these ids [B, K], with a report of the rows that are done."""
    parts = (decisions.slice(start, ROWS) for start in range(0, decisions.num_rows, ROWS))
    return np.concatenate(
        [
            policy.probabilities(policy.observations(contexts(part)), logged_candidates(part, ids))
            for part in watched(parts, report, "choosing actions", decisions.num_rows)
        ]
    )
