"""The contract suite of the endpoint: versions, the release, its verdicts, predictions."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.release import CanaryEvidence, Release, Verdict
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.current import champion_manifest
from banditloop.rl_core.testing.backends.fixtures import BackendFixtures, Configure
from banditloop.rl_core.testing.events import TASK
from banditloop.rl_core.testing.policies import START, make_policy

BETTER = BettingTest(count=3, log_wealths=[[0.1] * 12, [-1 / 3] * 12])
EVIDENCE = CanaryEvidence(until=START, better=BETTER, wealth=[0.1, 0.2])


class EndpointContract(BackendFixtures):
    """Checks of the port Endpoint."""

    def server(self, config: Config) -> contextlib.AbstractContextManager[Any]:
        """Serves the endpoint while the context is open. Override it if the platform does not serve by itself."""
        return contextlib.nullcontext()

    def has_vitals(self, platform: Platform) -> bool:
        """Whether the endpoint reports the vitals of its versions. Override it if the platform has none."""
        return True

    def has_resources(self, platform: Platform) -> bool:
        """Whether the platform has models and endpoints of its own. Override it if it has."""
        return False

    def test_an_endpoint_starts_empty(self, platform: Platform) -> None:
        assert platform.endpoint.versions() == platform.endpoint.verdicts() == platform.endpoint.list_endpoints() == []
        assert platform.endpoint.release() is None
        assert champion_manifest(platform.endpoint) is None

    def test_versions_are_added_once_and_without_traffic(self, platform: Platform, tmp_path: Path) -> None:
        for generation in (2, 1):
            manifest = make_policy(tmp_path / "policy", generation)
            for _ in range(2):
                assert platform.endpoint.add(tmp_path / "policy") == manifest.version
        assert [manifest.generation for manifest in platform.endpoint.versions()] == [1, 2]
        assert platform.endpoint.release() is None
        assert len(platform.endpoint.list_endpoints()) == 1

    def test_tuned_settings_are_replaced(self, platform: Platform) -> None:
        assert platform.endpoint.tuned() is None
        for alpha in (0.3, 0.1):
            tuned = Tuned(base="0a1b2c3d", agent={"name": "linucb", "alpha": alpha}, policy={}, at=START)
            platform.endpoint.set_tuned(tuned)
            assert platform.endpoint.tuned() == tuned

    def test_a_release_is_replaced_only_if_it_is_the_expected_one(self, platform: Platform, tmp_path: Path) -> None:
        old, new = _add(platform, tmp_path, 1), _add(platform, tmp_path, 2)
        champion_only = Release(champion=old)
        canary = Release(champion=old, challenger=new, challenger_percent=20, evidence=EVIDENCE)
        assert platform.endpoint.set_release(None, champion_only)
        assert not platform.endpoint.set_release(None, canary)
        assert platform.endpoint.release() == champion_only
        assert platform.endpoint.set_release(champion_only, canary)
        assert platform.endpoint.release() == canary
        assert canary.traffic() == {old: 80, new: 20}
        assert platform.endpoint.resources("v9-nothing") == {}
        resources = platform.endpoint.resources(new)
        assert resources.keys() == ({"model", "endpoint"} if self.has_resources(platform) else set())
        assert all(resource.uri.endswith(resource.name) for resource in resources.values())
        champion = champion_manifest(platform.endpoint)
        assert champion is not None
        assert champion.version == old

    def test_a_version_is_removed_unless_it_is_in_the_release(self, platform: Platform, tmp_path: Path) -> None:
        old, new, other = (_add(platform, tmp_path, generation) for generation in (1, 2, 3))
        released = Release(champion=old, challenger=new, challenger_percent=20, evidence=EVIDENCE)
        platform.endpoint.set_release(None, released)
        for version, role in ((old, "champion"), (new, "canary")):
            with pytest.raises(InvalidInput, match=f"version '{version}': is the {role}"):
                platform.endpoint.remove(version)
        for _ in range(2):
            platform.endpoint.remove(other)
            assert [manifest.version for manifest in platform.endpoint.versions()] == [old, new]
        assert _add(platform, tmp_path, 3) == other
        assert [manifest.version for manifest in platform.endpoint.versions()] == [old, new, other]

    def test_a_version_that_another_process_removed_is_gone(self, configure: Configure, tmp_path: Path) -> None:
        config = configure()
        platform = connect(config)
        version = _add(platform, tmp_path, 1)
        assert [manifest.version for manifest in platform.endpoint.versions()] == [version]
        connect(config).endpoint.remove(version)
        assert platform.endpoint.versions() == []
        with pytest.raises(InvalidInput, match=f"version '{version}': is not one of: none"):
            platform.endpoint.set_release(None, Release(champion=version))

    def test_of_concurrent_releases_exactly_one_succeeds(self, platform: Platform, tmp_path: Path) -> None:
        versions = [_add(platform, tmp_path, generation) for generation in range(1, 5)]
        with ThreadPoolExecutor(4) as pool:
            moved = pool.map(lambda version: platform.endpoint.set_release(None, Release(champion=version)), versions)
        assert sum(moved) == 1

    def test_a_release_of_an_unknown_version_is_refused(self, platform: Platform, tmp_path: Path) -> None:
        _add(platform, tmp_path, 1)
        with pytest.raises(InvalidInput, match="version 'v9-nothing'"):
            platform.endpoint.set_release(None, Release(champion="v9-nothing"))
        assert platform.endpoint.release() is None

    def test_verdicts_are_kept_in_order_with_and_without_a_release(self, platform: Platform, tmp_path: Path) -> None:
        version = _add(platform, tmp_path, 1)
        verdicts = [
            Verdict(version=version, champion="random", decision="refuse", by="evaluator", reason="ü", better=BETTER),
            Verdict(version=version, champion="random", decision="canary", by="evaluator", reason="ü", better=BETTER),
            Verdict(version=version, champion="random", decision="promote", by="evaluator", reason="ü", better=BETTER),
        ]
        platform.endpoint.add_verdict(verdicts[0])
        platform.endpoint.add_verdict(verdicts[1])
        assert platform.endpoint.set_release(None, Release(champion=version), verdicts[2])
        assert not platform.endpoint.set_release(None, Release(champion=version), verdicts[0])
        assert platform.endpoint.verdicts() == platform.endpoint.verdicts([version]) == verdicts
        assert platform.endpoint.verdicts([]) == platform.endpoint.verdicts(["v9-nothing"]) == []

    def test_a_corrupt_policy_is_refused_and_nothing_is_stored(self, platform: Platform, tmp_path: Path) -> None:
        _add(platform, tmp_path, 1)
        make_policy(tmp_path / "policy", 2)
        (tmp_path / "policy" / "weights.npz").write_bytes(b"")
        with pytest.raises(InvalidInput, match=r"weights\.npz"):
            platform.endpoint.add(tmp_path / "policy")
        assert len(platform.endpoint.versions()) == 1

    def test_predictions_need_a_server(self, platform: Platform) -> None:
        assert platform.endpoint.vitals() == {}
        assert platform.endpoint.serving_versions() == []
        with pytest.raises(InvalidInput, match="nothing serves it"):
            platform.endpoint.predict([[1.0]])

    def test_a_served_version_answers_every_instance(
        self, configure: Configure, platform: Platform, tmp_path: Path
    ) -> None:
        version = _add(platform, tmp_path, 1)
        platform.endpoint.set_release(None, Release(champion=version))
        with self.server(configure(task=TASK.model_dump())):
            _wait_until_serving(platform, [version])
            for _ in range(20):
                answers = platform.endpoint.predict([[0.1] * 2] * 3)
            assert [answer.policy_version for answer in answers] == [version] * 3
            assert len({answer.event_id for answer in answers}) == 3
            if self.has_vitals(platform):
                vitals = platform.endpoint.vitals()[version]
                assert vitals[:2] == (60, 0)
                assert 0 < vitals.p95_latency_ms < 1000
            with pytest.raises(InvalidInput, match="an observation is a list of 2 numbers"):
                platform.endpoint.predict([[0.1]])


def _add(platform: Platform, folder: Path, generation: int) -> str:
    make_policy(folder / "policy", generation, dim=2, actions=2)
    return platform.endpoint.add(folder / "policy")


def _wait_until_serving(platform: Platform, versions: list[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while platform.endpoint.serving_versions() != versions:
        assert time.monotonic() < deadline, f"{versions} are not served after {seconds:g} s"
        time.sleep(0.02)
