"""Published reference values: the Open Bandit sample, digits as a bandit, and TF-Agents' raw propensities."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import yaml
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.estimators import DR, IPS, SNIPS, DirectMethod, Logged, evaluate
from banditloop.rl_core.estimators.balanced import balanced_propensity
from banditloop.rl_core.estimators.diagnostics import Diagnostics
from banditloop.rl_core.estimators.intervals import Bootstrap, clopper_pearson, empirical_bernstein
from banditloop.rl_core.estimators.reward_model import RewardModel
from banditloop.rl_core.evidence.propensity_audit import PropensityAudit
from banditloop.rl_core.logs.events import interactions
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.settings.task import Task

OBP = Path(importlib.util.find_spec("obp").origin).parent
ITEMS = 80


@pytest.fixture(scope="module")
def open_bandit():
    """10,000 decisions of a uniformly random policy, and ZOZO's Bernoulli Thompson sampling as the target."""
    log = pyarrow.csv.read_csv(OBP / "dataset" / "obd" / "random" / "all" / "all.csv")
    prior = yaml.safe_load((OBP / "policy" / "conf" / "prior_bts.yaml").read_text())["all"]
    draws = np.random.RandomState(12345).beta(prior["alpha"], prior["beta"], size=(100_000, ITEMS))
    ranked = draws.argsort(axis=1)[:, ::-1][:, :3]
    target = np.stack([np.bincount(ranked[:, position], minlength=ITEMS) for position in range(3)]) / 100_000
    return log, target[log["position"].to_numpy() - 1]


@pytest.fixture(scope="module")
def logged(open_bandit):
    log, target = open_bandit
    actions, clicks = log["item_id"].to_numpy(), log["click"].to_numpy().astype(float)
    features = [name for name in log.column_names if name.startswith("user_feature")]
    codes = [np.unique(log[name].to_numpy(zero_copy_only=False), return_inverse=True)[1] for name in features]
    observations = np.column_stack([np.eye(code.max() + 1)[code] for code in codes])
    model = RewardModel(observations.shape[1], ITEMS, l2=30.0)
    folds = model.fold([str(row) for row in range(len(actions))])
    model.add(observations, actions, clicks, folds)
    predictions, row = model.predict(observations, folds), np.arange(len(actions))
    expected = (predictions * target).sum(axis=1)
    propensity = log["propensity_score"].to_numpy()
    return Logged(clicks, propensity, target[row, actions], predictions[row, actions], expected, target.max() * ITEMS)


def value(estimator, logged):
    estimator.add(logged)
    return estimator.value()


def test_estimates_equal_the_open_bandit_values(logged):
    ips, clicks = value(IPS(), logged), logged.reward.mean()
    on_policy = pyarrow.csv.read_csv(OBP / "dataset" / "obd" / "bts" / "all" / "all.csv")["click"].to_numpy().mean()
    assert ips == pytest.approx(0.004553, abs=1e-6)
    assert ips / clicks == pytest.approx(1.198, abs=5e-4)
    assert abs(ips - on_policy) / on_policy == pytest.approx(0.0840, abs=1e-4)
    assert value(SNIPS(), logged) == pytest.approx(0.004776, abs=1e-6)
    assert Diagnostics.of(logged).effective_sample_size() == pytest.approx(1640, abs=1)


def test_estimates_equal_the_formulas_of_obp_on_the_open_bandit_sample(open_bandit):
    """obp 0.4.1's IPW, SNIPW, DM, DR, SwitchDR and DRos, with the same reward model; the values are obp's own."""
    log, target = open_bandit
    clicks, items = log["click"].to_numpy().astype(float), log["item_id"].to_numpy()
    position = np.eye(3)[log["position"].to_numpy() - 1]
    evaluation = evaluate(
        log, reward="click", propensity="propensity_score", target=target, action="item_id", features=position
    )
    model, row = RewardModel(3, 80), np.arange(len(items))
    folds = model.fold([str(each) for each in row])
    model.add(position, items, clicks, folds)
    predictions = model.predict(position, folds)
    q, expected = predictions[row, items], (predictions * target).sum(axis=1)
    w = target[row, items] / log["propensity_score"].to_numpy()
    reference = {
        "ips": (w * clicks).mean(),
        "snips": (w * clicks).sum() / w.sum(),
        "direct": expected.mean(),
        "dr": (expected + w * (clicks - q)).mean(),
        "switch_dr": (expected + np.where(w <= 10, w, 0) * (clicks - q)).mean(),
        "dros": (expected + 100 * w / (w**2 + 100) * (clicks - q)).mean(),
    }
    values = {name: row["value"] for name, row in evaluation.summary["estimates"].items()}
    for name, value in reference.items():
        assert values[name] == pytest.approx(value, abs=1e-6), name
    assert (values["ips"], values["snips"]) == pytest.approx((0.004553, 0.004776), abs=1e-6)
    assert evaluation.summary["diagnostics"]["effective_sample_size"] == pytest.approx(1640, abs=1)


