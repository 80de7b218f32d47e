"""Evaluation on a log that several policies wrote: estimates come to the truth, and bounds hold."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl

from components.ingester import ingester
from rl_core.agents import Batch
from rl_core.backends import connect
from rl_core.backends.evaluating import evaluate_candidate, stretch
from rl_core.backends.releasing import start
from rl_core.environments import value
from rl_core.errors import InvalidInput
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.contest import contest, dropped, judge
from rl_core.evaluation.evaluate import evaluate
from rl_core.evaluation.figures import metrics
from rl_core.evaluation.stretch import Stretch
from rl_core.manifest import Window
from rl_core.policy import SavedPolicy, write_policy
from rl_core.schema import INTERACTION
from rl_core.training import next_manifest, random_manifest
from tests.conftest import START, make_config
from tests.test_components import artifact, generate


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("config"), policy={"exploration": 0.2})


@pytest.fixture(scope="module")
def policies(config, tmp_path_factory):
    """The random policy and two trained ones, the second on much more; by version."""
    folder, environment, random = tmp_path_factory.mktemp("policies"), config.environment, np.random.default_rng(0)
    manifest = random_manifest(config)
    write_policy(folder / "0", manifest, config.agent.start(manifest.dim, manifest.actions))
    for number, rows in ((1, 150), (2, 3000)):
        observations, actions = environment.observe(rows, random), random.integers(environment.actions, size=rows)
        rewards = environment.reward(observations, actions, [""] * rows)
        statistics = config.agent.start(manifest.dim, manifest.actions)
        statistics = config.agent.learn(statistics, [Batch(observations, actions, rewards)])
        manifest = next_manifest(config, Window(until=START, interactions=rows), manifest, "")
        write_policy(folder / str(number), manifest, statistics)
    loaded = [SavedPolicy.load(folder / str(number)) for number in range(3)]
    return {policy.manifest.version: policy for policy in loaded}


def logged(config, policies, counts: dict[str, int], seed: int) -> pa.Table:
    """What the policies log, so many interactions each."""
    random, environment, tables = np.random.default_rng(seed), config.environment, []
    for version, rows in counts.items():
        observations = environment.observe(rows, random)
        decided = policies[version].decide(observations, random.random(len(observations)))
        columns = {
            "event_id": [f"{version}-{seed}-{row}" for row in range(rows)],
            "timestamp": [START] * rows,
            "policy_version": [version] * rows,
            "observation": list(observations),
            "action": decided.actions.astype(np.int32),
            "propensity": decided.propensities,
            "probabilities": decided.probabilities.tolist(),
            "mode": ["online"] * rows,
            "pass_probability": [1.0] * rows,
            "reward": environment.reward(observations, decided.actions, [""] * rows),
        }
        tables.append(pa.table(columns, schema=INTERACTION))
    table = pa.concat_tables(tables).take(random.permutation(sum(counts.values())))
    return at(table, START)


def at(table: pa.Table, start: datetime) -> pa.Table:
    """The interactions one after the other, a second apart."""
    times = [start + timedelta(seconds=row) for row in range(table.num_rows)]
    return table.set_column(1, INTERACTION.field("timestamp"), pa.array(times, INTERACTION.field("timestamp").type))


def stretch_of(config, policies, table) -> Stretch:
    return Stretch.of(config, policies.get, table.to_batches(max_chunksize=1000))


@pytest.mark.parametrize("counts", [(5000, 0, 0), (1000, 4000, 0), (0, 2500, 2500), (500, 4000, 500)])
def test_the_estimates_come_to_the_truth_whoever_logged(config, policies, counts):
    versions = list(policies)
    table = logged(config, policies, {v: n for v, n in zip(versions, counts, strict=True) if n}, seed=1)
    stretch = stretch_of(config, policies, table)
    _, champion, candidate = policies.values()
    found = evaluate(stretch, champion, candidate)
    population = config.environment.population()
    for side, policy in ((found.champion, champion), (found.candidate, candidate)):
        truth = value(config.environment, policy.probabilities(population)) / 5
        for name in ("ips", "snips", "dr"):
            estimator = side.estimators[name]
            assert abs(estimator.value() - truth) < 4 * estimator.standard_error(), (name, counts)
        mean, error = side.diagnostics.mean_weight()
        assert abs(mean - 1) < 4 * error + 1e-9
        assert ("replay" in side.estimators) == (counts[0] == 5000)
    assert found.interactions == 5000
    assert found.segments.counts.sum(axis=0) == pytest.approx(5000)


def test_where_a_part_was_sampled_the_estimates_are_of_all_that_came(config, policies):
    """Rewards are low while all is logged, and high while a fifth is."""
    _, version, _ = policies
    table = logged(config, policies, {version: 6000}, seed=3)
    later, random = np.arange(6000) >= 2000, np.random.default_rng(0)
    rewards, share = np.where(later, 4.0, 1.0), np.where(later, 0.2, 1.0)
    for column, values in (("reward", rewards), ("pass_probability", share)):
        table = table.set_column(table.column_names.index(column), INTERACTION.field(column), pa.array(values))
    kept = table.filter(pa.array(random.random(6000) < share))
    champion = policies[version]
    found = evaluate(stretch_of(config, policies, kept), champion, champion).champion
    for name in ("ips", "snips", "dr"):
        assert found.estimators[name].value() == pytest.approx(3 / 5, abs=0.02), name  # 3 of all, 2 of what was kept


@given(counts=st.lists(st.integers(0, 40), min_size=3, max_size=3).filter(any), seed=st.integers(0, 50))
def test_no_weight_is_above_its_bound_whatever_the_shares(config, policies, counts, seed):
    table = logged(config, policies, dict(zip(policies, counts, strict=True)), seed)
    stretch = stretch_of(config, policies, table)
    for batch in stretch.batches():
        seen = stretch.beside(batch, list(policies.values()), np.zeros((len(batch.logger), 20)))
        for logged_, _ in seen:
            assert (logged_.weight <= logged_.largest * (1 + 1e-9)).all()


def test_the_contest_is_the_same_in_any_batches_and_order(config, policies):
    random, first, second = policies
    table = logged(config, policies, {random: 100, first: 900, second: 500}, seed=3)
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    evidence = [
        contest(Stretch.of(config, policies.get, batches), policies[first], policies[second], Gate(), Gate())
        for batches in (table.to_batches(max_chunksize=70), shuffled.combine_chunks().to_batches())
    ]
    for one, other in zip(*evidence, strict=True):
        np.testing.assert_allclose(one.logs, other.logs, atol=1e-8)
    better, worse = evidence[0]
    assert judge(config, better, worse, first)[0] == "promote"
    assert judge(config, Gate(), better, first)[0] == "refuse"
    assert judge(config, Gate(), Gate(), first)[0] == "canary"


@pytest.mark.parametrize(("earlier", "later"), [(0.5, 0.7), (0.7, 0.5)])
def test_rewards_that_change_while_traffic_moves_are_no_merit_and_no_fault(config, policies, earlier, later):
    """All actions earn the same, at first the champion answers alone, then either: proofs in at most 2 of 40 logs."""
    _, champion, candidate = policies
    proofs = 0
    for seed in range(40):
        alone = logged(config, policies, {champion: 1500}, seed)
        both = at(logged(config, policies, {champion: 250, candidate: 250}, 1000 + seed), START + timedelta(days=1))
        table, random = pa.concat_tables([alone, both]), np.random.default_rng(seed)
        rewards = 5.0 * (random.random(2000) < np.where(np.arange(2000) < 1500, earlier, later))
        table = table.set_column(table.column_names.index("reward"), INTERACTION.field("reward"), pa.array(rewards))
        stretch = stretch_of(config, policies, table)
        better, worse = contest(stretch, policies[champion], policies[candidate], Gate(), Gate())
        users = dropped(stretch, champion, candidate, Gate())
        proofs += better.promotes(0.05) or worse.promotes(0.05) or users.promotes(0.05)
    assert proofs <= 2


def test_interactions_of_unknown_versions_are_left_out_and_counted(config, policies):
    known, unknown, _ = policies
    table = logged(config, policies, {known: 300, unknown: 200}, seed=4)
    stretch = stretch_of(config, {v: p for v, p in policies.items() if v != unknown}, table)
    assert stretch.left_out == 200
    assert stretch.shares == {known: 1.0}
    assert sum(len(batch.logger) for batch in stretch.batches()) == 300


@pytest.fixture
def started(tmp_path):
    config = make_config(tmp_path)
    generate(config, 50)
    return config, connect(config)


def test_nothing_held_out_is_thin_evidence_and_every_figure_says_so(started, policies, tmp_path):
    config, platform = started
    folder = tmp_path / "candidate"
    candidate = list(policies.values())[2]
    statistics = config.agent.start(20, 20)
    manifest = candidate.manifest.model_copy(update={"files": {}, "window": Window(until=START, interactions=0)})
    write_policy(folder, manifest, statistics)
    verdict, found = evaluate_candidate(platform, config, folder, "run")
    assert (verdict.judgement, verdict.champion, found["interactions"]) == ("canary", "random", 0)
    assert found["difference"] == {"value": None, "low": None, "high": None}
    assert metrics(found)["held_out_interactions"] == 0
    assert platform.endpoint.verdicts() == []  # the component keeps it, once its files are written


def test_a_version_in_the_log_names_no_path_of_its_own(started, tmp_path):
    config, platform = started
    table = pa.Table.from_batches(platform.warehouse.interactions(platform.warehouse.window(None)))
    decisions = table.drop_columns("reward").slice(0, 3)
    for column, values in (("event_id", ["x", "y", "z"]), ("policy_version", ["../versions/random", ".", ""])):
        place = decisions.column_names.index(column)
        decisions = decisions.set_column(place, INTERACTION.field(column), pa.array(values))
    platform.warehouse.append("decisions", decisions)
    found = stretch(platform, config, platform.warehouse.window(None))
    assert (found.left_out, set(found.policies)) == (3, {"random"})


def test_without_a_champion_there_is_nothing_to_compare_with(tmp_path, policies):
    with pytest.raises(InvalidInput, match="nobody answers yet"):
        evaluate_candidate(connect(make_config(tmp_path)), make_config(tmp_path), Path(tmp_path), "run")


def test_a_retraining_fails_where_propensities_cannot_be_true(started, policies, tmp_path):
    """As ε-greedy logs them in TF-Agents: .8 for a greedy draw where .81 is true, and 1/20 of .2 for the others."""
    config, platform = started
    version = list(policies)[2]
    table = logged(make_config(tmp_path, policy={"exploration": 0.2}), policies, {version: 4000}, seed=5)
    true, greedy = table["propensity"].to_numpy(), 0.8 + 0.2 / 20
    explored = np.random.default_rng(0).random(4000) < 0.01 / greedy
    raw = np.where(np.isclose(true, greedy) & ~explored, 0.8, 0.01)
    for name, propensities, fails in (("true", true, False), ("raw", raw, True)):
        decisions = table.drop_columns("reward").set_column(5, INTERACTION.field("propensity"), [propensities])
        ids = pa.array([f"{name}-{row}" for row in range(4000)])
        decisions = decisions.set_column(0, INTERACTION.field("event_id"), ids)
        modes = pa.array(["simulated"] * 4000)  # complete at once
        platform.warehouse.append("decisions", decisions.set_column(7, INTERACTION.field("mode"), modes))
        outputs = {"examples": artifact(dsl.Dataset, tmp_path / name), "metrics": artifact(dsl.Metrics, "metrics")}
        if fails:
            with pytest.raises(
                InvalidInput, match=rf"propensity audit: .*{version}: .* decisions contradict themselves"
            ):
                ingester.python_func(config=config.to_dict(), **outputs)
        else:
            ingester.python_func(config=config.to_dict(), **outputs)


def test_the_random_policy_answers_first_and_is_put_there_once(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    start(config, platform.endpoint)
    release = platform.endpoint.release()
    assert release.champion == "random"
    start(config, platform.endpoint)
    assert platform.endpoint.release() == release
    policy = SavedPolicy.load(platform.endpoint.policy("random"))
    np.testing.assert_allclose(policy.probabilities(config.environment.observe(5, np.random.default_rng(0))), 1 / 20)
