"""The BigQuery dataset with the warehouse's tables, and the write access to it."""

from functools import cached_property

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from banditloop.rl_core.backends.google.clients import LABEL, credentials
from banditloop.rl_core.backends.google.tables import create_tables, has_tables
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.task import Task

WRITER = "WRITER"  # BigQuery's name for roles/bigquery.dataEditor on a dataset


class Dataset:
    """The dataset. It belongs to the loop whose endpoint its label names."""

    def __init__(self, backend: GoogleBackend, task: Task) -> None:
        self._backend, self._task = backend, task

    def __str__(self) -> str:
        return f"dataset {self._backend.dataset}"

    @cached_property
    def _client(self) -> bigquery.Client:
        return bigquery.Client(self._backend.project, credentials(), location=self._backend.location)

    def find(self) -> bigquery.Dataset | None:
        """The dataset, or None if it does not exist."""
        try:
            return self._client.get_dataset(self._backend.dataset)
        except NotFound:
            return None

    def state(self) -> ResourceState:
        if self.find() is None:
            return "missing"
        return "present" if has_tables(self._client, self._backend.dataset, self._task) else "changed"

    def make(self) -> None:
        create_tables(self._client, self._backend, self._task)

    def remove(self) -> bool:
        dataset = self.find()
        if dataset is None or dataset.labels.get(LABEL) != self._backend.endpoint:
            return dataset is None
        self._client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        return True

    def replace_entries(self, dataset: bigquery.Dataset, entries: list[bigquery.AccessEntry]) -> None:
        """Replace the access entries. Fails if they were changed since `dataset` was read (by its etag)."""
        dataset.access_entries = entries
        self._client.update_dataset(dataset, ["access_entries"])


class DatasetAccess:
    """Write access of accounts to the dataset, whose access entries have a format of their own, unlike IAM policies.

    The account `user_managed` (an email) keeps its access when the resource is removed.
    """

    def __init__(self, dataset: Dataset, emails: list[str], user_managed: str = "") -> None:
        self._dataset, self._emails, self._user_managed = dataset, emails, user_managed

    def __str__(self) -> str:
        return f"access to {self._dataset}"

    def state(self) -> ResourceState:
        dataset = self._dataset.find()
        entries = self._entries(dataset) if dataset else []
        return "present" if len(entries) == len(self._emails) else "changed" if entries else "missing"

    def make(self) -> None:
        if (dataset := self._dataset.find()) is None:
            raise NotFound(f"{self._dataset} not found")
        current = {entry.entity_id for entry in self._entries(dataset)}
        missing = [email for email in self._emails if email not in current]
        added = [bigquery.AccessEntry(WRITER, "userByEmail", email) for email in missing]
        self._dataset.replace_entries(dataset, [*dataset.access_entries, *added])

    def remove(self) -> bool:
        if dataset := self._dataset.find():
            removed = [entry for entry in self._entries(dataset) if entry.entity_id != self._user_managed]
            remaining = [entry for entry in dataset.access_entries if entry not in removed]
            self._dataset.replace_entries(dataset, remaining)
        return True

    def _entries(self, dataset: bigquery.Dataset) -> list[bigquery.AccessEntry]:
        """The dataset's access entries of these accounts."""
        return [
            entry
            for entry in dataset.access_entries
            if entry.role == WRITER and entry.entity_type == "userByEmail" and entry.entity_id in self._emails
        ]
