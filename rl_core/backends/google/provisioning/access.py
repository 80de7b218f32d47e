"""Who may do what with a resource: some bindings of its IAM policy. All others stay as they are."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from google.api_core.exceptions import NotFound
from google.api_core.iam import Policy as BucketsPolicy
from google.cloud import storage
from google.iam.v1.policy_pb2 import Binding, Policy
from google.protobuf.json_format import MessageToDict, ParseDict

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import bucket
from rl_core.backends.google.provisioning.resource import State, found

Member = str | Callable[[], str]  # asked for when it is needed: Google's own accounts are numbered
WITH_CONDITIONS = 3  # version of a policy that tells of conditions, so that writing it back loses none


class Policies(Protocol):
    """Where a resource keeps its policy."""

    def read(self) -> Policy | None:
        """The policy with its etag, or None where the resource is not there."""

    def write(self, policy: Policy) -> None:
        """Replace it, unless somebody else has meanwhile: then the platform refuses."""


class ResourcePolicies:
    """Of a resource whose client speaks IAM's own messages."""

    def __init__(self, client: Callable[[], Any], resource: str) -> None:
        self._client, self._resource = client, resource

    def read(self) -> Policy | None:
        options = {"requested_policy_version": WITH_CONDITIONS}
        return found(self._client().get_iam_policy, resource=self._resource, options=options)

    def write(self, policy: Policy) -> None:
        self._client().set_iam_policy(request={"resource": self._resource, "policy": policy})


class BucketPolicies:
    """Of a bucket, whose client knows JSON only."""

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
        self._bucket().set_iam_policy(BucketsPolicy.from_api_repr(MessageToDict(policy)))


class Access:
    """Roles with the service accounts that have them. One that is `lent` to the loop keeps them."""

    def __init__(self, what: object, policies: Policies, roles: dict[str, list[Member]], lent: str = "") -> None:
        self._what, self._policies, self._roles, self._lent = what, policies, roles, lent

    def __str__(self) -> str:
        return f"access to {self._what}"

    def state(self) -> State:
        if (policy := self._policies.read()) is None:
            return "missing"
        held = [member in binding.members for binding, member in self._pairs(policy)]
        return "there" if all(held) else "changed" if any(held) else "missing"

    def make(self) -> None:
        if (policy := self._policies.read()) is None:
            raise NotFound(f"{self._what} not found")
        for binding, member in self._pairs(policy):
            if member not in binding.members:
                binding.members.append(member)
        self._policies.write(policy)

    def remove(self) -> bool:
        if policy := self._policies.read():
            for binding, member in self._pairs(policy):
                if member in binding.members and member != f"serviceAccount:{self._lent}":
                    binding.members.remove(member)
            kept = [binding for binding in policy.bindings if binding.members]
            del policy.bindings[:]
            policy.bindings.extend(kept)
            self._policies.write(policy)
        return True

    def _pairs(self, policy: Policy) -> Iterator[tuple[Binding, str]]:
        """Every member wanted, with the binding of its role that has no condition."""
        for role, members in self._roles.items():
            plain = [b for b in policy.bindings if b.role == role and not b.HasField("condition")]
            binding = plain[0] if plain else policy.bindings.add(role=role)
            for member in members:
                yield binding, f"serviceAccount:{member() if callable(member) else member}"
