"""Serving: the champion and its challenger, who decides for whom, and how each is doing."""

import logging
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from rl_core.policy import Decisions, SavedPolicy
from rl_core.release import sticky

LATENCIES_KEPT, FEW = 500, 20
log = logging.getLogger("banditloop.serving")


class Part(NamedTuple):
    """The decisions of one version for some rows of requests, and the mode in which they are logged."""

    rows: np.ndarray
    version: str
    decisions: Decisions
    mode: str


class Served:
    """A policy that serves, and its vital signs."""

    def __init__(self, policy: SavedPolicy) -> None:
        self.policy = policy
        self.decisions = self.failures = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def decide(self, rows: np.ndarray, observations: np.ndarray, places: np.ndarray, mode: str) -> Part:
        """Its decisions for `rows` of the observations [B, dim]; places [B, 2] as Serving takes them."""
        self.decisions += len(rows)
        start = time.perf_counter()
        try:
            decided = self.policy.decide(observations[rows], places[rows, 1])
        except Exception:
            self.failures += len(rows)
            raise
        self._latencies.append(1e3 * (time.perf_counter() - start))
        return Part(rows, self.policy.manifest.version, decided, mode)

    def milliseconds(self) -> float:
        """That 95 % of its latest answers took at most; 0 while there are too few to tell."""
        return float(np.percentile(self._latencies, 95)) if len(self._latencies) >= FEW else 0.0


class Serving(NamedTuple):
    """What answers requests: replaced whole when the release changes."""

    champion: Served
    challenger: Served | None = None
    share: int = 0

    def decide(
        self, rows: np.ndarray, observations: np.ndarray, users: list[str | None], places: np.ndarray
    ) -> list[Part]:
        """Decisions for `rows` of observations [B, dim]; users [B] with a key always meet the same version.

        Places [B, 2] in [0, 1) hold the chance of a row: who decides, and what.
        A shadow decides after the champion, for all. Where the challenger fails, the champion answers.
        """
        if self.challenger is None:
            return [self.champion.decide(rows, observations, places, "online")]
        parts = self._challenge(rows[self._challenged(rows, users, places)], observations, places, "online")
        left = np.setdiff1d(rows, [row for part in parts for row in part.rows])
        if len(left):
            parts.append(self.champion.decide(left, observations, places, "online"))
        return parts if self.share else parts + self._challenge(rows, observations, places, "shadow")

    def _challenged(self, rows: np.ndarray, users: list[str | None], places: np.ndarray) -> np.ndarray:
        """Which of the rows the challenger answers, bool [rows]."""
        assert self.challenger
        version = self.challenger.policy.manifest.version
        own = [places[row, 0] if (user := users[row]) is None else sticky(user, version) for row in rows]
        return np.array(own) < self.share / 100

    def _challenge(self, rows: np.ndarray, observations: np.ndarray, places: np.ndarray, mode: str) -> list[Part]:
        assert self.challenger
        try:
            return [self.challenger.decide(rows, observations, places, mode)] if len(rows) else []
        except Exception as error:  # whatever is wrong with it, users are to see nothing of it
            version = self.challenger.policy.manifest.version
            log.warning("challenger %s failed: %r", version, error, extra={"policy_version": version})
            return []
