"""A loop of episodes: a candidate goes by a canary, whose episodes are compared with the champion's, to its end."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from kfp import dsl
from tensorboard.compat.proto.event_pb2 import Event

from banditloop.components.evaluator import evaluator
from banditloop.components.generator import generator
from banditloop.components.trainer import trainer
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.tfrecords import read_records
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.begun_episodes import begun_episodes
from banditloop.rl_core.promotion.monitor import check_canary
from banditloop.rl_core.promotion.transitions import promote, start_canary
from banditloop.rl_core.reports import release_page
from banditloop.rl_core.reports.release_report import report
from banditloop.rl_core.rollouts import rollouts
from tests.policies.test_episode_evaluation import log_episodes
from tests.support.components import artifact, deploy_policy, ingest
from tests.support.lights import lights_config, with_column, write_follower


def started(config: Config, folder: Path) -> Platform:
    """The loop after its startup pipeline: its first policy is the canary of the random one."""
    generator.python_func(config=config.to_dict(), metrics=artifact(dsl.Metrics, "metrics"), interactions=600, seed=0)
    examples, policy = artifact(dsl.Dataset, folder / "examples"), artifact(dsl.Model, folder / "policy")
    ingest(config, examples)
    metrics = {"metrics": artifact(dsl.Metrics, "metrics"), "run_id": "startup"}
    trainer.python_func(config=config.to_dict(), examples=examples, policy=policy, **metrics)
    outputs = {
        "evaluation": artifact(dsl.Artifact, folder / "evaluation"),
        "report": artifact(dsl.HTML, folder / "report"),
    }
    decision = evaluator.python_func(config=config.to_dict(), policy=policy, **outputs, **metrics)
    assert decision == "canary"
    [scalars] = Path(outputs["evaluation"].metadata["tensorboard"]).glob("cpe/events.out.tfevents.*")
    events = [Event.FromString(record) for record in read_records(scalars)]
    tags = {value.tag: (event.step, value.simple_value) for event in events for value in event.summary.value}
    row = json.loads((folder / "evaluation").read_text())["returns"]["reward"]["estimates"]["magic"]
    assert tags["CPE/Reward/MAGIC"] == (1, pytest.approx(row["relative_value"]))
    assert set(tags) >= {"CPE/Reward/Weighted_Sequential_Doubly_Robust", "CPE/Reward/Direct_Method_Reward"}
    deploy_policy(config, policy, decision)
    return connect(config)


def play(config: Config, platform: Platform, episodes: int, seed: int) -> None:
    """Log the episodes that the release's versions answer by their shares of the traffic."""
    for version, percent in platform.endpoint.release().traffic().items():
        policy = SavedPolicy.load(platform.endpoint.policy(version))
        table = rollouts(policy, config.environment, seed + percent, episodes * percent // 100)
        log_episodes(platform, with_column(table, "assignment_share", [percent / 100] * len(table)))


@pytest.mark.parametrize(("skill", "decision"), [(0.9, "promote"), (0.1, "rollback")])
def test_a_canary_of_long_episodes_ends_by_the_returns_of_its_episodes(tmp_path, skill, decision):
    sections = {"agent": {"skill": skill}, "release": {"canary_percent": 40, "check_every_interactions": 100}}
    config = lights_config(tmp_path, max_steps=20, **sections)
    platform = started(config, tmp_path)
    challenger = platform.endpoint.release().challenger
    assert check_canary(config, platform)[0] is None
    play(config, platform, 20, seed=1)
    undecided, reason = check_canary(config, platform)
    assert (undecided, platform.endpoint.release().evidence.better.count) == (None, 20)
    assert "so far" in reason
    found = report(config, platform)
    assert {row["version"]: row["episodes"] for row in found["returns"]} == {"random": 30 + 12, challenger: 8}
    release_page.write_page(found, tmp_path / "release.html")
    page = (tmp_path / "release.html").read_text()
    assert "bets on every episode" in page
    assert "Decisions of one episode depend on each other" in page
    play(config, platform, 400, seed=100)
    decided, reason = check_canary(config, platform)
    assert decided == decision, reason
    assert platform.endpoint.release().champion == (challenger if decision == "promote" else "random")
    assert (decision == "rollback") == ("earns less from its episodes" in reason)


def canary_of_equals(config: Config, folder: Path) -> tuple[Platform, SavedPolicy, SavedPolicy]:
    """A champion and a challenger that play alike and have half of the traffic each."""
    platform = connect(config)
    champion, challenger = (write_follower(config, folder / str(number), 0.5, number) for number in (1, 2))
    for number in (1, 2):
        platform.endpoint.add(folder / str(number))
    promote(platform.endpoint, champion.manifest.version)
    start_canary(platform.endpoint, challenger.manifest.version, 50, 0.0)
    return platform, champion, challenger


def test_episodes_count_in_the_order_in_which_they_began_each_once(tmp_path):
    """Of the champion's episodes all are complete at once, of the canary's none: that is no evidence against it."""
    sections = {"release": {"check_every_interactions": 20}, "episodes": {"window_seconds": 14 * 86_400.0}}
    config = lights_config(tmp_path, max_steps=20, **sections)
    platform, champion, challenger = canary_of_equals(config, tmp_path)
    for number in (1, 2):
        halves = [rollouts(policy, config.environment, number, 30) for policy in (challenger, champion)]
        canary, complete = (with_column(table, "assignment_share", [0.5] * len(table)) for table in halves)
        is_last = pc.equal(canary["step"], 19)
        log_episodes(platform, canary.filter(pc.invert(is_last)))
        log_episodes(platform, complete)
        decision, reason = check_canary(config, platform)
        assert (decision, reason) == (
            None,
            "waiting for the oldest open episodes; one without a last decision counts as complete after "
            "episodes.window_seconds = 1,209,600",
        )
        assert platform.endpoint.release().evidence.better.count == 60 * (number - 1)
        log_episodes(platform, canary.filter(is_last))
        check_canary(config, platform)
        assert platform.endpoint.release().evidence.better.count == 60 * number
    assert platform.endpoint.release().evidence.worse_by_user.log_wealth() < 1


def test_an_episode_begins_with_the_decision_that_is_logged_first_whatever_its_step(tmp_path):
    """Steps are counted from 1; of half the episodes the first step is logged last, after a check."""
    config = lights_config(tmp_path, max_steps=3, release={"check_every_interactions": 20})
    platform, champion, challenger = canary_of_equals(config, tmp_path)
    for number, policy in enumerate((champion, challenger), start=1):
        table = with_column(rollouts(policy, config.environment, number, 30), "assignment_share", [0.5] * 90)
        steps = pc.add(table["step"], 1).cast(table["step"].type)
        is_late = pc.and_(pc.equal(table["step"], 0), pa.array([row // 3 % 2 == 0 for row in range(90)]))
        table = with_column(table, "step", steps)
        log_episodes(platform, table.filter(pc.invert(is_late)))
        check_canary(config, platform)
        log_episodes(platform, table.filter(is_late))
        check_canary(config, platform)
        assert platform.endpoint.release().evidence.better.count == 30 * number


def test_an_episode_that_goes_on_in_a_window_did_not_begin_there(tmp_path):
    config = lights_config(tmp_path, max_steps=3)
    platform, champion, challenger = canary_of_equals(config, tmp_path)
    table, warehouse = rollouts(champion, config.environment, 1, 20), platform.warehouse
    goes_on = pa.array([row < 30 and row % 3 > 0 for row in range(60)])  # of ten episodes that began before
    began = pa.array([row < 30 and row % 3 == 0 for row in range(60)])
    log_episodes(platform, table.filter(began))
    since = warehouse.window(None).until
    log_episodes(platform, table.filter(goes_on))
    log_episodes(platform, table.slice(30))
    window = warehouse.window(since)
    complete = pa.Table.from_batches(warehouse.transitions(window))["episode_id"].to_pylist()
    found = begun_episodes(platform, config, window, [champion, challenger], complete)
    assert len(set(complete)) == 20
    assert set(found.ids.to_pylist()) == set(table["episode_id"].to_pylist()[30:])
    assert (found.until, found.decisions) == (window.until, 50)
