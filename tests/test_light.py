"""What must start fast and small never imports TensorFlow, nor KFP, nor a cloud."""

import json
import os
import subprocess
import sys

import pytest

from rl_core.agents import NeuralEpsilonGreedy
from rl_core.backends import connect
from rl_core.config import ENVIRONMENT_VARIABLE
from tests.conftest import deploy, make_config, make_policy

HEAVY = "tensorflow", "tf_agents", "keras", "kfp", "google.cloud.bigquery", "google.cloud.aiplatform", "plotly"

SCRIPTS = {
    "logger": "import functions.logger as f; f.log_events(f.connected()[1], 'decisions', [encode(decisions(['a']))])",
    "trigger": """
import functions.trigger as f
config, platform = f.connected()
assert f.tick(config, platform) == (None, '0 new interactions of 500')
""",
    "monitor": """
import functions.monitor as f
config, platform = f.connected()
assert f.watch(config, platform) == (None, 'nobody challenges the champion')
""",
    "simulator": """
import functions.simulator as f
config, platform = f.connected()
observations = config.environment.observe(3, __import__('numpy').random.default_rng(0))
platform.endpoint.__class__.predict = lambda self, asked: [{'event_id': str(i), 'action': 0} for i in range(len(asked))]
f.simulate(config, platform, f.Visit(users=3))
""",
    "predictor": """
import orjson, pathlib, functions.predictor as f
follower = f.Follower(f.OnePolicy(pathlib.Path(FOLDER))); follower.refresh()
f.Recommender(print).predict(follower.serving, [f.read_asks(orjson.dumps({'instances': [[0.0] * 20]}))])
""",
    "help": """
import sys, pipelines.cli as cli
sys.argv = ['banditloop', '--help']
try: cli.main()
except SystemExit as stop: assert stop.code == 0
""",
    "status": """
import sys, pipelines.cli as cli
sys.argv = ['banditloop', 'status', '--json']
try: cli.main()
except SystemExit as stop: assert stop.code == 0
""",
}


@pytest.mark.parametrize("part", SCRIPTS)
def test_it_never_imports_a_heavy_library(part, config, tmp_path):
    make_policy(tmp_path / "policy")
    run(part, config, tmp_path / "policy")


def run(part, config, policy):
    deploy(connect(config).endpoint, policy)
    script = f"""
import sys
from tests.conftest import decisions; from rl_core.schema import encode
FOLDER = {str(policy)!r}
{SCRIPTS[part]}
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


@pytest.mark.parametrize("part", ["trigger", "monitor", "status"])
def test_nor_does_it_where_the_champion_is_neural(part, tmp_path):
    config = make_config(tmp_path, agent={"name": "neural_epsilon_greedy", "epochs": 1})
    make_policy(tmp_path / "policy", agent=config.agent)
    run(part, config, tmp_path / "policy")


def test_a_neural_policy_is_scored_without_the_libraries_that_train_it(tmp_path):
    make_policy(tmp_path / "policy", agent=NeuralEpsilonGreedy(epochs=1))
    script = f"""
import sys, pathlib, numpy
from rl_core.policy import SavedPolicy
SavedPolicy.load(pathlib.Path({str(tmp_path / "policy")!r})).probabilities(numpy.zeros((3, 20)))
heavy = [name for name in ["tf_agents", "gym", "kfp", "google.cloud.aiplatform"] if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_google_backend_needs_no_other_extra(tmp_path):
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}
    config = make_config(tmp_path, backend=backend)
    script = """
import sys
sys.modules |= dict.fromkeys(["deltalake", "duckdb", "filelock", "kfp", "litequeue", "tensorflow", "uvicorn"])
from rl_core.backends import connected
connected()
"""
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
