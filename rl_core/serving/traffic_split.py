"""The traffic split of one process: champion and challenger, which one decides each row, and their vitals."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.policies.release import hash_to_unit
from banditloop.rl_core.policies.saved_policy import Decisions, SavedPolicy

MAX_LATENCIES, MIN_LATENCIES = 500, 20  # kept for the 95th percentile; fewer than the minimum are no estimate
DECISIONS, FAILURES, LATENCY = range(3)  # positions in the counts of a policy
log = logging.getLogger("banditloop.serving")


class DecisionRequest(NamedTuple):
    """What is to be decided: contexts [B] and their candidates.

    vector: the name of the task's only feature, where contexts are its plain vectors, float32 [B, dim].
    """

    contexts: np.ndarray | list[dict[str, Any]]
    candidates: Candidates
    vector: str | None = None

    def observations(self, policy: SavedPolicy) -> np.ndarray:
        """The contexts as a policy encodes them [B, dim]."""
        if isinstance(self.contexts, np.ndarray):
            return policy.encoding.context.encode_vectors(self.contexts, self.vector or "")
        return policy.observations(self.contexts)

    def take(self, rows: Sequence[int]) -> "DecisionRequest":
        """Some of the rows, ascending."""
        contexts = self.contexts
        if len(rows) == len(contexts):
            return self
        selected = contexts[rows] if isinstance(contexts, np.ndarray) else [contexts[row] for row in rows]
        return DecisionRequest(selected, self.candidates.take(rows), self.vector)


class VersionDecisions(NamedTuple):
    """The decisions of one version for some rows of a batch, and how they are logged.

    share: the probability with which this version was to answer; None if unknown.
    """

    rows: Sequence[int]
    version: str
    decisions: Decisions
    candidates: Candidates
    mode: str
    share: float | None = None


class LoadedPolicy:
    """A policy that serves, with its latest latencies.

    counts: where its decisions, its failures and, now and then, its latency are written; of at least three numbers.
    """

    def __init__(self, policy: SavedPolicy, counts: np.ndarray | None = None) -> None:
        self.policy = policy
        self._counts = np.zeros(3) if counts is None else counts
        self._latencies: deque[float] = deque(maxlen=MAX_LATENCIES)

    def decide(
        self, rows: Sequence[int], requested: DecisionRequest, uniforms: np.ndarray, mode: str, share: float | None
    ) -> VersionDecisions:
        """Decisions for `rows` of what is requested; uniforms [B, 2] as in TrafficSplit.decide."""
        self._counts[DECISIONS] += len(rows)
        start = time.perf_counter()
        if len(rows) < len(uniforms):
            requested, uniforms = requested.take(rows), uniforms[rows]
        try:
            observations = requested.observations(self.policy)
            decisions = self.policy.decide(observations, uniforms[:, 1], requested.candidates)
        except Exception:
            self._counts[FAILURES] += len(rows)
            raise
        self._latencies.append(1e3 * (time.perf_counter() - start))
        return VersionDecisions(rows, self.policy.manifest.version, decisions, requested.candidates, mode, share)

    def attempt(
        self, rows: Sequence[int], requested: DecisionRequest, uniforms: np.ndarray, mode: str, share: float | None
    ) -> list[VersionDecisions]:
        """As `decide`, but empty if that fails, whatever the error: for decisions that no request depends on."""
        try:
            return [self.decide(rows, requested, uniforms, mode, share)] if rows else []
        except Exception as error:
            version = self.policy.manifest.version
            log.warning("version %s failed: %r", version, error, extra={"policy_version": version})
            return []

    @property
    def decisions(self) -> int:
        """The number of its decisions."""
        return int(self._counts[DECISIONS])

    @property
    def failures(self) -> int:
        """The number of decisions that failed."""
        return int(self._counts[FAILURES])

    def note_latency(self) -> None:
        """Write its latency beside its counts."""
        self._counts[LATENCY] = self.p95_latency_ms()

    def p95_latency_ms(self) -> float:
        """95th percentile of the latest batch latencies in milliseconds; 0 until there are MIN_LATENCIES."""
        return float(np.percentile(self._latencies, 95)) if len(self._latencies) >= MIN_LATENCIES else 0.0


class TrafficSplit(NamedTuple):
    """A champion and a challenger with its percent of the traffic. Immutable: a new release gets a new split.

    knows_shares: False where a platform splits the traffic between processes, each with one version.
    """

    champion: LoadedPolicy
    challenger: LoadedPolicy | None = None
    challenger_percent: int = 0
    knows_shares: bool = True

    def decide(
        self, rows: Sequence[int], requested: DecisionRequest, keys: list[str | None], uniforms: np.ndarray
    ) -> list[VersionDecisions]:
        """Decisions for `rows`, ascending, of what is requested [B].

        uniforms [B, 2] in [0, 1): column 0 assigns the version, column 1 draws the action. Rows with a key in keys [B],
        of a user or an episode, are assigned by a hash of the key instead, so that one key always gets the same
        version.

        A challenger at 0 % is a shadow: it decides all rows after the champion. Where the challenger fails, the
        champion decides.
        """
        if self.challenger is None:
            return [self.champion.decide(rows, requested, uniforms, "online", 1.0 if self.knows_shares else None)]
        fraction = self.challenger_percent / 100
        assigned = {row for row in rows if self._assignment_uniform(keys[row], uniforms[row]) < fraction}
        challenger_rows = [row for row in rows if row in assigned]
        groups = self.challenger.attempt(challenger_rows, requested, uniforms, "online", fraction)
        own_rows = [row for row in rows if row not in assigned]
        fallback_rows = [] if groups else challenger_rows  # assigned to the challenger, which failed
        for champion_rows, share in ((own_rows, 1 - fraction), (fallback_rows, None)):
            if champion_rows:
                groups.append(self.champion.decide(champion_rows, requested, uniforms, "online", share))
        if self.challenger_percent:
            return groups
        return groups + self.challenger.attempt(rows, requested, uniforms, "shadow", 0.0)

    def _assignment_uniform(self, key: str | None, uniforms: np.ndarray) -> float:
        """A number in [0, 1): the challenger decides where it is below its fraction of the traffic."""
        assert self.challenger
        return uniforms[0] if key is None else hash_to_unit(key, self.challenger.policy.manifest.version)