def test_the_open_bandit_sample_is_imported_and_evaluated_by_the_command_line(open_bandit, tmp_path):
    """With the probability of each logged item under the target in a column of its own."""
    log, target = open_bandit
    of_items = target[np.arange(log.num_rows), log["item_id"].to_numpy()]
    pyarrow.csv.write_csv(log.append_column("bts", [of_items]), tmp_path / "all.csv")
    words = ["evaluate", tmp_path / "all.csv", "--format", "obd", "--policy", "bts", "--by", "position", "--json"]
    result = CliRunner().invoke(app, list(map(str, words)))
    summary = json.loads(result.stdout)
    assert summary["estimates"]["ips"]["value"] == pytest.approx(0.004553, abs=1e-6)
    assert summary["estimates"]["snips"]["value"] == pytest.approx(0.004776, abs=1e-6)
    assert [row["segment"] for row in summary["segments"]] == ["position = 1", "position = 2", "position = 3"]
    task = Task.parse({"actions": ITEMS, "context": {"position": "category", "user_item_affinity": {"vector": 80}}})
    files = LogFiles([OBP / "dataset" / "obd" / "random" / "all" / "all.csv"], task, {}, "obd", ignore_others=True)
    table = pa.Table.from_batches(interactions(files.events(source="all"), task, 0.0))
    weighted = of_items / table["propensity"].to_numpy() * table["reward"].to_numpy()
    assert weighted.mean() == pytest.approx(summary["estimates"]["ips"]["value"], abs=1e-9)
    assert len(set(table["event_id"].to_pylist())) == 10_000
    assert table["timestamp"].equals(log["timestamp"].cast(pa.timestamp("us", "UTC")))


def test_model_based_estimates_are_close_to_the_open_bandit_values(logged):
    """The published values use a logistic regression; ours is a ridge regression."""
    assert value(DirectMethod(), logged) == pytest.approx(0.003545, abs=1e-3)
    assert value(DR(), logged) == pytest.approx(0.004727, abs=1e-3)


def test_intervals_contain_the_on_policy_value(logged):
    estimator, bootstrap = IPS(), Bootstrap(IPS())
    estimator.add(logged)
    rows = slice(5000), slice(5000, None)
    halves = [Logged(logged.reward[r], logged.propensity[r], logged.target[r]) for r in rows]
    parts = [Bootstrap(IPS(), seed=seed) for seed in (1, 2)]
    for part, half in zip(parts, halves, strict=True):
        part.add(half)
    bootstrap.add(logged)
    for low, high in (
        estimator.interval(),
        bootstrap.interval(),
        (parts[0] + parts[1]).interval(),
        empirical_bernstein(estimator, float(logged.weight.max())),
    ):
        assert 0 <= low < 0.0042 < high < 0.1
    assert estimator.interval()[1] < 0.02


def test_the_bootstrap_agrees_with_the_interval_for_moderate_weights():
    random = np.random.default_rng(0)
    weight = random.choice([0.5, 1.5], size=5000)
    log = Logged(random.random(5000), np.full(5000, 0.5), weight / 2, max_weight=1.5)
    estimator, bootstrap = SNIPS(), Bootstrap(SNIPS(), 1000, seed=0)
    estimator.add(log)
    bootstrap.add(log)
    (low, high), (bootstrap_low, bootstrap_high) = estimator.interval(), bootstrap.interval()
    assert low < bootstrap_low < bootstrap_high < high
    assert high - low < 1.4 * (bootstrap_high - bootstrap_low)


def test_clopper_pearson_is_exact():
    assert clopper_pearson(0, 10) == pytest.approx((0, 0.3085), abs=1e-4)
    assert clopper_pearson(10, 10) == pytest.approx((0.6915, 1), abs=1e-4)
    assert clopper_pearson(42, 10_000) == pytest.approx((0.003028, 0.005673), abs=1e-6)


