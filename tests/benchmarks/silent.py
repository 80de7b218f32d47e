"""python -m tests.benchmarks.silent: the predictor with outboxes that drop all events."""

from banditloop.functions.predictor import serve
from banditloop.rl_core import process
from banditloop.rl_core.serving.outbox import Outbox

if __name__ == "__main__":
    Outbox.put = lambda self, events: None  # type: ignore[method-assign]
    process.run(serve)
