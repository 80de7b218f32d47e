"""The evaluation of any table of logged decisions: estimates, segments, diagnostics and power."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import evaluate
from banditloop.rl_core.estimators.power import interactions_needed
from banditloop.rl_core.estimators.segments import segments

ARMS = ["a", "b", "c"]
LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
MEANS = np.array([0.1, 0.2, 0.3])  # of rewards, by arm; 0 outside DE


def made_up(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A log in whose country DE alone actions earn anything."""
    random = np.random.default_rng(seed)
    actions, country = random.choice(3, rows, p=LOGGING), random.choice(["DE", "FR"], rows)
    rewards = (random.random(rows) < MEANS[actions] * (country == "DE")).astype(float)
    columns = {"reward": rewards, "arm": np.array(ARMS)[actions], "propensity": LOGGING[actions]}
    columns |= {"target": TARGET[actions], "country": country.astype(object), "age": random.integers(18, 80, rows)}
    columns |= {f"p_{arm}": np.full(rows, p) for arm, p in zip(ARMS, LOGGING, strict=True)}
    return columns | {f"t_{arm}": np.full(rows, p) for arm, p in zip(ARMS, TARGET, strict=True)}


WHOLE = {"action": "arm", "target": {arm: f"t_{arm}" for arm in ARMS}}


@pytest.mark.parametrize("library", [dict, pa.table])
def test_columns_are_read_by_name_from_any_table(library):
    columns = made_up(2000)
    by_name = evaluate(library(columns), by=["country"]).summary
    given = evaluate({}, **{name: columns[name] for name in ("reward", "propensity", "target")}).summary
    assert by_name["estimates"] == given["estimates"]
    assert by_name["mean_reward"] == columns["reward"].mean()


def test_the_truth_is_in_the_interval_and_the_difference_is_to_what_the_log_earned():
    summary = evaluate(made_up(20_000), features=["country", "age"], max_weight=5, **WHOLE).summary
    truth, earned = TARGET @ MEANS / 2, LOGGING @ MEANS / 2
    for name in ("ips", "snips", "dr", "dros"):
        row = summary["estimates"][name]
        assert row["low"] < truth < row["high"]
        assert row["value"] == pytest.approx(truth, abs=4 * row["standard_error"])
    assert summary["difference"]["low"] < truth - earned < summary["difference"]["high"]
    assert summary["baseline"] == "the log"
    uniform = evaluate(made_up(20_000), baseline={arm: np.full(20_000, 1 / 3) for arm in ARMS}, **WHOLE).summary
    assert uniform["difference"]["value"] == pytest.approx(truth - MEANS.mean() / 2, abs=0.02)
    assert uniform["baseline_estimates"]["ips"]["value"] == pytest.approx(MEANS.mean() / 2, abs=0.02)


def test_segments_by_text_and_by_number_show_where_the_policies_differ():
    rows = {row["segment"]: row for row in evaluate(made_up(20_000), by=["country", "age"]).summary["segments"]}
    assert list(rows)[:2] == ["country = DE", "country = FR"]
    assert rows["country = DE"]["difference_low"] > 0
    assert rows["country = FR"]["value"] == 0
    assert len(rows) == 2 + 4
    assert sum(row["fraction"] for name, row in rows.items() if "age" in name) == pytest.approx(1)


def test_missing_values_are_a_segment_and_rare_ones_are_others():
    log = made_up(3000)
    log["country"][:100] = None
    log["page"] = np.array([f"page {row % 40}" for row in range(3000)], object)
    found = [row["segment"] for row in evaluate(log, by=["country", "page"]).summary["segments"]]
    assert found[:3] == ["country = DE", "country = FR", "country missing"]
    assert len(found) == 3 + 13
    assert found[-1] == "page: others"


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("start", [0, 1_234_567, 1_767_225_600])
def test_parts_of_numbers_have_labels_of_their_own_and_hold_every_row_once(start, scale):
    """Numbers that differ in late digits only, such as Unix times; short labels are as before."""
    numbers = scale * (start + np.random.default_rng(0).permutation(100))
    parts = segments("x", numbers)
    assert len(parts) == 4
    assert (sum(members.astype(int) for members in parts.values()) == 1).all()
    if start == 0 and scale == 1:
        assert list(parts) == ["x < 24.75", "24.75 <= x < 49.5", "49.5 <= x < 74.25", "x >= 74.25"]


