"""Problems besides MovieLens, through the whole loop, each from a folder of its own outside the repository."""

import json
import os
import subprocess
import sys
from pathlib import Path

BANDITLOOP = Path(sys.executable).parent / "banditloop"
SHOP = '''
"""Five offers, of which each kind of visitor likes another one best."""

import zlib

import numpy as np

from banditloop.rl_core.environments import Environment
from banditloop.rl_core.settings.task import Task

OFFERS = ["books", "games", "garden", "music", "travel"]
HOURS = 24


class Shop(Environment):
    """Clicks on offers: the likelier, the nearer an offer's own hour is."""

    @property
    def task(self):
        return Task.parse({"actions": OFFERS, "context": {"hour": "number", "device": ["phone", "desktop"]}})

    def observe(self, batch, random):
        devices = random.choice(["phone", "desktop"], size=batch)
        return {"hour": random.integers(HOURS, size=batch).astype(float), "device": devices.tolist()}

    def reward(self, contexts, actions, event_ids):
        chances = self._chances(np.asarray(contexts["hour"]), list(contexts["device"]))
        draws = [zlib.crc32(event_id.encode()) / 2**32 for event_id in event_ids]
        columns = [OFFERS.index(action) for action in actions]
        return (np.array(draws) < chances[np.arange(len(columns)), columns]).astype(float)

    def population(self):
        return {"hour": [float(hour) for hour in range(HOURS)] * 2, "device": ["phone"] * HOURS + ["desktop"] * HOURS}

    def expected_rewards(self):
        contexts = self.population()
        return self._chances(np.array(contexts["hour"]), contexts["device"])

    def _chances(self, hours, devices):
        slopes = np.array([-0.03, -0.015, 0.0, 0.015, 0.03])
        phone = np.array([device == "phone" for device in devices])
        chances = 0.35 + slopes * (hours[:, None] - 11.5)
        return (chances + np.where(phone[:, None], [0, 0.2, 0, 0, 0], [0, 0, 0, 0.2, 0])).clip(0, 1)
'''


def run_loop(folder: Path, config: str, *options: str) -> dict:
    """Run `banditloop loop` in a folder; returns its summary."""
    (folder / "loop.toml").write_text(config)
    command = [BANDITLOOP, "loop", "-c", "loop.toml", "--output", "output", "--json", *options]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    output = subprocess.run(command, cwd=folder, env=environment, check=True, timeout=900, stdout=subprocess.PIPE)
    assert (folder / "output" / "index.html").exists()
    return json.loads(output.stdout)


def test_digits_are_learned_from_rewards_alone(tmp_path):
    """After 6,000 rewards of 0 and 1 the right class is the greedy action for 95 % of the digits."""
    config = """
        environment = {name = "classification"}
        agent = {name = "linucb", alpha = 0.25}
        policy = {saved_model = false}
        reward = {attribution_window_seconds = 5}
        release = {canary_percent = 50}
    """
    summary = run_loop(tmp_path, config, "--interactions", "600", "--rounds", "4", "--users", "1080")
    assert sum(version["interactions"] for version in summary["versions"]) == 600 + 5 * 1080
    assert summary["versions"][-1]["greedy_value"] >= 0.95


def test_an_environment_of_ones_own_needs_no_change_of_the_repository(tmp_path):
    """A policy of the loop earns more than the best single offer, by a twentieth of a click a visit at least."""
    (tmp_path / "shop.py").write_text(SHOP)
    config = """
        environment = {name = "shop:Shop"}
        policy = {saved_model = false}
        reward = {attribution_window_seconds = 5}
        release = {canary_percent = 50}
    """
    summary = run_loop(tmp_path, config, "--interactions", "300", "--rounds", "4", "--users", "600")
    newest = summary["versions"][-1]
    assert newest["greedy_value"] >= summary["best_fixed"] + 0.05
    assert newest["value"] >= summary["best_fixed"] + 0.03
    assert newest["greedy_value"] >= 0.95 * summary["oracle"]
