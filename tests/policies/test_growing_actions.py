"""A task whose actions come and go under traffic: 7, 8, 200 and 7 again. Training goes on and no history is lost."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pytest
from kfp import dsl

from banditloop.components.evaluator import evaluator
from banditloop.components.trainer import trainer
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.rows import reward_table
from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.transitions import deploy, ensure_champion
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.predict_request import read_predict_request
from banditloop.rl_core.serving.recommender import Recommender
from banditloop.rl_core.serving.release_follower import ReleaseFollower
from tests.support.components import artifact, ingest

BEST = {"young": 3, "old": 5}  # the best of the first actions by age; `star` is better for all


def click_chance(age: str, action: str) -> float:
    if action == "star":
        return 0.9
    return 0.6 if action == f"article {BEST[age]}" else 0.2


class Site:
    """A site whose articles are in a table; its visitors click."""

    def __init__(self, folder) -> None:
        self.folder, self.table = folder, folder / "articles.csv"
        self.publish(range(7))
        config = Config.parse(
            {
                "task": {"actions": {"table": str(self.table), "id": "article"}, "context": {"age": ["young", "old"]}},
                "backend": {"root": str(folder / "loop")},
                "policy": {"saved_model": False},
                "reward": {"attribution_window_seconds": 0.01},
            }
        )
        self.random, self.visits, self.trainings = np.random.default_rng(0), 0, 0
        self.connect(config)

    def connect(self, config: Config) -> None:
        self.config, self.platform, self.logged = config, connect(config), []
        ensure_champion(self.config, self.platform.endpoint)
        self.catalogue = Catalogue(self.config.task, self.platform.read_table)
        self.recommender = Recommender(self.config.task, self.catalogue, self.logged.append)

    def context(self, age: str) -> dict:
        return {"age": age}

    def publish(self, numbers, *others: str) -> None:
        ids = [*(f"article {number}" for number in numbers), *others]
        pyarrow.csv.write_csv(pa.table({"article": ids, "title": ids}), self.table)

    def visit(self, visitors: int) -> list[str]:
        """The actions shown to visitors, whose clicks are logged."""
        self.catalogue._next_refresh = 0.0
        self.catalogue.refresh()
        follower = ReleaseFollower(self.platform.endpoint)
        follower.refresh()
        ages = self.random.choice(["young", "old"], size=visitors)
        body = orjson.dumps({"instances": [{"context": self.context(str(age))} for age in ages]})
        [answers] = self.recommender.predict(follower.split, [read_predict_request(body)])
        actions = [answer["action"] for answer in answers]
        chances = [click_chance(age, action) for age, action in zip(ages, actions, strict=True)]
        decisions = decode(decision_schema(self.config.task), self.logged.pop())
        rewards = reward_table(
            event_id=[answer["event_id"] for answer in answers],
            value=(self.random.random(visitors) < chances).astype(float),
            timestamp=decisions["timestamp"][0].as_py(),
        )
        self.platform.warehouse.append("rewards", rewards)
        self.platform.warehouse.append("decisions", decisions)
        self.visits += visitors
        return actions

    def retrain(self) -> SavedPolicy:
        """Train on the new interactions, evaluate, and promote whatever comes of it."""
        self.trainings += 1
        folder = self.folder / str(self.trainings)
        examples, metrics = artifact(dsl.Dataset, folder / "examples"), artifact(dsl.Metrics, "metrics")
        ingest(self.config, examples, metrics)
        policy = artifact(dsl.Model, folder / "policy")
        trainer.python_func(config=self.config.to_dict(), examples=examples, policy=policy, metrics=metrics)
        outputs = {"evaluation": artifact(dsl.Artifact, folder / "evaluation"), "metrics": metrics}
        outputs["report"] = artifact(dsl.HTML, folder / "report")
        evaluator.python_func(config=self.config.to_dict(), policy=policy, **outputs)
        deploy(self.config, self.platform.endpoint, folder / "policy", "promote")
        return SavedPolicy.load(folder / "policy")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


def test_actions_come_and_go_under_traffic(site):
    shown = site.visit(700)
    assert set(shown) == {f"article {number}" for number in range(7)}
    first = site.retrain()
    assert (first.manifest.actions, first.encoding.new_actions) == (7, [])

    site.publish(range(7), "star")
    shown = site.visit(600)
    least = first.manifest.new_action_exploration * (1 - first.manifest.exploration)
    assert shown.count("star") >= 600 * least - 4 * np.sqrt(600 * least)  # at once, before any training
    second = site.retrain()
    assert (second.manifest.parent, second.manifest.generation) == (first.manifest.version, 2)
    shown = site.visit(600)
    assert shown.count("star") > 400  # the best action by far

    site.publish(range(199), "star")
    shown = site.visit(1200)
    assert len(set(shown)) > 150
    assert shown.count("star") > 300
    third = site.retrain()
    assert third.manifest.actions == len(third.encoding.action_ids) > 150
    assert third.encoding.action_ids[:8] == second.encoding.action_ids  # old positions stay
    assert len(third.encoding.new_actions) > 100  # most of those that were shown a few times
    assert "star" not in third.encoding.new_actions

    site.publish(range(7))
    shown = site.visit(600)
    assert set(shown) <= {f"article {number}" for number in range(7)}
    fourth = site.retrain()
    assert fourth.manifest.parent == third.manifest.version
    assert set(third.encoding.action_ids) <= set(fourth.encoding.action_ids)  # their history is kept
    shown = site.visit(600)
    best = [f"article {number}" for number in BEST.values()]
    assert sum(action in best for action in shown) > 300
    assert site.platform.warehouse.window(None).interactions == site.visits
