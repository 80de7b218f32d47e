"""The log of Google's sample becomes ours, once, and right or not at all."""

import json

import numpy as np
import pyarrow as pa
import pytest
from tf_agents.trajectories import trajectory

from pipelines.importing import vertex_sample
from rl_core.backends import connect
from rl_core.errors import InvalidInput
from rl_core.estimators.audit import audited
from rl_core.schema import INTERACTION

BATCHES, USERS = 40, 8


@pytest.fixture
def sample(config, tmp_path):
    """Config and table as the sample's generator writes it: batches of TF-Agents trajectories as JSON lines."""
    random, environment = np.random.default_rng(0), config.environment
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with (tmp_path / "table.json").open("w") as file:
        for _ in range(BATCHES):
            observation = environment.observe(USERS, random)
            action = random.integers(environment.actions, size=USERS)
            reward = environment.reward(observation, action, [str(user) for user in range(USERS)]).astype(np.float32)
            step = trajectory.single_step(observation, action, (), reward, np.ones(USERS, np.float32))
            row = {
                "step_type": np.asarray(step.step_type).tolist(),
                "observation": [{"observation_batch": one} for one in step.observation.tolist()],
                "action": step.action.tolist(),
                "policy_info": [],
                "next_step_type": np.asarray(step.next_step_type).tolist(),
                "reward": step.reward.tolist(),
                "discount": step.discount.tolist(),
            }
            file.write(json.dumps(row) + "\n")
    return tmp_path / "table.json", tmp_path / "config.json"


def read(config) -> pa.Table:
    warehouse = connect(config).warehouse
    return pa.Table.from_batches(audited(warehouse.interactions(warehouse.window(None))), INTERACTION)


def test_every_user_of_every_batch_is_an_interaction_once(config, sample, capsys):
    for added in (BATCHES * USERS, 0):
        vertex_sample(*sample, as_json=True)
        assert json.loads(capsys.readouterr().out) == {"added": added, "known": BATCHES * USERS - added}
    found = read(config)
    rows = [json.loads(line) for line in sample[0].read_text().splitlines()]
    users = [
        (observed["observation_batch"], action, reward)
        for row in rows
        for observed, action, reward in zip(row["observation"], row["action"], row["reward"], strict=True)
    ]
    columns = [found[name].to_pylist() for name in ("observation", "action", "reward")]
    assert sorted(zip(*columns, strict=True)) == sorted(users)
    assert set(found["propensity"].to_pylist()) == {1 / config.environment.actions}


def test_what_another_policy_chose_is_known_for_the_applications(config, sample):
    vertex_sample(*sample, chosen=True, as_json=True)
    found = read(config)
    assert found.num_rows == BATCHES * USERS
    assert set(found["policy_version"].to_pylist()) == {"application"}
    assert set(found["propensity"].to_pylist()) == {1.0}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no JSON", r"line 41: Invalid JSON"),
        ('{"observation": [], "action": []}', r"line 41\.reward: Field required"),
        ('{"observation": [], "action": [1], "reward": [1.0]}', "not of the same number of users"),
        ('{"observation": [{"observation_batch": [1]}], "action": [1], "reward": [1]}', "a list of 20 numbers"),
        (
            json.dumps({"observation": [{"observation_batch": [0.0] * 20}], "action": [20], "reward": [1]}),
            "action = 20",
        ),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_imported(config, sample, line, words):
    with sample[0].open("a") as file:
        file.write(line)
    with pytest.raises(InvalidInput, match=words):
        vertex_sample(*sample)
    assert connect(config).warehouse.totals() == []
