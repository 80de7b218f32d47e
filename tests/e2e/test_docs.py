"""End to end, what README and docs show: the demo reaches its values, and every command and Python block runs."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.docs.pages import PAGES, README, ROOT, RUN, blocks
from tests.docs.site import PORT, Site
from tests.e2e.test_own_problem import banditloop, keeps_up, logged, serving
from tests.support.processes import free_port, wait_until

TUTORIAL = ROOT / "docs" / "tutorial.md"
HEADER = "id,time,age,country,device,article,probability,clicked"
ROWS = (
    "34,DE,phone,sport,0.25,1",
    "51,FR,tablet,music,0.25,0",
    "28,UK,desktop,politics,0.5,1",
    "60,DE,phone,politics,0.5,0",
)
VISITS = 500  # of a run of the example application
LOG_ROWS = 400  # the loop that imports them retrains on them


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the state of the demo, a log, and the README's loop.toml."""
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run(banditloop("loop"), cwd=folder, check=True, timeout=1200)
    [config] = blocks(README, "toml")
    (folder / "loop.toml").write_text(config.text.replace(PORT, str(free_port())))
    rows = [f"r{row},2026-03-{1 + row % 28:02d}T10:00:00Z,{ROWS[row % len(ROWS)]}" for row in range(LOG_ROWS)]
    (folder / "log.csv").write_text("\n".join([HEADER, *rows, ""]))
    write_episodes(folder / "episodes.csv")
    return folder


def write_episodes(path):
    """300 episodes of three steps; `cautious` has the probability of the logged action under another policy."""
    random, lines = np.random.default_rng(0), ["episode_id,step,action,probability,cautious,reward,cost"]
    for episode in range(300):
        for step in range(3):
            waits = random.random() < 0.5
            reward = int(random.random() < (0.7 if waits else 0.4))
            lines.append(
                f"e{episode},{step},{'wait' if waits else 'go'},0.5,{0.7 if waits else 0.3},{reward},{2 - waits}"
            )
    path.write_text("\n".join([*lines, ""]))


@pytest.fixture(scope="module")
def site(folder):
    """The folder, with its loop.toml served, after the demo's values were looked at."""
    config = Config.load(folder / "loop.toml")
    with pytest.MonkeyPatch.context() as variables, serving(folder / "loop.toml", folder / "serve.txt"):
        variables.delenv(ENVIRONMENT_VARIABLE, raising=False)
        yield Site(folder, config.serving.port, free_port, lambda path: serving(path, folder / "serve.txt"))


def test_the_demo_reaches_its_values(folder):
    """As served and greedy, on one endpoint."""
    summary = json.loads((folder / "build" / "demo" / "summary.json").read_text())
    assert summary["endpoints"] == ["movielens"]
    assert [round(summary[name], 2) for name in ("uniform", "best_fixed", "oracle")] == [0.88, 2.38, 4.57]
    assert summary["versions"][-1]["greedy_value"] >= 4.5
    assert summary["versions"][-1]["value"] >= 4.3
    assert sum(version["interactions"] for version in summary["versions"]) == 100 + 600 * 7
    [champion] = [version for version in summary["versions"] if version["status"] == "champion"]
    assert champion["value"] >= 4.1
    assert len([version for version in summary["versions"] if version["status"] == "was champion"]) >= 2


@pytest.mark.parametrize(
    "page", [page for page in RUN if page != TUTORIAL], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_and_python_block_runs(page, site):
    def settle(line: str) -> None:
        if line.startswith("banditloop import ") and "balance.toml" in line:  # rows of episodes wait for their rewards
            warehouse = connect(Config.load(site.folder / "balance.toml")).warehouse
            wait_until(lambda: warehouse.window(None).interactions)

    site.run(page, then=settle)


def test_the_tutorial_ends_with_a_promotion_and_its_report_with_verdicts(site):
    visits = []

    def settle(line: str) -> None:
        if line.startswith("python news/"):
            visits.extend(range(VISITS))
            config = Config.load(site.folder / "news" / "loop.toml")
            platform = connect(config)
            wait_until(lambda: logged(platform) >= len(visits))
            wait_until(lambda: keeps_up(config, platform))

    site.run(TUTORIAL, then=settle)
    endpoint = connect(Config.load(site.folder / "news" / "loop.toml")).endpoint
    assert endpoint.release().champion.startswith("v")
    report = json.loads((site.folder / "build" / "report" / "report.json").read_text())
    assert "promote" in {row["decision"] for row in report["verdicts"]}
    assert len(list((site.folder / "build" / "components").glob("*.yaml"))) == 11


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "ini")], ids=str)
def test_systemd_knows_every_key_of_a_unit(block, tmp_path):
    """It names unknown ones, and goes on without them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = block.text.replace("/srv/news/.venv/bin/banditloop", sys.executable).replace("/srv/news", str(tmp_path))
    for text, known in ((unit, True), (unit.replace("KillMode", "KilMode"), False)):
        (tmp_path / "news.service").write_text(text)
        command = ["systemd-analyze", "verify", str(tmp_path / "news.service")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0 and not done.stderr) == known, done.stderr
