"""Encoding of the context of a request with ten named features, about sixty numbers, and checking of the request."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.serving.request_features import ContextReader
from tests.benchmarks.named import TASK, contexts, make_named_policy
from tests.benchmarks.ratio import Row, at_most, seconds

CALLS, REPEATS = 2_000, 5


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make_named_policy(Path(folder) / "policy")
        policy = SavedPolicy.load(Path(folder) / "policy")
    requests, reader = [[context] for context in contexts(CALLS)], ContextReader(TASK)
    return [
        _row(f"encode: {len(TASK.context)} features to {policy.manifest.dim} numbers", policy.observations, requests),
        _row("encode: checking the features", reader.read, requests),
    ]


def _row(name: str, call: Callable[[list[dict[str, object]]], object], requests: list[list[dict[str, object]]]) -> Row:
    """Microseconds per request."""

    def all_requests() -> None:
        for request in requests:
            call(request)

    all_requests()  # warm
    return at_most(name, [1e6 * seconds(all_requests) / CALLS for _ in range(REPEATS)], "µs", 40.0)
