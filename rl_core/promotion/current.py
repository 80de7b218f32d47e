"""Manifests of the policy versions named in the release."""

import logging

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import verify_policy
from banditloop.rl_core.policies.manifest import Manifest, read_manifest
from banditloop.rl_core.ports import Endpoint

log = logging.getLogger("banditloop.endpoint")


def champion_manifest(endpoint: Endpoint) -> Manifest | None:
    """The champion's manifest, or None before the first release."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.champion)) if release else None


def released(endpoint: Endpoint, version: str = "") -> tuple[Manifest | None, Encoding | None]:
    """Manifest and encoding of a version or, if it is empty, of the latest that was released.

    Raises:
        InvalidInput: the endpoint has no such version.
    """
    if not version:
        return latest_released(endpoint)
    if version not in (versions := [manifest.version for manifest in endpoint.versions()]):
        raise InvalidInput(
            f"parent = {version!r}: is not one of the endpoint's versions: {', '.join(versions) or 'none'}"
        )
    folder = endpoint.policy(version)
    return verify_policy(folder), Encoding.read_if_any(folder)


def latest_released(endpoint: Endpoint) -> tuple[Manifest | None, Encoding | None]:
    """Manifest and encoding of the challenger or, without an intact one, of the champion: training resumes from it.

    Both are None before the first release, and where both policies are damaged, so that the whole log is read; the
    encoding also for policies of older versions, which have none.
    """
    release = endpoint.release()
    for version in reversed(release.traffic()) if release else []:
        folder = endpoint.policy(version)
        try:
            return verify_policy(folder), Encoding.read_if_any(folder)
        except InvalidInput as error:
            log.error("%s; training does not resume from it", error)
    return None, None
