"""The release state of an endpoint, its release and all verdicts, in one object with compare-and-swap writes."""

import uuid
from collections.abc import Callable
from functools import cached_property

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage
from pydantic import Field

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.section import Section


class ReleaseState(Section):
    """The content of the release object."""

    release: Release | None = Field(None, description="the current release; none before the first")
    verdicts: list[Verdict] = Field([], description="all verdicts, oldest first")
    failed: dict[str, str] = Field({}, description="deployments that Vertex AI could not start, with its messages")


class ReleaseStore:
    """Reads and replaces the release object. The object's generation detects concurrent writes."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._latest: tuple[ReleaseState, int] = ReleaseState(), 0

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def read(self) -> tuple[ReleaseState, int]:
        """The state and the object's generation, which is 0 if there is no object yet.

        The object, which has every verdict, is downloaded only if its generation has changed.
        """
        blob = self._bucket.get_blob(self._blob().name)
        if blob is None:
            return ReleaseState(), 0
        if blob.generation != self._latest[1]:
            try:
                text = blob.download_as_bytes(if_generation_match=blob.generation)
            except (NotFound, PreconditionFailed):  # it was replaced meanwhile
                return self.read()
            self._latest = ReleaseState.model_validate_json(text), blob.generation
        return self._latest

    def replace(self, state: ReleaseState, generation: int) -> bool:
        """Write the state if the object still has this generation. Returns False if it has been replaced since."""
        blob = self._blob()
        blob.metadata = {"write": uuid.uuid4().hex}
        try:
            blob.upload_from_string(
                state.model_dump_json(), content_type="application/json", if_generation_match=generation
            )
        except PreconditionFailed:  # by this write, if the response to the client's first attempt was lost
            current = self._bucket.get_blob(blob.name)
            return current is not None and current.metadata == blob.metadata
        return True

    def update(self, change: Callable[[ReleaseState], ReleaseState]) -> None:
        """Replace the state by `change(state)`; retry with the current state after a concurrent write."""
        replaced = False
        while not replaced:
            state, generation = self.read()
            replaced = self.replace(change(state), generation)

    def _blob(self) -> storage.Blob:
        return self._bucket.blob(f"{self._backend.endpoint}/ledger.json")  # its name in all releases so far
