"""The traffic split of one process: champion and challenger, which one decides each row, and their vitals."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.policies.release import hash_to_unit
from banditloop.rl_core.policies.saved_policy import Decisions, SavedPolicy

MAX_LATENCIES, MIN_LATENCIES = 500, 20  # kept for the 95th percentile; fewer than the minimum are no estimate
log = logging.getLogger("banditloop.serving")


class VersionDecisions(NamedTuple):
    """The decisions of one version for some rows of a batch, and the mode in which they are logged."""

    rows: Sequence[int]
    version: str
    decisions: Decisions
    mode: str


class LoadedPolicy:
    """A policy that serves, with counts of its decisions and failures and its latest latencies."""

    def __init__(self, policy: SavedPolicy) -> None:
        self.policy = policy
        self.decisions = self.failures = 0
        self._latencies: deque[float] = deque(maxlen=MAX_LATENCIES)

    def decide(
        self, rows: Sequence[int], observations: np.ndarray, uniforms: np.ndarray, mode: str
    ) -> VersionDecisions:
        """Decisions for `rows` of the observations [B, dim]; uniforms [B, 2] as in TrafficSplit.decide."""
        self.decisions += len(rows)
        start = time.perf_counter()
        if len(rows) < len(observations):
            observations, uniforms = observations[rows], uniforms[rows]
        try:
            decisions = self.policy.decide(observations, uniforms[:, 1])
        except Exception:
            self.failures += len(rows)
            raise
        self._latencies.append(1e3 * (time.perf_counter() - start))
        return VersionDecisions(rows, self.policy.manifest.version, decisions, mode)

    def p95_latency_ms(self) -> float:
        """95th percentile of the latest batch latencies in milliseconds; 0 until there are MIN_LATENCIES."""
        return float(np.percentile(self._latencies, 95)) if len(self._latencies) >= MIN_LATENCIES else 0.0


class TrafficSplit(NamedTuple):
    """A champion and a challenger with its percent of the traffic. Immutable: a new release gets a new split."""

    champion: LoadedPolicy
    challenger: LoadedPolicy | None = None
    challenger_percent: int = 0

    def decide(
        self, rows: Sequence[int], observations: np.ndarray, users: list[str | None], uniforms: np.ndarray
    ) -> list[VersionDecisions]:
        """Decisions for `rows`, ascending, of the observations [B, dim].

        uniforms [B, 2] in [0, 1): column 0 assigns the version, column 1 draws the action. Rows with a key in users [B]
        are assigned by a hash of the key instead, so that a user always gets the same version.

        A challenger at 0 % is a shadow: it decides all rows after the champion. Where the challenger fails, the
        champion decides.
        """
        if self.challenger is None:
            return [self.champion.decide(rows, observations, uniforms, "online")]
        fraction = self.challenger_percent / 100
        challenger_rows = [row for row in rows if self._assignment_uniform(users[row], uniforms[row]) < fraction]
        groups = self._challenge(challenger_rows, observations, uniforms, "online")
        decided = {row for group in groups for row in group.rows}
        champion_rows = [row for row in rows if row not in decided]
        if champion_rows:
            groups.append(self.champion.decide(champion_rows, observations, uniforms, "online"))
        return groups if self.challenger_percent else groups + self._challenge(rows, observations, uniforms, "shadow")

    def _assignment_uniform(self, user: str | None, uniforms: np.ndarray) -> float:
        """A number in [0, 1): the challenger decides where it is below its fraction of the traffic."""
        assert self.challenger
        return uniforms[0] if user is None else hash_to_unit(user, self.challenger.policy.manifest.version)

    def _challenge(
        self, rows: Sequence[int], observations: np.ndarray, uniforms: np.ndarray, mode: str
    ) -> list[VersionDecisions]:
        """The challenger's decisions, none if it fails: users must not notice its errors, whatever they are."""
        assert self.challenger
        try:
            return [self.challenger.decide(rows, observations, uniforms, mode)] if rows else []
        except Exception as error:
            version = self.challenger.policy.manifest.version
            log.warning("challenger %s failed: %r", version, error, extra={"policy_version": version})
            return []
