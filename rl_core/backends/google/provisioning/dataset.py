"""The BigQuery dataset with the warehouse's tables, and who may write to it."""

from functools import cached_property

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import LABEL, credentials
from rl_core.backends.google.provisioning.resource import State
from rl_core.backends.google.tables import create_tables, has_tables

WRITER = "WRITER"  # as BigQuery calls roles/bigquery.dataEditor of a dataset


class Dataset:
    """It is the loop's own where its label says so."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    def __str__(self) -> str:
        return f"dataset {self._backend.dataset}"

    @cached_property
    def _client(self) -> bigquery.Client:
        return bigquery.Client(self._backend.project, credentials(), location=self._backend.location)

    def find(self) -> bigquery.Dataset | None:
        """The dataset, or None where there is none."""
        try:
            return self._client.get_dataset(self._backend.dataset)
        except NotFound:
            return None

    def state(self) -> State:
        if self.find() is None:
            return "missing"
        return "there" if has_tables(self._client, self._backend.dataset) else "changed"

    def make(self) -> None:
        create_tables(self._client, self._backend)

    def remove(self) -> bool:
        dataset = self.find()
        if dataset is None or dataset.labels.get(LABEL) != self._backend.endpoint:
            return dataset is None
        self._client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        return True

    def replace_entries(self, dataset: bigquery.Dataset, entries: list[bigquery.AccessEntry]) -> None:
        """Change who has access, unless somebody else has meanwhile: the etag tells BigQuery."""
        dataset.access_entries = entries
        self._client.update_dataset(dataset, ["access_entries"])


class DatasetAccess:
    """Accounts that may write to the dataset, which keeps its access in a form of its own. One that is lent stays."""

    def __init__(self, dataset: Dataset, emails: list[str], lent: str = "") -> None:
        self._dataset, self._emails, self._lent = dataset, emails, lent

    def __str__(self) -> str:
        return f"access to {self._dataset}"

    def state(self) -> State:
        dataset = self._dataset.find()
        ours = self._ours(dataset) if dataset else []
        return "there" if len(ours) == len(self._emails) else "changed" if ours else "missing"

    def make(self) -> None:
        if (dataset := self._dataset.find()) is None:
            raise NotFound(f"{self._dataset} not found")
        there = {entry.entity_id for entry in self._ours(dataset)}
        more = [bigquery.AccessEntry(WRITER, "userByEmail", email) for email in self._emails if email not in there]
        self._dataset.replace_entries(dataset, [*dataset.access_entries, *more])

    def remove(self) -> bool:
        if dataset := self._dataset.find():
            ours = [entry for entry in self._ours(dataset) if entry.entity_id != self._lent]
            self._dataset.replace_entries(dataset, [entry for entry in dataset.access_entries if entry not in ours])
        return True

    def _ours(self, dataset: bigquery.Dataset) -> list[bigquery.AccessEntry]:
        return [
            entry
            for entry in dataset.access_entries
            if entry.role == WRITER and entry.entity_type == "userByEmail" and entry.entity_id in self._emails
        ]
