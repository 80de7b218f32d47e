"""The import of the Vertex AI sample's log: complete, idempotent, and all or nothing."""

import json

import numpy as np
import pyarrow as pa
import pytest

from banditloop.pipelines.cli.import_log import import_
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import audit_propensities
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.promotion.transitions import ensure_champion
from tests.conftest import make_config

BATCHES, USERS = 40, 8


def vertex_sample(files, config_file, logging_policy="uniform", as_json=False):
    import_(files, format="vertex-sample", logging_policy=logging_policy, config=config_file, as_json=as_json)


@pytest.fixture
def sample(config, tmp_path):
    """Config and table as the sample's generator writes it: batches of TF-Agents trajectories as JSON lines."""
    import banditloop.rl_core.tf  # noqa: F401

    # isort: split
    from tf_agents.trajectories import trajectory

    random, environment = np.random.default_rng(0), config.environment
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with (tmp_path / "table.json").open("w") as file:
        for _ in range(BATCHES):
            contexts = environment.observe(USERS, random)
            [observation] = contexts.values()
            action = random.integers(config.task.actions, size=USERS)
            reward = environment.reward(contexts, action, [str(user) for user in range(USERS)]).astype(np.float32)
            step = trajectory.single_step(observation, action, (), reward, np.ones(USERS, np.float32))
            row = {
                "step_type": np.asarray(step.step_type).tolist(),
                "observation": [{"observation_batch": row} for row in step.observation.tolist()],
                "action": step.action.tolist(),
                "policy_info": [],
                "next_step_type": np.asarray(step.next_step_type).tolist(),
                "reward": step.reward.tolist(),
                "discount": step.discount.tolist(),
            }
            file.write(json.dumps(row) + "\n")
    return [tmp_path / "table.json"], tmp_path / "config.json"


def read(config) -> pa.Table:
    warehouse = connect(config).warehouse
    interactions = audit_propensities(warehouse.interactions(warehouse.window(None)))
    return pa.Table.from_batches(interactions, interaction_schema(config.task))


def test_every_user_of_every_batch_is_imported_once(config, sample, capsys):
    for added in (BATCHES * USERS, 0):
        vertex_sample(*sample, as_json=True)
        assert json.loads(capsys.readouterr().out) == {"added": added, "duplicate": BATCHES * USERS - added}
    interactions = read(config)
    rows = [json.loads(line) for line in sample[0][0].read_text().splitlines()]
    users = [
        (observed["observation_batch"], str(action), reward)
        for row in rows
        for observed, action, reward in zip(row["observation"], row["action"], row["reward"], strict=True)
    ]
    observations = [context[config.task.plain] for context in interactions["context"].to_pylist()]
    columns = [observations, *(interactions[name].to_pylist() for name in ("action", "reward"))]
    assert sorted(zip(*columns, strict=True)) == sorted(users)
    assert set(interactions["propensity"].to_pylist()) == {1 / config.task.actions}


def test_decisions_of_an_unknown_policy_are_imported_as_the_applications(config, sample):
    vertex_sample(*sample, logging_policy="unknown", as_json=True)
    interactions = read(config)
    assert interactions.num_rows == BATCHES * USERS
    assert set(interactions["policy_version"].to_pylist()) == {"application"}
    assert set(interactions["propensity"].to_pylist()) == {1.0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no JSON", r"line 41: Invalid JSON"),
        ('{"observation": [], "action": []}', r"line 41\.reward: Field required"),
        ('{"observation": [], "action": [1], "reward": [1.0]}', "differ in their numbers of users"),
        (
            '{"observation": [{"observation_batch": [1]}], "action": [1], "reward": [1]}',
            "observation: give 20 numbers per user",
        ),
        (
            json.dumps({"observation": [{"observation_batch": [0.0] * 20}], "action": [20], "reward": [1]}),
            "action = 20: give 0 to 19",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(config, sample, line, message):
    with sample[0][0].open("a") as file:
        file.write(line)
    with pytest.raises(InvalidInput, match=message):
        vertex_sample(*sample)
    assert connect(config).warehouse.policy_totals() == []


def test_a_task_with_named_features_is_refused(config, sample, tmp_path):
    values = make_config(tmp_path, task={"actions": 20, "context": {"age": "number"}}).to_dict()
    del values["environment"]
    sample[1].write_text(json.dumps(values))
    with pytest.raises(InvalidInput, match=r"observations are one vector and its actions are numbers; give a task"):
        vertex_sample(*sample)


def test_equal_rows_in_several_files_of_an_export_are_kept_apart(config, sample, tmp_path, capsys):
    """The second file repeats the first, as users who visit twice; in which order the files come does not matter."""
    [first], config_file = sample
    second = tmp_path / "second.json"
    second.write_text(first.read_text())
    for files, added in (([first, second], 2 * BATCHES * USERS), ([second, first], 0)):
        vertex_sample(files, config_file, as_json=True)
        assert json.loads(capsys.readouterr().out)["added"] == added
    assert read(config).num_rows == 2 * BATCHES * USERS
    with pytest.raises(InvalidInput, match=r"table\.json: is given twice"):
        vertex_sample([first, second, tmp_path / "." / "table.json"], config_file)


def test_a_task_that_the_log_contradicts_is_refused(config, sample):
    files, config_file = sample
    vertex_sample(files, config_file, as_json=True)
    ensure_champion(config, connect(config).endpoint)
    task = {"actions": 20, "context": {"observation": {"vector": 21}}}
    config_file.write_text(json.dumps({"task": task, "backend": {"root": config.backend.root}}))
    with pytest.raises(InvalidInput, match=r"task\.context\.observation = {vector = 21}: the policy random"):
        vertex_sample(files, config_file)
