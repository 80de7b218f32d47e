"""End to end with real processes and constant traffic: worse candidates are refused, better ones promoted."""

import threading
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import requests
from kfp import dsl

from banditloop.pipelines.cli import loop_steps
from banditloop.pipelines.cli.supervisor import services
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.examples import example_files, read_examples
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.events.rows import reward_table
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.promotion.monitor import check_canary
from banditloop.rl_core.training.lineage import next_manifest
from banditloop.rl_core.training.train import initial_statistics, train
from tests.conftest import make_config
from tests.policies.test_components import evaluate
from tests.support.components import artifact, ingest
from tests.support.processes import wait_until


@pytest.fixture
def config(tmp_path):
    return make_config(
        tmp_path,
        policy={"exploration": 0.5},
        gate={"holdout_fraction": 0.5},
        release={"canary_percent": 50},
        retraining={"min_new_interactions": 100},
    )


def test_worse_candidates_are_refused_better_ones_promoted_and_failing_canaries_rolled_back(config, tmp_path):
    platform = connect(config)
    endpoint = platform.endpoint
    compile_pipelines(tmp_path / "pipelines")
    with services(config), Users(config, platform) as users:
        loop_steps.run_startup(config, platform, 3000, seed=0, report=quiet)
        first = endpoint.verdicts()[-1]
        assert (first.decision, first.champion, endpoint.release().champion) == ("promote", "random", first.version)

        users.visit(2000)
        sabotaged = train_on_shuffled_rewards(config, platform, tmp_path)
        verdict = evaluate(config, artifact(dsl.Model, sabotaged), tmp_path)["verdict"]
        assert (verdict["decision"], verdict["champion"]) == ("refuse", first.version)
        assert verdict["version"] in [manifest.version for manifest in endpoint.versions()]  # stored with its reason
        assert "earns less than" in endpoint.verdicts()[-1].reason

        exploring = config.model_copy(update={"agent": config.agent.model_copy(update={"alpha": 1000.0})})
        assert loop_steps.retrain(exploring, platform, quiet) is None  # through the compiled pipeline's condition
        assert endpoint.verdicts()[-1].decision == "refuse"
        assert endpoint.release().traffic() == {first.version: 100}

        users.visit(120)
        assert loop_steps.retrain(config, platform, quiet) is None
        second = endpoint.verdicts()[-1]
        assert second.decision == "canary"  # on thin evidence
        assert endpoint.release().traffic() == {first.version: 50, second.version: 50}
        wait_until(lambda: len(endpoint.serving_versions()) == 2)
        users.visit(400, unrewarded=second.version)
        last = endpoint.verdicts()[-1]
        assert (last.decision, last.by, last.version) == ("rollback", "monitor", second.version)
        assert "earns less from its users" in last.reason
        assert endpoint.release().traffic() == {first.version: 100}
        totals = {row["version"]: row["interactions"] for row in platform.warehouse.policy_totals()}
        assert totals[second.version] <= 300
    assert users.failures == []
    assert users.answered > 2000


def quiet(*shown) -> None:
    pass


class Users:
    """Simulated users: a few all the time and many on request; every failed request is recorded."""

    def __init__(self, config, platform):
        self.config, self.platform = config, platform
        self.answered, self.failures, self.unrewarded = 0, [], ""
        self._random, self._stopping, self._lock = np.random.default_rng(0), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._trickle)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._thread.join()

    def visit(self, users, unrewarded=""):
        """Simulate users with a canary check after every 50; version `unrewarded` earns nothing."""
        self.unrewarded = unrewarded
        for _ in range(users // 50):
            self._visit(50)
            check_canary(self.config, self.platform)
        warehouse = self.platform.warehouse  # a late reward of one interaction cuts off all that were logged after it
        wait_until(lambda: warehouse.window(None).interactions >= 3000 + self.answered - 20)
        check_canary(self.config, self.platform)  # with all of them, however slowly they were logged

    def _trickle(self):
        while not self._stopping.wait(0.2):
            if self.platform.endpoint.serving_versions():
                self._visit(4)

    def _visit(self, users):
        with self._lock:
            environment = self.config.environment
            contexts = environment.observe(users, self._random)
            url = f"{self.platform.endpoint.url()}/predict"
            response = requests.post(url, json={"instances": contexts["observation"].tolist()}, timeout=20)
            if response.status_code != 200:
                self.failures.append(response.text)
                return
            answers = response.json()["predictions"]
            ids, actions = [a["event_id"] for a in answers], np.array([a["action"] for a in answers])
            values = environment.reward(contexts, actions, ids)
            values[[a["policy_version"] == self.unrewarded for a in answers]] = 0.0
            self.platform.bus.publish(
                "rewards", encode(reward_table(event_id=ids, value=values, timestamp=datetime.now(UTC)))
            )
            self.answered += users


def train_on_shuffled_rewards(config, platform, folder):
    """The directory of a policy trained on rewards shuffled between users."""
    examples = artifact(dsl.Dataset, folder / "examples")
    ingest(config, examples)
    table = pa.concat_tables(read_examples(example_files(folder / "examples"), config.task))
    shuffled = np.random.default_rng(0).permutation(table["reward"].to_numpy())
    column = table.schema.get_field_index("reward")
    table = table.set_column(column, table.schema.field(column), pa.array(shuffled))
    window = Window.of(examples.metadata, "examples")
    encoding = Encoding.unfitted(config.task)
    manifest = next_manifest(config, window, None, encoding, 1, "sabotage")
    statistics = train(config, encoding, [table], initial_statistics(config, encoding, None))
    write_policy(folder / "sabotaged", manifest, statistics, encoding)
    return folder / "sabotaged"
