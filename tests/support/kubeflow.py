"""A stand-in for Kubeflow Pipelines: the REST routes of its API v2beta1 that the kfp.Client of the tests calls.

Responses are the client's own models. It is as strict as the real service where the tests depend on it: experiment
names are unique and run names are not, only known filters are accepted, cron expressions have six fields, times are
whole seconds. Pipelines run with kfp.local. Recurring runs start nothing by themselves: call `fire`.
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

from banditloop.rl_core.backends.local.runner import LocalRunner
from banditloop.rl_core.errors import InvalidInput
from tests.support.stand_ins import Records

STATES = {"running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"}
MAX_PAGE_SIZE = 200


class HttpError(Exception):
    """An error response: status and message."""


class Kubeflow:
    """The service; its public methods are the routes below /apis/v2beta1, named METHOD_RESOURCE[_item|_VERB]."""

    def __init__(self, folder: Path) -> None:
        self.experiments: Records[api.V2beta1Experiment] = Records()
        self.runs: Records[api.V2beta1Run] = Records()
        self.recurring: Records[api.V2beta1RecurringRun] = Records()
        self._folder, self._runner = folder, LocalRunner(folder / "runs")
        self.faults: list[int] = []  # statuses of the next mutating calls, raised by turns before and after they act

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """The response to a request: a model of the client or a mapping."""
        resource, _, item = path.removeprefix("/apis/v2beta1/").partition("/")
        item, _, verb = item.partition(":")
        try:
            route = getattr(self, "_".join(filter(None, [method, resource, verb or ("item" if item else "")])))
        except AttributeError:
            raise HttpError(501, f"{method} {path}: not implemented") from None
        return route(item) if item else route(query if method == "get" else body)

    def get_healthz(self, query: dict[str, str]) -> Any:
        return {"multi_user": False}

    def get_experiments(self, query: dict[str, str]) -> Any:
        experiments, token = _page(self.experiments, query)
        return api.V2beta1ListExperimentsResponse(experiments=experiments, next_page_token=token)

    def post_experiments(self, body: dict[str, Any]) -> Any:
        name = body["display_name"]
        if name in {experiment.display_name for experiment in self.experiments.values()}:
            raise HttpError(409, f"experiment {name} exists")
        experiment = api.V2beta1Experiment(experiment_id=_id(), display_name=name, created_at=_now())
        return self.experiments.setdefault(experiment.experiment_id, experiment)

    def get_runs(self, query: dict[str, str]) -> Any:
        runs, token = _page(self.runs, query)
        return api.V2beta1ListRunsResponse(runs=[self._refreshed(run) for run in runs], next_page_token=token)

    def post_runs(self, body: dict[str, Any]) -> Any:
        run = api.V2beta1Run(**self._validated(body), run_id=_id(), created_at=_now())
        template = self._folder / f"{run.run_id}.yaml"
        template.write_text(yaml.safe_dump(run.pipeline_spec))
        try:
            self._runner.submit(template, run.runtime_config["parameters"], run.run_id)
        except InvalidInput as error:
            raise HttpError(400, str(error)) from None
        return self.runs.setdefault(run.run_id, run)

    def get_runs_item(self, run_id: str) -> Any:
        run = self._refreshed(_get(self.runs, run_id))
        _, _, message = self._runner.explain(run_id).partition(": ")
        run.run_details = api.V2beta1RunDetails(
            task_details=[
                api.V2beta1PipelineTaskDetail(
                    display_name=task.name,
                    create_time=task.started,
                    end_time=task.ended,
                    state=STATES[task.state],
                    error=api.GoogleRpcStatus(code=13, message=message) if task.state == "failed" else None,
                )
                for task in self._runner.tasks(run_id)
            ]
        )
        return run

    def post_runs_terminate(self, run_id: str) -> Any:
        self._runner.cancel(run_id)
        return {}

    def get_recurringruns(self, query: dict[str, str]) -> Any:
        recurring_runs, token = _page(self.recurring, query)
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=recurring_runs, next_page_token=token)

    def post_recurringruns(self, body: dict[str, Any]) -> Any:
        fields = self._validated(body)
        mode, cron = fields.pop("mode"), fields["trigger"]["cron_schedule"]["cron"]
        try:
            CronSim(cron, datetime.now(UTC))
        except CronSimError as error:
            raise HttpError(400, f"{cron}: {error}") from None
        if len(cron.split()) != 6 or not 1 <= int(fields["max_concurrency"]) <= 10:
            raise HttpError(400, f"{cron}: needs six fields, and max_concurrency from 1 to 10")
        run = api.V2beta1RecurringRun(**fields, recurring_run_id=_id(), created_at=_now(), status=f"{mode}D")
        return self.recurring.setdefault(run.recurring_run_id, run)

    def post_recurringruns_enable(self, recurring_run_id: str) -> Any:
        _get(self.recurring, recurring_run_id).status = "ENABLED"
        return {}

    def post_recurringruns_disable(self, recurring_run_id: str) -> Any:
        _get(self.recurring, recurring_run_id).status = "DISABLED"
        return {}

    def delete_recurringruns_item(self, recurring_run_id: str) -> Any:
        _get(self.recurring, recurring_run_id)
        del self.recurring[recurring_run_id]
        return {}

    def fire(self, experiment: str, name: str) -> None:
        """Start the run that an enabled recurring run would start at its next time."""
        [recurring] = [
            r for r in self.recurring.values() if r.display_name == name and self._experiment_name(r) == experiment
        ]
        if recurring.status == "ENABLED":
            fields = ("experiment_id", "pipeline_spec", "runtime_config")
            body = {field: getattr(recurring, field) for field in fields}
            self.post_runs(body | {"display_name": f"{name}-{len(self.runs)}-{_id()[:5]}"})

    def _experiment_name(self, run: Any) -> str:
        return self.experiments[run.experiment_id].display_name

    def _validated(self, body: dict[str, Any]) -> dict[str, Any]:
        _get(self.experiments, body["experiment_id"])
        if not body.get("display_name") or not body.get("pipeline_spec"):
            raise HttpError(400, "display_name and pipeline_spec are required")
        return body

    def _refreshed(self, run: api.V2beta1Run) -> api.V2beta1Run:
        state = self._runner.state(run.run_id)
        run.state = (
            "CANCELED" if state == "failed" and self._runner.explain(run.run_id) == "cancelled" else STATES[state]
        )
        run.finished_at = None if state == "running" else _now()
        return run


def serve(folder: Path) -> Kubeflow:
    """Start a Kubeflow Pipelines stand-in, listening at its `address`."""
    kubeflow, to_json = Kubeflow(folder), api.ApiClient().sanitize_for_serialization

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
            fault = kubeflow.faults.pop(0) if kubeflow.faults and self.command != "GET" else None
            try:
                if fault and len(kubeflow.faults) % 2:
                    raise HttpError(fault, "injected failure")
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                content = to_json(kubeflow.answer(self.command.lower(), url.path, query, body))
                if fault:
                    raise HttpError(fault, "injected failure after the call")
                self.reply(200, content)
            except HttpError as error:
                status, message = error.args
                self.reply(status, {"code": status, "message": message})

        def reply(self, status: int, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = respond

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeflow.address = f"http://127.0.0.1:{server.server_address[1]}"
    return kubeflow


def _page(rows: dict[str, Any], query: dict[str, str]) -> tuple[list[Any], str]:
    """One page of the rows that match a list request, oldest first, and the token of the next page."""
    matches = list(rows.values())
    if (experiment_id := query.get("experiment_id")) is not None:
        matches = [row for row in matches if row.experiment_id == experiment_id]
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
        operation, key = predicate.pop("operation"), predicate.pop("key")
        value = predicate.pop("string_value", None) or predicate.pop("stringValue")  # as kfp.Client's own methods send
        if operation not in ("EQUALS", 1) or key not in ("display_name", "created_at") or predicate:
            raise HttpError(400, f"filter {query['filter']}")
        matches = [row for row in matches if getattr(row, key) == value]
    if query.get("sort_by", "created_at") != "created_at":
        raise HttpError(400, f"sort_by {query['sort_by']}")
    begin, size = int(query.get("page_token") or 0), min(MAX_PAGE_SIZE, int(query.get("page_size", 20)))
    page = sorted(matches, key=lambda row: row.created_at)[begin : begin + size]
    return page, str(begin + size) if begin + size < len(matches) else ""


def _get(rows: dict[str, Any], row_id: str) -> Any:
    if row_id not in rows:
        raise HttpError(404, f"{row_id} not found")
    return rows[row_id]


def _id() -> str:
    return str(uuid.uuid4())


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
