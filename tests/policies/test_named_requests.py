"""Requests of a task with named contexts and actions: checked by name, answered, explained and logged."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events import examples
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import decision_schema, interaction_schema
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.predict_request import read_predict_request
from banditloop.rl_core.serving.recommender import Recommender
from banditloop.rl_core.serving.traffic_split import LoadedPolicy, TrafficSplit
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.training.training import table_features
from tests.conftest import EVERY_KIND, make_config

VALUES = {
    "actions": ["politics", "sport", "music"],
    "context": EVERY_KIND,
    "action_features": {"price": "number", "topic": "category"},
}
TASK = Task.parse(VALUES, "task")
VISITOR = {"age": 30, "country": "DE", "device": "phone", "interests": ["chess"], "history": [1, 2.5], "member": True}


class Endpoint:
    """A recommender of the random policy, with what it logged."""

    def __init__(self, values=VALUES, folder=None, table=None) -> None:
        self.task, self.logged = Task.parse(values, "task"), []
        self.catalogue = Catalogue(self.task, table)
        self.recommender = Recommender(self.task, self.catalogue, self.logged.append)
        self.split = TrafficSplit(LoadedPolicy(random_policy(self.task, folder)))

    def predict(self, *instances):
        """One prediction per instance, or the error."""
        request = read_predict_request(orjson.dumps({"instances": list(instances)}))
        [answers] = self.recommender.predict(self.split, [request])
        if isinstance(answers, InvalidInput):
            raise answers
        return answers

    def decisions(self):
        """What was logged since the last call, as the logger reads it."""
        rows = [row for events in self.logged for row in decode(decision_schema(self.task), events).to_pylist()]
        self.logged.clear()
        return rows


def random_policy(task, folder) -> SavedPolicy:
    config = make_config(folder).model_copy(update={"task": task})
    endpoint = FolderEndpoint(folder / "random")
    ensure_champion(config, endpoint)
    return SavedPolicy.load(folder / "random")


class FolderEndpoint:
    """As much of an endpoint as the first champion needs."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def release(self):
        return None

    def add(self, folder):
        folder.rename(self.folder) if not self.folder.exists() else None
        folder.mkdir(exist_ok=True)

    def set_release(self, expected, new):
        return True


@pytest.fixture
def endpoint(tmp_path):
    return Endpoint(folder=tmp_path)


def test_a_context_by_name_is_answered_and_logged_by_name(endpoint):
    [answer] = endpoint.predict({"context": VISITOR, "user": "u1"})
    assert answer.keys() == {"event_id", "action", "propensity", "policy_version"}
    assert answer["action"] in VALUES["actions"]
    [row] = endpoint.decisions()
    assert row["context"] == VISITOR | {"age": 30.0, "history": [1.0, 2.5]}
    assert (row["action"], row["candidates"]) == (answer["action"], VALUES["actions"])
    assert row["probabilities"] == pytest.approx([1 / 3] * 3)
    assert row["assignment_share"] == 1.0


@pytest.mark.parametrize("context", [{}, {"age": None}, {"country": "never seen"}, {"interests": []}])
def test_missing_and_unseen_values_are_legal(endpoint, context):
    endpoint.predict({"context": context})
    [row] = endpoint.decisions()
    assert row["context"]["member"] is None
    assert row["context"]["country"] == context.get("country")


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"context": {"agee": 3}}, "context 0: agee: is no feature of the task; did you mean 'age'?"),
        ({"context": {"age": "3"}}, "context.0.age = '3'"),
        ({"context": {"age": True}}, "context.0.age = True"),
        ({"context": {"age": 1e7}}, "context.0.age = 1"),
        ({"context": {"member": 1}}, "context.0.member = 1"),
        ({"context": {"device": "watch"}}, "'phone' or 'tablet'"),
        ({"context": {"history": [1.0]}}, "context.0.history"),
        ({"context": {"interests": "chess"}}, "context.0.interests"),
        ({"observation": [1.0]}, "context.0 = [1.0]"),
        ({"context": {}, "actions": ["sprot"]}, "action 'sprot': is unknown; did you mean 'sport'?"),
        ({"context": {}, "actions": ["sport", "sport"]}, "'sport' occurs twice"),
        ({"context": {}, "actions": [{"price": 1}]}, "None is no id"),
        ({"context": {}, "actions": [{"id": "sport", "pirce": 1}]}, "pirce: is no feature of the task; did you mean"),
        ({"context": {}, "exclude": ["sport", "music", "politics"]}, "leaves no action to choose"),
        ({"context": {}, "exclude": ["Sport"]}, "action 'Sport': is unknown; did you mean 'sport'?"),
        ({"context": {}, "action": "art"}, "context 0: action = 'art': is not one of the 3 candidates"),
    ],
)
def test_what_does_not_fit_the_task_is_named(endpoint, instance, message):
    with pytest.raises(InvalidInput) as error:
        endpoint.predict(instance)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert endpoint.decisions() == []


