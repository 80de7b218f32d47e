"""The commands import and evaluate on logs that no loop wrote."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.events import interactions as interactions_of
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.logged_candidate import evaluate_log
from banditloop.rl_core.training.lineage import next_manifest, random_manifest
from banditloop.rl_core.training.train import train
from tests.conftest import START

TASK = {"actions": ["a", "b", "c"], "context": {"age": "number", "country": "category"}}
ROWS = 400


def run(*words) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "80"}, prog_name="banditloop")
    if isinstance(result.exception, InvalidInput):
        raise result.exception
    assert result.exit_code == 0, result
    return result.stdout


@pytest.fixture(scope="module")
def log() -> pa.Table:
    """The log of a policy that is not uniform; the arm b is best in DE, c elsewhere."""
    random = np.random.default_rng(0)
    country, arm = random.choice(["DE", "FR"], ROWS), random.choice(3, ROWS, p=[0.5, 0.25, 0.25])
    rewards = random.random(ROWS) < np.where(arm == np.where(country == "DE", 1, 2), 0.8, 0.2)
    columns = {"id": [f"e{row}" for row in range(ROWS)], "country": country, "age": random.integers(20, 60, ROWS)}
    columns |= {"arm": np.array(["a", "b", "c"])[arm], "clicked": rewards.astype(int)}
    return pa.table(columns | {"p": np.array([0.5, 0.25, 0.25])[arm], "mine": np.full(ROWS, 1 / 3)})


@pytest.fixture(scope="module")
def loop(tmp_path_factory, log):
    """A config of the log's task, and the log as CSV."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "loop.json").write_text(json.dumps({"task": TASK, "backend": {"root": str(folder / "loop")}}))
    pyarrow.csv.write_csv(log, folder / "log.csv")
    return folder


MAP = ["--map", "event_id=id", "--map", "action=arm", "--map", "reward=clicked", "--map", "propensity=p"]


def interactions(loop) -> pa.Table:
    warehouse = connect(Config.load(loop / "loop.json")).warehouse
    return pa.Table.from_batches(warehouse.interactions(warehouse.window(None)))


def test_a_log_is_imported_in_pieces_and_twice(loop, log):
    with pytest.raises(InvalidInput, match=r"columns mine: are neither mapped nor features"):
        run("import", loop / "log.csv", *MAP, "-c", loop / "loop.json")
    pyarrow.csv.write_csv(log.slice(0, 100), loop / "piece.csv")
    for file, added in (("piece.csv", 100), ("log.csv", ROWS - 100), ("log.csv", 0)):
        options = ["--ignore-others", "-c", loop / "loop.json", "--json"]
        found = json.loads(run("import", loop / file, *MAP, *options))
        assert (found["added"], found["ignored_columns"]) == (added, ["mine"])
        assert found["columns"] == {"event_id": "id", "action": "arm", "reward": "clicked", "propensity": "p"}
    stored = interactions(loop).sort_by("event_id")
    given = log.sort_by([("id", "ascending")])
    assert stored["propensity"].to_pylist() == given["p"].to_pylist()
    assert stored["reward"].to_pylist() == given["clicked"].to_pylist()
    assert set(stored["mode"].to_pylist()) == {"external"}


