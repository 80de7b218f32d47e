"""Manifests of the policy versions named in the release."""

from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.ports import Endpoint


def champion_manifest(endpoint: Endpoint) -> Manifest | None:
    """The champion's manifest, or None before the first release."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.champion)) if release else None


def latest_released(endpoint: Endpoint) -> tuple[Manifest | None, Encoding | None]:
    """Manifest and encoding of the challenger or, without one, of the champion: the next training resumes from it.

    Both are None before the first release; the encoding also for policies of older versions, which have none.
    """
    release = endpoint.release()
    if release is None:
        return None, None
    folder = endpoint.policy(release.challenger or release.champion)
    return read_manifest(folder), Encoding.read_if_any(folder)
