"""The command `banditloop upgrade`: what it says, which tasks it refuses, and that it creates nothing by itself."""

import json

import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import make_config
from tests.support import version_2
from tests.support.version_2 import BATCHES, ROWS, TASK


@pytest.fixture
def root(tmp_path):
    """The folder of a warehouse of version 2."""
    version_2.write_local(tmp_path / "loop" / "warehouse")
    return tmp_path / "loop" / "warehouse"


def test_the_command_says_what_it_copied(root, tmp_path):
    config = make_config(tmp_path, task=TASK.model_dump())
    environment = {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    texts = [CliRunner().invoke(app, ["upgrade"], env=environment).stdout for _ in range(2)]
    assert texts == [f"copied {BATCHES * ROWS} decisions\n", "nothing to upgrade\n"]
    result = CliRunner().invoke(app, ["upgrade", "--json"], env=environment)
    assert json.loads(result.stdout) == {"copied": 0}


@pytest.mark.parametrize(
    "task",
    [
        {"actions": 3, "context": {"age": "number"}},
        {"actions": ["a", "b", "c"], "context": {"observation": {"vector": 4}}},
    ],
)
def test_a_task_of_other_features_or_actions_is_refused(root, tmp_path, task):
    before = sorted(root.rglob("*"))
    with pytest.raises(InvalidInput, match="whose context is one vector and whose actions are numbers"):
        connect(make_config(tmp_path, task=task)).warehouse.upgrade()
    assert sorted(root.rglob("*")) == before


def test_reading_an_unupgraded_warehouse_creates_nothing(root, tmp_path):
    before = sorted(root.rglob("*"))
    with pytest.raises(InvalidInput, match="banditloop upgrade"):
        connect(make_config(tmp_path, task=TASK.model_dump())).warehouse.window(None)
    assert sorted(root.rglob("*")) == before


def test_reading_an_empty_warehouse_creates_nothing(tmp_path):
    warehouse = connect(make_config(tmp_path)).warehouse
    assert warehouse.upgrade() == warehouse.window(None).interactions == 0
    assert warehouse.policy_totals() == []
    assert warehouse.event_counts().received == {"decisions": 0, "rewards": 0}
    assert not (tmp_path / "loop").exists()
