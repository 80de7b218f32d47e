"""The command line's help with examples, its version, and the config with its sources and schema."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib

import jsonschema_rs
import pytest
import typer
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.pipelines.cli.options import DEFAULT_CONFIG
from banditloop.rl_core.config import Config
from banditloop.rl_core.config_defaults import REGISTRIES
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from banditloop.rl_core.settings.registry import registered_parts
from tests.conftest import make_config

GROUPS = {
    "run": ["artifacts", "cancel", "list", "logs", "show", "start", "submit", "watch"],
    "release": ["promote", "report", "rollback", "show", "traffic", "versions"],
    "policy": ["show"],
    "config": ["schema", "show"],
    "schedule": ["create", "delete", "list", "pause", "resume"],
    "dead-letters": ["list", "replay"],
    "cloud": ["down", "plan", "up"],
}
COMMANDS = [
    "compile",
    "evaluate",
    "export-components",
    "import",
    "init",
    "loop",
    "play",
    "prune",
    "repair",
    "serve",
    "status",
    "train",
    "tune",
    "upgrade",
    "warehouse",
]
GOOGLE = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}


def run(*words, **environment):
    """The result of a command, in this process and on a wide terminal."""
    variables = {ENVIRONMENT_VARIABLE: None, "COLUMNS": "200", "TERMINAL_WIDTH": "200"} | environment
    result = CliRunner().invoke(app, list(map(str, words)), env=variables, prog_name="banditloop")
    assert result.exit_code == 0, result
    assert result.stderr == ""
    return result.stdout


def commands(group, *path):
    """The paths of all commands and groups, such as ("release", "versions")."""
    for name, command in group.commands.items():
        yield (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)


PATHS = list(commands(typer.main.get_command(app)))


def test_the_commands_are_complete():
    members = {(name, member) for name, group in GROUPS.items() for member in group}
    assert set(PATHS) == {(name,) for name in [*COMMANDS, *GROUPS]} | members


@pytest.mark.parametrize("path", [(), *PATHS], ids=" ".join)
def test_every_command_and_group_has_help_with_an_example(path):
    _, example = " ".join(run(*path, "--help").split()).split("Example: ", 1)
    assert " ".join(["banditloop", *path]) in example


def test_the_program_prints_help_and_version():
    for option, words in (
        ("--help", ["Example:", "--install-completion", "release", "dead-letters"]),
        ("--version", [f"banditloop {importlib.metadata.version('banditloop')}\n"]),
    ):
        command = [sys.executable, "-m", "banditloop.pipelines", option]
        result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True)
        assert all(word in result.stdout for word in words)
        assert result.stderr == ""


def test_config_show_names_the_source_of_every_key(tmp_path):
    path = tmp_path / "loop.toml"
    path.write_text("[agent]\nname = 'linucb'\nl2 = 2\n[environment]\nname = 'movielens'\n[reward]\ndefault = 0.0")
    keys = json.loads(run("config", "show", "-c", path, "--json"))
    assert keys["agent.name"] == {"value": "linucb", "source": "file"}
    assert keys["agent.l2"] == {"value": 2.0, "source": "file"}
    assert keys["agent.alpha"] == {"value": 1.0, "source": "default"}
    assert keys["reward.default"] == {"value": 0.0, "source": "file"}  # even if it equals the default
    assert keys["backend.name"] == {"value": "local", "source": "default"}
    assert keys["bus.publish_seconds"] == {"value": 0.1, "source": "backend"}
    assert keys["bus.lease_seconds"]["source"] == "default"
    assert keys["task.actions"] == {"value": 20, "source": "simulator"}
    assert {row["source"] for row in keys.values()} == {"file", "default", "backend", "simulator"}
    sections = {name: keys for name, keys in Config.load(path).model_dump(mode="json").items() if keys is not None}
    assert keys.keys() == {f"{name}.{key}" for name, section in sections.items() for key in section}
    assert {key: row["value"] for key, row in keys.items()} == {
        f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()
    }
    assert all(key in run("config", "show", "-c", path) for key in keys)


def test_config_show_shows_a_config_without_an_environment(tmp_path):
    (tmp_path / "loop.toml").write_text("[task]\nactions = ['a', 'b']\n[task.context]\nage = 'number'")
    keys = json.loads(run("config", "show", "-c", tmp_path / "loop.toml", "--json"))
    assert keys["task.actions"] == {"value": ["a", "b"], "source": "file"}
    assert keys["task.context"] == {"value": {"age": "number"}, "source": "file"}
    assert keys["task.reward_range"] == {"value": [0.0, 1.0], "source": "default"}
    assert keys["backend.root"] == {"value": str(tmp_path / "build" / "loop"), "source": "default"}
    assert not [key for key in keys if key.startswith("environment.")]


def test_config_show_names_the_environment_and_the_backend_as_sources(tmp_path):
    values = {"agent": {"name": "linucb"}, "environment": {"name": "movielens"}, "backend": GOOGLE}
    keys = json.loads(run("config", "show", "--json", **{ENVIRONMENT_VARIABLE: json.dumps(values)}))
    assert keys["backend.project"] == {"value": "a-project", "source": "environment"}
    assert keys["bus.publish_seconds"] == {"value": 2.0, "source": "backend"}
    values["bus"] = {"publish_seconds": 3.0}
    keys = json.loads(run("config", "show", "--json", **{ENVIRONMENT_VARIABLE: json.dumps(values)}))
    assert keys["bus.publish_seconds"] == {"value": 3.0, "source": "environment"}


def test_the_schema_allows_what_the_config_allows(tmp_path):
    schema = json.loads(run("config", "schema"))
    validator = jsonschema_rs.validator_for(schema)
    shipped = tomllib.loads(DEFAULT_CONFIG.read_text())
    kinds = {"age": "number", "device": ["phone", "tablet"], "history": {"vector": 20}}
    task = {"actions": {"table": "a.parquet", "id": "article"}, "context": kinds, "reward_range": [0, 1]}
    own = make_config(tmp_path).to_dict(), make_config(tmp_path, backend=GOOGLE).to_dict(), {"task": task}
    for values in (shipped, *own):
        validator.validate(values)
    assert validator.is_valid(shipped | {"agent": {"name": "mine.agents:Mine", "anything": 1}})
    for section, values in (
        ("agent", {"name": "linucb", "alhpa": 1}),
        ("agent", {"name": "nobody"}),
        ("agent", {"alpha": 1.0}),
        ("environment", {"name": "linucb"}),
        ("backend", {"name": "google"}),
        ("backend", {"project": "a-project"}),
        ("reward", {"attribution_window_seconds": 0}),
        ("nonsense", {}),
        ("task", {"actions": "many"}),
        ("task", {"context": {"age": "numbr"}}),
    ):
        assert not validator.is_valid(shipped | {section: values}), (section, values)
    assert not validator.is_valid({"agent": {"name": "linucb"}})  # neither a task nor an environment


def test_the_schema_has_every_key_with_its_description():
    schema = json.loads(run("config", "schema"))
    assert schema["properties"].keys() == Config.model_fields.keys()
    for section, (registry, base) in REGISTRIES.items():
        parts = registered_parts(registry, section)
        choices = schema["$defs"][base.__name__]["oneOf"][:-1]
        assert [choice["properties"]["name"]["const"] for choice in choices] == list(parts)
        for choice, part in zip(choices, parts.values(), strict=True):
            keys = schema["$defs"][choice["$ref"].rpartition("/")[2]]["properties"]
            assert {key: field.description for key, field in part.model_fields.items()} == {
                key: content.get("description") for key, content in keys.items()
            }
