"""Evaluation on a log of episodes, the gate's decision on it, and the monitor's on a canary's episodes."""

import time
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.episodes.comparison import compare_episodes, compare_versions
from banditloop.rl_core.evaluation.episodes.episode_rows import SAMPLED, SEVERAL, UNKNOWN, UNUSABLE
from banditloop.rl_core.evaluation.episodes.estimates import episode_estimates
from banditloop.rl_core.evaluation.episodes.targets import Targets
from banditloop.rl_core.evaluation.episodes.window import EpisodeWindow
from banditloop.rl_core.events.rows import reward_table
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.candidate import evaluate_candidate
from banditloop.rl_core.promotion.steps import evaluate_file
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.reports.evaluation_page import write_evaluation
from banditloop.rl_core.rollouts import returns, rollouts
from banditloop.rl_core.rollouts.play import chooses
from tests.conftest import START
from tests.support.lights import lights_config, with_column, write_follower

EPISODES = 600


def log_episodes(platform: Platform, table: pa.Table, **metrics: float) -> None:
    """Add interactions to a loop's log, with rewards of other names."""
    ids, times = table["event_id"].to_pylist(), table["timestamp"].to_pylist()
    named = {"reward": table["reward"].to_numpy()} | {name: np.full(len(ids), value) for name, value in metrics.items()}
    for name, values in named.items():
        rewards = reward_table(event_id=ids, value=values, timestamp=times, name=name)
        platform.warehouse.append("rewards", rewards)
    platform.warehouse.append("decisions", table.drop_columns("reward"))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Platform]:
    """A loop whose log has random episodes of three steps, each step with the metric clicks = 2."""
    config = lights_config(tmp_path_factory.mktemp("loop"), episodes={"metrics": ["clicks"]})
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    log_episodes(platform, rollouts(None, config.environment, 1, EPISODES), clicks=2.0)
    return config, platform


@pytest.fixture(scope="module")
def policies(loop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SavedPolicy]:
    """The random policy, and two followers."""
    config, platform = loop
    folder = tmp_path_factory.mktemp("policies")
    followers = {name: write_follower(config, folder / name, skill) for name, skill in (("good", 0.9), ("bad", 0.1))}
    return {"random": SavedPolicy.load(platform.endpoint.policy(RANDOM))} | followers


@pytest.fixture(scope="module")
def transitions(loop) -> pa.Table:
    """The transitions of the log."""
    _, platform = loop
    return pa.Table.from_batches(platform.warehouse.transitions(platform.warehouse.window(None)))


def window_of(config: Config, policies: dict[str, SavedPolicy], table: pa.Table) -> EpisodeWindow:
    """The window of a table, with policies by version."""
    known = {policy.manifest.version: policy for policy in policies.values()}
    usable = UsableInteractions(config.task, {})
    window = EpisodeWindow.of(config, known.get, usable.episodes_of(table.combine_chunks().to_batches()))
    return window.without_unusable(usable)


def changed(table: pa.Table, name: str, rows: list[int], value: object) -> pa.Table:
    """The table with another value in some rows of a column."""
    values = table[name].to_pylist()
    return with_column(table, name, [value if row in rows else old for row, old in enumerate(values)])


def test_episodes_that_no_one_version_answered_are_left_out_whole_and_counted(loop, policies, transitions):
    config, _ = loop
    table = changed(transitions, "policy_version", [1, 3, 4, 5], policies["good"].manifest.version)
    table = changed(table, "policy_version", [6, 7, 8], "../gone")
    table = changed(table, "reward", [11], 7.0)
    table = changed(changed(table, "steps_to_next", [12], 2), "logging_probability", [12], 0.5)
    window = window_of(config, policies, table)
    assert window.left_out == {SEVERAL: 1, UNKNOWN: 1, UNUSABLE: 3, SAMPLED: 1}
    assert window.episodes == EPISODES - 4
    assert np.unique(window.answered_by, return_counts=True)[1].tolist() == [EPISODES - 5, 1]
    assert set(window.policies) == {RANDOM, policies["good"].manifest.version}


def test_a_window_counts_whichever_version_happened_to_answer_in_it(loop, policies, transitions):
    """With few episodes a window often has those of one version only: left out, the others would weigh too much."""
    config, _ = loop
    good, table = (
        policies["good"].manifest.version,
        with_column(transitions, "assignment_share", [0.8] * len(transitions)),
    )
    known = {policy.manifest.version: policy for policy in policies.values()}
    batches = table.slice(0, 12).combine_chunks().to_batches()
    window = EpisodeWindow.of(config, known.get, batches, sharing=[RANDOM, good])
    assert set(window.policies) == {RANDOM, good}
    assert (window.mix == [0.8, pytest.approx(0.2)]).all()
    better, worse = compare_versions(window, RANDOM, policies["good"], BettingTest(), BettingTest())
    assert better.count == worse.count == window.episodes > 0


