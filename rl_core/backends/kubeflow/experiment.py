"""The experiment of an endpoint in Kubeflow Pipelines, which holds its runs and recurring runs."""

import json
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import kfp
from kfp_server_api import ApiException, V2beta1Experiment, V2beta1RecurringRun, V2beta1Run

AT_ONCE = 100  # on a page of a list
OURS = "A schedule of banditloop."  # a recurring run's description; others are left alone


class Experiment:
    """Who asks, and in which namespace, is what kfp.Client finds in its surroundings."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name

    def __str__(self) -> str:
        return f"experiment {self.name} of {self.address}"

    @cached_property
    def client(self) -> kfp.Client:
        """The client of the API."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that it works with version 2 only
            return kfp.Client(host=self.address)

    def make(self) -> str:
        """The experiment's id. It is made if it is not there; of experiments there is one of a name."""
        if found := self._found():
            return found
        wanted = V2beta1Experiment(display_name=self.name, namespace=self.client.get_user_namespace())
        try:
            return self.client.experiments.experiment_service_create_experiment(experiment=wanted).experiment_id
        except ApiException as error:
            if error.status != 409 or not (found := self._found()):
                raise
            return found

    def runs(self, name: str | None = None) -> list[V2beta1Run]:
        """The runs, or those of a name, oldest first."""
        return list(self._listed(self.client.list_runs, "runs", name))

    def recurring(self, name: str | None = None) -> list[V2beta1RecurringRun]:
        """The recurring runs that are schedules, or those of a name, oldest first."""
        found = self._listed(self.client.list_recurring_runs, "recurring_runs", name)
        return [recurring for recurring in found if recurring.description == OURS]

    def _found(self) -> str | None:
        found = self.client.list_experiments(filter=_named(self.name)).experiments
        return found[0].experiment_id if found else None

    def _listed(self, ask: Callable[..., Any], key: str, name: str | None) -> Iterator[Any]:
        """What all pages of a list hold."""
        experiment_id, token = self._found(), ""
        wanted = {"experiment_id": experiment_id, "filter": _named(name) if name else None}
        while experiment_id:
            page = ask(page_token=token, page_size=AT_ONCE, sort_by="created_at", **wanted)
            yield from getattr(page, key) or []
            if not (token := page.next_page_token):
                return


def _named(name: str) -> str:
    """A filter, as the API writes them."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})
