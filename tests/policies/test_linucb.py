"""LinUCB's arithmetic: features of very different sizes, and very many arms."""

from fractions import Fraction

import numpy as np
import pytest

from banditloop.rl_core.agents import STATISTICS, WEIGHTS, Batch, linucb, read_arrays, write_arrays
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.whitening import whitening
from banditloop.rl_core.config import Config
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.training.lineage import random_manifest
from tests.conftest import vector_task

ROWS, FLAGGED = 100_000, 8


def raw_and_flag(kind, position, seed=0):
    """Observations [ROWS, 3]: two raw features near 1e6, and at `position` a flag that 8 rows have."""
    random = np.random.default_rng(seed)
    first = 1e6 * random.uniform(0.9, 1, ROWS)
    second = {"equal": first, "close": first + random.normal(size=ROWS), "other": 1e6 * random.uniform(0.9, 1, ROWS)}
    flag = random.permutation(np.arange(ROWS) < FLAGGED)
    return np.insert(np.column_stack([first, second[kind]]), position, flag, axis=1).astype(np.float32), flag * 1.0


def exact_inverse(matrix, l2):
    """The inverse of matrix + λI in rational numbers, by Gauss and Jordan, rounded once."""
    unit = np.eye(len(matrix), dtype=int).tolist()
    ridge = [
        [Fraction(value) + l2 * one for value, one in zip(*pair, strict=True)]
        for pair in zip(matrix, unit, strict=True)
    ]
    rows = [[*row, *map(Fraction, of_unit)] for row, of_unit in zip(ridge, unit, strict=True)]
    for i, row in enumerate(rows):
        rows[i] = pivot = [value / row[i] for value in row]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [value - rows[j][i] * of_pivot for value, of_pivot in zip(rows[j], pivot, strict=True)]
    return np.array([[float(value) for value in row[len(rows) :]] for row in rows])


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("kind", ["equal", "close", "other"])
def test_a_flag_beside_raw_features_near_a_million_keeps_its_weight(kind, position):
    """Its weight is 8 / (8 + λ) = .889: an absolute rounding error of the raw sums, 1e17, would be larger than 8."""
    agent, (observations, flag) = LinUCB(), raw_and_flag(kind, position)
    statistics = agent.update(agent.initial_statistics(3, 2), [Batch(observations, np.zeros(ROWS, int), flag)])
    model, inverse = agent.solve(statistics), exact_inverse(statistics["covariances"][0], 1)
    weights = inverse @ statistics["vectors"][0]
    assert weights[position] == pytest.approx(8 / 9, abs=1e-4)
    assert model.theta[0, position] == pytest.approx(weights[position], abs=1e-6)
    width = np.linalg.norm(model.whitening[position, 0])
    assert width == pytest.approx(np.sqrt(inverse[position, position]), rel=1e-6)
    assert agent.metrics(statistics)["condition_number"] > (1e12 if kind == "close" else 1)


@pytest.mark.parametrize(("arms", "position"), [(100, 0), (100, 99), (300, 299)])
def test_the_condition_number_is_that_of_all_actions_or_of_the_most_tried(arms, position):
    agent, dim = LinUCB(), 100
    statistics = agent.initial_statistics(dim, arms) | {"counts": np.arange(arms)}
    statistics["covariances"][position] = 1e6  # a hundred equal features: eigenvalues of 1e8 and 0, and λ = 1
    assert agent.metrics(statistics)["condition_number"] == pytest.approx(1e8, rel=1e-3)


