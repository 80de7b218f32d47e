"""Evaluation on a log of several policies: estimates are unbiased, and weight bounds hold."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.backends import connect
from banditloop.rl_core.environments import policy_value
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.comparison import candidate_line, compare, user_level_evidence
from banditloop.rl_core.evaluation.estimates import evaluate
from banditloop.rl_core.evaluation.log_window import LoggedWindow, logged_window
from banditloop.rl_core.evaluation.share_check import check_shares
from banditloop.rl_core.evaluation.summary import kfp_metrics, segment_name
from banditloop.rl_core.evaluation.window_audit import audit_window
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.evidence.propensity_audit import ALARM_LEVEL
from banditloop.rl_core.evidence.sample_ratio import SampleRatioTest
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.candidate import evaluate_candidate
from banditloop.rl_core.promotion.decision import decide_heldout
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.reports.evaluation_page import write_page
from banditloop.rl_core.training.lineage import next_manifest, random_manifest
from tests.conftest import START, make_config
from tests.policies.test_components import generate
from tests.support.components import artifact, ingest


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("config"), policy={"exploration": 0.2})


@pytest.fixture(scope="module")
def policies(config, tmp_path_factory):
    """The random policy and two trained ones by version, the second trained on 20 times as many interactions."""
    folder, environment, random = tmp_path_factory.mktemp("policies"), config.environment, np.random.default_rng(0)
    manifest = random_manifest(config)
    encoding = Encoding.unfitted(config.task)
    write_policy(folder / "0", manifest, {}, encoding)
    for number, rows in ((1, 150), (2, 3000)):
        contexts, actions = environment.observe(rows, random), random.integers(manifest.actions, size=rows)
        rewards = environment.reward(contexts, actions, [""] * rows)
        statistics = config.agent.initial_statistics(manifest.dim, manifest.actions)
        statistics = config.agent.update(statistics, [Batch(contexts["observation"], actions, rewards)])
        window = Window(until=START, interactions=rows)
        manifest = next_manifest(config, window, manifest, encoding, manifest.generation + 1, "")
        write_policy(folder / str(number), manifest, statistics, encoding)
    loaded = [SavedPolicy.load(folder / str(number)) for number in range(3)]
    return {policy.manifest.version: policy for policy in loaded}


def logged(config, policies, counts: dict[str, int], seed: int) -> pa.Table:
    """The interactions that the policies log; `counts` by version. Two versions share the traffic as counted."""
    shares = {version: rows / sum(counts.values()) for version, rows in counts.items() if rows}
    random, environment, tables = np.random.default_rng(seed), config.environment, []
    for version, rows in counts.items():
        contexts = environment.observe(rows, random)
        observations = contexts["observation"]
        decisions = policies[version].decide(observations, random.random(len(observations)))
        table = decision_table(
            config.task,
            event_id=[f"{version}-{seed}-{row}" for row in range(rows)],
            timestamp=START,
            policy_version=version,
            context=context_array(config.task, contexts),
            action=[str(action) for action in decisions.actions],
            propensity=decisions.propensities,
            probabilities=decisions.probabilities.tolist(),
            assignment_share=shares.get(version) if len(shares) < 3 else None,
        )
        rewards = environment.reward(contexts, decisions.actions, [""] * rows)
        tables.append(table.append_column(interaction_schema(config.task).field("reward"), pa.array(rewards)))
    table = pa.concat_tables(tables).take(random.permutation(sum(counts.values())))
    return with_timestamps(table, START)


def with_timestamps(table: pa.Table, start: datetime) -> pa.Table:
    """The interactions with timestamps a second apart, from `start`."""
    return with_column(table, "timestamp", [start + timedelta(seconds=row) for row in range(table.num_rows)])


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    """The table with other values in a column."""
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), field, pa.array(values, field.type))


def window_of(config, policies, table) -> LoggedWindow:
    return LoggedWindow.of(config, policies.get, table.to_batches(max_chunksize=1000))


@pytest.mark.parametrize("counts", [(5000, 0, 0), (1000, 4000, 0), (0, 2500, 2500), (500, 4000, 500)])
def test_estimates_are_unbiased_for_any_logging_mix(config, policies, counts):
    versions = list(policies)
    table = logged(config, policies, {v: n for v, n in zip(versions, counts, strict=True) if n}, seed=1)
    window = window_of(config, policies, table)
    _, champion, candidate = policies.values()
    evaluation = evaluate(window, champion, candidate)
    population = config.environment.population()["observation"]
    for estimates, policy in ((evaluation.champion, champion), (evaluation.candidate, candidate)):
        truth = policy_value(config.environment, policy.probabilities(population)) / 5
        for name in ("ips", "snips", "dr"):
            estimator = estimates.estimators[name]
            assert abs(estimator.value() - truth) < 4 * estimator.standard_error(), (name, counts)
        mean, error = estimates.diagnostics.mean_weight()
        assert abs(mean - 1) < 4 * error + 1e-9
        assert ("replay" in estimates.estimators) == (counts[0] == 5000)
    assert evaluation.interactions == 5000
    assert evaluation.segments.counts.sum(axis=0) == pytest.approx(5000)


def test_estimates_correct_for_sampled_logging(config, policies):
    """Rewards are low while all decisions are logged, and high while a fifth is."""
    _, version, _ = policies
    table = logged(config, policies, {version: 6000}, seed=3)
    later, random = np.arange(6000) >= 2000, np.random.default_rng(0)
    rewards, logging_probability = np.where(later, 4.0, 1.0), np.where(later, 0.2, 1.0)
    table = with_column(with_column(table, "reward", rewards), "logging_probability", logging_probability)
    sampled = table.filter(pa.array(random.random(6000) < logging_probability))
    champion = policies[version]
    evaluation = evaluate(window_of(config, policies, sampled), champion, champion)
    means = [evaluation.earned.earned(action) for action in range(len(evaluation.earned.counts))]
    pooled = sum(share * earned.mean for share, earned in zip(evaluation.earned.shares(), means, strict=True))
    assert pooled == pytest.approx(3 / 5, abs=0.02)
    assert sum(earned.low < 3 / 5 < earned.high for earned in means) >= len(means) - 1
    for name in ("ips", "snips", "dr"):
        assert evaluation.champion.estimators[name].value() == pytest.approx(3 / 5, abs=0.02), (
            name
        )  # the logged ones average 2


@given(counts=st.lists(st.integers(0, 40), min_size=3, max_size=3).filter(any), seed=st.integers(0, 50))
def test_no_weight_exceeds_its_bound_for_any_logging_mix(config, policies, counts, seed):
    table = logged(config, policies, dict(zip(policies, counts, strict=True)), seed)
    window = window_of(config, policies, table)
    for batch in window.batches():
        logs = window.logged_for(batch, list(policies.values()), np.zeros((len(batch.logged_by), 20)))
        for log, _ in logs:
            assert (log.weight <= log.max_weight * (1 + 1e-9)).all()


def test_the_evidence_does_not_depend_on_batches_or_order(config, policies):
    _, first, second = policies
    table = logged(config, policies, {first: 1000, second: 500}, seed=3)
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    evidence = [
        compare(
            LoggedWindow.of(config, policies.get, batches),
            policies[first],
            policies[second],
            BettingTest(),
            BettingTest(),
        )
        for batches in (table.to_batches(max_chunksize=70), shuffled.combine_chunks().to_batches())
    ]
    for batched, shuffled_evidence in zip(*evidence, strict=True):
        np.testing.assert_allclose(batched.log_wealths, shuffled_evidence.log_wealths, atol=1e-8)
    better, worse = evidence[0]
    assert decide_heldout(config, better, worse, first, "none")[0] == "promote"
    assert decide_heldout(config, BettingTest(), better, first, "none")[0] == "refuse"
    assert decide_heldout(config, BettingTest(), BettingTest(), first, "none")[0] == "canary"


@pytest.mark.parametrize(
    ("phases", "rates"),
    [([(1500, 500)], (0.5, 0.7)), ([(1500, 500)], (0.7, 0.5)), ([(128, 128)], (0, 1)), ([(200, 100)] * 8, (0.1, 0.3))],
    ids=["more later", "less later", "the smallest", "a canary by day only"],
)
def test_traffic_that_moves_with_rewards_is_no_evidence(config, policies, phases, rates):
    """All actions earn the same. In each phase the champion serves alone, then both: evidence in 2 of 40 logs."""
    _, champion, candidate = policies
    detections = 0
    for seed in range(40):
        table = moving_traffic(config, policies, phases, rates, seed)
        window = window_of(config, policies, table)
        better, worse = compare(window, policies[champion], policies[candidate], BettingTest(), BettingTest())
        users = user_level_evidence(window, champion, candidate, BettingTest())
        detections += better.rejects(0.05) or worse.rejects(0.05) or users.rejects(0.05)
    assert detections <= 2


def moving_traffic(config, policies, phases, rates, seed: int) -> pa.Table:
    """Interactions in phases (rows of the champion alone, rows of both), with the rate of the reward of each part."""
    _, champion, candidate = policies
    random, tables = np.random.default_rng(seed), []
    for number, (alone, both) in enumerate(phases):
        answered = int(random.binomial(both, 0.5))
        parts = {champion: alone}, {champion: both - answered, candidate: answered}
        for part, (counts, rate) in enumerate(zip(parts, rates, strict=True)):
            table = logged(config, policies, counts, seed + 1000 * (2 * number + part))
            share = [0.5 if part else 1.0] * table.num_rows
            rewards = 5.0 * (random.random(table.num_rows) < rate)
            tables.append(with_column(with_column(table, "reward", rewards), "assignment_share", share))
    return with_timestamps(pa.concat_tables(tables), START)


def test_a_canary_is_judged_by_known_shares_and_rows_without_one_by_their_own_propensity(config, policies):
    _, champion, candidate = policies
    table = moving_traffic(config, policies, [(50, 200)], (1, 1), seed=1)
    known = window_of(config, policies, table)
    assert known.mix[:50].tolist() == [[1.0, 0.0]] * 50
    assert known.mix[50:].tolist() == [[0.5, 0.5]] * 200
    unknown = window_of(config, policies, with_column(table, "assignment_share", [None] * 250))
    assert (unknown.mix.max(axis=1) == 1).all()
    [batch] = unknown.batches()
    for logs in unknown.logged_for(batch, [policies[champion]], np.zeros((250, 20))):
        np.testing.assert_allclose(logs[0].propensity, table["propensity"].to_numpy())
    assert user_level_evidence(unknown, champion, candidate, BettingTest()).count == 0
    assert user_level_evidence(known, champion, candidate, BettingTest()).count == 200


def test_interactions_of_unknown_versions_are_excluded_and_counted(config, policies):
    known, unknown, _ = policies
    table = logged(config, policies, {known: 300, unknown: 200}, seed=4)
    window = window_of(config, {v: p for v, p in policies.items() if v != unknown}, table)
    assert window.unknown_version_rows == 200
    assert window.logging_mix == {known: 1.0}
    assert sum(len(batch.logged_by) for batch in window.batches()) == 300


@pytest.mark.parametrize("mode", ["online", "deferred"])
def test_actions_that_a_changed_policy_did_not_draw_raise_the_alarm(config, policies, mode):
    """Right probabilities raise none; those of another policy do, except where actions may decide what is logged."""
    random, first, second = policies
    table = logged(config, policies, {random: 100, first: 200, second: 200}, seed=7)
    table = with_column(table, "mode", [mode] * 500)
    changed = policies | {first: policies[second], second: policies[first]}
    right, wrong = (audit_window(window_of(config, known, table)) for known in (policies, changed))
    assert right.passes(ALARM_LEVEL)
    assert wrong.passes(ALARM_LEVEL) == (mode == "deferred")
    assert (right.count, wrong.inconsistent) == (500 if mode == "online" else 0, 0)


def test_shares_are_checked_since_the_release_split_the_traffic(config, policies):
    """Left out are deferred decisions, those of unknown share, and all until the earlier challenger's last one.

    That one may not be available any more.
    """
    earlier, champion, challenger = policies
    table = logged(config, policies, {champion: 900}, seed=8)
    by_row = np.arange(900)
    versions = np.select([by_row == 99, by_row >= 700], [earlier, challenger], champion)
    shares = [None if row >= 800 else 0.25 if row == 99 or row >= 700 else 0.75 for row in by_row]
    table = with_column(with_column(table, "policy_version", versions.tolist()), "assignment_share", shares)
    table = with_column(table, "mode", np.where(by_row < 500, "online", "deferred").tolist())
    online = check_shares(window_of(config, policies, table), champion, challenger, SampleRatioTest())
    assert (online.count, online.answered, online.expected) == (400, 0, 100)
    table = with_column(table, "mode", ["online"] * 900)
    both = check_shares(window_of(config, policies, table), champion, challenger, online)
    assert (both.count, both.answered, both.expected) == (400 + 700, 100, 100 + 175)
    available = {version: policies[version] for version in (champion, challenger)}
    window = LoggedWindow.of(config, available.get, table.to_batches(), sharing=(champion, challenger))
    without_earlier = check_shares(window, champion, challenger, SampleRatioTest())
    assert (without_earlier.count, without_earlier.answered, without_earlier.expected) == (700, 100, 175)
    assert user_level_evidence(window, champion, challenger, BettingTest()).count == 700


@pytest.fixture
def started(tmp_path):
    config = make_config(tmp_path)
    generate(config, 50)
    return config, connect(config)


def test_without_held_out_interactions_the_decision_is_canary_and_values_are_none(started, policies, tmp_path):
    config, platform = started
    folder = tmp_path / "candidate"
    candidate = list(policies.values())[2]
    statistics = config.agent.initial_statistics(20, 20)
    manifest = candidate.manifest.model_copy(update={"files": {}, "window": Window(until=START, interactions=0)})
    write_policy(folder, manifest, statistics, candidate.encoding)
    verdict, evaluation = evaluate_candidate(platform, config, folder, "run")
    assert (verdict.decision, verdict.champion, evaluation["interactions"]) == ("canary", "random", 0)
    assert evaluation["difference"] == {"value": None, "low": None, "high": None}
    assert {"difference", "ips candidate", "dr champion"} < set(evaluation["too little to tell"])
    write_page(evaluation, tmp_path / "page.html")
    assert "<small>too little to tell</small>" in (tmp_path / "page.html").read_text()
    assert kfp_metrics(evaluation)["held_out_interactions"] == 0
    assert platform.endpoint.verdicts() == []  # the component stores it after writing its files


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_no_decision_counts_twice_for_a_line_of_candidates_in_whichever_order_their_logs_end(
    started, policies, tmp_path, order
):
    """The line was judged until the end of the log, and by an overlapping run until the middle: nothing is new."""
    config, platform = started
    ends = {1: None, 2: platform.warehouse.window(None).until}
    ends[1] = ends[2] - timedelta(hours=1)
    of_line = BettingTest(count=7, log_wealths=[[1.0] * 12] * 2)
    for number in order:
        verdict = {"version": f"v{number}", "champion": "random", "decision": "canary", "by": "evaluator"}
        platform.endpoint.add_verdict(Verdict(until=ends[number], better=of_line, **verdict))
    assert candidate_line(platform.endpoint.verdicts(), "random", "v3", 0.0) == (ends[2], of_line.next_candidate())
    for until in ends.values():
        candidate = list(policies.values())[2]
        changes = {"files": {}, "window": Window(until=until, interactions=1)}
        manifest = candidate.manifest.model_copy(update=changes)
        write_policy(tmp_path / "v3", manifest, config.agent.initial_statistics(20, 20), candidate.encoding)
        verdict, _ = evaluate_candidate(platform, config, tmp_path / "v3", "run")
        assert (verdict.until, verdict.better) == (until, of_line.next_candidate())


def test_versions_in_the_log_cannot_traverse_paths(started, tmp_path):
    config, platform = started
    table = pa.Table.from_batches(platform.warehouse.interactions(platform.warehouse.window(None)))
    decisions = table.drop_columns("reward").slice(0, 3)
    for column, values in (("event_id", ["x", "y", "z"]), ("policy_version", ["../versions/random", ".", ""])):
        decisions = with_column(decisions, column, values)
    platform.warehouse.append("decisions", decisions)
    window = logged_window(platform, config, platform.warehouse.window(None))
    assert (window.unknown_version_rows, set(window.policies)) == (3, {"random"})


def test_evaluation_without_a_champion_is_refused(tmp_path, policies):
    with pytest.raises(InvalidInput, match="has no champion to compare with yet"):
        evaluate_candidate(connect(make_config(tmp_path)), make_config(tmp_path), Path(tmp_path), "run")


def test_ingestion_fails_on_inconsistent_propensities(started, policies, tmp_path):
    """As logged by TF-Agents' ε-greedy: 0.8 for a greedy draw where 0.81 is true, and 0.2 / 20 for the others."""
    config, platform = started
    version = list(policies)[2]
    table = logged(make_config(tmp_path, policy={"exploration": 0.2}), policies, {version: 4000}, seed=5)
    true, greedy = table["propensity"].to_numpy(), 0.8 + 0.2 / 20
    explored = np.random.default_rng(0).random(4000) < 0.01 / greedy
    raw = np.where(np.isclose(true, greedy) & ~explored, 0.8, 0.01)
    for name, propensities, fails in (("true", true, False), ("raw", raw, True)):
        decisions = with_column(table.drop_columns("reward"), "propensity", propensities)
        decisions = with_column(decisions, "event_id", [f"{name}-{row}" for row in range(4000)])
        decisions = with_column(decisions, "mode", ["simulated"] * 4000)  # complete at once
        platform.warehouse.append("decisions", decisions)
        examples = artifact(dsl.Dataset, tmp_path / name)
        if fails:
            with pytest.raises(
                InvalidInput, match=rf"propensity audit: .*{version}: .* decisions have inconsistent probabilities"
            ):
                ingest(config, examples)
        else:
            ingest(config, examples)


def test_the_random_policy_becomes_the_first_champion_once(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    release = platform.endpoint.release()
    assert release.champion == "random"
    ensure_champion(config, platform.endpoint)
    assert platform.endpoint.release() == release
    policy = SavedPolicy.load(platform.endpoint.policy("random"))
    np.testing.assert_allclose(policy.probabilities(config.environment.observe(5, np.random.default_rng(0))), 1 / 20)


def test_segments_are_named_as_the_task_names_features():
    assert segment_name("age", "below") == "age below its mean"
    assert segment_name("country=DE", "above") == "country=DE"
    assert segment_name("country=DE", "below") == "not country=DE"
