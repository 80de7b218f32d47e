"""The image: a pipeline's components and the endpoint's predictor run in its containers."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from google.cloud.aiplatform.prediction import LocalModel
from kfp import components, dsl, local

from banditloop.pipelines.compile import compile_pipelines, export_components
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.model_registry import COMMAND
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import AGENTS, make_config, make_policy
from tests.docs.pages import ROOT, blocks, commands
from tests.policies.test_own_pipelines import COLUMNS, TASK, visits
from tests.support.containers import docker_host, environment, image
from tests.support.processes import free_port, wait_until
from tests.support.ratings import write_ratings

OPERATE = ROOT / "docs" / "how-to" / "operate.md"
pytestmark = pytest.mark.timeout(2400)  # the first test builds the image


@pytest.fixture
def docker(tmp_path, monkeypatch):
    image_name, mask = image(), os.umask(0)  # the image's user differs from the one who runs the tests
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777)
    with docker_host(tmp_path) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield image_name
    os.umask(mask)


@pytest.mark.slow
def test_the_components_of_a_pipeline_run_in_containers(docker, tmp_path):
    ratings = write_ratings(tmp_path / "u.data")  # in the pipeline root, which kfp.local mounts
    config = make_config(tmp_path, environment={"ratings": str(ratings)})
    root = config.backend.root
    Path(root).mkdir()
    startup, _ = compile_pipelines(tmp_path / "pipelines", image=docker)
    local.init(local.DockerRunner(), pipeline_root=str(tmp_path))
    components.load_component_from_file(str(startup))(config=config.to_dict(), interactions=300, seed=1, run_id="r")
    endpoint = connect(config).endpoint
    [_, version] = endpoint.versions()
    assert version.run == "r"
    assert version.version in endpoint.release().traffic()  # the canary, or by luck of the held-out rows the champion
    assert next(Path(root).rglob("*.parquet")).stat().st_uid == 1000


@pytest.mark.slow
def test_a_strangers_pipeline_of_the_exported_components_runs_in_containers(docker, tmp_path):
    """A log, features and actions of its own, and no loop."""
    files = export_components(tmp_path / "components", image=docker)
    exported = {path.stem: components.load_component_from_file(str(path)) for path in files}
    pq.write_table(visits(1000), tmp_path / "log.parquet")

    @dsl.pipeline(name="banners")
    def banners(log: str, config: dict, columns: dict) -> str:
        rows = dsl.importer(artifact_uri=log, artifact_class=dsl.Dataset).output
        ingested = exported["ingester"](config=config, log=rows, columns=columns)
        trained = exported["trainer"](config=config, examples=ingested.outputs["examples"])
        held_out = {"log": ingested.outputs["held_out"], "columns": columns, "config": config}
        return exported["evaluator"](policy=trained.outputs["policy"], **held_out).outputs["Output"]

    local.init(local.DockerRunner(), pipeline_root=str(tmp_path))
    run = banners(log=str(tmp_path / "log.parquet"), config=TASK, columns=COLUMNS)
    assert run.output in ("promote", "canary")


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_the_predictor_answers_from_its_container_as_on_vertex_ai(agent, docker, config, tmp_path):
    manifest, port = make_policy(tmp_path / "policy", agent=agent), free_port()
    model = LocalModel(
        serving_container_image_uri=docker,
        serving_container_command=COMMAND,
        serving_container_predict_route=PREDICT_ROUTE,
        serving_container_health_route=HEALTH_ROUTE,
        serving_container_ports=[port],
        serving_container_environment_variables={ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())},
    )
    with model.deploy_to_local_endpoint(artifact_uri=str(tmp_path / "policy"), host_port=port) as endpoint:
        answer = endpoint.predict(
            json.dumps({"instances": [[0.1] * 20] * 3}), headers={"Content-Type": "application/json"}
        )
    assert [p["policy_version"] for p in answer.json()["predictions"]] == [manifest.version] * 3


@pytest.mark.slow
def test_the_command_of_the_docs_serves_a_loop_in_a_container(docker, tmp_path):
    """With another name, image and port: here containers share the machine's network."""
    [line] = [line for block in blocks(OPERATE, "sh") for line in commands(block) if line.startswith("podman run")]
    [config] = [block.text for block in blocks(OPERATE, "toml") if 'host = "0.0.0.0"' in block.text]
    port, name = str(free_port()), f"news-{tmp_path.name}"
    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "loop.toml").write_text(config.replace("8080", port))
    line = line.replace("banditloop:1", docker).replace("--name news", f"--name {name}").replace("8080", port)
    try:
        subprocess.run(shlex.split(line), cwd=tmp_path, env=environment(), check=True)
        wait_until(lambda: _status(f"http://127.0.0.1:{port}{HEALTH_ROUTE}") == 200, 180)
        answer = httpx.post(f"http://127.0.0.1:{port}{PREDICT_ROUTE}", json={"instances": [{"context": {}}]})
        assert answer.json()["predictions"][0]["action"] in ("politics", "sport", "music"), answer.text
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "30", name], env=environment())
    [release] = (tmp_path / "news").rglob("release.json")  # on the volume, so that it outlives the container
    assert release.stat().st_uid == 1000


def _status(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.HTTPError:
        return 0
