"""Answers and logged events of the recommender, request by request, without HTTP."""

import tracemalloc

import numpy as np
import orjson
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import APPLICATION, decision_schema
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.serving.candidate_sets import CandidateSets
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.known_answers import CACHED_ANSWERS, CACHED_PROBABILITIES, IdConflict
from banditloop.rl_core.serving.predict_request import NO_OPTIONS, read_predict_request
from banditloop.rl_core.serving.recommender import Recommender
from banditloop.rl_core.serving.traffic_split import LoadedPolicy, TrafficSplit
from tests.conftest import make_policy, vector_task
from tests.policies.test_traffic_split import with_broken_model

TASK = vector_task()


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for generation in (1, 2):
        make_policy(folder / str(generation), generation, seed=generation)
    return [TrafficSplit(LoadedPolicy(SavedPolicy.load(folder / str(generation)))) for generation in (1, 2)]


class LoggingRecommender:
    """A recommender with the events that it has logged."""

    def __init__(self, sample_rate: float = 1.0) -> None:
        self.logged: list[bytes] = []
        self.recommender = Recommender(TASK, Catalogue(TASK), self.logged.append, sample_rate)

    def predict(self, split, *requests):
        """The answers to requests in one batch: predictions or an error."""
        return self.recommender.predict(split, [read_predict_request(orjson.dumps(request)) for request in requests])

    def decisions(self):
        """The decisions logged since the last call by event id, decoded as by the logger."""
        rows = {
            row["event_id"]: row for events in self.logged for row in decode(decision_schema(TASK), events).to_pylist()
        }
        self.logged.clear()
        return rows


def instances(rows, seed=0, **keys):
    observations = np.random.default_rng(seed).normal(size=(rows, 20)).tolist()
    return [{"observation": observation, **keys} for observation in observations]


def test_batched_requests_are_answered_like_single_requests(splits):
    """Request ids seed the draws, so an answer does not depend on the other requests."""
    requests = [
        {"instances": instances(rows, rows), "parameters": {"request_id": f"{rows:016d}"}} for rows in (1, 5, 2, 8)
    ]
    batched, single = LoggingRecommender(), LoggingRecommender()
    assert batched.predict(splits[0], *requests) == [single.predict(splits[0], request)[0] for request in requests]
    assert {k: v | {"timestamp": 0} for k, v in batched.decisions().items()} == {
        k: v | {"timestamp": 0} for k, v in single.decisions().items()
    }


def test_a_bad_request_does_not_affect_the_others_in_its_batch(splits):
    recommender = LoggingRecommender()
    first, error, last = recommender.predict(
        splits[0], {"instances": instances(2)}, {"instances": [[1.0]]}, {"instances": instances(1)}
    )
    assert (len(first), len(last)) == (2, 1)
    assert isinstance(error, InvalidInput)
    assert "observation 0 has 1 numbers" in str(error)
    assert recommender.decisions().keys() == {answer["event_id"] for answer in first + last}


def test_an_event_id_gets_one_decision_across_versions_and_restarts(splits):
    recommender = LoggingRecommender()
    request = {"instances": [instance | {"event_id": f"mine-{n}"} for n, instance in enumerate(instances(40))]}
    [first] = recommender.predict(splits[0], request)
    assert [answer["event_id"] for answer in first] == [f"mine-{n}" for n in range(40)]
    logged = recommender.decisions()
    assert [logged[a["event_id"]]["action"] for a in first] == [str(a["action"]) for a in first]
    assert recommender.predict(splits[1], request, request) == [first, first]
    assert recommender.decisions() == {}
    after_restart = LoggingRecommender().predict(splits[0], request)  # a restarted process with the same version
    assert after_restart == [first]


def test_a_retried_request_gets_the_same_answer_after_a_release_change(splits):
    recommender, request = (
        LoggingRecommender(),
        {"instances": instances(40), "parameters": {"request_id": "0123456789abcdef"}},
    )
    [first] = recommender.predict(splits[0], request)
    assert recommender.predict(splits[1], request) == [first]
    assert recommender.decisions().keys() == {answer["event_id"] for answer in first}


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ([[0.0] * 20] * 999 + [[0.0] * 19 + ["x" * 100_000]], "observation 999: number 19 is 'x"),
        ([[0.0] * 19 + [True]], "number 19 is True"),
        ([[0]] * 10_001, "10,001 contexts: at most 10,000 are allowed"),
    ],
)
def test_oversized_requests_are_refused_with_bounded_memory(splits, observations, message):
    tracemalloc.start()
    try:
        [error] = LoggingRecommender().predict(splits[0], {"instances": observations})
    except InvalidInput as raised:
        error = raised
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert message in str(error)
    assert peak < 250 << 20