def test_candidates_may_be_listed_with_features_and_excluded(endpoint):
    actions = ["music", {"id": "sport", "price": 3.5}, {"id": "politics", "topic": "eu", "price": None}]
    answers = endpoint.predict(*[{"context": {}, "actions": actions, "exclude": ["music"], "explain": True}] * 50)
    assert {answer["action"] for answer in answers} == {"sport", "politics"}
    assert answers[0]["probabilities"] == {"sport": 0.5, "politics": 0.5}
    row = endpoint.decisions()[0]
    assert row["candidates"] == ["politics", "sport"]  # in the order of the catalogue
    assert row["candidate_features"] == [{"price": None, "topic": "eu"}, {"price": 3.5, "topic": None}]


def test_features_stay_with_their_candidates_whatever_the_order_in_each_request(endpoint):
    actions = [{"id": "sport", "price": 1}, {"id": "music", "price": 2}]
    endpoint.predict({"context": {}, "actions": actions}, {"context": {}, "actions": actions[::-1]})
    for row in endpoint.decisions():
        prices = {"sport": 1.0, "music": 2.0}
        assert [prices[action] for action in row["candidates"]] == [f["price"] for f in row["candidate_features"]]


def test_the_application_may_choose_itself(endpoint):
    [answer] = endpoint.predict(
        {"context": VISITOR, "action": "music", "actions": ["music", "politics"], "probabilities": [0.75, 0.25]}
    )
    assert (answer["action"], answer["propensity"]) == ("music", 0.75)
    modes = {row["mode"]: row for row in endpoint.decisions()}
    assert modes.keys() == {"external", "shadow"}
    assert modes["external"]["candidates"] == ["politics", "music"]
    assert modes["external"]["probabilities"] == [0.25, 0.75]


@pytest.mark.parametrize("actions", [VALUES["actions"], "open"])
def test_a_keyed_answer_does_not_depend_on_the_candidates_of_other_requests(tmp_path, actions):
    endpoint, others = Endpoint(VALUES | {"actions": actions}, tmp_path), ["music", "politics"]
    for number in range(50):
        keyed = {"context": {}, "actions": ["sport", "music"], "event_id": f"{number}"}
        [alone] = endpoint.predict(keyed)
        endpoint.recommender._answers = KnownAnswers()
        *_, beside = endpoint.predict(*[{"context": {}, "actions": others}] * 3, keyed)
        assert beside == alone


def test_decisions_of_an_episode_are_logged_with_their_steps(endpoint):
    endpoint.predict({"context": {}, "episode_id": "e1", "step": 0}, {"context": {}, "episode_id": "e1", "step": 1})
    assert [(row["episode_id"], row["step"]) for row in endpoint.decisions()] == [("e1", 0), ("e1", 1)]


def test_an_open_task_takes_whatever_candidates_requests_list(tmp_path):
    endpoint = Endpoint(VALUES | {"actions": "open"}, tmp_path)
    [answer] = endpoint.predict({"context": {}, "actions": ["a", "b"]})
    assert answer["action"] in ("a", "b")
    with pytest.raises(InvalidInput, match="actions: are missing; the task has no list of them"):
        endpoint.predict({"context": {}})
    thousand = [f"article {number}" for number in range(1000)]
    [answer] = endpoint.predict({"context": {}, "actions": thousand})
    assert answer["propensity"] == pytest.approx(0.001)
    with pytest.raises(InvalidInput, match="at most 1000 items"):
        endpoint.predict({"context": {}, "actions": [*thousand, "one more"]})


def test_too_many_named_actions_must_be_listed_whatever_else_is_in_the_batch(tmp_path):
    """A row lists its candidates: one of more than 1,000 could not be logged."""
    endpoint = Endpoint(VALUES | {"actions": [f"a{number}" for number in range(1001)]}, tmp_path)
    for instances in ([{"context": {}}], [{"context": {}, "actions": ["a1", "a2"]}, {"context": {}}]):
        with pytest.raises(InvalidInput, match="1,001 candidates: at most 1,000 are allowed; send a shortlist"):
            endpoint.predict(*instances)
    endpoint.predict({"context": {}, "actions": ["a1", "a2"]})
    assert len(endpoint.decisions()) == 1


def test_features_of_numbered_actions_are_logged_with_them(tmp_path):
    endpoint = Endpoint(VALUES | {"actions": 2}, tmp_path)
    [answer] = endpoint.predict({"context": {}, "actions": [{"id": 0, "price": 1}, {"id": 1, "price": 2}]})
    assert answer["action"] in (0, 1)
    [row] = endpoint.decisions()
    assert row["candidates"] == ["0", "1"]
    assert [features["price"] for features in row["candidate_features"]] == [1, 2]


