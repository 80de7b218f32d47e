"""A loop of episodes on Vertex AI's stand-in: both pipelines run whole, and what they release answers step by step."""

import numpy as np
import pytest

from banditloop.functions.trigger import tick
from banditloop.pipelines.cli.loop_steps import run_startup
from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.transitions import promote
from banditloop.rl_core.rollouts import rollouts
from tests.google.test_serving import logged
from tests.policies.test_episode_evaluation import log_episodes
from tests.ports.conftest import google
from tests.support.processes import wait_until

STEPS, INTERACTIONS, EPISODES = 30, 600, 20


@pytest.fixture
def config(tmp_path, own_vertex):
    return google(
        tmp_path,
        environment={"name": "cartpole", "max_steps": STEPS},
        episodes={"max_steps": STEPS, "window_seconds": 600.0},
        agent={"name": "fitted_q"},
        gate={"holdout_fraction": 0.3},
        release={"canary_percent": 50},
        retraining={"min_new_interactions": EPISODES},
    )


@pytest.mark.slow
def test_both_pipelines_run_whole_and_what_they_release_answers_step_by_step(config):
    platform = connect(config)
    platform.bus.deliver("decisions", lambda payloads: None)  # its subscription exists before the first message
    run_startup(config, platform, INTERACTIONS, 0, lambda *shown: None)
    first, runner = platform.endpoint.versions()[-1], platform.runner
    assert states(runner.tasks("startup-1")) == dict.fromkeys(
        ("generator", "ingester", "trainer", "evaluator", "deployer"), "succeeded"
    )
    assert platform.warehouse.episode_counts(first.window.until).transitions >= INTERACTIONS
    assert platform.endpoint.release().traffic() == {RANDOM: 50, first.version: 50}
    assert_answers_stay_with_the_episode(config, platform, first.version)
    promote(platform.endpoint, first.version)
    policy = SavedPolicy.load(platform.endpoint.policy(first.version))
    log_episodes(platform, rollouts(policy, config.environment, 1, EPISODES))
    run, _ = tick(config, platform)
    wait_until(lambda: runner.state(run) != "running", 600)
    assert set(states(runner.tasks(run)).values()) == {"succeeded"}, runner.explain(run)
    second = platform.endpoint.versions()[-1]
    assert (second.run, second.generation) == (run, 2)
    assert second.window.interactions > first.window.interactions
    assert platform.endpoint.release().traffic() == {first.version: 50, second.version: 50}


def states(tasks) -> dict[str, str]:
    return {task.name: task.state for task in tasks}


def assert_answers_stay_with_the_episode(config, platform, version: str) -> None:
    """Each episode has one version to its end, and its decisions are logged with their steps."""
    episodes = config.environment.reset(np.arange(EPISODES))
    answered = []
    for step in range(2):
        columns = [values.tolist() for values in episodes.contexts.values()]
        contexts = [dict(zip(episodes.contexts, row, strict=True)) for row in zip(*columns, strict=True)]
        instances = [{"context": c, "episode_id": f"e{place}", "step": step} for place, c in enumerate(contexts)]
        answered.append(platform.endpoint.predict(instances))
        episodes.step(np.array([int(decision.action) for decision in answered[-1]]))
    versions = [[decision.policy_version for decision in decisions] for decisions in answered]
    assert versions[0] == versions[1]
    assert set(versions[0]) == {RANDOM, version}
    events = logged(config, platform, 2 * EPISODES)
    found = {(event["episode_id"], event["step"]): event["policy_version"] for event in events}
    assert found == {(f"e{place}", step): v for step in range(2) for place, v in enumerate(versions[step])}
    assert {event["assignment_share"] for event in events} == {0.5}
