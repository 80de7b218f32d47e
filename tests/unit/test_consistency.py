"""Decisions that contradict themselves, and rewards outside the range, become dead letters; the others are logged."""

import functools

import orjson
import pytest

from banditloop.functions.logger import log_events
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.serving.reward_request import read_rewards
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.events import TASK, decisions, rewards
from tests.conftest import make_config

NAMED = Task.parse(
    {"context": {"age": "number", "history": {"vector": 2}}, "action_features": {"place": {"vector": 2}}}, "task"
)
OFFERS = {"candidates": [["x", "y"]], "context": {}}
WRONG = {
    "propensity": (TASK, {"propensity": 0.06, "probabilities": [[0.05, 0.95]]}, r"propensity: .* of action '0', 0\.05"),
    "tiny propensity": (TASK, {"propensity": 1e-300, "probabilities": [[1e-7, 1 - 1e-7]]}, r"propensity: .*, 1e-07"),
    "sum": (TASK, {"propensity": 0.2, "probabilities": [[0.2, 0.2]]}, r"probabilities: sum to 0\.4, not to 1"),
    "action": (TASK, {"action": "7"}, r"action = '7': is not one of the candidates"),
    "number": (TASK, {"candidates": [["7", "8"]]}, r"action = '7': is none of the 2 actions of .* version 'v1-a'"),
    "many": (TASK, {"probabilities": [[0.5] + [0.5 / 99] * 99]}, r"one for each of the 2 actions"),
    "ragged": (TASK, {"candidates": [["0", "1"]], "action": "0", "probabilities": [[0.5, 0.3, 0.2]]}, r"2 candidates"),
    "twice": (TASK, {"candidates": [["0", "0"]]}, r"candidates: one of them occurs twice"),
    "vector": (
        TASK,
        {"context": {"observation": [1.0, 2.0, 3.0]}},
        r"context\.observation: has 3 numbers; the task.s have 2",
    ),
    "no vector": (TASK, {"context": {}}, r"context\.observation: has 0 numbers; .* 2"),
    "named vector": (NAMED, OFFERS | {"context": {"history": [1.0]}}, r"context\.history: has 1 numbers; .* 2"),
    "offers": (NAMED, OFFERS | {"candidate_features": [[{}]]}, r"candidate_features: .* each of the 2 candidates"),
    "place": (
        NAMED,
        OFFERS | {"candidate_features": [[{}, {"place": [1.0]}]]},
        r"candidate_features\.place: .* have 2 numbers",
    ),
}
RIGHT = {
    "default": (TASK, {}),
    "listed": (TASK, {"candidates": [["1"]]}),
    "rounded": (TASK, {"propensity": 0.3333333333, "probabilities": [[1 / 3, 2 / 3]]}),
    "missing": (NAMED, OFFERS),
    "named": (
        NAMED,
        OFFERS | {"context": {"history": [1.0, 2.0]}, "candidate_features": [[{"place": [1.0, 2.0]}, {}]]},
    ),
}


def config_of(tmp_path, task, **sections):
    return make_config(tmp_path, task=task.model_dump(), **sections)


def publish(platform, topic, *messages):
    for message in messages:
        platform.bus.publish(topic, message)


def drain(config, platform, topic):
    handler = functools.partial(log_events, config.task, platform, topic, reward=config.reward)
    while platform.bus.deliver(topic, handler, timed=True):
        pass


@pytest.mark.parametrize(("task", "fields", "reason"), WRONG.values(), ids=WRONG)
def test_a_decision_that_contradicts_itself_becomes_a_dead_letter_with_the_reason(tmp_path, task, fields, reason):
    config = config_of(tmp_path, task)
    platform, good = connect(config), {"task": task} | ({} if task is TASK else OFFERS)
    wrong = encode(decisions(["wrong"], **{"task": task} | fields))
    mixed = [*orjson.loads(encode(decisions(["b"], **good))), *orjson.loads(wrong)]
    publish(platform, "decisions", wrong, encode(decisions(["a"], **good)), orjson.dumps(mixed))
    drain(config, platform, "decisions")
    letters = platform.bus.dead_letters("decisions")
    assert [orjson.loads(payload) for _, payload in letters] == [orjson.loads(wrong)] * 2
    for text, _ in letters:
        with pytest.raises(InvalidInput, match=f"^event wrong: .*{reason}"):
            raise InvalidInput(text)
    assert platform.warehouse.event_counts().received["decisions"] == 2


