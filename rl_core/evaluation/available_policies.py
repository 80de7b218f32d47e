"""The policies of a log's versions, as far as they are available."""

import logging
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Endpoint
from banditloop.rl_core.settings.task import Task

Load = Callable[[str], SavedPolicy | None]
log = logging.getLogger("banditloop.evaluation")


def loader(endpoint: Endpoint, versions: Collection[str], task: Task) -> Load:
    """A function that returns a version's policy, or None if it is not available.

    versions: those of the endpoint. A policy that is damaged, or needs more features than the task has, is not
    available.
    """

    def load(version: str) -> SavedPolicy | None:  # a version from the log becomes a path only if the endpoint has it
        if version not in versions:
            return None
        try:
            policy = SavedPolicy.load(endpoint.policy(version))
        except InvalidInput as error:
            log.error("%s; its interactions are left out", error)
            return None
        return policy if policy.encoding.readable(task) else None

    return load


def policies_of(table: pa.Table, load: Load, sharing: Sequence[str]) -> tuple[dict[str, SavedPolicy], pa.ChunkedArray]:
    """The available policies of a log's versions, by version, and whether that of each row is available [rows].

    sharing: versions whose policies are included even without a row of their own.
    """
    versions = dict.fromkeys([*table["policy_version"].unique().to_pylist(), *sharing])
    policies = {version: policy for version in versions if (policy := load(version))}
    return policies, pc.is_in(table["policy_version"], pa.array(list(policies), pa.string()))
