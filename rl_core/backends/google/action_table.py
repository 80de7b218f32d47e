"""Tables of actions in BigQuery."""

from datetime import datetime
from functools import cached_property

import pyarrow as pa
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import GoogleBackend


class BigQueryTables:
    """Reads tables of actions. A table is read again only if it has changed."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._seen: dict[str, tuple[datetime, int]] = {}

    def read(self, name: str) -> pa.Table | None:
        """The content of a table; None if it has not changed since the last call. InvalidInput: it cannot be read."""
        try:
            table = self._client.get_table(name)
            state = table.modified, table.num_rows
            if self._seen.get(name) == state:
                return None
            content = self._client.list_rows(table).to_arrow(create_bqstorage_client=False)
        except GoogleAPIError as error:
            raise InvalidInput(f"table {name!r}: {error}") from None
        self._seen[name] = state
        return content

    @cached_property
    def _client(self) -> bigquery.Client:
        return bigquery.Client(self._backend.project, credentials(), location=self._backend.location)
