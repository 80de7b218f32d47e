"""Serving: the champion and its challenger, who decides for whom, and how each is doing."""

import logging
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from rl_core.manifest import Manifest
from rl_core.policy import Decisions, SavedPolicy
from rl_core.release import sticky

LATENCIES_KEPT, FEW = 500, 20
log = logging.getLogger("banditloop.serving")


class Part(NamedTuple):
    """The decisions of one version for some rows of a request, and whether users see them."""

    rows: np.ndarray
    manifest: Manifest
    decisions: Decisions
    shown: bool


class Served:
    """A policy that serves, and its vital signs."""

    def __init__(self, policy: SavedPolicy) -> None:
        self.policy = policy
        self.decisions = self.failures = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def decide(self, rows: np.ndarray, observations: np.ndarray, random: np.random.Generator, shown: bool) -> Part:
        """Its decisions for `rows` of the observations [B, dim]."""
        self.decisions += len(rows)
        start = time.perf_counter()
        try:
            decided = self.policy.decide(observations[rows], random)
        except Exception:
            self.failures += len(rows)
            raise
        self._latencies.append(1e3 * (time.perf_counter() - start))
        return Part(rows, self.policy.manifest, decided, shown)

    def milliseconds(self) -> float:
        """That 95 % of its latest answers took at most; 0 while there are too few to tell."""
        return float(np.percentile(self._latencies, 95)) if len(self._latencies) >= FEW else 0.0


class Serving(NamedTuple):
    """What answers requests: replaced whole when the release changes."""

    champion: Served
    challenger: Served | None = None
    share: int = 0

    def decide(self, observations: np.ndarray, users: list[str | None], random: np.random.Generator) -> list[Part]:
        """Decisions for every row of observations [B, dim]; users [B] with a key always meet the same version.

        A shadow decides after the champion, for all. Where the challenger fails, the champion answers.
        """
        rows = np.arange(len(observations))
        if self.challenger is None:
            return [self.champion.decide(rows, observations, random, shown=True)]
        challenged = self._assign(users, random)
        parts = self._challenge(rows[challenged], observations, random, shown=True)
        left = np.setdiff1d(rows, [row for part in parts for row in part.rows])
        if len(left):
            parts.append(self.champion.decide(left, observations, random, shown=True))
        return parts if self.share else parts + self._challenge(rows, observations, random, shown=False)

    def _assign(self, users: list[str | None], random: np.random.Generator) -> np.ndarray:
        """Whose rows the challenger answers, bool [B]."""
        assert self.challenger
        places = random.random(len(users))
        for row, user in enumerate(users):
            if user is not None:
                places[row] = sticky(user, self.challenger.policy.manifest.version)
        return places < self.share / 100

    def _challenge(
        self, rows: np.ndarray, observations: np.ndarray, random: np.random.Generator, shown: bool
    ) -> list[Part]:
        assert self.challenger
        try:
            return [self.challenger.decide(rows, observations, random, shown)] if len(rows) else []
        except Exception as error:  # whatever is wrong with it, users are to see nothing of it
            log.warning("challenger %s failed: %r", self.challenger.policy.manifest.version, error)
            return []
