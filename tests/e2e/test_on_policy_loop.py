"""End to end, a loop whose agent learns in simulation only: the demo of orders, shortened."""

import json
import subprocess

import pytest

from tests.docs.pages import ROOT
from tests.e2e.test_own_problem import banditloop


@pytest.mark.slow
def test_the_policy_comes_from_the_on_policy_pipeline_and_is_served_beside_random_orders(tmp_path):
    demo = (ROOT / "pipelines" / "configs" / "newsvendor.toml").read_text()
    (tmp_path / "loop.toml").write_text(demo.replace("training_loops = 40", "training_loops = 2"))
    command = banditloop("loop", "-c", "loop.toml", "--rounds", 1, "--users", 10, "--output", "curve", "--json")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    first, trained, *_ = json.loads(done.stdout)["versions"]
    assert (first["version"], trained["status"]) == ("random", "canary")
    assert sum(version["interactions"] for version in (first, trained)) == 2 * 10 * 40