@pytest.mark.parametrize("zeros", [0, 1, 24, 26, 40, 60, 86])
@pytest.mark.filterwarnings("error")
def test_no_segment_is_empty_however_often_the_smallest_number_occurs(zeros):
    log = {name: values[:100] for name, values in made_up(100).items()} | {"weight": np.linspace(1, 2, 100)}
    for others in (np.arange(100) + 1, np.arange(100) // 7 + 1):
        log["visits"] = np.where(np.arange(100) < zeros, 0, others)
        rows = evaluate(log, by=["visits"], sample_weight="weight").summary["segments"]
        assert all(row["interactions"] > 0 for row in rows)
        assert sum(row["interactions"] for row in rows) == 100


@pytest.mark.parametrize("digits", [4, 5, 15])
@pytest.mark.parametrize("actions", [3, 7])
def test_rounded_probabilities_sum_to_1_and_pass_the_audit(actions, digits):
    """Whether the propensity was rounded, too, or not; propensities of another policy still fail."""
    random = np.random.default_rng(0)
    exact = random.dirichlet(np.full(actions, 20.0), 500)
    chosen = np.array([random.choice(actions, p=row) for row in exact])
    rounded, rows = exact.round(digits), np.arange(500)
    log = {"reward": np.ones(500), "action": chosen, "propensity": rounded[rows, chosen]}
    given = {"target": rounded, "action": "action", "probabilities": rounded}
    for propensity, passes in (
        (rounded, True),
        (rounded / rounded.sum(axis=1, keepdims=True), True),
        (0.9 * exact, False),
    ):
        summary = evaluate(log | {"propensity": propensity[rows, chosen]}, **given).summary
        assert summary["audit"]["passes"] == passes
        assert summary["diagnostics"]["alarm"] != passes
    uniform = {"reward": np.ones(500), "propensity": np.full(500, round(1 / actions, digits))}
    assert not evaluate(uniform, target=np.full(500, 1 / actions)).summary["diagnostics"]["alarm"]
    whole = {"action": "action", "features": np.ones((500, 1))}
    exactly, nearly = (evaluate(log, target=scale * exact, **whole).summary["estimates"] for scale in (1, 1.0009))
    assert nearly["direct"]["value"] == pytest.approx(exactly["direct"]["value"])


def test_wrong_propensities_raise_the_alarm():
    right = evaluate(made_up(5000), probabilities={arm: f"p_{arm}" for arm in ARMS}, **WHOLE).summary
    assert right["audit"]["passes"]
    assert not right["diagnostics"]["alarm"]
    log = made_up(5000) | {"propensity": np.full(5000, 1 / 3)}
    wrong = evaluate(log, probabilities={arm: np.full(5000, 1 / 3) for arm in ARMS}, **WHOLE)
    assert not wrong.summary["audit"]["passes"]
    assert wrong.summary["diagnostics"]["alarm"]
    assert "FAILS" in str(wrong)


def test_the_power_is_what_was_asked_for():
    """Of 400 logs of the size that finds the true difference with a probability of .8, so many find it."""
    truth, found = (TARGET - LOGGING) @ MEANS / 2, 0
    needed = evaluate(made_up(50_000), detect=truth).summary["detect"]["interactions"]
    for seed in range(400):
        log = made_up(needed, seed + 1)
        terms = (log["target"] / log["propensity"] - 1) * log["reward"]
        found += abs(terms.mean()) > stats.norm.ppf(0.975) * terms.std() / math.sqrt(needed)
    assert found / 400 == pytest.approx(0.8, abs=0.06)  # three standard errors
    assert interactions_needed(1.0, 0.1) == math.ceil((1.959964 + 0.841621) ** 2 / 0.01)


def test_a_log_without_variance_names_no_number_of_interactions():
    log = {"reward": [1.0] * 30, "propensity": [0.5] * 30, "target": [0.5] * 30}
    evaluation = evaluate(log, detect=0.01)
    assert evaluation.summary["detect"]["interactions"] is None
    assert "no number of interactions that detect a difference of 0.01: nothing varies here" in str(evaluation)


def test_rewards_are_told_in_their_units():
    log = made_up(5000)
    scaled = evaluate(log | {"reward": 10 * log["reward"] - 2}, reward_range=(-2, 8), detect=0.5).summary
    plain = evaluate(log, detect=0.05).summary
    for name, factor, shift in (("value", 10, -2), ("low", 10, -2), ("standard_error", 10, 0)):
        assert scaled["estimates"]["snips"][name] == pytest.approx(factor * plain["estimates"]["snips"][name] + shift)
    assert scaled["detect"]["standard_deviation"] == pytest.approx(10 * plain["detect"]["standard_deviation"], rel=0.3)


def test_decisions_that_were_sampled_count_by_their_weight():
    log, random = made_up(20_000), np.random.default_rng(1)
    kept = np.where(log["country"] == "DE", 0.2, 1.0)
    rows = random.random(20_000) < kept
    sampled = {name: values[rows] for name, values in log.items()} | {"weight": 1 / kept[rows]}
    summary = evaluate(sampled, sample_weight="weight", by=["country"]).summary
    assert summary["estimates"]["ips"]["value"] == pytest.approx(TARGET @ MEANS / 2, abs=0.02)
    assert summary["segments"][0]["fraction"] == pytest.approx(0.5, abs=0.03)


def test_the_table_has_at_most_80_columns():
    log = made_up(2000) | {"segment": np.array(["a value of many words that is long, and more"] * 2000, object)}
    text = str(evaluate(log, features=["country"], by=["segment", "age"], detect=0.01, **WHOLE))
    assert max(map(len, text.splitlines())) <= 80
    assert "interactions detect a difference of 0.01 with a power of 80%" in text


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"reward": "rewrd"}, r"reward = 'rewrd': the log has no such column; did you mean 'reward'\?"),
        ({"reward": [0.5, 2.0]}, {}, "reward, row 1: 2: is outside the range 0 to 1"),
        ({"reward": [0.5, None]}, {}, "reward = 'reward', row 1: None: give a finite number"),
        ({"reward": [0.5, math.nan]}, {}, "reward = 'reward', row 1: nan: give a finite number"),
        ({"propensity": [0.5, 0.0]}, {}, "propensity, row 1: 0: must be above 0 and at most 1"),
        ({"target": [0.5, 1.5]}, {}, "target, row 1: 1.5: a probability is from 0 to 1"),
        ({"arm": ["a", "x"]}, WHOLE, "action, row 1: 'x' is none of the 3 actions"),
        ({}, {"target": WHOLE["target"]}, "action: give the column of the logged action"),
        ({}, {"features": ["age"]}, "features: a reward model needs the probabilities of all actions"),
        ({"t_a": [0.1, 0.5]}, WHOLE, "target, sum, row 1: 1.4: the probabilities of all actions sum to 1"),
        ({}, WHOLE | {"baseline": {"a": "t_a", "x": "t_b"}}, "baseline: has the actions a, x; target has a, b, c"),
        ({}, WHOLE | {"baseline": np.full((2, 2), 0.5)}, "probabilities: 2 and 3 actions; give those of the same ones"),
        ({}, {"detect": -0.1}, r"detect = -0.1: give a difference above 0"),
        ({}, {"level": 95}, r"level = 95: must be above 0 and below 1"),
        ({"reward": ["0.5", "x"]}, {}, "reward = 'reward', row 1: 'x': give a finite number"),
        ({"reward": ["0.5", "0.5"], "propensity": ["nan", "x"]}, {}, "propensity', row 0: 'nan': give a finite number"),
        ({}, WHOLE | {"baseline": np.array([[1, 0, 0], [0, "x", 1]], object)}, r"baseline, row 1: \[0, 'x', 1\]: give"),
        ({}, {"sample_weight": [1.0, 0.0]}, "sample_weight, row 1: 0: an inverse logging probability must be above 0"),
        ({}, {"propensity": [0.5]}, "propensity: of length 1; give one value for each of 2 decisions"),
        ({}, {"target": [0.5] * 3}, "target: of length 3; give one value for each of 2 decisions"),
        ({"t_a": [0.1]}, WHOLE, "target.t_a|target.a: of length 1; give one value for each of 2 decisions"),
        ({}, WHOLE | {"action": ["a"]}, "action: of length 1; give one value for each of 2 decisions"),
        ({}, WHOLE | {"features": np.ones((3, 2))}, "features: of length 3; give one value for each of 2 decisions"),
        ({"age": [20]}, WHOLE | {"features": ["age"]}, "age: of length 1; give one value for each of 2 decisions"),
        ({}, {"sample_weight": [1.0]}, "sample_weight: of length 1; give one value for each of 2 decisions"),
        ({}, {"by": {"x": [1, 2, 3]}}, "by.x: of length 3; give one value for each of 2 decisions"),
        ({}, {"by": "county"}, "by = 'county': the log has no such column; did you mean 'country'"),
    ],
)
def test_wrong_input_is_named(change, arguments, message):
    log = {name: values[:2] for name, values in made_up(2).items()} | {k: np.array(v) for k, v in change.items()}
    with pytest.raises(InvalidInput, match=message):
        evaluate(log, **arguments)


def test_one_column_is_given_by_its_name_alone():
    log = made_up(500)
    assert evaluate(log, by="country").summary == evaluate(log, by=["country"]).summary
    assert evaluate(log, features="age", **WHOLE).summary == evaluate(log, features=["age"], **WHOLE).summary
