"""The model of the logger's costs: what an append sends is counted, and the page has what the model says."""

import os
import re

import orjson
import pytest

from banditloop.functions import logger
from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import KEYS
from tests.conftest import rewards, vector_decisions
from tests.ports.conftest import google
from tests.support import log_costs
from tests.support.proxy import proxy


@pytest.mark.parametrize(("topic", "make"), [("decisions", vector_decisions), ("rewards", rewards)])
def test_an_append_sends_what_the_model_counts(tmp_path, monkeypatch, topic, make):
    config, requests = google(tmp_path), []

    def record(request, forward):
        requests.append(request)
        return forward(request)

    with proxy(os.environ["BIGQUERY_EMULATOR_HOST"], record) as address:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        warehouse = connect(config).warehouse
        warehouse.append(topic, make(["first"]))
        requests.clear()
        assert warehouse.append(topic, make([f"event-{number}" for number in range(1000)])) == 1000
    loads = [request for request in requests if request.method == "POST" and request.path.startswith("/upload/")]
    [script] = [
        orjson.loads(request.body)["configuration"]["query"]["query"]
        for request in requests
        if request.method == "POST" and request.path.split("?")[0].endswith("/jobs") and request not in loads
    ]
    tables = [set(re.findall(r"`\w+`\.\w+", statement)) for statement in script.split(";")]
    assert log_costs.Append(len(loads), sum(map(len, tables))) == log_costs.APPEND
    stored = set(re.findall(r"existing\.(\w+)", script))
    assert stored == {*KEYS[topic], "timestamp", "logged_at"} <= log_costs.KEY_BYTES.keys()


def test_the_model_has_the_loggers_constant():
    assert log_costs.FEW_MESSAGES == logger.FULL_ROUND_MESSAGES


def test_costs_grow_with_the_rate_and_shrink_with_longer_pauses_and_stay_below_the_limit():
    costs = {(rate, minutes): log_costs.example(rate, minutes) for rate in (1, 10, 100) for minutes in (1, 5, 30)}
    for minutes in (1, 5, 30):
        assert costs[1, minutes].bigquery <= costs[10, minutes].bigquery < costs[100, minutes].bigquery
    for rate in (1, 10, 100):
        assert costs[rate, 1].total > costs[rate, 5].total > costs[rate, 30].total
    assert max(cost.load_jobs for cost in costs.values()) < log_costs.LOAD_JOBS_A_DAY / 10
