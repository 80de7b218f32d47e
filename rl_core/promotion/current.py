"""Manifests of the policy versions named in the release."""

from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.ports import Endpoint


def champion_manifest(endpoint: Endpoint) -> Manifest | None:
    """The champion's manifest, or None before the first release."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.champion)) if release else None


def latest_released(endpoint: Endpoint) -> Manifest | None:
    """The manifest of the challenger or, without one, of the champion: the next training resumes from it."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.challenger or release.champion)) if release else None
