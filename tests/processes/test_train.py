"""The command `train`: on-policy with its table, page, policy and TensorBoard; after a kill -9; and on the log."""

import json
import subprocess
import sys

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.steps import simulate_step
from banditloop.rl_core.training.on_policy import simulate
from banditloop.rl_core.training.on_policy.checkpoint import CHECKPOINT, read_checkpoint
from tests.support.command_line import assert_refused, banditloop
from tests.support.processes import wait_until

CONFIG = """
[environment]
name = "linear"
dim = 3
actions = 3
contexts = 100
[policy]
saved_model = false
[on_policy]
checkpoint_loops = 10
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "loop.toml").write_text(CONFIG)
    return tmp_path


def train(folder, *words):
    return banditloop("train", "-c", "loop.toml", *words, cwd=folder)


def test_on_policy_training_shows_its_loops_and_writes_a_page_and_a_policy(folder):
    result = train(folder, "--on-policy", "--training-loops", 300, "-o", "out")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if str(folder) not in line) <= 80
    [header] = [line for line in lines if line.startswith("loop ") and "regret" in line and "return" in line][-1:]
    assert header.split() == ["loop", "interactions", "regret", "average", "return"]
    shown = [line.split()[0] for line in lines[lines.index(header) + 2 :] if line.strip()[:1].isdigit()]
    assert (shown[0], shown[-1], len(shown)) == ("1", "300", 20)

    written = json.loads((folder / "out" / "curve.json").read_text())
    assert written["summary"]["interactions"] == 300 * 2 * 8
    assert written["summary"]["final_average_return"] > written["baselines"]["best_fixed"]
    policy = SavedPolicy.load(folder / "out" / "policy")
    assert policy.manifest.version == written["version"]
    assert (policy.manifest.interactions, policy.manifest.window.interactions) == (4800, 0)
    page = (folder / "out" / "index.html").read_text()
    assert f"{written['baselines']['oracle']:.3f}" in page
    assert 'id="regret"' in page


def test_scripts_get_json_and_options_override_the_config(folder):
    words = "--steps-per-loop", 3, "--batch-size", 5, "--seed", 1
    result = train(folder, "--on-policy", *words, "--json")
    content = json.loads(result.stdout)
    assert [loop["interactions"] for loop in content["loops"]] == [15, 30, 45, 60, 75]
    assert content == json.loads((folder / "build" / "train" / "curve.json").read_text())
    assert content["loops"] != json.loads(train(folder, "--on-policy", *words[:-1], 2, "--json").stdout)["loops"]


def test_a_killed_training_resumes_to_the_curve_of_one_that_was_not(folder):
    words = ["train", "-c", "loop.toml", "--on-policy", "-o", "out"]
    command = [sys.executable, "-m", "banditloop.pipelines", *words, "--training-loops", "1000000"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        wait_until((folder / "out" / CHECKPOINT).exists)
        process.kill()
    assert [path.name for path in (folder / "out").iterdir() if not path.name.startswith("new-")] == [CHECKPOINT]
    config = Config.load(folder / "loop.toml")
    statistics, curve = read_checkpoint(folder / "out", config)
    assert statistics["counts"].sum() == curve.interactions
    loops = len(curve.loops) + 25
    content = json.loads(train(folder, *words[3:], "--training-loops", loops, "--resume", "--json").stdout)
    section = config.on_policy.model_copy(update={"training_loops": loops})
    whole = simulate(config.model_copy(update={"on_policy": section}))
    assert content["loops"] == [loop.row() for loop in whole.loops]


def test_options_of_the_simulation_need_it(folder):
    assert_refused(train(folder, "--batch-size", 3), "--batch-size", "--on-policy")
    assert_refused(train(folder, "--seed", 0), "--seed", "--on-policy")
    assert_refused(train(folder, "--resume"), "--resume", "--on-policy")
    assert_refused(train(folder, "--on-policy", "--profile"), "--profile", "--tensorboard")
    assert_refused(train(folder, "--on-policy", "--training-loops", 10**8), "on_policy.training_loops = 100000000")
    assert [path.name for path in folder.iterdir()] == ["loop.toml"]


def test_without_it_the_log_is_trained_on_as_by_the_pipelines(folder):
    assert_refused(train(folder), "warehouse: no complete interactions")
    config = Config.load(folder / "loop.toml")
    simulate_step(config, connect(config), 200, seed=0)
    content = json.loads(train(folder, "--json").stdout)
    assert 150 <= content["interactions"] <= 200
    assert SavedPolicy.load(folder / "build" / "train" / "policy").manifest.version == content["version"]
