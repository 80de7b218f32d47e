"""python -m tests.benchmarks.silent: the predictor with outboxes that keep nothing."""

from functions.predictor import serve
from rl_core.backends import service
from rl_core.backends.outbox import Outbox

if __name__ == "__main__":
    Outbox.put = lambda self, events: None  # type: ignore[method-assign]
    service.run(serve)
