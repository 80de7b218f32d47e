"""The verdict on a candidate by a log whose policy is unknown: the logged propensities count."""

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.environments import policy_value
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.comparison import compare
from banditloop.rl_core.evaluation.estimates import evaluate
from banditloop.rl_core.evaluation.kinds import kind_of
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.promotion.logged_candidate import evaluate_log
from banditloop.rl_core.reports.evaluation_page import write_page
from tests.policies.test_evaluation import config as config
from tests.policies.test_evaluation import logged, window_of, with_column
from tests.policies.test_evaluation import policies as policies


@pytest.fixture(scope="module")
def log(config, policies):
    """3,000 interactions of the first trained policy, with its name removed."""
    table = logged(config, policies, {list(policies)[1]: 3000}, seed=11)
    table = with_column(table, "policy_version", ["application"] * 3000)
    return with_column(table, "mode", ["external"] * 3000)


def test_the_verdict_on_the_log_of_an_unknown_policy(config, policies, log, tmp_path):
    random, _, second = policies.values()
    verdict, summary = evaluate_log(config, log.to_batches(max_chunksize=700), second)
    assert (verdict.decision, verdict.champion, summary["interactions"]) == ("canary", "the log", 3000)
    rewards = log["reward"].to_numpy()
    for name in ("ips", "snips", "dr"):
        assert summary["estimates"][name]["champion"]["value"] == pytest.approx(rewards.mean()), name
    population = config.environment.population()["observation"]
    truth = policy_value(config.environment, second.probabilities(population))
    assert summary["estimates"]["dr"]["candidate"]["low"] < truth < summary["estimates"]["dr"]["candidate"]["high"]
    assert "replay" not in summary["estimates"]
    assert summary["logging_mix"] == {"application": 1.0}
    assert sum(row["logged"] for row in summary["by_action"]) == pytest.approx(1)
    for row in summary["by_action"]:
        earned = rewards[np.array(log["action"].to_pylist()) == row["action"]]
        assert (row["interactions"], row["logged"]) == (len(earned), pytest.approx(len(earned) / 3000))
        assert row["value"] == pytest.approx(earned.mean())
        assert row["low"] is None or row["low"] < row["value"] < row["high"]
    write_page(summary, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "as a canary beside the log" in page
    [table] = [section for section in page.split("<section>") if "<h2>Rewards by action</h2>" in section]
    assert table.count("<tr>") == 1 + len(summary["by_action"])
    worse, _ = evaluate_log(config, log.to_batches(), random)
    assert worse.decision == "refuse"


def test_against_a_baseline_only_a_known_least_propensity_is_evidence(config, policies, log):
    random, _, second = policies.values()
    unknown, summary = evaluate_log(config, log.to_batches(), second, random)
    assert (unknown.decision, unknown.champion) == ("canary", "random")
    assert unknown.reason.startswith("give least_propensity: while the smallest propensity of the log is unknown")
    known, same = evaluate_log(config, log.to_batches(), second, random, least_propensity=0.2 / 20)
    assert known.decision == "promote"
    assert same["difference"]["value"] == pytest.approx(summary["difference"]["value"])
    assert same["difference"]["low"] > summary["difference"]["low"]
    with pytest.raises(InvalidInput, match=r"least_propensity = 0.5: the log has 0.01; give at most that"):
        evaluate_log(config, log.to_batches(), second, least_propensity=0.5)


def test_decisions_without_a_propensity_are_left_out(config, policies, log):
    certain = with_column(log, "probabilities", np.eye(20)[np.array(log["action"].to_pylist(), int)].tolist())
    certain = with_column(certain, "propensity", [1.0] * 3000)
    with pytest.raises(InvalidInput, match="has no usable interaction with a propensity below 1"):
        evaluate_log(config, certain.to_batches(), policies[list(policies)[2]])


def test_in_a_loop_external_decisions_count_in_estimates_but_not_in_the_evidence(config, policies, log):
    """A quarter is known to be the first policy's: estimates use the whole log, the comparison that quarter."""
    version, champion, candidate = list(policies)[1], *list(policies.values())[1:]
    own = logged(config, policies, {version: 1000}, seed=12)
    window = window_of(config, policies, pa.concat_tables([own, log]))
    evaluation = evaluate(window, champion, candidate)
    assert (evaluation.interactions, evaluation.candidate.diagnostics.count) == (4000, 4000)
    better, worse = compare(window, champion, candidate, BettingTest(), BettingTest())
    alone, _ = compare(window_of(config, policies, own), champion, candidate, BettingTest(), BettingTest())
    assert (better.count, worse.count) == (1000, 1000)
    text = kind_of(config).evidence(evaluation, worse.count)
    assert text == "1,000 held-out interactions, beside 3,000 of unknown policies,"
    assert better.log_wealth() == pytest.approx(alone.log_wealth())
    assert window.logging_mix == {version: 0.25, "application": 0.75}
