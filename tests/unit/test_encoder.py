"""The encoder: the same numbers from the log and from requests, and what it finds in a log."""

import string

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.features.encoder import Encoder
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.task import Task

KINDS = {
    "age": "number",
    "income": "number",
    "member": "boolean",
    "country": "category",
    "device": ["phone", "tablet"],
    "interests": "categories",
    "history": {"vector": 3},
}
TASK = Task.parse({"actions": ["a", "b"], "context": KINDS}, "task")
number = st.floats(-1e6, 1e6)
word = st.text(string.ascii_letters, min_size=1, max_size=3)
context = st.fixed_dictionaries(
    {},
    optional={
        "age": st.none() | number,
        "income": st.none() | number,
        "member": st.none() | st.booleans(),
        "country": st.none() | word,
        "device": st.none() | st.sampled_from(["phone", "tablet"]),
        "interests": st.none() | st.lists(word, max_size=4),
        "history": st.none() | st.lists(number, min_size=3, max_size=3),
    },
)


def encoder_of(rows) -> Encoder:
    return Encoding.unfitted(TASK).context.fit(pa.array(rows, TASK.context_type))


def typical(rows: int, seed: int = 0) -> list[dict]:
    random = np.random.default_rng(seed)
    countries = ["DE", "FR", "US", *(f"X{number}" for number in range(200))]
    shares = np.array([0.5, 0.3, 0.1, *[0.1 / 200] * 200])
    return [
        {
            "age": float(random.normal(40, 12)),
            "income": float(random.lognormal(10, 1)),
            "member": bool(random.random() < 0.3),
            "country": str(random.choice(countries, p=shares)),
            "device": str(random.choice(["phone", "tablet"])),
            "interests": [str(word) for word in random.choice(["news", "sport", "music"], 2, replace=False)],
            "history": random.normal(5, 2, size=3).tolist(),
        }
        for _ in range(rows)
    ]


ENCODERS = [Encoding.unfitted(TASK).context, encoder_of(typical(500))]


@pytest.mark.parametrize("encoder", ENCODERS, ids=["unfitted", "fitted"])
@given(rows=st.lists(context, max_size=6))
def test_the_log_and_requests_are_encoded_alike_to_the_last_bit(encoder, rows):
    from_log = encoder.encode(pa.array(rows, TASK.context_type))
    assert from_log.dtype == np.float32
    assert from_log.shape == (len(rows), encoder.dim)
    assert from_log.tobytes() == encoder.encode_rows(rows).tobytes()
    assert from_log.tobytes() == b"".join(encoder.encode_rows([row]).tobytes() for row in rows)
    assert np.abs(from_log).max(initial=0) <= (10 if encoder.fitted_rows else 1e6)


def test_an_encoder_is_the_same_after_it_was_saved():
    encoder = ENCODERS[1]
    read = Encoder.model_validate_json(encoder.model_dump_json())
    rows = typical(200, seed=1)
    assert read == encoder
    assert read.encode_rows(rows).tobytes() == encoder.encode_rows(rows).tobytes()


def test_frequent_categories_have_columns_and_the_others_share_some():
    names = ENCODERS[1].names
    assert {"country=DE", "country=FR", "country=US"} <= set(names)
    assert "country=other 3" in names
    assert sum(name.startswith("country=X") for name in names) < 30
    encoder, other = ENCODERS[1], {"country": "never seen"}
    row = dict(zip(encoder.names, encoder.encode_rows([other])[0], strict=True))
    assert sum(value for name, value in row.items() if name.startswith("country=other")) == 1
    assert sum(value for name, value in row.items() if name.startswith("country=")) == 1


def test_numbers_are_standardised_and_skewed_ones_made_uniform():
    encoded = ENCODERS[1].encode_rows(typical(5000, seed=2))
    columns = dict(zip(ENCODERS[1].names, encoded.T, strict=True))
    for name in ("age", "income", "history[0]"):
        assert columns[name].mean() == pytest.approx(0, abs=0.2), name
        assert columns[name].std() == pytest.approx(1, abs=0.15), name
    income = next(feature for feature in ENCODERS[1].features if feature.name == "income")
    age = next(feature for feature in ENCODERS[1].features if feature.name == "age")
    assert income.knots
    assert not age.knots
    uniform = np.histogram(columns["income"], bins=5, range=(-(3**0.5), 3**0.5))[0] / 5000
    assert uniform == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("rows", [200, 20_000])
def test_what_is_found_does_not_depend_on_the_size_of_the_sample(rows):
    random = np.random.default_rng(0)
    for numbers, skewed in ((random.normal(size=rows), False), (random.exponential(size=rows) ** 2, True)):
        encoder = encoder_of([{"age": float(value)} for value in numbers])
        assert bool(encoder.features[0].knots) == skewed


