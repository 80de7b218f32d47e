"""A saved policy's propensities are exact, and a damaged policy directory is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.policies.py_tf_eager_policy import SavedModelPyTFEagerPolicy
from tf_agents.trajectories import time_step

from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.rl_core.agents import WEIGHTS, read_arrays
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.observations import check_observations
from banditloop.rl_core.policies.manifest import MANIFEST, read_manifest
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.testing import run_component
from tests.conftest import AGENTS, make_policy
from tests.policies.test_own_pipelines import COLUMNS, CONTEXT, TASK, visits

DRAWS = 40_000


SAVED_MODEL_FILES = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]


@pytest.fixture(scope="module", params=AGENTS, ids=[agent.name for agent in AGENTS])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy"
    make_policy(path, dim=4, actions=4, agent=request.param, saved_model=True)
    return path


def test_propensities_equal_the_action_frequencies(folder):
    policy = SavedPolicy.load(folder)
    observation = np.array([[0.3, -1.0, 0.5, 2.0]], np.float32)
    decisions = policy.decide(np.repeat(observation, DRAWS, axis=0), np.random.default_rng(0).random(DRAWS))
    expected = decisions.probabilities[0]
    frequencies = np.bincount(decisions.actions, minlength=4) / DRAWS
    assert (np.abs(frequencies - expected) < 4 * np.sqrt(expected * (1 - expected) / DRAWS)).all()
    np.testing.assert_array_equal(decisions.propensities, expected[decisions.actions])
    assert np.mean(1 / decisions.propensities) == pytest.approx(4, abs=0.5)  # Σ p·(1/p) over the actions


def test_googles_prediction_container_and_tf_agents_own_loader_read_the_directory_as_it_is(folder):
    """The container by tf.saved_model.load, whose time step is a restart of the lists of a request."""
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    step = time_step.restart(observations.tolist(), tf.constant([50]))
    policy = SavedPolicy.load(folder)
    expected = policy.model.probabilities(observations).argmax(axis=1)
    container = tf.saved_model.load(str(folder))
    np.testing.assert_array_equal(container.action(step).action.numpy(), expected)
    eager = SavedModelPyTFEagerPolicy(str(folder), load_specs_from_pbtxt=True)
    assert [eager.action(time_step.restart(row)).action for row in observations[:10]] == expected[:10].tolist()


@pytest.mark.slow
def test_the_container_takes_the_features_of_a_task_encoded(tmp_path):
    config = TASK | {"policy": {"saved_model": True}}
    pq.write_table(visits(300), tmp_path / "log.parquet")
    ingested = run_component(ingester, config=config, log=str(tmp_path / "log.parquet"), columns=COLUMNS)
    trained = run_component(trainer, config=config, examples=ingested["examples"])
    policy = SavedPolicy.load(Path(trained["policy"].path))
    observations = policy.observations(visits(50, seed=1).select(list(CONTEXT)).to_pylist())
    step = time_step.restart(observations.tolist(), tf.constant([50]))
    container = tf.saved_model.load(trained["policy"].path)
    actions = container.action(step).action.numpy()
    np.testing.assert_array_equal(actions, policy.model.probabilities(observations).argmax(axis=1))
    assert len(set(actions.tolist())) > 1


def test_every_action_has_at_least_its_exploration_probability(folder):
    policy = SavedPolicy.load(folder)
    observations = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    probabilities = policy.probabilities(observations)
    assert probabilities.min() >= 0.1 / 4 * (1 - 1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert set(np.unique(policy.greedy_probabilities(observations))) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ([[1, 2, 3]], "observation 0 has 3 numbers: an observation is a list of 4 numbers"),
        ([[1, 2, 3, 4], [1]], "observation 1 has 1 numbers"),
        ([[1, 2, 3, "4"]], "observation 0: number 3 is '4'"),
        ([[1, 2, 3, None]], "number 3 is None"),
        ([[True, False, True, True]], "number 0 is True"),
        ([[1, 2, 3, [4]]], r"number 3 is \[4\]"),
        ([1, 2, 3, 4], "observation 0 is 1"),
        ([None], "observation 0 is None"),
        ([[1, 2, 3, float("nan")]], "observation 0: number 3 is nan"),
        ([[1, 2, 3, float("inf")]], "number 3 is inf"),
        ([[1, 2, 3, 1e300]], r"number 3 is 1e\+300"),
        ([[1, 2, 3, 1e7]], r"number 3 is 10000000\.0; it must be from -1e\+06 to 1e\+06"),
    ],
)
def test_a_bad_observation_is_named(observations, message):
    with pytest.raises(InvalidInput, match=message):
        check_observations(observations, 4)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "policy")


@pytest.mark.parametrize("name", ["statistics.npz", *SAVED_MODEL_FILES])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_a_corrupt_policy_directory_is_refused_by_file_name(copy, name, damage):
    assert_damage_is_refused(copy, name, damage)


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_corrupt_weights_are_refused(tmp_path, damage):
    make_policy(tmp_path / "policy", dim=4, actions=4)
    assert_damage_is_refused(tmp_path / "policy", WEIGHTS, damage)


def assert_damage_is_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "cut" else with_flipped_bit(content))
    with pytest.raises(InvalidInput, match=name):
        SavedPolicy.load(folder)


@pytest.mark.parametrize("name", ["weights.npz", "assets/words", "variables/elsewhere"])
def test_files_missing_from_the_manifest_are_refused_if_they_would_be_loaded(copy, tmp_path, name):
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"].pop(name, None)
    (copy / MANIFEST).write_text(json.dumps(manifest))
    if name.endswith("elsewhere"):
        (copy / name).symlink_to(tmp_path, target_is_directory=True)
    else:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"")
    with pytest.raises(InvalidInput, match=name):
        SavedPolicy.load(copy)


def test_unknown_files_are_ignored(copy):
    for name in ("Thumbs.db", ".DS_Store", "variables/.DS_Store", "variables/.hidden/file", "notes/words.txt"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("")
    SavedPolicy.load(copy)


def test_models_of_another_agent_or_shape_are_refused_in_one_line(tmp_path):
    make_policy(tmp_path / "linucb", dim=4, actions=4)
    make_policy(tmp_path / "network", dim=4, actions=4, agent=AGENTS[1])
    weights = read_arrays(tmp_path / "linucb" / WEIGHTS)
    (tmp_path / "wrong").mkdir()
    np.savez(tmp_path / "wrong" / WEIGHTS, theta=weights["theta"][:, :3], whitening=weights["whitening"])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / WEIGHTS).write_bytes(b"broken")
    pairs = [(0, "network"), (0, "wrong"), (1, "linucb"), (1, "broken"), (1, "nowhere")]
    for agent, folder in pairs:
        with pytest.raises(InvalidInput, match="not th") as error:
            AGENTS[agent].load(tmp_path / folder)
        assert "\n" not in str(error.value)


def test_a_network_without_its_weights_file_is_read_from_the_statistics(tmp_path):
    """Up to version 0.5.0 it was served through its SavedModel."""
    make_policy(tmp_path / "new", dim=4, actions=4, agent=AGENTS[1])
    older = shutil.copytree(tmp_path / "new", tmp_path / "older")
    manifest = json.loads((older / MANIFEST).read_text())
    (older / WEIGHTS).unlink()
    del manifest["files"][WEIGHTS]
    (older / MANIFEST).write_text(json.dumps(manifest))
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    models = [SavedPolicy.load(tmp_path / name).model for name in ("older", "new")]
    np.testing.assert_array_equal(*(model.expected_rewards(observations) for model in models))


def test_weights_in_an_earlier_layout_are_solved_again(tmp_path):
    """Version 0.1 before November 2026 wrote another layout under another name."""
    copy = tmp_path / "policy"
    make_policy(copy, dim=4, actions=4)
    policy, arrays = SavedPolicy.load(copy), read_arrays(copy / WEIGHTS)
    whitening = arrays.pop("whitening")
    np.savez(copy / WEIGHTS, **arrays, whiteners=whitening.transpose(1, 2, 0))
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"][WEIGHTS] = hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
    (copy / MANIFEST).write_text(json.dumps(manifest))
    for name, array in vars(SavedPolicy.load(copy).model).items():
        np.testing.assert_array_equal(array, getattr(policy.model, name))


def with_flipped_bit(content):
    return content[:50] + bytes([content[50] ^ 1]) + content[51:]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_a_corrupt_manifest_is_refused(copy, text):
    (copy / MANIFEST).write_bytes(text)
    with pytest.raises(InvalidInput, match=r"manifest\.json") as error:
        SavedPolicy.load(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"agent": {"name": "other"}},
        {"exploration": 0},
        {"actions": 5},
        {"dim": 3},
        {"version": "../v1"},
        {"files": {}},
    ],
)
def test_a_changed_manifest_is_refused(copy, change):
    (copy / MANIFEST).write_text(json.dumps(json.loads((copy / MANIFEST).read_text()) | change))
    with pytest.raises(InvalidInput):
        SavedPolicy.load(copy)


def test_a_directory_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="not a policy directory"):
        read_manifest(tmp_path)
    make_policy(tmp_path / "policy")
    with pytest.raises(InvalidInput, match=rf"did you mean {tmp_path}/policy\?"):
        read_manifest(tmp_path)
