"""The experiment of an endpoint in Kubeflow Pipelines: it contains the endpoint's runs and recurring runs."""

import json
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import kfp
from kfp_server_api import ApiException, V2beta1Experiment, V2beta1RecurringRun, V2beta1Run

PAGE_SIZE = 100  # of lists
SCHEDULE_DESCRIPTION = "A schedule of banditloop."  # marks the recurring runs that are schedules of this library


class Experiment:
    """An experiment by name. Credentials and namespace are those that kfp.Client finds in its environment."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name

    def __str__(self) -> str:
        return f"experiment {self.name} of {self.address}"

    @cached_property
    def client(self) -> kfp.Client:
        """Client of the Kubeflow Pipelines API."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that the client supports only API version 2
            return kfp.Client(host=self.address)

    def make(self) -> str:
        """Id of the experiment, which is created if it does not exist. Names of experiments are unique."""
        if experiment_id := self._find():
            return experiment_id
        experiment = V2beta1Experiment(display_name=self.name, namespace=self.client.get_user_namespace())
        try:
            return self.client.experiments.experiment_service_create_experiment(experiment=experiment).experiment_id
        except ApiException as error:
            if error.status != 409 or not (experiment_id := self._find()):  # 409: created concurrently
                raise
            return experiment_id

    def runs(self, name: str | None = None) -> list[V2beta1Run]:
        """The runs, or those with a name, oldest first."""
        return list(self._list(self.client.list_runs, "runs", name))

    def recurring(self, name: str | None = None) -> list[V2beta1RecurringRun]:
        """The recurring runs that are schedules, or those with a name, oldest first."""
        recurring_runs = self._list(self.client.list_recurring_runs, "recurring_runs", name)
        return [recurring for recurring in recurring_runs if recurring.description == SCHEDULE_DESCRIPTION]

    def _find(self) -> str | None:
        experiments = self.client.list_experiments(filter=_name_filter(self.name)).experiments
        return experiments[0].experiment_id if experiments else None

    def _list(self, list_page: Callable[..., Any], key: str, name: str | None) -> Iterator[Any]:
        """The items of all pages of a list; none if the experiment does not exist."""
        experiment_id, token = self._find(), ""
        filters = {"experiment_id": experiment_id, "filter": _name_filter(name) if name else None}
        while experiment_id:
            page = list_page(page_token=token, page_size=PAGE_SIZE, sort_by="created_at", **filters)
            yield from getattr(page, key) or []
            if not (token := page.next_page_token):
                return


def _name_filter(name: str) -> str:
    """Filter by display name, in the syntax of the API."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})
