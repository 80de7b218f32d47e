"""End to end, real processes, users who come all the time: the worse is refused, the better promoted."""

import threading
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import requests
from kfp import dsl

from components.ingester import ingester
from functions.monitor import watch
from pipelines import loop
from pipelines.compiling import compile_pipelines
from pipelines.services import services
from rl_core.backends import connect
from rl_core.examples import example_files, read_examples
from rl_core.manifest import Window
from rl_core.policy import write_policy
from rl_core.schema import INTERACTION, REWARD, encode
from rl_core.training import next_manifest, start, train
from tests.conftest import make_config
from tests.processes import wait_until
from tests.test_components import artifact, evaluate


@pytest.fixture
def config(tmp_path):
    return make_config(
        tmp_path,
        policy={"exploration": 0.5},
        gate={"held_out": 0.5},
        release={"canary": 50},
        trigger={"min_interactions": 100},
    )


def test_what_is_worse_is_refused_what_is_better_promoted_and_what_turns_bad_rolled_back(config, tmp_path):
    platform = connect(config)
    endpoint = platform.endpoint
    compile_pipelines(tmp_path / "pipelines")
    with services(config), Users(config, platform) as users:
        loop.start(config, platform, 3000, seed=0, report=quiet)
        first = endpoint.verdicts()[-1]
        assert (first.judgement, first.champion, endpoint.release().champion) == ("promote", "random", first.version)

        users.come(2000)
        sabotaged = train_on_shuffled_rewards(config, platform, tmp_path)
        verdict = evaluate(config, artifact(dsl.Model, sabotaged), tmp_path)["verdict"]
        assert (verdict["judgement"], verdict["champion"]) == ("refuse", first.version)
        assert verdict["version"] in [manifest.version for manifest in endpoint.versions()]  # kept and explained
        assert "earns less than" in endpoint.verdicts()[-1].reason

        wild = config.model_copy(update={"agent": config.agent.model_copy(update={"alpha": 1000.0})})
        assert loop.retrain(wild, platform, quiet) is None  # through the compiled pipeline's condition
        assert endpoint.verdicts()[-1].judgement == "refuse"
        assert endpoint.release().traffic() == {first.version: 100}

        users.come(120)
        assert loop.retrain(config, platform, quiet) is None
        second = endpoint.verdicts()[-1]
        assert second.judgement == "canary"  # on thin evidence
        assert endpoint.release().traffic() == {first.version: 50, second.version: 50}
        wait_until(lambda: len(endpoint.serving()) == 2)
        users.come(400, spoil=second.version)
        last = endpoint.verdicts()[-1]
        assert (last.judgement, last.by, last.version) == ("rollback", "monitor", second.version)
        assert "its users are worse off" in last.reason
        assert endpoint.release().traffic() == {first.version: 100}
        totals = {row["version"]: row["interactions"] for row in platform.warehouse.totals()}
        assert totals[second.version] <= 300
    assert users.failures == []
    assert users.answered > 2000


def quiet(what: str, done: float | None) -> None:
    pass


class Users:
    """Users who come and reward, a few all the time and many when called, and whom every failed request hurts."""

    def __init__(self, config, platform):
        self.config, self.platform = config, platform
        self.answered, self.failures, self.spoiled = 0, [], ""
        self._random, self._stopping, self._lock = np.random.default_rng(0), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._trickle)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._thread.join()

    def come(self, users, spoil=""):
        """Let users come and the monitor look; the version `spoil` earns nothing any more."""
        self.spoiled = spoil
        for _ in range(users // 50):
            self._visit(50)
            watch(self.config, self.platform)
        wait_until(
            lambda: sum(row["rewarded"] for row in self.platform.warehouse.totals()) >= 3000 + self.answered - 20
        )

    def _trickle(self):
        while not self._stopping.wait(0.2):
            if self.platform.endpoint.serving():
                self._visit(4)

    def _visit(self, users):
        with self._lock:
            environment = self.config.environment
            observations = environment.observe(users, self._random)
            url = f"{self.platform.endpoint.url()}/predict"
            response = requests.post(url, json={"instances": observations.tolist()}, timeout=20)
            if response.status_code != 200:
                self.failures.append(response.text)
                return
            answers = response.json()["predictions"]
            ids, actions = [a["event_id"] for a in answers], np.array([a["action"] for a in answers])
            values = environment.reward(observations, actions, ids)
            values[[a["policy_version"] == self.spoiled for a in answers]] = 0.0
            self.platform.bus.publish("rewards", encode(rewards_of(ids, values.tolist())))
            self.answered += users


def rewards_of(ids, values):
    now = datetime.now(UTC)
    rows = [
        {"event_id": event_id, "name": "reward", "value": value, "timestamp": now, "source_id": ""}
        for event_id, value in zip(ids, values, strict=True)
    ]
    return pa.Table.from_pylist(rows, REWARD)


def train_on_shuffled_rewards(config, platform, folder):
    """The policy directory that the trainer would make, were the rewards those of other users."""
    examples = artifact(dsl.Dataset, folder / "examples")
    ingester.python_func(config=config.to_dict(), examples=examples, metrics=artifact(dsl.Metrics, "metrics"))
    table = pa.concat_tables(read_examples(example_files(folder / "examples")))
    shuffled = np.random.default_rng(0).permutation(table["reward"].to_numpy())
    table = table.set_column(table.column_names.index("reward"), INTERACTION.field("reward"), pa.array(shuffled))
    window = Window.parse({key: examples.metadata[key] for key in Window.model_fields})
    manifest = next_manifest(config, window, None, "sabotage")
    write_policy(folder / "sabotaged", manifest, train(config, [table], start(config, None)))
    return folder / "sabotaged"
