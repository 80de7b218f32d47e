"""The task that a log implies: kinds of features, actions, the range of rewards, and columns by their usual names."""

import json
import math
from datetime import datetime

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from banditloop.pipelines.cli.infer_task import infer_actions, infer_features, infer_range
from banditloop.pipelines.cli.read_log import choose_column, read_log
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.names import ACTION_NAMES, REWARD_NAMES
from banditloop.rl_core.settings.feature_kinds import Vector
from tests.support.reagent import ROWS as REAGENT
from tests.support.reagent import write as write_reagent

ROWS = 40
ACTIONS = ["a", "b", "c", "d"] * 10


def features(**columns):
    """The features of a log with these columns and four actions."""
    return infer_features(pa.table({"action": ACTIONS, "reward": [0, 1] * 20} | columns), "action", "reward")


def number_of(row):
    return float(row * row)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False, True, True, False] * 8, "boolean"),
        ([0, 1, 1, 1, 0] * 8, "boolean"),
        ([0.0, 1.0, 1.0, 1.0, 0.0] * 8, "boolean"),
        ([0, 1, 2, 3, 7] * 8, "number"),
        ([-1000000, 1, 2, 3, 1000000] * 8, "number"),
        (["x" * 256, "b", "c", "d", "e"] * 8, "category"),
        ([number_of(row) for row in range(ROWS)], "number"),
        ([*map(number_of, range(ROWS - 1)), None], "number"),
        (["de", "fr", "de", "us", None] * 8, "category"),
        ([["x"], ["x", "y"], [], None, ["z"]] * 8, "categories"),
        ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.5]] * 20, Vector(vector=3)),
    ],
)
def test_a_column_is_a_feature_of_the_kind_that_its_values_have(values, kind):
    assert features(column=values).kinds == {"column": kind}


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("column", [f"id {row}" for row in range(ROWS)], "looks like an id"),
        ("column", list(range(1000, 1000 + ROWS)), "looks like an id"),
        ("store_id", [3, 5, 9, 12, 3] * 8, "looks like an id"),
        ("user_id", [f"u{row % 15}" for row in range(ROWS)], "send it as `user`"),
        ("column", [datetime(2026, 1, 1 + row % 9) for row in range(ROWS)], "is a time"),
        ("created_at", [1.7e9 + row * row for row in range(ROWS)], "is a time"),
        ("propensity", [0.1, 0.2, 0.3, 0.4, 1.0] * 8, "probability of the action"),
        ("revenue", [0.0, 0.0, 9.5, 1.0, 2.0] * 8, "looks like a reward"),
        ("topic", ["t1", "t2", "t1", "t1"] * 10, "depends on the action only"),
        ("column", ["same"] * ROWS, "are the same"),
        ("column", [None] * ROWS, "is empty"),
        ("column", [[1.0], [1.0, 2.0]] * 20, "neither of texts nor of numbers in equal number"),
        ("column", [{"nested": 1}, {"nested": 2}] * 20, "it holds struct"),
        ("9 lives", [1, 2, 3, 4, 5] * 8, "name is made of letters"),
        ("column", [1, 2, 3, 4, 1000001] * 8, "has values beyond 1,000,000; scale it"),
        ("column", [1, 2, 3, 4, -(2**60)] * 8, "has values beyond 1,000,000; scale it"),
        ("column", [1.0, 2.0, 3.0, 4.0, math.inf] * 8, "has values beyond 1,000,000; scale it"),
        ("column", [[1.0, 2.0], [1.0, 2e6]] * 20, "has values beyond 1,000,000; scale it"),
        ("column", [[1.0, 2.0], [1.0, None]] * 20, "neither of texts nor of numbers in equal number"),
        ("column", ["a", "b", "x" * 257, "c", "d"] * 8, "has texts of more than 256 characters"),
        ("column", [["a"], ["b", "x" * 257]] * 20, "has texts of more than 256 characters"),
        ("column", [["a"], ["b"] * 1001] * 20, "has lists of more than 1,000 texts"),
    ],
)
def test_a_column_that_is_no_feature_is_left_out_with_the_reason(name, values, reason):
    inferred = features(**{name: values})
    assert inferred.kinds == {}
    assert inferred.notes[name].startswith("left out: ")
    assert reason in inferred.notes[name]


def test_a_name_that_sql_cannot_have_is_changed_and_a_second_one_left_out():
    inferred = features(**{"Age (years)": [1, 2, 3, 4, 5] * 8, "age_YEARS": [5, 4, 3, 2, 1] * 8})
    assert inferred.kinds == {"Age_years": "number"}
    assert inferred.notes["Age (years)"] == "is called Age_years"
    assert "has the name of another feature" in inferred.notes["age_YEARS"]


def test_examples_are_contexts_of_the_log_without_what_is_missing():
    inferred = features(age=[1.23456, 1.23456, None, 7.0, 8.0] * 8, old=[0, 0, 1, 1, 1] * 8)
    assert inferred.examples == [{"age": 1.235, "old": False}, {"old": True}]


@pytest.mark.parametrize(
    ("values", "actions"),
    [
        (["b", "a", "b", None], ["a", "b"]),
        ([2, 0, 1, 1, None], 3),
        ([3, 7, 7], ["3", "7"]),
        ([True, False], ["false", "true"]),
        ([f"a{number}" for number in range(1001)], "open"),
    ],
)
def test_actions_are_the_distinct_values_or_their_number(values, actions):
    assert infer_actions(pa.chunked_array([values])) == actions


