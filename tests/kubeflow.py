"""A Kubeflow Pipelines on this machine, for tests: the REST routes of its API, v2beta1, that kfp.Client asks here.

Its answers are made of the client's own models. It is as strict as the real one where that matters here: names of
experiments are taken once and those of runs are not, what a list is filtered by it knows, cron expressions have six
fields, times are whole seconds. Pipelines run by kfp.local. Recurring runs start nothing by themselves: `fire` does.
"""

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml
from cronsim import CronSim, CronSimError

from rl_core.backends.local.runner import LocalRunner
from rl_core.errors import InvalidInput

STATES = {"running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"}
ROWS_AT_MOST = 200


class Refused(Exception):
    """What the API answers with a status and a message."""


class Kubeflow:
    """Its methods are the routes, below /apis/v2beta1."""

    def __init__(self, folder: Path) -> None:
        self.experiments: dict[str, api.V2beta1Experiment] = {}
        self.runs: dict[str, api.V2beta1Run] = {}
        self.recurring: dict[str, api.V2beta1RecurringRun] = {}
        self._folder, self._runner = folder, LocalRunner(folder / "runs")
        self.faults: list[int] = []  # what the next calls that change something end with, before or after they act

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """The model, or the plain mapping, that answers a request."""
        what, _, one = path.removeprefix("/apis/v2beta1/").partition("/")
        one, _, verb = one.partition(":")
        try:
            asked = getattr(self, "_".join(filter(None, [method, what, verb or ("one" if one else "")])))
        except AttributeError:
            raise Refused(501, f"{method} {path}: not here") from None
        return asked(one) if one else asked(query if method == "get" else body)

    def get_healthz(self, query: dict[str, str]) -> Any:
        return {"multi_user": False}

    def get_experiments(self, query: dict[str, str]) -> Any:
        found, token = _page(self.experiments, query)
        return api.V2beta1ListExperimentsResponse(experiments=found, next_page_token=token)

    def post_experiments(self, body: dict[str, Any]) -> Any:
        name = body["display_name"]
        if name in {known.display_name for known in self.experiments.values()}:
            raise Refused(409, f"experiment {name} exists")
        made = api.V2beta1Experiment(experiment_id=_id(), display_name=name, created_at=_now())
        return self.experiments.setdefault(made.experiment_id, made)

    def get_runs(self, query: dict[str, str]) -> Any:
        found, token = _page(self.runs, query)
        return api.V2beta1ListRunsResponse(runs=[self._as_it_is(run) for run in found], next_page_token=token)

    def post_runs(self, body: dict[str, Any]) -> Any:
        run = api.V2beta1Run(**self._checked(body), run_id=_id(), created_at=_now())
        template = self._folder / f"{run.run_id}.yaml"
        template.write_text(yaml.safe_dump(run.pipeline_spec))
        try:
            self._runner.submit(template, run.runtime_config["parameters"], run.run_id)
        except InvalidInput as error:
            raise Refused(400, str(error)) from None
        return self.runs.setdefault(run.run_id, run)

    def get_runs_one(self, run_id: str) -> Any:
        run = self._as_it_is(_known(self.runs, run_id))
        reason = self._runner.explain(run_id)
        task = {"created": run.created_at, "error": None, "name": reason, "state": run.state}
        if run.state == "FAILED":
            task["name"], _, message = reason.partition(": ")
            task["error"] = api.GoogleRpcStatus(code=13, message=message)
        names = list(run.pipeline_spec["root"]["dag"]["tasks"]) if run.state == "SUCCEEDED" else [task["name"]]
        run.run_details = api.V2beta1RunDetails(
            task_details=[
                api.V2beta1PipelineTaskDetail(
                    display_name=name, create_time=task["created"], state=task["state"], error=task["error"]
                )
                for name in names
            ]
        )
        return run

    def get_recurringruns(self, query: dict[str, str]) -> Any:
        found, token = _page(self.recurring, query)
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=found, next_page_token=token)

    def post_recurringruns(self, body: dict[str, Any]) -> Any:
        fields = self._checked(body)
        mode, cron = fields.pop("mode"), fields["trigger"]["cron_schedule"]["cron"]
        try:
            CronSim(cron, datetime.now(UTC))
        except CronSimError as error:
            raise Refused(400, f"{cron}: {error}") from None
        if len(cron.split()) != 6 or not 1 <= int(fields["max_concurrency"]) <= 10:
            raise Refused(400, f"{cron}: has not six fields, or max_concurrency is not from 1 to 10")
        made = api.V2beta1RecurringRun(**fields, recurring_run_id=_id(), created_at=_now(), status=f"{mode}D")
        return self.recurring.setdefault(made.recurring_run_id, made)

    def post_recurringruns_enable(self, recurring_run_id: str) -> Any:
        _known(self.recurring, recurring_run_id).status = "ENABLED"
        return {}

    def post_recurringruns_disable(self, recurring_run_id: str) -> Any:
        _known(self.recurring, recurring_run_id).status = "DISABLED"
        return {}

    def delete_recurringruns_one(self, recurring_run_id: str) -> Any:
        _known(self.recurring, recurring_run_id)
        del self.recurring[recurring_run_id]
        return {}

    def fire(self, experiment: str, name: str) -> None:
        """Start what an enabled recurring run would start when it is time."""
        [found] = [r for r in self.recurring.values() if r.display_name == name and self._of(r) == experiment]
        if found.status == "ENABLED":
            fields = ("experiment_id", "pipeline_spec", "runtime_config")
            body = {field: getattr(found, field) for field in fields}
            self.post_runs(body | {"display_name": f"{name}-{len(self.runs)}-{_id()[:5]}"})

    def _of(self, one: Any) -> str:
        return self.experiments[one.experiment_id].display_name

    def _checked(self, body: dict[str, Any]) -> dict[str, Any]:
        _known(self.experiments, body["experiment_id"])
        if not body.get("display_name") or not body.get("pipeline_spec"):
            raise Refused(400, "display_name and pipeline_spec are required")
        return body

    def _as_it_is(self, run: api.V2beta1Run) -> api.V2beta1Run:
        run.state = STATES[self._runner.state(run.run_id)]
        return run