def test_a_widened_encoder_tells_apart_what_no_policy_has_observed_yet():
    """The income, which is skewed, and vectors, up to ten times their largest distance from the mean."""
    values = pa.array(typical(300), TASK.context_type)
    fitted = Encoder.unfitted(TASK.context).fit(values)
    wide = fitted.widened(values)
    assert wide.names == fitted.names
    rows = values.to_pylist()
    income, vector = max(row["income"] for row in rows), max(row["history"][0] for row in rows)
    farther = [{"income": factor * income, "history": [factor * vector] * 3} for factor in (1.5, 2.0, 3.0)]
    for name in ("income", "history[0]"):
        column = fitted.names.index(name)
        assert (np.diff(wide.encode_rows(farther)[:, column]) > 0.1).all(), name
    assert (np.diff(fitted.encode_rows(farther)[:, fitted.names.index("income")]) == 0).all()
    assert np.abs(wide.encode(values)).max() == 1.0
    np.testing.assert_array_equal(wide.encode_rows([{}]), fitted.encode_rows([{}]))


def test_missing_values_have_a_column_of_their_own():
    encoder = ENCODERS[1]
    [empty], [null] = encoder.encode_rows([{}]), encoder.encode_rows([dict.fromkeys(KINDS)])
    assert empty.tobytes() == null.tobytes()
    ones = {name for name, value in zip(encoder.names, empty, strict=True) if value}
    assert ones == {"constant", *(f"{name}=missing" for name in KINDS)}
    assert encoder.encode_rows([{"interests": []}]).tobytes() == empty.tobytes()


def test_constant_and_empty_columns_are_no_trouble():
    encoder = encoder_of([{"age": 7.0}] * 10)
    assert np.isfinite(encoder.encode_rows([{"age": 7.0}, {"age": 1e6}, {}])).all()
    assert np.isfinite(encoder_of([{}] * 3).encode_rows(typical(10))).all()


def test_a_plain_vector_is_used_as_it_is():
    task = Task.parse({"actions": 3, "context": {"observation": {"vector": 2}}})
    encoder = Encoding.unfitted(task).context
    vectors = np.array([[1e5, -2.5], [0.1, 3.0]], np.float32)
    assert encoder.dim == 2
    assert not encoder.is_fitted
    assert encoder.encode_vectors(vectors, "observation") is vectors
    rows = [{"observation": vector} for vector in vectors.tolist()]
    np.testing.assert_array_equal(encoder.encode(pa.array(rows, task.context_type)), vectors)


def test_plain_vectors_and_named_features_are_read_by_each_others_encoders():
    """A task may get more features than its vector, or keep only that: policies of before still serve."""
    plain = Encoding.unfitted(Task.parse({"actions": 3, "context": {"history": {"vector": 3}}})).context
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows = [{"history": vector, "age": 30.0} for vector in vectors.tolist()]
    np.testing.assert_array_equal(plain.encode_rows(rows), vectors)
    np.testing.assert_array_equal(plain.encode_rows([{"age": 30.0}]), [[0, 0, 0]])
    named = ENCODERS[1]
    from_vectors = named.encode_vectors(vectors, "history")
    assert from_vectors.tobytes() == named.encode_rows([{"history": row["history"]} for row in rows]).tobytes()
    np.testing.assert_array_equal(plain.encode_vectors(vectors, "another"), np.zeros((4, 3)))


def test_the_kinds_of_an_encoder_are_those_of_its_task():
    for encoder in ENCODERS:
        assert (
            Task.parse({"context": {name: _plain(kind) for name, kind in encoder.kinds.items()}}).context
            == TASK.context
        )


def _plain(kind):
    return kind if isinstance(kind, str | list) else kind.model_dump()


def test_a_task_without_features_has_a_constant_only():
    task = Task.parse({"actions": ["a", "b"]})
    encoder = Encoding.unfitted(task).context
    assert encoder.names == ["constant"]
    np.testing.assert_array_equal(encoder.encode_rows([{}, {}]), [[1], [1]])
    np.testing.assert_array_equal(encoder.encode(pa.array([{}, {}], task.context_type)), [[1], [1]])


def test_actions_join_at_the_end_sorted_and_keep_their_positions():
    encoding = Encoding.unfitted(TASK).with_actions(["c", "a", "aa"])
    assert encoding.action_ids == ("a", "b", "aa", "c")
    assert encoding.with_actions(["b"]) is encoding
    numbered = Encoding.unfitted(Task.parse({"actions": 3})).with_actions(["5", "1"])
    assert numbered.action_ids == tuple("012345")
    assert numbered.with_actions(["007"]).action_ids == (*"012345", "007")
    assert numbered.with_actions(["sport"]).action_ids == (*"012345", "sport")  # the task names its actions now
    assert orjson.loads(numbered.model_dump_json())["actions"] == 6
