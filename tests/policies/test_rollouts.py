"""Rollouts are functions of their seeds, and the rows that they say they are."""

import gymnasium
import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import episode_seeds
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.noise import hashes, step_uniforms
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode, encode
from banditloop.rl_core.events.schema import decision_schema, interaction_schema
from banditloop.rl_core.policies.saved_policy import draw_actions
from banditloop.rl_core.promotion.steps import simulate_step
from banditloop.rl_core.rollouts import play, returns, rollouts, uniformly
from banditloop.rl_core.rollouts.history import episodic_history

CARTPOLE = CartPole(max_steps=30)


def balance(contexts, candidates, uniforms):
    """Push towards where the pole falls: it then stays up for hundreds of steps."""
    right = contexts["angle"] + contexts["angular_velocity"] > 0
    return draw_actions(np.column_stack([~right, right]).astype(float), uniforms)


@pytest.fixture(scope="module")
def episodes() -> pa.Table:
    return rollouts(None, CARTPOLE, seed=0, episodes=60)


def test_rows_are_interactions_of_whole_episodes(episodes):
    assert episodes.schema == interaction_schema(CARTPOLE.task)
    decisions = episodes.drop_columns("reward")
    assert decode(decision_schema(CARTPOLE.task), encode(decisions)).num_rows == episodes.num_rows
    ends = np.flatnonzero(np.array(episodes["terminal"]) | np.array(episodes["truncated"]))
    lengths = np.diff([-1, *ends])
    assert len(ends) == 60 and ends[-1] == episodes.num_rows - 1
    assert episodes["step"].to_pylist() == [step for length in lengths for step in range(length)]
    assert len(set(episodes["episode_id"].to_pylist())) == 60
    truncated = np.array(episodes["truncated"])[ends]
    assert 0 < truncated.sum() < 60
    assert set(lengths[truncated]) == {30}
    assert set(episodes["reward"].to_pylist()) == {1.0}
    assert set(map(tuple, episodes["probabilities"].to_pylist())) == {(0.5, 0.5)}


def test_episodes_are_the_same_however_they_are_divided(episodes):
    parts = [rollouts(None, CARTPOLE, 0, count, first) for first, count in ((0, 1), (1, 40), (41, 19))]
    assert pa.concat_tables(parts).combine_chunks() == episodes.combine_chunks()
    others = rollouts(None, CARTPOLE, seed=1, episodes=60)
    assert not set(others["event_id"].to_pylist()) & set(episodes["event_id"].to_pylist())
    assert others["context"] != episodes["context"]


def test_random_actions_are_fair_and_independent_of_the_start(episodes):
    actions, steps = np.array(episodes["action"].cast("int64")), np.array(episodes["step"])
    assert actions.mean() == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(len(actions)))  # three standard deviations
    assert np.corrcoef(actions[steps == 1], actions[steps == 0])[0, 1] == pytest.approx(0, abs=3 / np.sqrt(60))


def test_hashes_are_those_of_splitmix64():
    """The first outputs of its reference implementation for the seed 1234567, and uniform numbers of them."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert hashes(np.uint64(1234567), np.arange(3)).tolist() == expected
    uniforms = step_uniforms(episode_seeds(0, 0, 10_000), 5)
    assert np.histogram(uniforms, 10, (0, 1))[0] == pytest.approx(1_000, abs=5 * 30)  # five standard deviations
    assert len(np.unique(uniforms)) == 10_000


def test_returns_are_those_of_the_rows(episodes):
    result = returns(uniformly, CARTPOLE, seed=0, episodes=60, discount=0.9)
    lengths = np.unique(np.array(episodes["episode_id"]), return_counts=True)[1]
    assert sorted(result.lengths) == sorted(lengths)
    np.testing.assert_array_equal(result.undiscounted, result.lengths)
    np.testing.assert_allclose(result.discounted, (1 - 0.9**result.lengths) / (1 - 0.9))


def test_an_earlier_limit_cuts_episodes_off():
    table = rollouts(None, CARTPOLE, seed=0, episodes=5, max_steps=4)
    assert table["step"].to_pylist() == [0, 1, 2, 3] * 5
    assert table["truncated"].to_pylist() == [False, False, False, True] * 5
    assert not table["terminal"].to_numpy().any()
    assert set(returns(balance, CARTPOLE, 0, 5, max_steps=100).lengths) == {30}, "the environment's limit holds"


def test_what_a_step_leads_to_is_what_the_next_one_starts_from():
    last = None
    for played in play(CARTPOLE, episode_seeds(0, 0, 20), uniformly):
        if last is not None:
            goes_on = ~last.outcome.ended
            assert played.episodes.tolist() == last.episodes[goes_on].tolist()
            for name, values in played.contexts.items():
                np.testing.assert_array_equal(values, last.next_contexts[name][goes_on])
        last = played
    assert last.outcome.ended.all()


def test_cartpole_is_that_of_gymnasium():
    """With the same seeds and actions: the same observations, rewards and ends, to the last digit."""
    seeds = episode_seeds(0, 0, 3)
    theirs = [gymnasium.make("CartPole-v1", max_episode_steps=200) for _ in seeds]
    for choose in (balance, uniformly):
        observed = [env.reset(seed=int(seed))[0] for env, seed in zip(theirs, seeds, strict=True)]
        for played in play(CartPole(), seeds, choose):
            ours = np.column_stack(list(played.contexts.values()))
            np.testing.assert_array_equal(ours, np.array(observed)[played.episodes])
            for row, episode in enumerate(played.episodes):
                action = int(played.decisions.actions[row])
                observed[episode], *outcome, _ = theirs[episode].step(action)
                assert outcome == [column[row] for column in played.outcome]


def test_a_history_is_the_fewest_whole_episodes_with_so_many_interactions(episodes):
    decisions, rewards = episodic_history(CARTPOLE, 100, "points", seed=0)
    assert decisions == episodes.drop_columns("reward").slice(0, decisions.num_rows)
    is_last = np.array(decisions["terminal"]) | np.array(decisions["truncated"])
    assert is_last[-1]
    assert not is_last[99:-1].any()
    assert rewards["event_id"] == decisions["event_id"]
    assert set(rewards["name"].to_pylist()) == {"points"}
    longer, _ = episodic_history(CARTPOLE, 300, "points", seed=0)
    assert longer.slice(0, decisions.num_rows) == decisions
    with pytest.raises(InvalidInput, match="interactions = 0: give at least 1"):
        episodic_history(CARTPOLE, 0, "points", seed=0)


def test_the_generator_adds_whole_episodes_once(tmp_path):
    values = {"environment": CARTPOLE.model_dump(), "agent": {"name": "tests.support.sequential_agents:Idle"}}
    config = Config.parse(values | {"backend": {"root": str(tmp_path)}, "episodes": {"max_steps": 12}})
    added = simulate_step(config, connect(config), 100, seed=0)
    assert 100 <= added["decisions_added"] == added["rewards_added"] < 112
    assert simulate_step(config, connect(config), 100, seed=0)["decisions_added"] == 0
    warehouse = connect(config).warehouse
    stored = pa.Table.from_batches(warehouse.interactions(warehouse.window(None)))
    assert stored.num_rows == added["decisions_added"]
    assert max(stored["step"].to_pylist()) == 11