def test_a_training_solves_only_actions_with_new_interactions_and_new_ones(monkeypatch, tmp_path):
    """Unless its settings differ from its parent's."""
    solved, config = [], Config(task=vector_task(3, 5), agent=LinUCB())
    monkeypatch.setattr(
        linucb, "whitening", lambda covariances, l2: solved.append(len(covariances)) or whitening(covariances, l2)
    )
    batch = Batch(np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) % 5, np.ones(100))
    statistics = config.agent.update(config.agent.initial_statistics(3, 5), [batch])
    encoding, manifest = Encoding.unfitted(config.task), random_manifest(config).model_copy(update={"version": "v1"})
    write_policy(tmp_path / "parent", manifest, statistics, encoding)
    statistics = config.agent.update(config.agent.with_actions(statistics, 6), [batch.take(batch.actions == 2)])
    write_policy(tmp_path / "next", manifest, statistics, encoding, parent=tmp_path / "parent")
    other = manifest.model_copy(update={"agent": LinUCB(l2=2).model_dump()})
    write_policy(tmp_path / "other", other, statistics, encoding, parent=tmp_path / "parent")
    assert solved == [5, 2, 6]
    for name, agent in (("next", LinUCB()), ("other", LinUCB(l2=2))):
        expected, weights = agent.solve(statistics), read_arrays(tmp_path / name / WEIGHTS)
        np.testing.assert_array_equal(weights["theta"], expected.theta)
        np.testing.assert_array_equal(weights["whitening"], expected.whitening)


@pytest.mark.parametrize("damage", ["missing", "cut off", "another number", "of an older version", "of other sizes"])
def test_a_training_solves_everything_if_its_parents_weights_are_damaged(damage, tmp_path):
    (tmp_path / "next").mkdir()
    agent, path = LinUCB(), tmp_path / WEIGHTS
    statistics = agent.initial_statistics(3, 5) | {"counts": np.arange(5)}
    write_arrays(tmp_path / STATISTICS, statistics)
    agent.save(statistics, tmp_path)
    content, weights = path.read_bytes(), read_arrays(path)
    if damage == "missing":
        path.unlink()
    elif damage == "of an older version":
        write_arrays(path, {"theta": weights["theta"]})
    elif damage == "of other sizes":
        write_arrays(path, weights | {"theta": np.ones((5, 1))})
    else:
        path.write_bytes(content[:-700] if damage == "cut off" else content[:-700] + b"1234" + content[-696:])
    agent.save_next(statistics, tmp_path / "next", tmp_path)
    expected, saved = agent.solve(statistics), agent.load(tmp_path / "next")
    np.testing.assert_array_equal(saved.theta, expected.theta)
    np.testing.assert_array_equal(saved.whitening, expected.whitening)


def test_the_exported_policy_sees_a_flag_beside_raw_features_too(tmp_path):
    from banditloop.rl_core.tf import tf

    # isort: split
    from tf_agents.trajectories import time_step

    agent = LinUCB(alpha=0)
    statistics = agent.initial_statistics(3, 5)
    for arm in range(5):  # the last earns most where the flag is set
        observations, flag = raw_and_flag("other", 1, seed=arm)
        batch = Batch(observations, np.full(ROWS, arm), flag * (1 + arm / 10))
        statistics = agent.update(statistics, [batch])
    seen = observations[flag == 1]
    agent.save(statistics, tmp_path)
    agent.export_saved_model(tmp_path, 3, 5)
    policy = tf.saved_model.load(tmp_path)
    chosen = policy.action(time_step.restart(tf.constant(seen), len(seen)), ()).action.numpy()
    np.testing.assert_array_equal(chosen, 4)
    np.testing.assert_array_equal(agent.solve(statistics).greedy_actions(seen), 4)


@pytest.mark.parametrize("arms", [65_535, 65_536, 65_537, 131_073])
def test_interactions_go_to_their_arm_however_many_there_are(arms):
    agent, actions = LinUCB(), np.array([arms - 1, 0, arms - 65_536, arms - 2]) % arms
    batch = Batch(np.full((4, 1), 2, np.float32), actions, np.array([1.0, 2.0, 3.0, 4.0]))
    statistics = agent.update(agent.initial_statistics(1, arms), [batch])
    expected = np.zeros(arms)
    np.add.at(expected, actions, 2 * batch.rewards)
    np.testing.assert_array_equal(statistics["vectors"][:, 0], expected)
    np.testing.assert_array_equal(statistics["counts"], np.bincount(actions, minlength=arms))
