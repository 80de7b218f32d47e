"""The simulator's requests and rewards in every kind of environment, and the learning curve that comes of them."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from banditloop.functions.simulator import Visit, instances, simulate
from banditloop.pipelines.cli.progress import Report
from banditloop.rl_core.backends import connect
from banditloop.rl_core.client import Decision
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.classification import Classification
from banditloop.rl_core.environments.delayed import Delayed
from banditloop.rl_core.environments.drifting import Drifting
from banditloop.rl_core.environments.linear import Linear
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import draw_actions
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.reports.episode_curve import EPISODES, SEED
from banditloop.rl_core.reports.learning_curve import summary
from banditloop.rl_core.reports.learning_curve_page import write_page
from banditloop.rl_core.rollouts import returns, uniformly
from tests.policies.test_built_in_environments import write_flowers

IDLE = "tests.support.sequential_agents:Idle"


class FirstCandidate:
    """An endpoint that answers every instance with its first candidate, or with `default`."""

    def __init__(self, default):
        self.default, self.requests = default, []

    def predict(self, instances):
        self.requests.append(instances)
        return [Decision(f"event-{row}", self._action(part), 1.0, "v1") for row, part in enumerate(instances)]

    def _action(self, instance):
        candidates = instance.get("actions") if isinstance(instance, dict) else None
        if not candidates:
            return self.default
        first = candidates[0]["id"] if isinstance(candidates[0], dict) else candidates[0]
        return int(first) if isinstance(self.default, int) else first


class Published:
    """A bus that keeps what is published, with the time."""

    def __init__(self):
        self.messages = []

    def publish(self, topic, payload):
        self.messages.append((topic, datetime.now(UTC), json.loads(payload)))


def visit(environment, tmp_path, default=0, users=5):
    """The messages and the one request of a visit."""
    config = make_config(environment, tmp_path)
    platform = connect(config).with_ports(endpoint=FirstCandidate(default), bus=Published())
    visited = simulate(config, platform, Visit(users=users, seed=0))
    rewards = [event for _, _, events in platform.bus.messages for event in events]
    assert visited == (users, users, pytest.approx(np.mean([event["value"] for event in rewards])))
    assert sorted(event["event_id"] for event in rewards) == sorted(f"event-{row}" for row in range(users))
    return platform.bus.messages, platform.endpoint.requests[0]


def make_config(environment, tmp_path, **sections):
    backend, policy = {"root": str(tmp_path / "loop")}, {"saved_model": False}
    return Config.parse({"backend": backend, "environment": environment.model_dump(), "policy": policy} | sections)


def test_plain_vectors_are_sent_as_lists(tmp_path):
    environment = Linear(dim=3)
    [(topic, _, rewards)], request = visit(environment, tmp_path)
    assert topic == "rewards"
    contexts = environment.observe(5, np.random.default_rng(0))
    assert request == contexts["observation"].tolist()
    expected = environment.reward(contexts, np.zeros(5, int), [f"event-{row}" for row in range(5)])
    assert [event["value"] for event in rewards] == expected.tolist()


def test_named_features_are_sent_by_name_and_hidden_columns_never(tmp_path):
    environment = Classification(dataset=str(write_flowers(tmp_path)))
    [(_, _, rewards)], request = visit(environment, tmp_path, default="setosa")
    assert [list(instance) for instance in request] == [["context"]] * 5
    assert all(instance["context"].keys() == environment.task.context.keys() for instance in request)
    is_setosa = [float(instance["context"]["colour"] == "white") for instance in request]
    assert [event["value"] for event in rewards] == is_setosa
    assert all(isinstance(instance, list) for instance in visit(Drifting(), tmp_path)[1])


def test_candidates_and_their_features_are_sent_where_the_environment_gives_them(tmp_path):
    environment = MovieLens(available=3)
    for instance in visit(environment, tmp_path)[1]:
        assert len(instance["actions"]) == 3
        assert len(instance["context"]["observation"]) == 20
    features = MovieLens(genres=True).action_features()
    for instance in visit(MovieLens(genres=True), tmp_path)[1]:
        assert instance["actions"] == [{"id": str(movie)} | row for movie, row in enumerate(features)]
    contexts = environment.observe(2, np.random.default_rng(0))
    [first, second] = instances(environment, contexts, np.random.default_rng(1))
    assert first["actions"] != second["actions"]


def test_delayed_rewards_are_published_when_they_are_due(tmp_path):
    environment = Delayed(environment=Linear(dim=3), mean_seconds=0.3)
    started = datetime.now(UTC)
    messages, _ = visit(environment, tmp_path, users=20)
    assert len(messages) > 2
    delays = environment.delays([f"event-{row}" for row in range(20)])
    due = {
        event["event_id"]: datetime.fromisoformat(event["timestamp"]) for _, _, events in messages for event in events
    }
    first = min(due.values())
    for row, delay in enumerate(delays):
        assert (due[f"event-{row}"] - first).total_seconds() == pytest.approx(delay - delays.min(), abs=1e-5)
    for _, published, events in messages:
        assert all(started < datetime.fromisoformat(event["timestamp"]) <= published for event in events)


def test_an_episode_is_played_step_by_step_and_every_step_earns(tmp_path):
    """The requests name episode and step; the events that an episode ended or was cut off belong to its last step."""
    environment = CartPole(max_steps=10)  # with the same action at every step, the pole falls after 8 to 10
    config = make_config(environment, tmp_path, agent={"name": IDLE})
    platform = connect(config).with_ports(endpoint=FirstCandidate(0), bus=Published())
    visited = simulate(config, platform, Visit(users=20, seed=0))
    expected = returns(lambda *asked: always(0, len(asked[-1])), environment, seed=0, episodes=20)
    assert visited == (steps := expected.lengths.sum(), steps + 20, expected.undiscounted.mean())
    requests = platform.endpoint.requests
    assert [len(request) for request in requests] == [int((expected.lengths > step).sum()) for step in range(10)]
    assert {instance["step"] for instance in requests[3]} == {3}
    assert requests[0][0]["context"].keys() == environment.task.context.keys()
    assert len({instance["episode_id"] for request in requests for instance in request}) == 20
    ended = {"terminal": 0, "truncated": 0}
    for request, (topic, _, events) in zip(requests, platform.bus.messages, strict=True):
        assert topic == "rewards"
        assert [event["value"] for event in events if event["name"] == "reward"] == [1.0] * len(request)
        for event in events[len(request) :]:
            ended[event["name"]] += event["value"]
    assert ended["terminal"] and ended["truncated"]
    assert sum(ended.values()) == 20


def test_the_configs_limit_cuts_episodes_off(tmp_path):
    config = make_config(CartPole(), tmp_path, agent={"name": IDLE}, episodes={"max_steps": 3})
    platform = connect(config).with_ports(endpoint=FirstCandidate(0), bus=Published())
    assert simulate(config, platform, Visit(users=2)) == (6, 8, 3.0)
    assert [event["name"] for event in platform.bus.messages[2][2]] == ["reward"] * 2 + ["truncated"] * 2


def always(action, episodes):
    return draw_actions(np.tile(np.eye(2)[action], (episodes, 1)), np.zeros(episodes))


def test_a_config_without_an_environment_has_nothing_to_simulate(tmp_path):
    config = Config.parse({"backend": {"root": str(tmp_path / "loop")}, "task": {"actions": ["a", "b"]}})
    with pytest.raises(InvalidInput, match=r"^environment: is missing; the simulator needs one$"):
        simulate(config, connect(config), Visit())


@pytest.mark.parametrize(
    "environment", [Linear(actions=4), MovieLens(available=4), Drifting()], ids=lambda part: part.name
)
def test_the_learning_curve_has_values_where_the_environment_knows_them(environment, tmp_path):
    config = make_config(environment, tmp_path)
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    content = summary(config, platform)
    [version] = content["versions"]
    known = environment.expected_rewards() is not None
    assert known == (environment.name == "linear")
    assert ("value" in version) == ("greedy_value" in version) == ("oracle" in content) == known
    if known:
        assert version["value"] == pytest.approx(content["uniform"])
    write_page(content, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert ("does not know the true value" in page) != known
    assert ("value as served" in page) == known
    Report(None).table(content)


def test_the_learning_curve_of_episodes_has_their_mean_returns(tmp_path):
    environment = CartPole(max_steps=30)
    config = make_config(environment, tmp_path, agent={"name": IDLE})
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    content = summary(config, platform)
    [version] = content["versions"]
    expected = returns(uniformly, environment, SEED, EPISODES).undiscounted.mean()
    assert version["value"] == version["greedy_value"] == content["uniform"] == expected
    write_page(content, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert f"earns {expected:.3g} as served" in page
    assert "return of an episode" in page
    Report(None).table(content)