@pytest.mark.parametrize(
    ("gone", "began", "counted"), [(0, (0, 10, 20, 30), 3), (3, (0, 10, 20, 30), 0), (0, (10, 0, 11, 20), 1)]
)
def test_traffic_that_was_shared_with_a_version_that_is_gone_says_nothing(
    loop, policies, transitions, gone, began, counted
):
    """Its share would be taken for the challenger's, whose episodes would seem to be missing.

    began: seconds at which the episodes of three steps began, a second each.
    """
    config, _ = loop
    table = with_column(transitions, "assignment_share", [0.2] * len(transitions)).slice(0, 12)
    times = [START + timedelta(seconds=start + step) for start in began for step in range(3)]
    table = with_column(table, "timestamp", times)
    table = changed(table, "policy_version", [3 * gone, 3 * gone + 1, 3 * gone + 2], "gone")
    known, good = {policy.manifest.version: policy for policy in policies.values()}, policies["good"]
    batches = table.combine_chunks().to_batches()
    window = EpisodeWindow.of(config, known.get, batches, sharing=[RANDOM, good.manifest.version])
    better, worse = compare_versions(window, RANDOM, good, BettingTest(), BettingTest())
    assert better.count == worse.count == counted


def test_episodes_of_an_application_count_by_the_propensities_that_it_told(loop, policies, transitions):
    config, _ = loop
    told = changed(with_column(transitions, "mode", ["external"] * len(transitions)), "propensity", [0, 1, 2], 1.0)
    told = with_column(told, "policy_version", ["its own"] * len(transitions))
    window = window_of(config, {}, told.slice(3))
    np.testing.assert_allclose(Targets(window).propensities, 0.5)
    better, _ = compare_episodes(window, None, policies["good"], BettingTest(), BettingTest())
    assert better.rejects(0.001)
    unbounded, _ = compare_episodes(window, policies["random"], policies["good"], BettingTest(), BettingTest())
    assert unbounded == BettingTest()
    assert EpisodeWindow.of(config, {}.get, told.to_batches()).left_out == {UNKNOWN: 1}


def test_the_propensities_of_shared_traffic_are_those_of_the_mixture(loop, policies, transitions):
    config, _ = loop
    versions = np.where(np.arange(EPISODES) % 4 == 0, policies["good"].manifest.version, RANDOM).repeat(3).tolist()
    shares = np.where(np.arange(EPISODES) % 4 == 0, 0.25, 0.75).repeat(3).tolist()
    table = with_column(with_column(transitions, "policy_version", versions), "assignment_share", shares)
    targets = Targets(window_of(config, policies, table))
    of_good, of_random = (np.exp(targets.at_end(targets.log_probabilities(policies[n]))) for n in ("good", "random"))
    products = np.multiply.reduceat(targets.propensities, targets.window.rows.starts)
    np.testing.assert_allclose(products, 0.25 * of_good + 0.75 * of_random)
    moved = window_of(config, policies, changed(table, "assignment_share", [4], 0.5))
    assert np.isnan(moved.shares).tolist() == [False, True] + [False] * (EPISODES - 2)


def test_estimates_contain_the_true_returns_of_both_policies(loop, policies, transitions):
    config, _ = loop
    found = episode_estimates(window_of(config, policies, transitions), policies["random"], policies["good"])
    truths = {
        side: returns(chooses(policies[name], config.task), config.environment, 5, 4000, discount=0.9).discounted
        for side, name in (("estimates", "good"), ("baseline_estimates", "random"))
    }
    for side, truth in truths.items():
        row = found["returns"]["reward"][side]["weighted_dr"]
        assert abs(row["value"] - truth.mean()) < 4 * row["standard_error"]
        clicks = found["returns"]["clicks"][side]["weighted_dr"]
        assert clicks["value"] == pytest.approx(2 * (1 + 0.9 + 0.81), rel=0.02)
        assert clicks["relative_value"] == pytest.approx(1, rel=0.02)
    assert found["returns"]["reward"]["difference"]["low"] > 0


