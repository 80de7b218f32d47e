"""The generator beside a driver of TF-Agents on the same environment, in batches of 8 as in Google's sample."""

from banditloop.rl_core.environments.history import simulated_history
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.environments.tf_environment import PyEnvironment
from tests.benchmarks.ratio import Row, times_faster

# isort: split
from tf_agents.drivers.dynamic_step_driver import DynamicStepDriver
from tf_agents.environments.tf_py_environment import TFPyEnvironment
from tf_agents.policies.random_tf_policy import RandomTFPolicy

ROWS, STEPS, BATCH = 100_000, 800, 8


def rows() -> list[Row]:
    environment = MovieLens()
    theirs = TFPyEnvironment(PyEnvironment(environment, BATCH, seed=0))
    policy = RandomTFPolicy(theirs.time_step_spec(), theirs.action_spec())
    driver = DynamicStepDriver(theirs, policy, num_steps=STEPS)

    def ours() -> None:
        for _ in simulated_history(environment, ROWS, "reward", seed=0):
            pass

    return [times_faster("data: the generator beside a driver of TF-Agents", ours, driver.run, 100, ROWS / STEPS)]