def test_the_answer_cache_is_bounded(splits):
    recommender = LoggingRecommender()
    for start in range(0, CACHED_ANSWERS + 2000, 1000):
        recommender.predict(
            splits[0],
            {"instances": [instance | {"event_id": f"{start + n}"} for n, instance in enumerate(instances(1000))]},
        )
    assert len(recommender.recommender._answers) == CACHED_ANSWERS
    recommender.decisions()
    recommender.predict(splits[1], {"instances": [instances(1)[0] | {"event_id": "0"}]})
    assert list(recommender.decisions()) == ["0"]  # decided again; the warehouse keeps the first


def test_explained_answers_take_more_of_the_cache(splits):
    recommender, weight = LoggingRecommender(), 1 + 20 // CACHED_PROBABILITIES
    for start in range(0, 4000, 1000):
        explained = [i | {"event_id": f"{start + n}", "explain": True} for n, i in enumerate(instances(1000))]
        recommender.predict(splits[0], {"instances": explained})
    [last] = recommender.predict(splits[1], {"instances": explained})
    assert {answer["policy_version"] for answer in last} == {"v1-00000001"}
    assert all(len(answer["probabilities"]) == 20 for answer in last)
    assert len(recommender.recommender._answers) == CACHED_ANSWERS // weight
    plain = [instance | {"event_id": f"plain-{n}"} for n, instance in enumerate(instances(CACHED_ANSWERS))]
    recommender.predict(splits[0], {"instances": plain})
    assert len(recommender.recommender._answers) == CACHED_ANSWERS  # the explained ones are gone, and their weight


def test_answers_that_could_not_be_logged_are_not_cached(splits):
    def disk_full(events):
        raise OSError("no space left")

    recommender, request = (
        Recommender(TASK, Catalogue(TASK), disk_full),
        {"instances": [instances(1)[0] | {"event_id": "a"}]},
    )
    for _ in range(2):
        with pytest.raises(OSError):
            recommender.predict(splits[0], [read_predict_request(orjson.dumps(request))])


def test_deferred_decisions_are_logged_as_deferred(splits):
    recommender = LoggingRecommender()
    recommender.predict(splits[0], {"instances": instances(3, deferred=True) + instances(1)})
    assert sorted(row["mode"] for row in recommender.decisions().values()) == ["deferred"] * 3 + ["online"]


def test_external_decisions_are_logged_with_the_champions_shadow_decisions(splits):
    recommender, probabilities = LoggingRecommender(), [0.25, 0.75] + [0.0] * 18
    [answers] = recommender.predict(
        splits[0],
        {"instances": instances(1, action=3) + instances(1, action=1, probabilities=probabilities) + instances(1)},
    )
    assert [answer["policy_version"] for answer in answers] == [APPLICATION, APPLICATION, "v1-00000001"]
    assert [(answer["action"], answer["propensity"]) for answer in answers[:2]] == [(3, 1.0), (1, 0.75)]
    logged = recommender.decisions()
    assert logged[answers[1]["event_id"]]["probabilities"] == probabilities
    modes = [(row["policy_version"], row["mode"]) for row in logged.values()]
    assert sorted(modes) == [
        (APPLICATION, "external"),
        (APPLICATION, "external"),
        ("v1-00000001", "online"),
        ("v1-00000001", "shadow"),
        ("v1-00000001", "shadow"),
    ]


def test_an_external_decision_is_logged_although_the_champion_fails(splits):
    broken = LoadedPolicy(with_broken_model(splits[0].champion.policy))
    recommender = LoggingRecommender()
    [[answer]] = recommender.predict(TrafficSplit(broken), {"instances": instances(1, action=3)})
    assert (answer["action"], answer["policy_version"]) == (3, APPLICATION)
    assert [row["mode"] for row in recommender.decisions().values()] == ["external"]
    assert broken.failures == 1


