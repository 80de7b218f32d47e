"""Processes that must start fast and small never import TensorFlow, KFP, a cloud SDK or an HTTP client."""

import json
import os
import subprocess
import sys

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import deploy, make_config, make_policy

HEAVY = (
    "tensorflow",
    "tf_agents",
    "keras",
    "kfp",
    "google.cloud.bigquery",
    "google.cloud.aiplatform",
    "plotly",
    "scipy",
    "httpx",
)

SCRIPTS = {
    "logger": """
import banditloop.functions.logger as f
config, platform = f.platform_from_environment()
f.log_events(config.task, platform, 'decisions', [encode(vector_decisions(['a']))])
""",
    "trigger": """
import banditloop.functions.trigger as f
config, platform = f.platform_from_environment()
assert f.tick(config, platform) == (None, '0 new interactions of 80')
""",
    "monitor": """
import banditloop.functions.monitor as f
config, platform = f.platform_from_environment()
assert f.check_canary(config, platform) == (None, 'there is no challenger')
""",
    "simulator": """
import banditloop.functions.simulator as f
from banditloop.rl_core.events.decision import Decision
config, platform = f.platform_from_environment()
platform.endpoint.__class__.predict = lambda self, x: [Decision(str(i), 0, .05, '') for i in range(len(x))]
f.simulate(config, platform, f.Visit(users=3))
""",
    "predictor": """
import orjson, pathlib, banditloop.functions.predictor as f
import banditloop.rl_core.serving.http.endpoint as endpoint
follower = f.ReleaseFollower(f.SinglePolicySource(pathlib.Path(FOLDER))); follower.refresh()
request = endpoint.read_predict_request(orjson.dumps({'instances': [[0.0] * 20]}))
catalogue = f.Catalogue(TASK)
endpoint.Recommender(TASK, catalogue, print).predict(follower.split, [request])
""",
    "help": """
import sys, banditloop.pipelines.cli.main as cli
sys.argv = ['banditloop', '--help']
try: cli.main()
except SystemExit as stop: assert stop.code == 0
""",
    "status": """
import sys, banditloop.pipelines.cli.main as cli
sys.argv = ['banditloop', 'status', '--json']
try: cli.main()
except SystemExit as stop: assert stop.code == 0
others = 'prometheus_client', 'banditloop.rl_core.estimators', 'banditloop.pipelines.cli.evaluate'
assert not [name for name in others if name in sys.modules]
""",
}


@pytest.mark.parametrize("part", SCRIPTS)
def test_light_parts_never_import_a_heavy_library(part, config, tmp_path):
    make_policy(tmp_path / "policy")
    run(part, config, tmp_path / "policy")


def run(part, config, policy):
    deploy(connect(config).endpoint, policy)
    script = f"""
import sys
from tests.conftest import vector_decisions, vector_task; from banditloop.rl_core.events.json_format import encode
TASK = vector_task()
FOLDER = {str(policy)!r}
{SCRIPTS[part]}
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


@pytest.mark.parametrize("part", ["trigger", "monitor", "status", "predictor"])
def test_light_parts_never_import_a_heavy_library_for_a_neural_champion(part, tmp_path):
    config = make_config(tmp_path, agent={"name": "neural_epsilon_greedy", "epochs": 1})
    make_policy(tmp_path / "policy", agent=config.agent)
    run(part, config, tmp_path / "policy")


def test_a_network_is_trained_without_tensorflow(tmp_path):
    script = f"""
import sys, pathlib
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from tests.conftest import make_policy
make_policy(pathlib.Path({str(tmp_path / "policy")!r}), agent=NeuralEpsilonGreedy(epochs=1))
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_no_built_in_agent_or_environment_imports_a_heavy_library():
    script = f"""
import sys
from banditloop.rl_core.config_defaults import REGISTRIES
for registry, _ in REGISTRIES.values(): assert list(registry.values())
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_google_backend_requires_no_other_extra(tmp_path):
    absent = ["deltalake", "duckdb", "filelock", "kfp", "litequeue", "tensorflow", "uvicorn"]
    connect_to_google(tmp_path, ["warehouse", "bus", "endpoint", "runner"], absent)


def test_a_logger_of_google_needs_no_vertex_ai(tmp_path):
    connect_to_google(tmp_path, ["warehouse", "bus"], ["google.cloud.aiplatform_v1", "httpx"])


def connect_to_google(folder, ports, absent):
    """Connect ports in a process that cannot import the modules in `absent`."""
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}
    config = make_config(folder, backend=backend)
    script = f"""
import sys
sys.modules |= dict.fromkeys({absent})
from banditloop.rl_core.backends import platform_from_environment
platform = platform_from_environment()[1]
for port in {ports}: getattr(platform, port)
"""
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