@pytest.mark.parametrize("rows", [400, 4000])
def test_empirical_bernstein_has_at_least_its_nominal_coverage(rows):
    random, covered = np.random.default_rng(0), 0
    for _ in range(300):
        weight = np.where(random.random(rows) < 0.1, 10.0, 0.0)
        estimator = IPS()
        estimator.add(Logged(random.random(rows), np.full(rows, 0.1), weight / 10))
        low, high = empirical_bernstein(estimator, 10.0)
        covered += low <= 0.5 <= high
    assert covered >= 285


def test_on_digits_dr_has_a_smaller_error_than_ips_and_ips_than_the_direct_method(digits):
    """Relative errors, averaged over 30 seeds."""
    errors = np.mean([digits(seed) for seed in range(30)], axis=0)
    direct, ips, dr = errors
    assert dr < ips < direct


@pytest.fixture(scope="module")
def digits():
    """obp's multi-class example: a logistic regression with weight 0.4 (logging) or 0.9 (target), else uniform."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x / 16

    def errors(seed: int) -> list[float]:
        random = np.random.default_rng(seed)
        x_fit, x_log, y_fit, y_log = train_test_split(x, y, test_size=0.7, random_state=seed)
        chosen = np.eye(10)[LogisticRegression(max_iter=200, random_state=seed).fit(x_fit, y_fit).predict(x_log)]
        behaviour, target = 0.4 * chosen + 0.06, 0.9 * chosen + 0.01
        actions = (behaviour.cumsum(axis=1) < random.random((len(x_log), 1))).sum(axis=1).clip(max=9)
        row = np.arange(len(actions))
        rewards = (actions == y_log).astype(float)
        model = RewardModel(64, 10)
        folds = model.fold([f"{seed}-{i}" for i in row])
        model.add(x_log, actions, rewards, folds)
        predictions = model.predict(x_log, folds)
        log = Logged(
            rewards,
            behaviour[row, actions],
            target[row, actions],
            predictions[row, actions],
            (predictions * target).sum(axis=1),
        )
        truth = target[row, y_log].mean()
        return [abs(value(kind(), log) - truth) / truth for kind in (DirectMethod, IPS, DR)]

    return errors


def test_the_audit_fails_tf_agents_raw_propensities_and_passes_corrected_ones():
    """ε = 0.2 over 4 arms: logged are 0.80 for a greedy draw and 0.05 for a random one; true are 0.85 and 0.05."""
    random, rows = np.random.default_rng(0), 40_000
    greedy, explores = random.integers(4, size=rows), random.random(rows) < 0.2
    actions = np.where(explores, random.integers(4, size=rows), greedy)
    true = 0.8 * np.eye(4)[greedy] + 0.05
    raw = np.where(explores, 0.05, 0.8)
    assert PropensityAudit.of(actions, true[np.arange(rows), actions], true).passes()
    assert PropensityAudit.of(actions, raw, true).inconsistent > 0
    assert not PropensityAudit.of(actions, raw, true).passes()
    assert not PropensityAudit.of(actions, true[np.arange(rows), actions], 0.99 * true).passes()
    vectors = 0.75 * np.eye(4)[greedy] + 0.0625  # as if ε were .25
    assert not PropensityAudit.of(actions, vectors[np.arange(rows), actions], vectors).passes()


def test_balanced_weights_are_unbiased_with_less_variance():
    """Two logging policies, one of which rarely takes the action that the target prefers."""
    random, estimates = np.random.default_rng(2), []
    policies, target, means = np.array([[0.02, 0.98], [0.9, 0.1]]), np.array([0.9, 0.1]), np.array([0.8, 0.2])
    for _ in range(300):
        logged_by = random.integers(2, size=500)
        actions = (random.random(500) > policies[logged_by, 0]).astype(int)
        rewards = (random.random(500) < means[actions]).astype(float)
        own = policies[logged_by, actions]
        balanced = balanced_propensity(policies[:, actions], np.array([0.5, 0.5]))
        estimates.append([value(IPS(), Logged(rewards, p, target[actions])) for p in (own, balanced)])
    naive, combined = np.array(estimates).T
    assert combined.mean() == pytest.approx(target @ means, abs=4 * combined.std() / np.sqrt(300))
    assert combined.std() < naive.std() / 2
