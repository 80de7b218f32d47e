"""On-policy training of TF-Agents' agents, by its driver and replay buffer. Imports TensorFlow."""

from typing import Any

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.drivers.dynamic_step_driver import DynamicStepDriver
from tf_agents.environments.tf_py_environment import TFPyEnvironment
from tf_agents.replay_buffers.tf_uniform_replay_buffer import TFUniformReplayBuffer

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.agents.agent import Batch, reward_sums
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.agents.tf_agents_factory import make_tf_agent, restore, variables
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.training.on_policy.bandit_environment import SimulatedBandit
from banditloop.rl_core.training.on_policy.curve import Loop
from banditloop.rl_core.training.on_policy.simulation import Simulation


class DriverLearner:
    """An agent of TF-Agents whose collect policy a DynamicStepDriver runs; it trains once on what a loop collected.

    Driver, buffer and training are one compiled function, traced in the first loop: in eager mode a loop takes several
    times as long. TensorFlow's random numbers cannot be kept in a checkpoint, so they begin anew after each, from
    another seed.
    """

    goes_on_anywhere = False

    def __init__(self, config: Config, section: AlgorithmSection, simulation: Simulation) -> None:
        self._settings = config.on_policy
        if self._settings.exploration:
            raise InvalidInput(
                f"on_policy.exploration = {self._settings.exploration}: TF-Agents' agents explore by their own "
                "hyperparameters; give 0"
            )
        self._environment = SimulatedBandit(simulation, self._settings.batch_size)
        self._agent = make_tf_agent(section.parsed, *simulation.shape, section.seed)
        self._seeds = section.seed, self._settings.seed
        _, actions = simulation.shape
        self._sums: Statistics = {"counts": np.zeros(actions, np.int64), "rewards": np.zeros(actions)}

    @property
    def statistics(self) -> Statistics:
        """The agent's variables, with counts and rewards [actions] of its interactions."""
        return variables(self._agent) | self._sums

    def restore(self, statistics: Statistics, loop: int) -> None:
        """Restore the variables, and advance the environment by the steps of these loops, each after a reset."""
        restore(self._agent, statistics)
        self._sums = {name: statistics[name] for name in self._sums}
        self._environment.skip(loop * (1 + self._settings.steps_per_loop))

    def begin(self, loop: int) -> None:
        """Trace the loop's function with a seed of its own: an operation has the seed under which it was traced."""
        [state] = np.random.SeedSequence([*self._seeds, loop]).generate_state(1)
        tf.random.set_seed(int(state))
        self._steps = TFPyEnvironment(self._environment)
        self._run = _compiled(self._agent, self._steps, self._settings.steps_per_loop)

    def run(self, loop: int) -> Loop:
        """Drive, then train."""
        self._environment.begin(
            np.random.default_rng([self._settings.seed, loop]), loop * self._settings.steps_per_loop
        )
        self._run(self._steps.reset())
        actions, rewards, regrets = self._environment.collected()
        added = reward_sums(Batch(np.empty(0), actions, rewards), len(self._sums["counts"]))
        self._sums = {name: self._sums[name] + array for name, array in added.items()}
        return Loop.of(rewards, regrets)


def _compiled(agent: Any, environment: TFPyEnvironment, steps: int) -> Any:
    """The function that runs the driver for `steps` steps from a time step on, and trains on them.

    The environment is reset outside: TensorFlow orders Python calls by their data dependencies alone, and the actions
    of EXP3 depend on no observation.
    """
    buffer = TFUniformReplayBuffer(agent.collect_data_spec, environment.batch_size, max_length=steps)
    driver = DynamicStepDriver(
        environment, agent.collect_policy, observers=[buffer.add_batch], num_steps=steps * environment.batch_size
    )
    drive, train = (tf.autograph.experimental.do_not_convert(call) for call in (driver._run, agent.train))

    @tf.function(autograph=False)
    def run(first: Any) -> None:
        drive(first)
        train(buffer.gather_all())
        buffer.clear()

    return run
