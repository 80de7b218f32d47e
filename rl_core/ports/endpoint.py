"""The port of what is served: policy versions, and the release that says which of them answer."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.policies.tuned import Tuned

# The predictor's HTTP routes, unless Vertex AI prescribes others.
PREDICT_ROUTE, HEALTH_ROUTE = "/predict", "/health"


class Vitals(NamedTuple):
    """Health figures of a version since the serving process loaded it."""

    decisions: int
    failures: int
    p95_latency_ms: float  # 95th percentile


class CloudResource(NamedTuple):
    """A resource of a platform, as its own tools know it."""

    name: str  # such as projects/P/locations/L/endpoints/123
    uri: str


class Endpoint(Protocol):
    """A named prediction service: immutable policy versions, and a release that assigns the traffic to them."""

    def add(self, folder: Path) -> str:
        """Store the policy of a directory as a version without traffic; returns the version.

        Idempotent: adding a version again changes nothing. Atomic: others see the whole version or none.

        Raises:
            InvalidInput: the policy directory is incomplete or corrupt; nothing was stored.
        """

    def remove(self, version: str) -> None:
        """Remove a version without traffic. Idempotent. Its verdicts are kept.

        Raises:
            InvalidInput: it is in the release; nothing was removed.
        """

    def list_endpoints(self) -> list[str]:
        """Names of all endpoints that have versions, this one's and other loops', sorted."""

    def versions(self) -> list[Manifest]:
        """Manifests of all versions, oldest first."""

    def release(self) -> Release | None:
        """The current release; None before the first."""

    def set_release(self, expected: Release | None, new: Release, verdict: Verdict | None = None) -> bool:
        """Compare and swap: replace the release by `new` if it equals `expected`, and record the verdict behind it.

        Returns False, without any change, if the release is another one, since it was changed concurrently. Of several
        concurrent calls with the same `expected`, exactly one succeeds. The release never changes without its verdict;
        after a crash the verdict may be recorded although the release did not change.

        Raises:
            InvalidInput: a version of `new` was not added, or this platform cannot serve it in that role.
        """

    def add_verdict(self, verdict: Verdict) -> None:
        """Record a verdict that does not change the release."""

    def verdicts(self, versions: Collection[str] | None = None) -> list[Verdict]:
        """All verdicts, or those on these versions, oldest first."""

    def tuned(self) -> Tuned | None:
        """The tuned settings that the next trainings use; None before the first."""

    def set_tuned(self, tuned: Tuned) -> None:
        """Replace the tuned settings. Atomic: others see the old ones or the new ones."""

    def vitals(self) -> dict[str, Vitals]:
        """Vitals of the serving versions. Empty while the endpoint is down, and where a platform has none."""

    def policy(self, version: str) -> Path:
        """The policy directory of a version, on this machine."""

    def serving_versions(self) -> list[str]:
        """The versions loaded for serving now; none while the endpoint is down."""

    def resources(self, version: str) -> dict[str, CloudResource]:
        """The platform's resources behind a version in the release: "model" and "endpoint"; empty where it has none."""

    def register_server(self, url: str) -> None:
        """Register the URL of the serving process (local backend only)."""

    def report_vitals(self, vitals: dict[str, Vitals]) -> None:
        """Report the vitals of the versions that this serving process has loaded, where others cannot ask it."""

    def predict(self, instances: list[Any]) -> list[Decision]:
        """The endpoint's decisions, one per instance. Retries repeat the request id, so each is decided once.

        Raises:
            InvalidInput: nothing is serving, or the instances were refused.
        """


def action_counts(endpoint: Endpoint) -> dict[str, int]:
    """The number of actions of each version; that of the task may have changed since it was trained."""
    return {manifest.version: manifest.actions for manifest in endpoint.versions()}