@pytest.mark.parametrize(
    ("values", "range_"),
    [
        ([True, False], [0, 1]),
        ([0, 1, 1, None], [0, 1]),
        ([0, 0], [0, 1]),
        ([1, 3, 5], [0, 5]),  # with 0, which a decision without a reward has
        ([0.0, 37.25], [0, 40]),
        ([-2.5, 11.0], [-10, 20]),
        ([0.03, 0.71], [0, 0.8]),
        ([-3, -1], [-3, 0]),
    ],
)
def test_the_range_of_rewards_is_rounded_outwards_and_has_zero(values, range_):
    assert infer_range(pa.chunked_array([values])) == range_


@pytest.mark.parametrize(
    ("infer", "values", "message"),
    [
        (infer_actions, ["a", "a"], "fewer than two actions"),
        (infer_actions, [0.5, 1.5], "holds double"),
        (infer_range, ["good", "bad"], "holds string"),
        (infer_range, [0, 1000001], "--reward: the column has values beyond 1,000,000; scale it"),
        (infer_range, [-(2**60), 1], "--reward: the column has values beyond"),
        (infer_range, [0.0, math.inf], "--reward: the column has values beyond"),
    ],
)
def test_a_column_that_cannot_be_the_action_or_the_reward_is_refused(infer, values, message):
    with pytest.raises(InvalidInput, match=message):
        infer(pa.chunked_array([values]))


def test_csv_parquet_and_json_lines_are_read_alike(tmp_path):
    table = pa.table(
        {"action": ACTIONS, "tags": [["x"], ["x", "y"]] * 20, "age": [1.5, None] * 20, "click": [0, 1] * 20}
    )
    rows = table.to_pylist()
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    texts = table.set_column(1, "tags", pa.array([json.dumps(tags) for tags in table["tags"].to_pylist()]))
    pa.csv.write_csv(texts, tmp_path / "log.csv", pa.csv.WriteOptions(delimiter=";"))
    for name in ("log.parquet", "log.jsonl", "log.csv"):
        assert read_log(tmp_path / name).to_pylist() == rows


def test_empty_texts_and_nan_are_missing_in_every_format(tmp_path):
    columns = {"article": ["a", ""], "country": ["", "de"], "tags": [["", "x"], []], "age": [1.5, math.nan]}
    table = pa.table(columns)
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    large = table.set_column(1, "country", table["country"].cast(pa.large_string()))
    pa.parquet.write_table(large, tmp_path / "large.parquet")
    (tmp_path / "log.jsonl").write_text(
        '{"article": "a", "country": "", "tags": ["", "x"], "age": 1.5}\n{"article": "", "country": "de", "tags": []}\n'
    )
    (tmp_path / "log.csv").write_text('article;country;tags;age\na;;["", "x"];1.5\n;de;[];nan\n')
    for name in ("log.parquet", "large.parquet", "log.jsonl", "log.csv"):
        read = read_log(tmp_path / name)
        assert read.select(["article", "country", "age"]).to_pylist() == [
            {"article": "a", "country": None, "age": 1.5},
            {"article": None, "country": "de", "age": None},
        ]
        assert infer_features(read, "article", "none").examples[0] == {"tags": ["x"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.txt", b"", r"give a file of: .csv, .parquet, .jsonl"),
        ("log.csv", b"", "log.csv"),
        ("log.csv", b"a,b\n", "has no rows"),
        ("log.csv", b"\xff\xfe", "log.csv"),
        ("log.parquet", b"nonsense", "log.parquet"),
        ("log.jsonl", b"{", "log.jsonl"),
        ("none.csv", None, "No such file"),
    ],
)
def test_a_file_that_is_no_log_is_refused_with_its_name(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_log(tmp_path / name)


@pytest.mark.parametrize(
    ("columns", "given", "chosen"),
    [
        (["age", "chosen_article_id", "click"], "", "chosen_article_id"),
        (["Action", "article"], "", "Action"),  # the plainest name takes precedence
        (["article", "offer"], "offer", "offer"),
    ],
)
def test_the_column_of_the_action_is_found_by_its_name(columns, given, chosen):
    assert choose_column(columns, given, ACTION_NAMES, "--action") == chosen


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (["age", "thing"], "", "--reward: no column has a usual name; give one of the log's columns: age, thing"),
        (["click", "rating"], "", "--reward: click and rating could be meant; give one of"),
        (["click"], "clack", "--reward 'clack': give one of the log's columns: click"),
    ],
)
def test_an_unclear_column_is_refused_with_all_columns(columns, given, message):
    with pytest.raises(InvalidInput, match=message):
        choose_column(columns, given, REWARD_NAMES, "--reward")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_features_of_reagents_table_are_those_of_its_states(tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    write_reagent(path, REAGENT)
    found = infer_features(read_log(path), "action", "reward")
    assert found.kinds == {"state_features_1": "number", "state_features_2": "number"}
    left_out = {"mdp_id", "sequence_number", "ds", "possible_actions", "action_probability", "metrics.taps"}
    assert set(found.notes) == left_out | {"state_features.1", "state_features.2"}