@pytest.mark.parametrize("row", range(3))
def test_a_wrong_external_decision_is_named_by_its_place(splits, row):
    own = [{"action": 1}, {}, {"action": 2}]
    own[row] = {"action": 20}
    request = {"instances": [instance | keys for instance, keys in zip(instances(3), own, strict=True)]}
    [error] = LoggingRecommender().predict(splits[0], request)
    assert str(error) == f"context {row}: action = '20': is not one of the 20 candidates"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"action": 20}, "context 0: action = '20': is not one of the 20 candidates"),
        ({"action": 0, "probabilities": [1.0]}, "context 0: probabilities: give one for each of the 20 candidates"),
        ({"action": 0, "probabilities": [0.5] * 20}, "sum to 1"),
        ({"action": 0, "probabilities": [0.0, 1.0] + [0.0] * 18}, "cannot be 0"),
        ({"probabilities": [0.05] * 20}, "probabilities: give action too"),
    ],
)
def test_invalid_external_decisions_are_refused(splits, keys, message):
    recommender = LoggingRecommender()
    try:
        [error] = recommender.predict(splits[0], {"instances": instances(1, **keys)})
    except InvalidInput as raised:
        error = raised
    assert message in str(error)
    assert recommender.decisions() == {}


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"observation": [[1.0], [2.0]], "event_id": "a"}, "event_id: allowed only with a single observation"),
        ({"observation": [1.0], "event_id": ""}, "instance 0.event_id = ''"),
        ({"observation": [1.0], "event_id": 1}, "instance 0.event_id = 1"),
        ({"observation": [1.0], "deferred": "yes"}, "instance 0.deferred = 'yes'"),
        ({"observation": [1.0], "action": 1.5}, "instance 0.action = 1.5"),
        ({"observation": [1.0], "context": {"age": 1}}, "instance 0: give a context"),
        ({"user": "a"}, "instance 0: give a context"),
        ({"observation": [1.0], "step": 1}, "give episode_id too"),
        ({"observation": [1.0], "actions": []}, "instance 0.actions = []"),
        ({"observation": [1.0], "action": 1, "deferred": True}, "once it is shown"),
        ({"observation": [1.0], "event-id": "a"}, "instance 0.event-id: is unknown; did you mean 'event_id'?"),
        ({"age": 34}, "instance 0.age: is unknown; features belong in context; the keys are: context, observation, "),
    ],
)
def test_an_invalid_instance_key_is_named(instance, message):
    with pytest.raises(InvalidInput) as error:
        read_predict_request(orjson.dumps({"instances": [instance]}))
    assert message in str(error.value)


def test_the_candidates_of_a_request_are_bounded_altogether():
    def request(count):
        listing = [{"context": {}, "actions": ["a"] * 1000}] * count
        return read_predict_request(orjson.dumps({"instances": listing}))

    with pytest.raises(InvalidInput) as error:
        request(1001)
    assert str(error.value) == (
        "request: 1,001,000 ids in actions and exclude, counted for each decision: at most 1,000,000 are allowed; "
        "send fewer instances per request"
    )
    assert (request(100).size, request(1).size) == (2500, 25)  # of micro-batches of 256
    assert read_predict_request(orjson.dumps({"instances": instances(3)})).size == 3


@pytest.mark.parametrize(("vectors", "ids"), [(10_000, 101), (1, 1_000_001)])
def test_the_exclusions_of_a_request_are_bounded_altogether(vectors, ids):
    """They count once for each decision, and an id that occurs twice counts once."""
    for repeats in (1, 3):
        excluded = [f"{number}" for number in range(ids - repeats + 1)] + ["0"] * (repeats - 1)
        body = orjson.dumps({"instances": [{"observation": [[1.0]] * vectors, "exclude": excluded}]})
        if repeats == 1:
            with pytest.raises(InvalidInput, match="ids in actions and exclude, counted for each decision: at most 1"):
                read_predict_request(body)
        else:
            assert len(read_predict_request(body).options[0].exclude) == ids - 2


def test_the_vectors_of_an_instance_share_their_candidates():
    """These are found once, however many vectors there are, and are those of each vector alone."""
    body = {"instances": [{"observation": [[1.0]] * 3, "exclude": ["1", "2"]}, {"context": {}, "exclude": ["3"]}]}
    for parameters in ({}, {"request_id": REQUEST_ID}):
        options = read_predict_request(orjson.dumps(body | {"parameters": parameters})).options
        sets = CandidateSets(TASK, Catalogue(TASK))
        listed = sets.of(options).listed
        assert listed[0] is listed[1] is listed[2]
        assert listed == [sets.of([option]).listed[0] for option in options]


@pytest.mark.parametrize("listed", [None, [f"{number}" for number in range(10)]])
def test_decisions_and_their_candidates_are_bounded_together(listed):
    task = vector_task(20, 10_000)
    sets = CandidateSets(task, Catalogue(task))
    options = [NO_OPTIONS if listed is None else NO_OPTIONS._replace(actions=listed)] * 1001
    if listed:
        assert len(sets.of(options).candidates.ids) == 10
    else:
        with pytest.raises(InvalidInput, match="1,001 contexts with 10,000 different candidates altogether: too many"):
            sets.of(options)


def test_duplicate_event_ids_in_a_request_are_refused():
    with pytest.raises(InvalidInput, match="an event_id occurs twice"):
        read_predict_request(orjson.dumps({"instances": [{"observation": [1], "event_id": "a"}] * 2}))


