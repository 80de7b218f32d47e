"""Rollouts on a Ray cluster of two workers: the same episodes as in process, whoever dies meanwhile."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from banditloop.rl_core.agents.ppo import PPO
from banditloop.rl_core.backends import connect
from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.promotion.steps import simulate_step
from banditloop.rl_core.rollouts import IN_PROCESS, engine, returns, rollouts, uniformly
from banditloop.rl_core.settings.rollouts import RolloutsSection
from banditloop.rl_core.training.on_policy.episodic_simulation import EpisodicSimulation
from tests.conftest import make_config
from tests.support.ray_package import install_ray

pytestmark = pytest.mark.slow
RAY = RolloutsSection(engine="ray", workers=2)


class Deadly(CartPole):
    """CartPole, whose first episodes kill the process that they are started in, once."""

    bomb: str

    def reset(self, seeds):
        try:
            Path(self.bomb).unlink()
        except FileNotFoundError:
            return super().reset(seeds)
        os.kill(os.getpid(), signal.SIGKILL)


class Refusing(CartPole):
    def reset(self, seeds):
        raise InvalidInput("environment.seed = 7: is refused")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "a loop with a folder of a long name, in which no socket could be made"


@pytest.fixture(scope="module")
def workers(folder):
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("HOME", str(folder.parent))
        install_ray(variables)
        with engine(RAY, folder) as workers:
            yield workers


def test_episodes_are_those_of_one_process(workers):
    environment = CartPole(max_steps=60)
    assert rollouts(None, environment, 3, 50, 5, engine=workers) == rollouts(None, environment, 3, 50, 5)
    of_ray, own = (returns(uniformly, environment, 3, 50, 0.9, engine=where) for where in (workers, IN_PROCESS))
    assert all(map(np.array_equal, of_ray, own))
    assert rollouts(None, environment, 3, 0, engine=workers).num_rows == 0


def test_agents_learn_from_the_same_episodes(workers, tmp_path):
    config = make_config(tmp_path, environment={"name": "cartpole", "max_steps": 50}, agent={"name": "ppo"})
    played = []
    for where in (workers, IN_PROCESS):
        simulation = EpisodicSimulation(config, where)
        model = PPO().model(PPO().initial_statistics(*simulation.shape))
        rounds = (episode_seeds(1, first, 20) for first in range(0, 80, 20))
        played.append(simulation.play(model, 0.1, rounds, 600))
    of_ray, own = played
    assert len(own.returns) > 20
    for columns in zip(*((*batch.transitions, batch.returns, batch.entropies) for batch in (of_ray, own)), strict=True):
        assert np.array_equal(*columns) or columns == (None, None)


def test_a_killed_worker_is_replaced_and_changes_nothing(workers, tmp_path):
    (tmp_path / "bomb").touch()
    deadly = Deadly(name="cartpole", bomb=str(tmp_path / "bomb"))
    of_ray = returns(uniformly, deadly, 2, 40, engine=workers)
    assert not (tmp_path / "bomb").exists()
    assert all(map(np.array_equal, of_ray, returns(uniformly, CartPole(), 2, 40)))


def test_an_error_of_the_environment_is_told_as_in_process(workers):
    with pytest.raises(InvalidInput, match=r"^environment\.seed = 7: is refused$"):
        rollouts(None, Refusing(), 0, 10, engine=workers)


def test_the_generator_plays_on_the_workers(workers, tmp_path):
    """The same events: those of another engine are known already."""
    sections = {"environment": {"name": "cartpole"}, "agent": {"name": "dqn"}, "rollouts": {"engine": "ray"}}
    config = make_config(tmp_path, **sections)
    assert simulate_step(config, connect(config), 200, 0)["decisions_added"] >= 200
    in_process = config.model_copy(update={"rollouts": RolloutsSection()})
    assert simulate_step(in_process, connect(in_process), 200, 0)["decisions_added"] == 0


def test_another_process_plays_on_the_cluster_at_an_address(workers):
    import ray

    address = ray.get_runtime_context().gcs_address
    code = f"""
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.rollouts import engine, returns, uniformly
from banditloop.rl_core.settings.rollouts import RolloutsSection

with engine(RolloutsSection(engine="ray", address="{address}")) as workers:
    print(returns(uniformly, CartPole(), 2, 40, engine=workers).lengths.sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == str(returns(uniformly, CartPole(), 2, 40).lengths.sum()), done.stderr


def test_files_of_ray_stay_in_the_loops_folder(workers, folder):
    assert list(folder.glob("ray-*/session_*"))
    home = {path.name for path in folder.parent.iterdir()} - {".cache"}  # other libraries'
    assert home == {folder.name}
