"""The conformance suite of environments of episodes detects faulty ones."""

import itertools

import numpy as np
import pytest
from pydantic import ConfigDict

from banditloop.rl_core.environments import Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.events.json_format import decode, encode
from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.rollouts import rollouts
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.episodic_environments import EpisodicEnvironmentConformance

NUMBERS = itertools.count(2)


class Walk(EpisodicEnvironment):
    """Steps to the left or right from a random place, until it is left of 0; each earns 1."""

    name: str
    max_steps: int = 10

    @property
    def task(self):
        return Task.parse({"actions": 2, "context": {"place": "number"}})

    def reset(self, seeds):
        return Walks(self, np.array([np.random.default_rng(seed).integers(1, 9) for seed in seeds.tolist()]))

    def left(self, places):
        return places < 0

    def rewards(self, running):
        return running.astype(float)

    def candidates(self, rows):
        return None


class Walks(Episodes):
    def __init__(self, environment, places):
        self.environment, self.places, self.steps = environment, places, 0
        self.running = np.ones(len(places), bool)

    @property
    def contexts(self):
        return {"place": self.places.astype(float)}

    def candidates(self):
        return self.environment.candidates(len(self.places))

    def step(self, actions):
        before, self.places, self.steps = self.running, self.places + 2 * actions.astype(int) - 1, self.steps + 1
        terminal = before & self.environment.left(self.places)
        truncated = before & ~terminal & (self.steps >= self.environment.max_steps)
        self.running = before & ~terminal & ~truncated
        return Steps(self.environment.rewards(before), terminal, truncated)


class Impure(Walk):
    """Starts where no seed says."""

    def reset(self, seeds):
        return Walks(self, np.random.default_rng().integers(1, 9, len(seeds)))


class Ranked(Walk):
    """An episode starts where its place among the others says."""

    def reset(self, seeds):
        return Walks(self, np.argsort(seeds))


class Constant(Walk):
    """Every episode is the same."""

    def reset(self, seeds):
        return Walks(self, np.ones(len(seeds), int))


class Endless(Walk):
    """Its episodes go on after max_steps."""

    def reset(self, seeds):
        return Walks(self.model_copy(update={"max_steps": 1_000, "name": "endless"}), np.full(len(seeds), 500))


class Generous(Walk):
    """Earns more than its task says."""

    def rewards(self, running):
        return 2.0 * running


class EarningOnceOver(Walk):
    """Earns after the end."""

    def rewards(self, running):
        return np.ones(len(running))


class Blind(Walk):
    """Observes something else than its task says."""

    @property
    def task(self):
        return Task.parse({"actions": 2, "context": {"weather": "category"}})


class OtherCandidates(Walk):
    """Offers an action that is not in its task."""

    def candidates(self, rows):
        return [["0", "5"]] * rows


class Tiring(Walk):
    """A second reset changes the episodes of the first."""

    def reset(self, seeds):
        walks = super().reset(seeds)
        self.__dict__.setdefault("walks", walks).places[:] = -5
        return walks


class Negative(Walk):
    """Its scale would turn rewards around."""

    def reward_scale(self, contexts):
        return -np.ones(len(contexts["place"]))


class ChangingTask(Walk):
    """Its task is another one every time."""

    @property
    def task(self):
        return Task.parse({"actions": next(NUMBERS), "context": {"place": "number"}})


class Lenient(Walk):
    """Accepts unknown keys."""

    model_config = ConfigDict(extra="allow")


FAULTS = [
    (ChangingTask, "the_task_is_the_same_after_travelling_as_a_pipeline_parameter"),
    (Impure, "the_environment_is_the_same_after_travelling_as_a_pipeline_parameter"),
    (Impure, "an_episode_is_the_same_whatever_others_it_is_started_with"),
    (Ranked, "an_episode_is_the_same_whatever_others_it_is_started_with"),
    (Blind, "contexts_are_those_of_the_task"),
    (OtherCandidates, "candidates_are_actions_of_the_task"),
    (Generous, "rewards_are_in_the_tasks_range"),
    (Endless, "episodes_end_by_max_steps_and_stay_over"),
    (EarningOnceOver, "episodes_end_by_max_steps_and_stay_over"),
    (Tiring, "episodes_of_two_resets_do_not_affect_each_other"),
    (Constant, "other_seeds_give_other_episodes"),
    (Negative, "reward_scales_are_positive_and_stay_the_same_in_an_episode"),
    (Lenient, "unknown_keys_are_refused_in_one_line"),
]


class Doors(Walk):
    """Actions have names, and an episode at an odd place has another choice than one at an even place."""

    @property
    def task(self):
        return Task.parse({"actions": ["left", "right", "stay"], "context": {"place": "number"}})

    def reset(self, seeds):
        return InRooms(self, super().reset(seeds).places)


class InRooms(Walks):
    def candidates(self):
        return [["stay", "left"] if place % 2 else ["left", "right", "stay"] for place in self.places]

    def step(self, actions):
        assert all(action in listed for action, listed in zip(actions[self.running], self.open(), strict=True))
        return super().step((actions == "right").astype(int))

    def open(self):
        return [listed for listed, is_running in zip(self.candidates(), self.running, strict=True) if is_running]


class TestDoors(EpisodicEnvironmentConformance):
    environment = Doors(name=f"{__name__}:Doors")

    def test_rows_have_the_candidates_of_their_episode(self):
        table = rollouts(None, self.environment, seed=0, episodes=30)
        assert decode(decision_schema(self.environment.task), encode(table.drop_columns("reward"))).num_rows
        for row in table.to_pylist():
            listed = ["left", "stay"] if row["context"]["place"] % 2 else ["left", "right", "stay"]
            assert row["candidates"] == listed
            assert row["probabilities"] == [1 / len(listed)] * len(listed)
            assert row["action"] in row["candidates"]
        assert {(len(row["candidates"]), row["action"]) for row in table.to_pylist()} >= {(3, "right"), (2, "stay")}


class TestWalk(EpisodicEnvironmentConformance):
    environment = Walk(name=f"{__name__}:Walk")


@pytest.mark.parametrize(("environment", "check"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_the_suite_detects_a_faulty_environment(environment, check):
    suite = EpisodicEnvironmentConformance()
    suite.environment = environment(name=f"{__name__}:{environment.__name__}")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, f"test_{check}")()


def test_every_check_of_the_suite_detects_a_fault():
    checks = {name.removeprefix("test_") for name in dir(EpisodicEnvironmentConformance) if name.startswith("test_")}
    assert checks == {check for _, check in FAULTS}