def test_a_wrong_row_imports_nothing(loop, tmp_path, log):
    wrong = log.set_column(4, "clicked", [[*([1] * (ROWS - 1)), 7]])
    pyarrow.csv.write_csv(wrong, tmp_path / "wrong.csv")
    config = {"task": TASK, "backend": {"root": str(tmp_path / "loop")}}
    (tmp_path / "loop.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match=rf"row {ROWS}: clicked = '7': is outside task.reward_range, 0 to 1"):
        run("import", tmp_path / "wrong.csv", *MAP, "--ignore-others", "-c", tmp_path / "loop.json")
    assert connect(Config.load(tmp_path / "loop.json")).warehouse.policy_totals() == []


def test_a_column_and_the_uniform_policy_are_evaluated_alike(loop, log):
    options = [*MAP[2:], "--by", "country", "--detect", ".05", "--json"]
    column, uniform = (
        json.loads(run("evaluate", loop / "log.csv", "--policy", p, *options)) for p in ("mine", "uniform")
    )
    assert column["estimates"] == uniform["estimates"]
    assert uniform["policy"] == "uniform among the 3 actions that occur, on log.csv"
    w, r = 1 / 3 / log["p"].to_numpy(), log["clicked"].to_numpy()
    assert column["estimates"]["ips"]["value"] == pytest.approx((w * r).mean(), abs=1e-9)
    assert column["estimates"]["snips"]["value"] == pytest.approx((w * r).sum() / w.sum(), abs=1e-9)
    assert [row["segment"] for row in column["segments"]] == ["country = DE", "country = FR"]
    assert column["detect"]["interactions"] > 0
    text = run("evaluate", loop / "log.csv", "--policy", "uniform")  # by the columns' usual names
    assert "columns: arm as action, p as propensity, clicked as reward" in text


def test_rows_without_a_propensity_are_left_out_and_counted(log, tmp_path):
    missing = pc.equal(log["country"], "DE")
    some = log.drop_columns("p").append_column("p", pc.if_else(missing, None, log["p"]))
    pyarrow.csv.write_csv(some, tmp_path / "some.csv")
    pyarrow.csv.write_csv(log.filter(pc.invert(missing)), tmp_path / "others.csv")
    options = [*MAP[2:], "--by", "country", "--policy", "mine", "--json"]
    with pytest.raises(InvalidInput, match="propensity"):
        run("evaluate", tmp_path / "some.csv", *options)
    options += ["--logging-policy", "unknown"]
    found, others = (json.loads(run("evaluate", tmp_path / f"{name}.csv", *options)) for name in ("some", "others"))
    assert found["left_out"] == {"without a propensity": pc.sum(missing).as_py()}
    assert (found["estimates"], found["segments"]) == (others["estimates"], others["segments"])


@pytest.fixture(scope="module")
def policy(loop):
    """A policy that was trained on another log of the same task."""
    config = Config.load(loop / "loop.json")
    run("import", loop / "log.csv", *MAP, "--ignore-others", "-c", loop / "loop.json")
    table, encoding = interactions(loop), Encoding.unfitted(config.task)
    context = encoding.context.fit(table["context"].combine_chunks())
    encoding = encoding.model_copy(update={"context": context})
    window = Window(until=START, interactions=ROWS)
    manifest = next_manifest(config, window, random_manifest(config), encoding, 1, "")
    statistics = config.agent.initial_statistics(encoding.context.dim, 3)
    manifest = manifest.model_copy(update={"dim": encoding.context.dim})
    write_policy(loop / "policy", manifest, train(config, encoding, [table], statistics), encoding)
    return loop / "policy"


def test_a_policy_is_evaluated_with_a_reward_model_a_table_and_a_page(loop, policy, log):
    options = [*MAP[2:], "--by", "country", "--baseline", "uniform", "--least-propensity", ".25"]
    page = loop / "page.html"
    text = run("evaluate", loop / "log.csv", "--policy", policy, *options, "--html", page)
    assert max(map(len, text.splitlines())) <= 80
    assert "difference to the baseline" in text
    summary = json.loads(run("evaluate", loop / "log.csv", "--policy", policy, *options, "--json"))
    assert summary["estimates"]["dr"]["value"] > summary["baseline_estimates"]["dr"]["value"] + 0.2
    assert summary["difference"]["low"] > 0
    assert "country = DE" in page.read_text()
    pyarrow.csv.write_csv(log.drop_columns("age"), loop / "without.csv")
    assert "taken as missing: age" in run("evaluate", loop / "without.csv", "--policy", policy, *MAP[2:])


def test_the_verdict_by_a_file(loop, policy):
    """As the evaluator component judges a logged Dataset."""
    config = Config.load(loop / "loop.json")
    files = LogFiles([loop / "log.csv"], config.task, parse_mapping(MAP[1::2]), ignore_others=True)
    batches = interactions_of(files.events(), config.task, 0.0)
    verdict, summary = evaluate_log(config, batches, SavedPolicy.load(policy))
    assert (verdict.champion, verdict.decision) == ("the log", "promote")
    assert summary["interactions"] == ROWS


def test_a_dsjson_log_is_evaluated_as_vw_estimators_do(tmp_path):
    """The formulas of its ips and snips estimators, which add examples (p_log, r, p_pred) one by one."""
    random, lines, examples = np.random.default_rng(1), [], []
    for number in range(300):
        ranked = random.permutation(4)
        probabilities = [0.7, 0.1, 0.1, 0.1]
        rank = random.choice(4, p=probabilities)
        ranked[[0, rank]] = ranked[[rank, 0]]
        probabilities[0], probabilities[rank] = probabilities[rank], probabilities[0]
        reward = float(random.random() < 0.3 + 0.1 * ranked[0])
        examples.append((probabilities[0], reward, 1 / 4))
        line = {"_label_cost": -reward, "_label_probability": probabilities[0], "_label_Action": int(ranked[0]) + 1}
        line |= {
            "_labelIndex": int(ranked[0]),
            "Timestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}.0000000Z",
        }
        line |= {"Version": "1", "EventId": f"e{number}", "a": (ranked + 1).tolist(), "p": probabilities}
        context = {"User": {"age": number % 50}, "_multi": [{"Item": {"n": n}} for n in range(4)]}
        lines.append(line | {"c": context, "VWState": {"m": "N/A"}})
    (tmp_path / "log.dsjson").write_text("\n".join(map(json.dumps, lines)))
    summary = json.loads(run("evaluate", tmp_path / "log.dsjson", "--policy", "uniform", "--by", "User.age", "--json"))
    weighted_reward = weighted_count = 0.0
    for p_log, r, p_pred in examples:
        weighted_reward, weighted_count = weighted_reward + r * p_pred / p_log, weighted_count + p_pred / p_log
    assert summary["estimates"]["ips"]["value"] == pytest.approx(weighted_reward / 300, abs=1e-6)
    assert summary["estimates"]["snips"]["value"] == pytest.approx(weighted_reward / weighted_count, abs=1e-6)
    assert len(summary["segments"]) == 4
    assert summary["audit"]["passes"]
    task = {"actions": 4, "context": {"age": "number"}}
    (tmp_path / "loop.json").write_text(json.dumps({"task": task, "backend": {"root": str(tmp_path / "loop")}}))
    found = json.loads(run("import", tmp_path / "log.dsjson", "-c", tmp_path / "loop.json", "--json"))
    assert found["added"] == 300
    stored = interactions(tmp_path)
    assert np.mean(stored["reward"].to_numpy() / 4 / stored["propensity"].to_numpy()) == pytest.approx(
        summary["estimates"]["ips"]["value"], abs=1e-6
    )


def test_probabilities_in_columns_by_action_are_enough(loop, log):
    by_action = {f"p_{arm}": np.full(ROWS, p) for arm, p in (("a", 0.5), ("b", 0.25), ("c", 0.25))}
    table = log.drop_columns("p")
    for name, values in by_action.items():
        table = table.append_column(name, [values])
    pyarrow.csv.write_csv(table, loop / "columns.csv")
    options = ["--map", "action=arm", "--map", "reward=clicked", "--policy", "mine", "--json"]
    columns = json.loads(run("evaluate", loop / "columns.csv", "--map", "probabilities=p_*", *options))
    single = json.loads(run("evaluate", loop / "log.csv", "--map", "propensity=p", *options))
    assert columns["estimates"] == single["estimates"]
    with pytest.raises(InvalidInput, match="which column has the probability of the action"):
        run("evaluate", loop / "columns.csv", *options)


PROBABILITIES = {"a": 0.5, "b": 0.25, "c": 0.25}


@pytest.mark.parametrize("form", ["columns", "columns beside propensities", "lists"])
def test_an_unknown_policy_may_have_logged_the_probabilities_of_all_actions(log, tmp_path, form):
    """Rows are left out only where neither a propensity nor the actions' probabilities are known."""
    missing = pc.equal(log["country"], "DE").to_numpy()
    table, expected = log.drop_columns("p"), log
    if form == "lists":
        given = [None if row else [*PROBABILITIES.values()] for row in missing]
        table = table.append_column("candidates", [[[*PROBABILITIES]] * ROWS]).append_column("probabilities", [given])
        files = [table.filter(missing), table.filter(~missing)]  # a column is empty in the whole file, or nowhere
        expected = log.filter(~missing)
    else:
        for action, probability in PROBABILITIES.items():
            table = table.append_column(f"p_{action}", [np.full(ROWS, probability)])
        if form != "columns":
            table = table.append_column("p", pc.if_else(missing, None, log["p"]))
        files = [table]
    for number, file in enumerate(files):
        pyarrow.parquet.write_table(file, tmp_path / f"{number}.parquet")
    pyarrow.parquet.write_table(expected, tmp_path / "expected.parquet")
    options = ["--map", "action=arm", "--map", "reward=clicked", "--policy", "mine", "--json"]
    mapped = [] if form == "lists" else ["--map", "probabilities=p_*"]
    mapped += ["--map", "propensity=p"] if "p" in table.column_names else []
    paths = [tmp_path / f"{number}.parquet" for number in range(len(files))]
    found = json.loads(run("evaluate", *paths, *options, *mapped, "--logging-policy", "unknown"))
    known = json.loads(run("evaluate", tmp_path / "expected.parquet", *options, "--map", "propensity=p"))
    assert found["left_out"] == ({"without a propensity": int(missing.sum())} if form == "lists" else {})
    assert found["estimates"]["ips"] == known["estimates"]["ips"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "min"], r"'min': the log has no such column; did you mean 'mine'\?"),
        (["--policy", "no/such"], "--policy 'no/such': there is no such directory"),
        (["--policy", "mine", "--by", "step"], r"--map step=COLUMN: which column is it\? the log has: id, "),
        (["--policy", "mine", "--by", "contry"], r"'contry': the log has no such column; did you mean 'country'\?"),
        (["--policy", "mine", "--reward-range", "0,0.5"], r"clicked = '1': is outside the range 0 to 0.5"),
    ],
)
def test_what_cannot_be_evaluated_is_named(loop, options, message):
    with pytest.raises(InvalidInput, match=message):
        run("evaluate", loop / "log.csv", *MAP[2:], *options)


@pytest.mark.parametrize("policy_name", ["mine", "policy"])
def test_a_log_without_propensities_is_refused(log, policy, policy_name, tmp_path):
    pyarrow.csv.write_csv(log.drop_columns("p"), tmp_path / "log.csv")
    given = policy if policy_name == "policy" else policy_name
    with pytest.raises(InvalidInput, match="says nothing about other policies"):
        run("evaluate", tmp_path / "log.csv", *MAP[2:6], "--policy", given, "--logging-policy", "unknown")
