"""The conformance suites detect faulty environments and agents."""

import itertools

import numpy as np
import pytest
from pydantic import ConfigDict

from banditloop.rl_core.agents import best_actions, one_hot
from banditloop.rl_core.settings.feature_kinds import Vector
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.environments import EnvironmentConformance
from banditloop.rl_core.testing.merging import MergeConformance
from tests.policies.test_own_parts import Clicks, Ridge, RidgeModel


class Impure(Clicks):
    """Not pure: the reward changes from call to call."""

    def reward(self, contexts, actions, event_ids):
        return np.random.default_rng().random(len(actions))


class Biased(Clicks):
    """Biased: everybody clicks."""

    def reward(self, contexts, actions, event_ids):
        return np.ones(len(actions))


class OutOfRange(Clicks):
    """Its expectations leave the range of its rewards."""

    def expected_rewards(self):
        return super().expected_rewards() + 1


class OutOfPopulation(Clicks):
    """Observes users who are not in its population."""

    def observe(self, batch, random):
        return {"user": random.random((batch, 4)).astype(np.float32)}


class Unseeded(Clicks):
    """Draws users without the generator."""

    def observe(self, batch, random):
        return super().observe(batch, np.random.default_rng())


class Constant(Clicks):
    """Always observes the same users."""

    def observe(self, batch, random):
        return super().observe(batch, np.random.default_rng(0))


class OtherContexts(Clicks):
    """Its users have fewer features than its task says."""

    def population(self):
        return {"user": super().population()["user"][:, :3]}

    def expected_rewards(self):
        return None


class TooLarge(Clicks):
    """Its users have features that no event may have."""

    def population(self):
        return {"user": super().population()["user"] * 1e9}

    def expected_rewards(self):
        return None


class OtherCandidates(Clicks):
    """Offers a banner that is not in its task."""

    def candidates(self, contexts, random):
        return [["0", "3"]] * len(contexts["user"])


class UndescribedActions(Clicks):
    """Gives features of its banners that are not in its task."""

    def action_features(self):
        return [{"colour": "red"}] * self.banners


class EarlyRewards(Clicks):
    """Some of its rewards come before the decision."""

    def delays(self, event_ids):
        return np.full(len(event_ids), -1.0)


class ChangingTask(Clicks):
    """Its task is another one every time."""

    @property
    def task(self):
        return Task(actions=next(NUMBERS), reward_range=[0.0, 1.0], context={"user": Vector(vector=4)})


class Lenient(Clicks):
    """Accepts unknown keys."""

    model_config = ConfigDict(extra="allow")


NUMBERS = itertools.count(2)
FAULTS = [
    (Impure, "reward_is_a_pure_function_of_context_action_and_event_id"),
    (Impure, "the_environment_is_the_same_after_travelling_as_a_pipeline_parameter"),
    (Biased, "rewards_of_every_action_average_to_the_expected_rewards"),
    (Biased, "rewards_of_one_context_and_action_average_to_the_expected_reward"),
    (OutOfRange, "expected_rewards_have_a_value_in_range_for_every_context_and_action"),
    (OutOfPopulation, "observed_contexts_are_those_of_the_task"),
    (OtherContexts, "observed_contexts_are_those_of_the_task"),
    (TooLarge, "observed_contexts_are_those_of_the_task"),
    (TooLarge, "simulated_events_are_valid"),
    (Unseeded, "contexts_are_drawn_by_the_generator"),
    (Constant, "contexts_are_drawn_by_the_generator"),
    (OtherCandidates, "candidates_are_actions_and_drawn_by_the_generator"),
    (UndescribedActions, "action_features_are_those_of_the_task"),
    (EarlyRewards, "delays_are_a_pure_function_of_event_ids"),
    (ChangingTask, "the_task_is_the_same_after_travelling_as_a_pipeline_parameter"),
    (Lenient, "unknown_keys_are_refused_in_one_line"),
]


class Forgetful(Ridge):
    """Resuming loses what was learned before."""

    def accumulate(self, statistics, batch):
        return super().accumulate(self.initial_statistics(*statistics["vectors"].shape[::-1]), batch)


class Unweighted(Ridge):
    """Ignores sample weights."""

    def accumulate(self, statistics, batch):
        return super().accumulate(statistics, batch._replace(sample_weight=None))


class WorstModel(RidgeModel):
    """Takes the action that it expects the least of."""

    def probabilities(self, observations, eligible=None):
        return one_hot(best_actions(-self.expected_rewards(observations), eligible), len(self.theta))


class MovingModel(RidgeModel):
    """Its probabilities are others every time."""

    def probabilities(self, observations, eligible=None):
        weights = np.random.default_rng(next(NUMBERS)).random((len(observations), len(self.theta)))
        weights = weights if eligible is None else weights * eligible
        return weights / weights.sum(axis=1, keepdims=True)


class Worst(Ridge):
    def load(self, folder):
        return WorstModel(super().load(folder).theta)


class Moving(Ridge):
    def load(self, folder):
        return MovingModel(super().load(folder).theta)


@pytest.mark.parametrize(("environment", "check"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_the_suite_detects_a_faulty_environment(environment, check):
    suite = EnvironmentConformance()
    suite.environment = environment(name=f"{__name__}:{environment.__name__}")
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError)):
        getattr(suite, f"test_{check}")()


def test_every_check_of_the_suite_detects_a_fault():
    """But those of the range, which Task guards, and of TF-Agents' own validation."""
    checks = {name.removeprefix("test_") for name in dir(EnvironmentConformance) if name.startswith("test_")}
    unproved = {"reward_range_is_finite_and_not_empty", "tf_agents_accepts_its_adapter"}
    assert checks - {check for _, check in FAULTS} == unproved


class MergeableAgentSuite(AgentConformance, MergeConformance):
    pass


@pytest.mark.parametrize(
    ("agent", "check", "arguments"),
    [
        (Forgetful, "test_resuming_equals_training_on_everything_in_any_order", [0]),
        (Forgetful, "test_training_on_nothing_changes_nothing", []),
        (Unweighted, "test_sample_weights_count", []),
        (Worst, "test_it_beats_uniform_choice_in_every_environment", ["linear"]),
        (Moving, "test_probabilities_do_not_depend_on_the_rest_of_the_batch", []),
        (Unweighted, "test_an_interaction_of_weight_n_counts_as_n_interactions", [0]),
    ],
)
def test_the_suite_detects_a_faulty_agent(agent, check, arguments):
    suite = MergeableAgentSuite()
    suite.agent = agent(name=f"{__name__}:{agent.__name__}")
    with pytest.raises(AssertionError):
        getattr(suite, check)(*arguments)