def test_a_table_of_actions_is_read_again_when_it_changes(tmp_path):
    contents = [pa.table({"article": ["a", "b"]}), None, pa.table({"article": [7, 8, 9]})]
    values = VALUES | {"actions": {"table": "articles.csv", "id": "article"}}
    endpoint = Endpoint(values, tmp_path, lambda name: contents.pop(0))
    for expected in ({"a", "b"}, {"a", "b"}, {"7", "8", "9"}):
        answers = endpoint.predict(*[{"context": {}}] * 60)
        assert {answer["action"] for answer in answers} == expected
        endpoint.catalogue._next_refresh = 0.0
        if contents:
            endpoint.catalogue.refresh()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_row_without_an_id_is_no_action(tmp_path, suffix):
    """An empty cell of CSV is an empty text, and not null."""
    path = tmp_path / f"articles.{suffix}"
    rows = [{"article": "a", "price": 1.0}, {"article": "", "price": 2.0}, {"article": "b", "price": 3.0}]
    if suffix == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist([*rows, {"article": None, "price": 4.0}]), path)
    elif suffix == "csv":
        path.write_text("article,price\n" + "".join(f"{row['article']},{row['price']}\n" for row in rows))
    else:
        path.write_text("".join(orjson.dumps(row).decode() + "\n" for row in rows))
    task = Task.parse(VALUES | {"actions": {"table": str(path), "id": "article"}})
    assert Catalogue(task, TableFile().read).actions.ids == ("a", "b")
    assert table_features(task, TableFile().read).keys() == {"a", "b"}


def test_numbered_actions_are_answered_as_numbers_and_may_be_given_as_such(tmp_path):
    endpoint = Endpoint(VALUES | {"actions": 4}, tmp_path)
    answers = endpoint.predict(
        {"context": {}, "explain": True},
        {"context": {}, "actions": [3, "1"]},
        {"context": {}, "exclude": [0, 1, 2]},
        {"context": {}, "action": 2},
    )
    assert answers[2]["action"] == 3
    assert answers[3]["action"] == 2
    assert answers[1]["action"] in (1, 3)
    assert answers[0]["probabilities"] == {str(number): 0.25 for number in range(4)}
    rows = {row["event_id"]: row for row in endpoint.decisions()}
    assert rows[answers[0]["event_id"]]["candidates"] == []
    assert sorted(rows[answers[1]["event_id"]]["candidates"]) == ["1", "3"]
    assert rows[answers[2]["event_id"]]["candidates"] == ["3"]


def test_a_task_without_features_needs_an_empty_context(tmp_path):
    endpoint = Endpoint({"actions": ["a", "b"]}, tmp_path)
    [answer] = endpoint.predict({"context": {}})
    assert answer["action"] in ("a", "b")
    [row] = endpoint.decisions()
    assert row["context"] == {"none": None}
    with pytest.raises(InvalidInput, match="age: is no feature of the task; the task has none"):
        endpoint.predict({"context": {"age": 1}})


def test_training_sees_what_serving_saw_bit_for_bit(tmp_path):
    """From a request's JSON through the log's and through examples, by an encoder that was fitted."""
    random = np.random.default_rng(0)
    contexts = [
        {
            "age": float(random.normal(40, 12)),
            "member": bool(random.random() < 0.5),
            "country": str(random.choice(["DE", "FR", f"X{random.integers(100)}"])),
            "device": str(random.choice(["phone", "tablet"])),
            "interests": [str(random.choice(["chess", "go"]))] * int(random.integers(2)),
            "history": random.lognormal(0, 3, size=2).clip(0, 1e6).tolist(),
        }
        for _ in range(300)
    ]
    encoder = Encoding.unfitted(TASK).context.fit(pa.array(contexts, TASK.context_type))
    endpoint = Endpoint(folder=tmp_path)
    served = []
    endpoint.recommender._reader = Spy(endpoint.recommender._reader, served)
    endpoint.predict(*({"context": context} for context in contexts))
    table = decode(decision_schema(TASK), endpoint.logged[0])
    rewards = pa.array([1.0] * len(contexts))
    schema = interaction_schema(TASK)
    examples.write_examples(
        table.append_column(schema.field("reward"), rewards).to_batches(max_chunksize=70), tmp_path / "examples"
    )
    [read] = examples.read_examples(examples.example_files(tmp_path / "examples"), TASK)
    trained = encoder.encode(read["context"].combine_chunks())
    assert trained.tobytes() == encoder.encode_rows(served).tobytes()
    assert len(np.unique(trained, axis=0)) > 250


class Spy:
    """A reader of contexts that keeps what it has read."""

    def __init__(self, reader, served) -> None:
        self.reader, self.served, self.vector = reader, served, None

    def read(self, contexts):
        """The contexts that policies encode."""
        self.served += (result := self.reader.read(contexts))
        return result

    def row(self, context):
        """The context as it is logged."""
        return self.reader.row(context)
