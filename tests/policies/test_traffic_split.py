"""The traffic split between champion and challenger: users never see a failure of the challenger."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.table_file import TableFile
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.transitions import promote
from banditloop.rl_core.serving.catalogue import Catalogue
from banditloop.rl_core.serving.http.admission import Admission
from banditloop.rl_core.serving.http.endpoint import Predictor
from banditloop.rl_core.serving.known_answers import KnownAnswers
from banditloop.rl_core.serving.outbox import Outbox
from banditloop.rl_core.serving.release_follower import ReleaseFollower, SinglePolicySource
from banditloop.rl_core.serving.traffic_split import DecisionRequest, LoadedPolicy, TrafficSplit
from banditloop.rl_core.serving.worker_counts import WorkerCounts
from tests.conftest import make_config, make_policy

ROWS = 200
CANDIDATES = Candidates(tuple(map(str, range(20))))


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for generation in (1, 2):
        make_policy(folder / str(generation), generation, seed=generation)
    return [SavedPolicy.load(folder / str(generation)) for generation in (1, 2)]


def decide(split, keys=None):
    observations = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
    uniforms = np.random.default_rng(1).random((ROWS, 2))
    return split.decide(
        range(ROWS), DecisionRequest(observations, CANDIDATES, "observation"), keys or [None] * ROWS, uniforms
    )


def with_broken_model(policy):
    """The policy with a model for observations of another length."""
    model = replace(policy.model, theta=policy.model.theta[:, :3], whitening=policy.model.whitening[:3, :, :3])
    return replace(policy, model=model)


def test_a_release_that_cannot_be_loaded_whole_leaves_all_as_it_was(policies, tmp_path):
    """Also what is told: only versions that answer."""
    endpoint = connect(make_config(tmp_path)).endpoint
    folders = [tmp_path / str(number) for number in range(3)]
    for number, folder in enumerate(folders):
        make_policy(folder, number + 1, seed=number)
    before, new, broken = map(endpoint.add, folders)
    promote(endpoint, before)
    follower = ReleaseFollower(endpoint)
    follower.refresh()
    follower.beat()
    (endpoint.policy(broken) / "weights.npz").write_bytes(b"broken")
    assert endpoint.set_release(
        endpoint.release(), Release(champion=new, challenger=broken, challenger_percent=50), None
    )
    with pytest.raises(InvalidInput, match=broken):
        follower.refresh()
    assert list(follower.versions) == [before]
    assert follower.split.champion.policy.manifest.version == before


class Folders(SinglePolicySource):
    """A champion in the folder 1 and a challenger in the folder 2, and the vitals that are reported of them."""

    def __init__(self, folder, is_broken) -> None:
        super().__init__(folder)
        self.versions, self.is_broken, self.reports = {}, is_broken, []
        for name in ("1", "2"):
            make_policy(folder / name, int(name))
            self.versions[read_manifest(folder / name).version] = folder / name

    def release(self):
        champion, challenger = self.versions
        return Release(champion=champion, challenger=challenger, challenger_percent=50)

    def policy(self, version):
        return self.versions[version]

    def report_vitals(self, vitals):
        self.reports.append(list(vitals))
        if self.is_broken:
            raise PlatformError("cannot report")


async def run_until(app, condition):
    """Run the background tasks of an app until a condition holds."""
    messages = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan"}, messages.get, lambda message: asyncio.sleep(0)))
    await messages.put({"type": "lifespan.startup"})
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
    await messages.put({"type": "lifespan.shutdown"})
    await running


@pytest.mark.parametrize("broken", ["challenger", "report"])
def test_a_step_that_fails_does_not_stop_the_others(tmp_path, broken):
    """The table of actions is read again, and vitals are reported, although the release cannot be loaded whole."""
    endpoint = Folders(tmp_path, broken == "report")
    champion, challenger = endpoint.versions
    if broken == "challenger":
        (endpoint.policy(challenger) / "weights.npz").write_bytes(b"broken")
    table, task = tmp_path / "actions.csv", {"context": {"observation": {"vector": 20}}}
    table.write_text("id\n0\n1\n")
    config = make_config(tmp_path, task=task | {"actions": {"table": str(table)}})
    catalogue, follower = Catalogue(config.task, TableFile().read), ReleaseFollower(endpoint)
    table.write_text("id\n0\n1\n2\n")
    outboxes = [Outbox(tmp_path / name) for name in ("decisions", "rewards")]
    predictor = Predictor(follower, catalogue, *outboxes, KnownAnswers(), config, WorkerCounts(), None)
    app = predictor.app(Admission(None), "/predict", "/health")
    asyncio.run(run_until(app, lambda: catalogue.actions.ids == ("0", "1", "2")))
    assert endpoint.reports[0] == ([champion] if broken == "challenger" else [champion, challenger])
    assert list(follower.versions) == endpoint.reports[0]


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
def test_every_row_is_answered_once_by_its_assigned_version(policies, percent):
    groups = decide(TrafficSplit(*map(LoadedPolicy, policies), percent))
    online = [group for group in groups if group.mode == "online"]
    assert sorted(np.concatenate([group.rows for group in online])) == list(range(ROWS))
    row_counts = {group.version: len(group.rows) for group in online}
    expected = ROWS * percent / 100
    error = 4 * np.sqrt(ROWS * percent * (100 - percent)) / 100
    assert abs(row_counts.get(policies[1].manifest.version, 0) - expected) <= error
    assert [len(group.rows) for group in groups if group.mode == "shadow"] == ([ROWS] if percent == 0 else [])


@pytest.mark.parametrize("percent", [0, 50])
def test_the_champion_answers_for_a_failing_challenger_and_failures_are_counted(policies, percent):
    champion, challenger = LoadedPolicy(policies[0]), LoadedPolicy(with_broken_model(policies[1]))
    groups = decide(TrafficSplit(champion, challenger, percent))
    assert {group.version for group in groups} == {policies[0].manifest.version}
    assert sum(len(group.rows) for group in groups) == ROWS
    assert challenger.failures == challenger.decisions > 0
    assert champion.failures == 0


@pytest.mark.parametrize("percent", [0, 20])
def test_the_share_with_which_a_version_was_to_answer_is_known(policies, percent):
    groups = decide(TrafficSplit(*map(LoadedPolicy, policies), percent))
    shares = {(group.version, group.mode): group.share for group in groups}
    champion, challenger = (policy.manifest.version for policy in policies)
    expected = {(champion, "online"): 1 - percent / 100}
    assert shares == expected | ({(challenger, "online"): 0.2} if percent else {(challenger, "shadow"): 0.0})


def test_the_share_is_unknown_where_another_version_answers_or_a_platform_splits(policies):
    groups = decide(TrafficSplit(LoadedPolicy(policies[0]), LoadedPolicy(with_broken_model(policies[1])), 50))
    assert [group.share for group in groups] == [0.5, None]
    [group] = decide(TrafficSplit(LoadedPolicy(policies[0]), knows_shares=False))
    assert group.share is None


def test_a_key_always_gets_one_version(policies):
    keys = [f"user-{row % 20}" for row in range(ROWS)]
    groups = decide(TrafficSplit(*map(LoadedPolicy, policies), 50), keys)
    by_version = [{keys[row] for row in group.rows} for group in groups]
    assert len(by_version) == 2
    assert not by_version[0] & by_version[1]


def test_decisions_equal_the_policies_and_latency_is_measured(policies):
    champion, challenger = map(LoadedPolicy, policies)
    assert champion.p95_latency_ms() == 0  # too few decisions for an estimate
    for group in [group for _ in range(20) for group in decide(TrafficSplit(champion, challenger, 50))]:
        policy = policies[group.version == policies[1].manifest.version]
        observations = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)[group.rows]
        np.testing.assert_array_equal(group.decisions.probabilities, policy.probabilities(observations))
    assert champion.decisions + challenger.decisions == 20 * ROWS
    assert 0 < champion.p95_latency_ms() < 1000
