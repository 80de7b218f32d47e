"""The exported tree by the rules of kubeflow/pipelines-components, read from its scripts at fab64a9 (July 2026).

Import guard: .github/scripts/check_imports. Metadata and owners: scripts/validate_metadata. Images:
scripts/validate_base_images. README: scripts/generate_readme, whose output the exported files equalled when its scripts
were run on them. Required files: docs/CONTRIBUTING.md.
"""

import ast
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from banditloop.pipelines.hub import export_hub
from banditloop.rl_core.errors import InvalidInput

FILES = {"__init__.py", "component.py", "metadata.yaml", "README.md", "OWNERS"}
FIELDS = ["name", "stability", "dependencies", "tags", "lastVerified"]  # in this order; tags may be left out
ALLOWED_IMAGES = r"ghcr\.io/kubeflow/.*|python:\d+\.\d+.*"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return export_hub(tmp_path_factory.mktemp("hub"), ["octocat"])


def test_every_component_is_in_a_category_with_the_required_files(folders):
    assert [(folder.parent.name, folder.name) for folder in folders] == [
        ("data_processing", "bandit_generator"),
        ("data_processing", "bandit_ingester"),
        ("training", "bandit_trainer"),
        ("evaluation", "bandit_evaluator"),
        ("deployment", "bandit_deployer"),
        ("data_processing", "bandit_planner"),
        ("training", "bandit_accumulator"),
        ("training", "bandit_merger"),
        ("training", "bandit_on_policy_trainer"),
        ("evaluation", "bandit_selector"),
        ("training", "bandit_tuner"),
    ]
    for folder in folders:
        assert {path.name for path in folder.iterdir() if path.is_file()} == FILES
        assert folder.name in (folder.parent / "README.md").read_text()


def test_only_kfp_and_the_standard_library_are_imported_at_the_top(folders):
    for file in (file for folder in folders for file in folder.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {name.partition(".")[0] for name in names} <= {"kfp", "pytest", *sys.stdlib_module_names}


def test_metadata_and_owners_are_valid(folders):
    for folder in folders:
        metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
        assert list(metadata) == FIELDS
        assert metadata["stability"] in ("experimental", "alpha", "beta", "stable")
        assert re.fullmatch(r">=\d+\.\d+\.\d+", metadata["dependencies"]["kubeflow"][0]["version"])
        assert metadata["dependencies"]["kubeflow"][0]["name"] == "Pipelines"
        assert abs(datetime.now(UTC) - metadata["lastVerified"]) < timedelta(days=365)
        assert (folder / "OWNERS").read_text().startswith("approvers:\n- octocat")


def test_images_are_literal_and_of_the_hub_and_all_parameters_are_described_in_args(folders):
    for folder in folders:
        source = (folder / "component.py").read_text()
        [component] = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        [image] = [k.value.value for k in component.decorator_list[0].keywords if k.arg == "base_image"]
        assert re.fullmatch(ALLOWED_IMAGES, image)
        assert max(map(len, source.splitlines())) <= 120
        arguments = ast.get_docstring(component).partition("Args:")[2].partition("Returns:")[0]
        described = re.findall(r"^    (\w+): \S", arguments, re.MULTILINE)
        assert described == [argument.arg for argument in component.args.args]


def test_the_readme_has_a_row_for_every_parameter_and_the_result(folders):
    [deployer] = [folder for folder in folders if folder.name == "bandit_deployer"]
    readme = (deployer / "README.md").read_text()
    assert readme.startswith("# Bandit Deployer ✨\n\n> ⚠️ **Stability: beta** — ")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (\S+) \| \S.* \|$", readme, re.MULTILINE)
    assert rows == [
        ("config", "dict", "`None`"),
        ("policy", "dsl.Input[dsl.Model]", "`None`"),
        ("vertex_model", "dsl.Output[dsl.Artifact]", "`None`"),
        ("vertex_endpoint", "dsl.Output[dsl.Artifact]", "`None`"),
        ("metrics", "dsl.Output[dsl.Metrics]", "`None`"),
        ("decision", "str", "`canary`"),
        ("ungated", "bool", "`False`"),
    ]
    assert "| Output | `str` | Version of the policy on the endpoint. |" in readme
    assert "- **Dependencies**:\n  - Kubeflow:\n    - Name: Pipelines, Version: >=" in readme


def test_the_exported_components_compile_alone(folders):
    """As the hub compiles them, from their own files."""
    for folder in folders:
        names = {}
        exec(compile((folder / "component.py").read_text(), str(folder / "component.py"), "exec"), names)
        assert folder.name.removeprefix("bandit_") in names


def test_without_an_approver_nothing_is_written(tmp_path):
    with pytest.raises(InvalidInput, match="--approver: name at least one member"):
        export_hub(tmp_path, [])
    assert not any(tmp_path.iterdir())


def test_the_index_of_a_category_keeps_the_components_of_others(tmp_path):
    other = tmp_path / "components" / "training" / "other"
    other.mkdir(parents=True)
    (other / "component.py").write_text('def other():\n    """Train something else."""\n')
    (other / "metadata.yaml").write_text("name: other_trainer\n")
    export_hub(tmp_path, ["octocat"])
    lines = (tmp_path / "components" / "training" / "README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("- ")] == [
        "- [Bandit Accumulator](./bandit_accumulator/README.md): Compute the statistics of one shard of a training, "
        "for agents whose statistics are sums.",
        "- [Bandit Merger](./bandit_merger/README.md): Add the statistics of all shards to those that the training "
        "resumes from, and save a policy directory.",
        "- [Bandit On Policy Trainer](./bandit_on_policy_trainer/README.md): Train an agent on what its own decisions "
        "earn in a simulated environment, and save a policy directory.",
        "- [Bandit Trainer](./bandit_trainer/README.md): Train an agent off-policy and save a policy directory for "
        "serving and for the next training.",
        "- [Bandit Tuner](./bandit_tuner/README.md): Tune the settings in the config's search space, by the loop's "
        "log, a log in a file, or in simulation.",
        "- [Other Trainer](./other/README.md): Train something else.",
    ]
