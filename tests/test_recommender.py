"""What the endpoint decides and logs, request by request, without the web around it."""

import tracemalloc

import numpy as np
import orjson
import pytest

from rl_core.asking import read_asks
from rl_core.errors import InvalidInput
from rl_core.policy import SavedPolicy
from rl_core.predictions import APPLICATION, REMEMBERED, Recommender
from rl_core.schema import DECISION, decode
from rl_core.serving import Served, Serving
from tests.conftest import make_policy


@pytest.fixture(scope="module")
def servings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for generation in (1, 2):
        make_policy(folder / str(generation), generation, seed=generation)
    return [Serving(Served(SavedPolicy.load(folder / str(generation)))) for generation in (1, 2)]


class Desk:
    """A recommender and what it has logged."""

    def __init__(self, sample: float = 1.0) -> None:
        self.logged: list[bytes] = []
        self.recommender = Recommender(self.logged.append, sample)

    def ask(self, serving, *requests):
        """The answers to requests that come at once: predictions, or what is wrong."""
        return self.recommender.predict(serving, [read_asks(orjson.dumps(request)) for request in requests])

    def decisions(self):
        """What was logged since the last time, read as the logger does."""
        rows = {row["event_id"]: row for events in self.logged for row in decode(DECISION, events).to_pylist()}
        self.logged.clear()
        return rows


def instances(rows, seed=0, **keys):
    observations = np.random.default_rng(seed).normal(size=(rows, 20)).tolist()
    return [{"observation": observation, **keys} for observation in observations]


def test_requests_that_come_at_once_are_answered_as_if_they_came_alone(servings):
    """With all chance in their keys, what each gets does not depend on its neighbours."""
    requests = [
        {"instances": instances(rows, rows), "parameters": {"request_id": f"{rows:016d}"}} for rows in (1, 5, 2, 8)
    ]
    together, alone = Desk(), Desk()
    assert together.ask(servings[0], *requests) == [alone.ask(servings[0], request)[0] for request in requests]
    assert {k: v | {"timestamp": 0} for k, v in together.decisions().items()} == {
        k: v | {"timestamp": 0} for k, v in alone.decisions().items()
    }


def test_a_wrong_request_is_refused_alone(servings):
    desk = Desk()
    good, wrong, fine = desk.ask(
        servings[0], {"instances": instances(2)}, {"instances": [[1.0]]}, {"instances": instances(1)}
    )
    assert (len(good), len(fine)) == (2, 1)
    assert isinstance(wrong, InvalidInput)
    assert "observation 0 has 1 numbers" in str(wrong)
    assert desk.decisions().keys() == {answer["event_id"] for answer in good + fine}


def test_the_applications_event_id_gets_one_decision_whatever_version_is_asked_again(servings):
    desk = Desk()
    request = {"instances": [one | {"event_id": f"mine-{n}"} for n, one in enumerate(instances(40))]}
    [first] = desk.ask(servings[0], request)
    assert [answer["event_id"] for answer in first] == [f"mine-{n}" for n in range(40)]
    logged = desk.decisions()
    assert [logged[answer["event_id"]]["action"] for answer in first] == [answer["action"] for answer in first]
    assert desk.ask(servings[1], request, request) == [first, first]
    assert desk.decisions() == {}
    other = Desk().ask(servings[0], request)  # a process that was started anew, with the same version
    assert other == [first]


def test_a_request_asked_again_after_the_release_moved_gets_the_answer_that_was_lost(servings):
    desk, request = Desk(), {"instances": instances(40), "parameters": {"request_id": "0123456789abcdef"}}
    [first] = desk.ask(servings[0], request)
    assert desk.ask(servings[1], request) == [first]
    assert desk.decisions().keys() == {answer["event_id"] for answer in first}


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ([[0.0] * 20] * 999 + [[0.0] * 19 + ["x" * 100_000]], "observation 999: number 19 is 'x"),
        ([[0.0] * 19 + [True]], "number 19 is True"),
        ([[0]] * 10_001, "10,001 observations: a request may have 10,000"),
    ],
)
def test_what_would_take_too_much_memory_is_refused_before(servings, observations, message):
    tracemalloc.start()
    try:
        [error] = Desk().ask(servings[0], {"instances": observations})
    except InvalidInput as raised:
        error = raised
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert message in str(error)
    assert peak < 250 << 20


def test_what_is_remembered_is_bounded(servings):
    desk = Desk()
    for start in range(0, REMEMBERED + 2000, 1000):
        desk.ask(
            servings[0],
            {"instances": [one | {"event_id": f"{start + n}"} for n, one in enumerate(instances(1000))]},
        )
    assert len(desk.recommender._answers) == REMEMBERED
    desk.decisions()
    desk.ask(servings[1], {"instances": [instances(1)[0] | {"event_id": "0"}]})
    assert list(desk.decisions()) == ["0"]  # decided again; the warehouse keeps the first


