"""The ledger of an endpoint: its release and all verdicts, in one object that only one writer replaces at a time."""

from functools import cached_property

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage
from pydantic import Field

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import bucket
from rl_core.release import Release, Verdict
from rl_core.sections import Section


class Page(Section):
    """What the ledger says."""

    release: Release | None = Field(None, description="who answers")
    verdicts: list[Verdict] = Field([], description="oldest first")


class Ledger:
    """Reads and replaces the page. An object's generation tells whether it is still what was read."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def read(self) -> tuple[Page, int]:
        """The page and its generation; 0 where there is none yet."""
        blob = self._bucket.blob(f"{self._backend.endpoint}/ledger.json")
        try:
            text = blob.download_as_bytes()
        except NotFound:
            return Page(), 0
        return Page.model_validate_json(text), blob.generation

    def replace(self, page: Page, generation: int) -> bool:
        """Write a page over that generation; False where somebody else has written since."""
        blob = self._bucket.blob(f"{self._backend.endpoint}/ledger.json")
        try:
            blob.upload_from_string(
                page.model_dump_json(), content_type="application/json", if_generation_match=generation
            )
        except PreconditionFailed:
            return False
        return True