def test_short_episodes_decide_for_a_better_candidate_and_against_a_worse_one(loop, policies, tmp_path):
    config, platform = loop
    for name, decision in (("good", "promote"), ("bad", "refuse")):
        folder = tmp_path / name
        write_follower(config, folder, 0.9 if name == "good" else 0.0)
        verdict, summary = evaluate_candidate(platform, config, folder, "run")
        assert (verdict.decision, verdict.champion) == (decision, RANDOM)
    metrics = write_evaluation(summary, tmp_path / "evaluation.json", tmp_path / "page.html", tmp_path)
    assert metrics["candidate_dr"] < metrics["champion_dr"]
    assert metrics["clicks_difference"] == pytest.approx(0, abs=0.3)
    assert metrics["effective_episodes"] < metrics["held_out_episodes"]
    page = (tmp_path / "page.html").read_text()
    for text in ("Refuse ", "weighted doubly robust", "Estimates of the metric clicks", "effective sample size"):
        assert text in page


@pytest.mark.parametrize("incomplete", [15, 25, 35])
def test_every_held_out_episode_counts_once_for_a_line_of_candidates(tmp_path, monkeypatch, incomplete):
    """The time at which the first incomplete one began is searched for to a second; six begin in each tenth of one."""
    config, seconds = lights_config(tmp_path), [0.0]
    monkeypatch.setattr(time, "time_ns", lambda: int((START.timestamp() + seconds[0]) * 1e9))
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    table, evaluated = rollouts(None, config.environment, 1, 240), 0
    for number in range(40):
        seconds[0], part = number / 10, table.slice(18 * number, 18)
        log_episodes(platform, part.slice(0, 17) if number == incomplete else part)
        if number in (9, 39):
            write_follower(config, tmp_path / str(number), 0.6, number)
            verdict, summary = evaluate_candidate(platform, config, tmp_path / str(number), "run")
            platform.endpoint.add_verdict(verdict)
            assert evaluated < summary["episodes"] == verdict.better.count
            evaluated = summary["episodes"]


def test_long_episodes_and_none_go_to_a_canary_and_say_why(tmp_path):
    config = lights_config(tmp_path, max_steps=60)
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    write_follower(config, tmp_path / "good", 0.9)
    verdict, summary = evaluate_candidate(platform, config, tmp_path / "good", "run")
    assert verdict.reason.startswith("0 held-out episodes are too few to decide")
    write_evaluation(summary, tmp_path / "evaluation.json", tmp_path / "page.html", tmp_path)
    log_episodes(platform, rollouts(None, config.environment, 1, 60))
    verdict, summary = evaluate_candidate(platform, config, tmp_path / "good", "run")
    assert verdict.decision == "canary"
    assert "of the candidate's own by their weights, are too few to decide" in verdict.reason
    [horizon] = [text for text in summary["warnings"] if text.startswith("horizon: from step ")]
    assert horizon.endswith(": estimates rely on the model from there")
    write_evaluation(summary, tmp_path / "evaluation.json", tmp_path / "page.html", tmp_path)
    assert "too little to tell" in (tmp_path / "page.html").read_text()


def test_a_log_in_a_file_is_evaluated_by_its_episodes(loop, policies, tmp_path):
    config, _ = loop
    folder = tmp_path / "good"
    write_follower(config, folder, 0.9)
    table = rollouts(None, config.environment, 3, EPISODES)
    columns = ["event_id", "episode_id", "step", "terminal", "action", "propensity", "reward"]
    rows = pa.Table.from_struct_array(table["context"].combine_chunks())
    for name in columns:
        rows = rows.append_column(name, table[name])
    again = rows.slice(0, 1).set_column(rows.column_names.index("event_id"), "event_id", pa.array(["again"]))
    pq.write_table(pa.concat_tables([rows, again]), tmp_path / "log.parquet")
    verdict, summary = evaluate_file(config, folder, tmp_path / "log.parquet", {})
    assert (verdict.champion, summary["episodes"], summary["interactions"]) == ("the log", EPISODES, 3 * EPISODES)
    assert (verdict.decision, summary["left_out"]) == ("promote", {"decisions of a step that was logged before": 1})
    assert summary["returns"]["reward"]["baseline_estimates"] == {}
    assert write_evaluation(summary, tmp_path / "e.json", tmp_path / "page.html", tmp_path)["difference"] > 0
    with pytest.raises(InvalidInput, match=r"least_propensity = 0\.6: the log has 0\.5"):
        evaluate_file(config, folder, tmp_path / "log.parquet", {}, least_propensity=0.6)