@pytest.mark.parametrize(("task", "fields"), RIGHT.values(), ids=RIGHT)
def test_consistent_decisions_have_no_contradictions(task, fields):
    assert contradictions(decisions(["a", "b"], task=task, **_twice(fields)), task) == {}


def _twice(fields):
    return {name: value * 2 if isinstance(value, list) else value for name, value in fields.items()}


def test_each_row_is_judged_by_its_own_candidates():
    lists, shares = [["0", "1"], ["1"], ["1", "0"]], [[0.5, 0.5], [1.0], [0.25, 0.75]]
    fields = {"candidates": lists, "probabilities": shares, "action": ["0", "1", "0"]}
    assert contradictions(decisions(["a", "b", "c"], propensity=[0.5, 1.0, 0.75], **fields), TASK) == {}
    wrong = contradictions(decisions(["a", "b", "c"], propensity=[0.5, 1.0, 0.25], **fields), TASK)
    assert wrong == {2: "event c: propensity: differs from the probability of action '0', 0.75"}


def test_a_version_keeps_its_own_number_of_actions_when_the_task_changes(tmp_path):
    """The endpoint has a random policy of 3 actions; its decisions are logged although the task now has 2."""
    three = Task.parse(TASK.model_dump() | {"actions": 3}, "task")
    before = config_of(tmp_path, three)
    ensure_champion(before, connect(before).endpoint)
    config = config_of(tmp_path, TASK)
    platform, fields = connect(config), {"action": "2", "propensity": 0.2, "probabilities": [[0.4, 0.4, 0.2]]}
    publish(platform, "decisions", *(encode(decisions([name], name, **fields)) for name in ("random", "unknown")))
    drain(config, platform, "decisions")
    [(reason, _)] = platform.bus.dead_letters("decisions")
    assert reason == "event unknown: action = '2': is none of the 2 actions of task and version 'unknown'"
    assert platform.warehouse.event_counts().shown == 1


def test_a_message_with_an_unreadable_event_loses_none_of_the_others(tmp_path):
    config = config_of(tmp_path, TASK)
    platform = connect(config)
    events = orjson.loads(encode(decisions(["a", "b", "c"])))
    events[1]["propensity"] = 2.0
    publish(platform, "decisions", orjson.dumps(events))
    drain(config, platform, "decisions")
    [(reason, payload)] = platform.bus.dead_letters("decisions")
    assert reason.startswith("event.0.propensity = 2.0: ")
    assert orjson.loads(payload) == events[1:2]
    assert platform.warehouse.event_counts().received["decisions"] == 2


@pytest.mark.parametrize("aggregation", ["first", "mean", "sum"])
def test_a_reward_outside_the_range_is_refused_at_every_door(tmp_path, aggregation):
    """But for sums, which are judged when they are read, and for rewards that are not trained on."""
    config = config_of(tmp_path, TASK, reward={"aggregation": aggregation})
    platform, reason = connect(config), r"event a: value = 9\.5: is outside task\.reward_range, -1 to 9"
    publish(platform, "rewards", encode(rewards(["a"], 9.5)), encode(rewards(["b"], 9.5, name="seconds")))
    publish(platform, "rewards", encode(rewards(["c"], 9.0 + 1e-9)))
    drain(config, platform, "rewards")
    refused = aggregation != "sum"
    assert platform.warehouse.event_counts().received["rewards"] == 3 - refused
    assert len(platform.bus.dead_letters("rewards")) == refused
    body = orjson.dumps({"rewards": [{"event_id": "a", "value": 9.5}]})
    if refused:
        with pytest.raises(InvalidInput, match=reason):
            read_rewards(body, TASK, config.reward)
    else:
        assert read_rewards(body, TASK, config.reward)[0]["value"] == 9.5


def test_received_at_is_set_by_the_endpoint_and_not_by_its_clients(tmp_path):
    config, reward = config_of(tmp_path, TASK), {"event_id": "a", "value": 1.0}
    [event] = read_rewards(orjson.dumps({"rewards": [reward]}), TASK, config.reward)
    assert event["received_at"] == event["timestamp"]
    body = orjson.dumps({"rewards": [reward | {"received_at": "2026-01-01T00:00:00Z"}]})
    with pytest.raises(InvalidInput, match="received_at: is set by the endpoint"):
        read_rewards(body, TASK, config.reward)