def test_nothing_is_remembered_that_could_not_be_logged(servings):
    def full(events):
        raise OSError("no space left")

    recommender, request = Recommender(full), {"instances": [instances(1)[0] | {"event_id": "a"}]}
    for _ in range(2):
        with pytest.raises(OSError):
            recommender.predict(servings[0], [read_asks(orjson.dumps(request))])


def test_a_deferred_decision_says_so(servings):
    desk = Desk()
    desk.ask(servings[0], {"instances": instances(3, deferred=True) + instances(1)})
    assert sorted(row["mode"] for row in desk.decisions().values()) == ["deferred"] * 3 + ["online"]


def test_what_the_application_chose_is_logged_as_it_says_beside_what_the_champion_would_have(servings):
    desk, probabilities = Desk(), [0.25, 0.75] + [0.0] * 18
    [chosen] = desk.ask(
        servings[0],
        {"instances": instances(1, action=3) + instances(1, action=1, probabilities=probabilities) + instances(1)},
    )
    assert [answer["policy_version"] for answer in chosen] == [APPLICATION, APPLICATION, "v1-00000001"]
    assert [(answer["action"], answer["propensity"]) for answer in chosen[:2]] == [(3, 1.0), (1, 0.75)]
    logged = desk.decisions()
    assert logged[chosen[1]["event_id"]]["probabilities"] == probabilities
    modes = [(row["policy_version"], row["mode"]) for row in logged.values()]
    assert sorted(modes) == [
        (APPLICATION, "logged"),
        (APPLICATION, "logged"),
        ("v1-00000001", "online"),
        ("v1-00000001", "shadow"),
        ("v1-00000001", "shadow"),
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"action": 20}, "action = 20: there are 20 actions"),
        ({"action": 0, "probabilities": [1.0]}, "one for each of the 20 actions"),
        ({"action": 0, "probabilities": [0.5] * 20}, "sum to 1"),
        ({"action": 0, "probabilities": [0.0, 1.0] + [0.0] * 18}, "cannot be 0"),
        ({"probabilities": [0.05] * 20}, "probabilities: come with the action"),
    ],
)
def test_what_the_application_cannot_have_done_is_refused(servings, keys, message):
    desk = Desk()
    try:
        [error] = desk.ask(servings[0], {"instances": instances(1, **keys)})
    except InvalidInput as raised:
        error = raised
    assert message in str(error)
    assert desk.decisions() == {}


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"observation": [[1.0], [2.0]], "event_id": "a"}, "event_id: is for an instance with one observation"),
        ({"observation": [1.0], "event_id": ""}, "instance 0.event_id = ''"),
        ({"observation": [1.0], "event_id": 1}, "instance 0.event_id = 1"),
        ({"observation": [1.0], "deferred": "yes"}, "instance 0.deferred = 'yes'"),
        ({"observation": [1.0], "action": -1}, "instance 0.action = -1"),
        ({"observation": [1.0], "action": 1, "deferred": True}, "once it is shown"),
        ({"observation": [1.0], "event-id": "a"}, "instance 0.event-id"),
    ],
)
def test_a_key_that_cannot_be_is_named(instance, message):
    with pytest.raises(InvalidInput) as error:
        read_asks(orjson.dumps({"instances": [instance]}))
    assert message in str(error.value)


def test_an_event_id_names_one_instance():
    with pytest.raises(InvalidInput, match="event_id names one instance"):
        read_asks(orjson.dumps({"instances": [{"observation": [1], "event_id": "a"}] * 2}))


def test_of_all_decisions_a_sample_is_logged_the_same_whenever_it_is_asked(servings):
    desk, many, sample = Desk(sample=0.3), 4000, 0.3
    for start in range(0, many, 1000):
        desk.ask(servings[0], {"instances": instances(1000, start)})
    logged = desk.decisions()
    assert abs(len(logged) - sample * many) < 4 * np.sqrt(many * sample * (1 - sample))
    assert {row["pass_probability"] for row in logged.values()} == {sample}
    request = {"instances": [one | {"event_id": f"mine-{n}"} for n, one in enumerate(instances(50))]}
    [first], kept = desk.ask(servings[0], request), desk.decisions().keys()
    again = Desk(sample=0.3)
    assert again.ask(servings[0], request) == [first]
    assert again.decisions().keys() == kept
    assert 0 < len(kept) < 50