def test_the_logged_sample_is_determined_by_the_event_ids(splits):
    recommender, count, sample_rate = LoggingRecommender(sample_rate=0.3), 4000, 0.3
    for start in range(0, count, 1000):
        recommender.predict(splits[0], {"instances": instances(1000, start)})
    logged = recommender.decisions()
    assert abs(len(logged) - sample_rate * count) < 4 * np.sqrt(count * sample_rate * (1 - sample_rate))
    assert {row["logging_probability"] for row in logged.values()} == {sample_rate}
    request = {"instances": [instance | {"event_id": f"mine-{n}"} for n, instance in enumerate(instances(50))]}
    [first], logged_ids = recommender.predict(splits[0], request), recommender.decisions().keys()
    restarted = LoggingRecommender(sample_rate=0.3)
    assert restarted.predict(splits[0], request) == [first]
    assert restarted.decisions().keys() == logged_ids
    assert 0 < len(logged_ids) < 50


REQUEST_ID = "0123456789abcdef"


def named(row, **keys):
    return {"instances": [instances(1, seed=row)[0] | keys]}


@pytest.mark.parametrize(
    "changed",
    [
        named(2, event_id="e"),
        named(1, event_id="e", action=3),
        named(1, event_id="e", exclude=["4"]),
        named(1, event_id="e", deferred=True),
        named(1, event_id="e", user="u"),
        named(1, event_id="e", explain=True),
    ],
)
def test_an_event_id_names_one_observation_with_its_options(splits, changed):
    recommender, first = LoggingRecommender(), named(1, event_id="e")
    [answer] = recommender.predict(splits[0], first)
    [conflict] = recommender.predict(splits[1], changed)
    assert isinstance(conflict, IdConflict)
    assert "event_id = 'e'" in str(conflict)
    assert recommender.predict(splits[1], first) == [answer]
    [decision] = recommender.decisions().values()
    assert decision["action"] == str(answer[0]["action"])


def test_an_external_action_is_part_of_what_an_event_id_names(splits):
    recommender = LoggingRecommender()
    recommender.predict(splits[0], named(1, event_id="e", action=3))
    [conflict] = recommender.predict(splits[0], named(1, event_id="e", action=4))
    assert isinstance(conflict, IdConflict)


@pytest.mark.parametrize("rows", [[2], [1, 2], [2, 1], []])
def test_a_request_id_names_all_its_observations(splits, rows):
    recommender = LoggingRecommender()
    first = {"instances": instances(3), "parameters": {"request_id": REQUEST_ID}}
    [answers] = recommender.predict(splits[0], first)
    changed = first | {"instances": [first["instances"][row] for row in rows] or instances(4)}
    [conflict] = recommender.predict(splits[0], changed)
    assert isinstance(conflict, IdConflict)
    assert "request_id" in str(conflict)
    assert recommender.predict(splits[1], first) == [answers]


def test_a_request_id_names_its_observations_with_their_event_ids(splits):
    recommender, parameters = LoggingRecommender(), {"parameters": {"request_id": REQUEST_ID}}
    [answer] = recommender.predict(splits[0], named(1, event_id="e") | parameters)
    [conflict] = recommender.predict(splits[0], named(2, event_id="f") | parameters)
    assert isinstance(conflict, IdConflict)
    assert recommender.predict(splits[1], named(1, event_id="e")) == [answer]


def test_conflicting_ids_of_one_batch_are_found(splits):
    recommender = LoggingRecommender()
    first, conflict, same = recommender.predict(
        splits[0], named(1, event_id="e"), named(2, event_id="e"), named(1, event_id="e")
    )
    assert isinstance(conflict, IdConflict)
    assert first == same
    assert len(recommender.decisions()) == 1


def test_event_ids_and_request_ids_never_collide(splits):
    """An event_id of any text names another decision than any row of a request; its draws are others, too."""
    recommender = LoggingRecommender()
    [[of_request]] = recommender.predict(splits[0], named(1) | {"parameters": {"request_id": REQUEST_ID}})
    for event_id in (REQUEST_ID, f"{REQUEST_ID} 0", f"request {REQUEST_ID} 0"):
        [[of_event]] = recommender.predict(splits[0], named(2, event_id=event_id))
        assert of_event["event_id"] == event_id
    [conflict] = recommender.predict(splits[0], named(2, event_id=of_request["event_id"]))
    assert isinstance(conflict, IdConflict)


def test_the_same_numbers_written_otherwise_are_the_same_observation(splits):
    recommender = LoggingRecommender()
    [answer] = recommender.predict(splits[0], {"instances": [{"observation": [1] * 20, "event_id": "e"}]})
    context = {"context": {"observation": [1.0] * 20}, "event_id": "e"}
    assert recommender.predict(splits[1], {"instances": [context]}) == [answer]
