"""The README's commands run, its numbers hold, and it documents every config key and event field."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from pydantic_core import PydanticUndefined

from banditloop import pipelines
from banditloop.rl_core.agents import AGENTS
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import ENVIRONMENTS
from banditloop.rl_core.events.schema import REWARD, interaction_schema
from banditloop.rl_core.settings.backend import BACKENDS, Backend
from tests.conftest import vector_task
from tests.support.processes import wait_until

README_CONFIG = Path(pipelines.__file__).parent / "configs" / "movielens.toml"
README = (Path(__file__).parents[2] / "README.md").read_text()
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readmes_commands_run_and_the_demo_reaches_its_values(tmp_path):
    """The demo must reach these values, as served and greedy, on one endpoint."""
    for block in blocks("sh"):
        subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=os.environ | {"PATH": PATH}, check=True, timeout=400)
    summary = json.loads((tmp_path / "build" / "demo" / "summary.json").read_text())
    assert summary["endpoints"] == ["movielens"]
    assert [round(summary[name], 2) for name in ("uniform", "best_fixed", "oracle")] == [0.88, 2.38, 4.57]
    assert summary["versions"][-1]["greedy_value"] >= 4.5
    assert summary["versions"][-1]["value"] >= 4.3
    assert sum(version["interactions"] for version in summary["versions"]) == 100 + 600 * 7
    [champion] = [version for version in summary["versions"] if version["status"] == "champion"]
    assert champion["value"] >= 4.1
    assert len([version for version in summary["versions"] if version["status"] == "was champion"]) >= 2
    assert len(list((tmp_path / "build" / "components").glob("*.yaml"))) == 5
    report = json.loads((tmp_path / "build" / "report" / "report.json").read_text())
    assert {row["decision"] for row in report["verdicts"]} >= {"canary", "promote"}
    assert report["versions"][-1]["low"] < report["versions"][-1]["mean_reward"] < report["versions"][-1]["high"]
    assert report["alarms"] == []

    config = README_CONFIG.read_text()
    (tmp_path / "loop.toml").write_text(config)
    command = [Path(sys.executable).parent / "banditloop", "serve", "-c", "loop.toml"]
    with subprocess.Popen(command, cwd=tmp_path) as serving:
        status_command = [*command[:1], "status", "--json", "-c", "loop.toml"]

        def status() -> dict:
            return json.loads(subprocess.check_output(status_command, cwd=tmp_path))

        wait_until(lambda: status()["serving"])
        before = sum(version["rewarded"] for version in status()["versions"])
        [block] = blocks("python")
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True, timeout=60)
        wait_until(lambda: sum(version["rewarded"] for version in status()["versions"]) == before + 1)
        serving.send_signal(signal.SIGTERM)


UNSET = (None, PydanticUndefined)


def rows() -> list[str]:
    """The rows that the README's tables must contain."""
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    sections |= {f"backend ({name})": section for name, section in BACKENDS.items()}
    sections |= {f"environment ({name})": section for name, section in ENVIRONMENTS.items()}
    sections |= {f"agent ({name})": section for name, section in AGENTS.items()}
    keys = [
        f"| {name} | {key} | {f'`{field.default}`' if field.default not in UNSET else ''} | {field.description} |"
        for name, section in sections.items()
        if name not in ("environment", "agent")
        for key, field in section.model_fields.items()
        if (key != "name" or name == "reward") and not (key in Backend.model_fields and name.startswith("backend ("))
    ]
    interaction = interaction_schema(vector_task())
    fields = {field.name: field for field in [*interaction, *(f for f in REWARD if f.name not in interaction.names)]}
    return keys + [
        f"| {name} | {type_name(field.type)} | {field.metadata[b'description'].decode()} |"
        for name, field in fields.items()
    ]


def type_name(kind: pa.DataType) -> str:
    """The name of a field's type; the fields of structs are the task's."""
    if pa.types.is_list(kind):
        return f"list<item: {type_name(kind.value_type)}>"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def test_the_readme_documents_every_config_key_and_event_field():
    missing = [row for row in rows() if row not in README]
    assert not missing, "\n".join(missing)