def serve(folder: Path) -> Kubeflow:
    """A Kubeflow Pipelines that listens at its address."""
    kubeflow, plain = Kubeflow(folder), api.ApiClient().sanitize_for_serialization

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
            fault = kubeflow.faults.pop(0) if kubeflow.faults and self.command != "GET" else None
            try:
                if fault and len(kubeflow.faults) % 2:
                    raise Refused(fault, "it was told to fail")
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                told = plain(kubeflow.answer(self.command.lower(), url.path, query, body))
                if fault:
                    raise Refused(fault, "it was told to fail when it was done")
                self.tell(200, told)
            except Refused as error:
                status, message = error.args
                self.tell(status, {"code": status, "message": message})

        def tell(self, status: int, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = handle_one

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeflow.address = f"http://127.0.0.1:{server.server_address[1]}"
    return kubeflow


def _page(rows: dict[str, Any], query: dict[str, str]) -> tuple[list[Any], str]:
    """A page of what a list is asked for, oldest first, and the token of the next page."""
    found = list(rows.values())
    if (experiment_id := query.get("experiment_id")) is not None:
        found = [row for row in found if row.experiment_id == experiment_id]
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
        operation, key, value = predicate.pop("operation"), predicate.pop("key"), predicate.pop("string_value")
        if operation != "EQUALS" or key not in ("display_name", "created_at") or predicate:
            raise Refused(400, f"filter {query['filter']}")
        found = [row for row in found if getattr(row, key) == value]
    if query.get("sort_by", "created_at") != "created_at":
        raise Refused(400, f"sort_by {query['sort_by']}")
    begin, size = int(query.get("page_token") or 0), min(ROWS_AT_MOST, int(query.get("page_size", 20)))
    page = sorted(found, key=lambda row: row.created_at)[begin : begin + size]
    return page, str(begin + size) if begin + size < len(found) else ""


def _known(rows: dict[str, Any], one: str) -> Any:
    if one not in rows:
        raise Refused(404, f"{one} not found")
    return rows[one]


def _id() -> str:
    return str(uuid.uuid4())


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
