"""Serving: the champion and its challenger, who decides for whom, and how each is doing."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rl_core.policy import Decisions, SavedPolicy
from rl_core.release import sticky

LATENCIES_KEPT, FEW = 500, 20
log = logging.getLogger("banditloop.serving")


class Part(NamedTuple):
    """The decisions of one version for some rows of requests, and the mode in which they are logged."""

    rows: Sequence[int]
    version: str
    decisions: Decisions
    mode: str


class Served:
    """A policy that serves, and its vital signs."""

    def __init__(self, policy: SavedPolicy) -> None:
        self.policy = policy
        self.decisions = self.failures = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def decide(self, rows: Sequence[int], observations: np.ndarray, places: np.ndarray, mode: str) -> Part:
        """Its decisions for `rows` of the observations [B, dim]; places [B, 2] as Serving takes them."""
        self.decisions += len(rows)
        start = time.perf_counter()
        if len(rows) < len(observations):
            observations, places = observations[rows], places[rows]
        try:
            decided = self.policy.decide(observations, places[:, 1])
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
        self, rows: Sequence[int], observations: np.ndarray, users: list[str | None], places: np.ndarray
    ) -> list[Part]:
        """Decisions for `rows`, ascending, of observations [B, dim]; users [B] with a key always meet the same version.

        Places [B, 2] in [0, 1) hold the chance of a row: who decides, and what.
        A shadow decides after the champion, for all. Where the challenger fails, the champion answers.
        """
        if self.challenger is None:
            return [self.champion.decide(rows, observations, places, "online")]
        challenged = [row for row in rows if self._place(users[row], places[row]) < self.share / 100]
        parts = self._challenge(challenged, observations, places, "online")
        answered = {row for part in parts for row in part.rows}
        left = [row for row in rows if row not in answered]
        if left:
            parts.append(self.champion.decide(left, observations, places, "online"))
        return parts if self.share else parts + self._challenge(rows, observations, places, "shadow")

    def _place(self, user: str | None, places: np.ndarray) -> float:
        """Where in [0, 1) a row lies, of which the challenger answers the first `share` percent."""
        assert self.challenger
        return places[0] if user is None else sticky(user, self.challenger.policy.manifest.version)

    def _challenge(self, rows: Sequence[int], observations: np.ndarray, places: np.ndarray, mode: str) -> list[Part]:
        assert self.challenger
        try:
            return [self.challenger.decide(rows, observations, places, mode)] if rows else []
        except Exception as error:  # whatever is wrong with it, users are to see nothing of it
            version = self.challenger.policy.manifest.version
            log.warning("challenger %s failed: %r", version, error, extra={"policy_version": version})
            return []
