"""The health check of the predictor, which is asked every few seconds whether it still answers."""

import time

from banditloop.rl_core.ports import Endpoint

PROBE_SECONDS, ANSWER_SECONDS = 5.0, 2.0  # between two probes; for an answer
PATIENCE_SECONDS = 60.0  # without any answer, since its start or its last one, before the predictor counts as hung


class HealthProbe:
    """Asks the endpoint's server, not more often than every PROBE_SECONDS."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.restarted()

    def restarted(self) -> None:
        """Count the patience anew, for a new process."""
        self._answered = self._probed = time.monotonic()

    def is_hung(self) -> bool:
        """Whether the server has not answered for longer than the patience. Any answer counts, 503 too."""
        now = time.monotonic()
        if now - self._probed < PROBE_SECONDS:
            return False
        self._probed = now
        if self._endpoint.health(ANSWER_SECONDS) is not None:  # type: ignore[attr-defined]
            self._answered = time.monotonic()
        return time.monotonic() - self._answered > PATIENCE_SECONDS
