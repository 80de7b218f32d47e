"""Access to a resource: some bindings of its IAM policy. All other bindings are left unchanged."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from google.api_core.exceptions import NotFound
from google.api_core.iam import Policy as BucketPolicy
from google.cloud import storage
from google.iam.v1.policy_pb2 import Binding, Policy
from google.protobuf.json_format import MessageToDict, ParseDict

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.backends.google.provisioning.resource import get_or_none
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend

Member = str | Callable[[], str]  # an email, or a function that looks it up: a service agent's has a number
WITH_CONDITIONS = 3  # policy version that includes conditions, so that none is lost when the policy is written back


class PolicyStore(Protocol):
    """Reads and writes the IAM policy of a resource."""

    def read(self) -> Policy | None:
        """The policy with its etag, or None if the resource does not exist."""

    def write(self, policy: Policy) -> None:
        """Replace the policy. Fails if it was changed since it was read."""


class ResourcePolicyStore:
    """The policy of a resource whose client uses IAM's own messages."""

    def __init__(self, client: Callable[[], Any], resource: str) -> None:
        self._client, self._resource = client, resource

    def read(self) -> Policy | None:
        options = {"requested_policy_version": WITH_CONDITIONS}
        return get_or_none(self._client().get_iam_policy, resource=self._resource, options=options)

    def write(self, policy: Policy) -> None:
        self._client().set_iam_policy(request={"resource": self._resource, "policy": policy})


class BucketPolicyStore:
    """The policy of the bucket, whose client uses JSON."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def read(self) -> Policy | None:
        try:
            policy = self._bucket().get_iam_policy(requested_policy_version=WITH_CONDITIONS)
        except NotFound:
            return None
        return ParseDict(policy.to_api_repr(), Policy(), ignore_unknown_fields=True)

    def write(self, policy: Policy) -> None:
        self._bucket().set_iam_policy(BucketPolicy.from_api_repr(MessageToDict(policy)))


class Access:
    """Roles on a resource, each with the service accounts that have it.

    The account `user_managed` (an email) keeps its roles when the resource is removed.
    """

    def __init__(
        self, resource: object, policies: PolicyStore, roles: dict[str, list[Member]], user_managed: str = ""
    ) -> None:
        self._resource, self._policies, self._roles, self._user_managed = resource, policies, roles, user_managed

    def __str__(self) -> str:
        return f"access to {self._resource}"

    def state(self) -> ResourceState:
        if (policy := self._policies.read()) is None:
            return "missing"
        granted = [member in binding.members for binding, member in self._bindings(policy)]
        return "present" if all(granted) else "changed" if any(granted) else "missing"

    def make(self) -> None:
        if (policy := self._policies.read()) is None:
            raise NotFound(f"{self._resource} not found")
        for binding, member in self._bindings(policy):
            if member not in binding.members:
                binding.members.append(member)
        self._policies.write(policy)

    def remove(self) -> bool:
        if policy := self._policies.read():
            for binding, member in self._bindings(policy):
                if member in binding.members and member != f"serviceAccount:{self._user_managed}":
                    binding.members.remove(member)
            remaining = [binding for binding in policy.bindings if binding.members]
            del policy.bindings[:]
            policy.bindings.extend(remaining)
            self._policies.write(policy)
        return True

    def _bindings(self, policy: Policy) -> Iterator[tuple[Binding, str]]:
        """Every desired member, with the unconditional binding of its role, which is added to the policy if missing."""
        for role, members in self._roles.items():
            unconditional = [b for b in policy.bindings if b.role == role and not b.HasField("condition")]
            binding = unconditional[0] if unconditional else policy.bindings.add(role=role)
            for member in members:
                yield binding, f"serviceAccount:{member() if callable(member) else member}"
