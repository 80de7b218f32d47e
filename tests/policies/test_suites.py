"""The conformance suites detect faulty environments and agents."""

import numpy as np
import pytest

from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.environments import EnvironmentConformance
from banditloop.rl_core.testing.merging import MergeConformance
from tests.policies.test_own_parts import Clicks, Ridge


class Impure(Clicks):
    """Not pure: the reward changes from call to call."""

    def reward(self, observations, actions, event_ids):
        return np.random.default_rng().random(len(actions))


class Biased(Clicks):
    """Biased: everybody clicks."""

    def reward(self, observations, actions, event_ids):
        return np.ones(len(actions))


class OutOfRange(Clicks):
    """Its expectations leave the range of its rewards."""

    def expected_rewards(self):
        return super().expected_rewards() + 1


class Forgetful(Ridge):
    """Resuming loses what was learned before."""

    def accumulate(self, statistics, batch):
        return super().accumulate(self.initial_statistics(*statistics["vectors"].shape[::-1]), batch)


class Unweighted(Ridge):
    """Ignores sample weights."""

    def accumulate(self, statistics, batch):
        return super().accumulate(statistics, batch._replace(sample_weight=None))


@pytest.mark.parametrize(
    ("environment", "check"),
    [
        (Impure, "test_reward_is_a_pure_function_of_observation_action_and_event_id"),
        (Biased, "test_rewards_of_every_action_average_to_the_expected_rewards"),
        (Biased, "test_rewards_of_one_user_and_action_average_to_the_expected_reward"),
        (OutOfRange, "test_expected_rewards_have_a_value_in_range_for_every_user_and_action"),
        (Impure, "test_the_environment_is_the_same_after_travelling_as_a_pipeline_parameter"),
    ],
)
def test_the_suite_detects_a_faulty_environment(environment, check):
    suite = EnvironmentConformance()
    suite.environment = environment(name=f"{__name__}:{environment.__name__}")
    with pytest.raises(AssertionError):
        getattr(suite, check)()


class MergeableAgentSuite(AgentConformance, MergeConformance):
    pass


@pytest.mark.parametrize(
    ("agent", "check", "arguments"),
    [
        (Forgetful, "test_resuming_equals_training_on_everything_in_any_order", [0]),
        (Forgetful, "test_training_on_nothing_changes_nothing", []),
        (Unweighted, "test_sample_weights_count", []),
        (Unweighted, "test_an_interaction_of_weight_n_counts_as_n_interactions", [0]),
    ],
)
def test_the_suite_detects_a_faulty_agent(agent, check, arguments):
    suite = MergeableAgentSuite()
    suite.agent = agent(name=f"{__name__}:{agent.__name__}")
    with pytest.raises(AssertionError):
        getattr(suite, check)(*arguments)
