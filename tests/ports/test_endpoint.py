"""The endpoint: versions, the release, its verdicts."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from rl_core.backends import champion
from rl_core.backends.local.endpoint import LocalEndpoint
from rl_core.errors import InvalidInput
from rl_core.estimators.sequential import Gate
from rl_core.release import Contest, Release, Verdict
from tests.conftest import START, make_policy
from tests.processes import process, wait_until

BETTER = Gate(count=3, logs=[[0.1] * 12, [-1 / 3] * 12])
CONTEST = Contest(until=START, better=BETTER, wealth=[0.1, 0.2])


class TestEndpoint:
    def test_before_the_first_version_there_is_nothing(self, platform):
        assert platform.endpoint.versions() == platform.endpoint.verdicts() == platform.endpoint.names() == []
        assert platform.endpoint.release() is None
        assert champion(platform.endpoint) is None

    def test_versions_are_added_once_and_answer_nobody(self, platform, tmp_path):
        for generation in (2, 1):
            manifest = make_policy(tmp_path / "policy", generation)
            for _ in range(2):
                assert platform.endpoint.add(tmp_path / "policy") == manifest.version
        assert [m.generation for m in platform.endpoint.versions()] == [1, 2]
        assert platform.endpoint.release() is None
        assert len(platform.endpoint.names()) == 1

    def test_a_release_moves_from_what_it_was_and_not_otherwise(self, platform, tmp_path):
        old, new = add(platform, tmp_path, 1), add(platform, tmp_path, 2)
        alone, both = Release(champion=old), Release(champion=old, challenger=new, share=20, contest=CONTEST)
        assert platform.endpoint.move(None, alone)
        assert not platform.endpoint.move(None, both)
        assert platform.endpoint.release() == alone
        assert platform.endpoint.move(alone, both)
        assert platform.endpoint.release() == both
        assert both.traffic() == {old: 80, new: 20}
        assert champion(platform.endpoint).version == old

    def test_of_many_who_move_at_once_one_succeeds(self, platform, tmp_path):
        versions = [add(platform, tmp_path, generation) for generation in range(1, 5)]
        with ThreadPoolExecutor(4) as pool:
            moved = pool.map(lambda version: platform.endpoint.move(None, Release(champion=version)), versions)
        assert sum(moved) == 1

    def test_a_release_of_an_unknown_version_is_refused(self, platform, tmp_path):
        add(platform, tmp_path, 1)
        with pytest.raises(InvalidInput, match="version 'v9-nothing'"):
            platform.endpoint.move(None, Release(champion="v9-nothing"))
        assert platform.endpoint.release() is None

    def test_verdicts_are_kept_in_order_with_the_move_they_led_to_or_without(self, platform, tmp_path):
        version = add(platform, tmp_path, 1)
        verdicts = [
            Verdict(version=version, champion="random", judgement=judgement, by="evaluator", reason="ü", better=BETTER)
            for judgement in ("refuse", "canary", "promote")
        ]
        platform.endpoint.record(verdicts[0])
        platform.endpoint.record(verdicts[1])
        assert platform.endpoint.move(None, Release(champion=version), verdicts[2])
        assert not platform.endpoint.move(None, Release(champion=version), verdicts[0])
        assert platform.endpoint.verdicts() == verdicts

    def test_a_policy_that_is_not_whole_changes_nothing(self, platform, tmp_path):
        add(platform, tmp_path, 1)
        make_policy(tmp_path / "policy", 2)
        (tmp_path / "policy" / "weights.npz").write_bytes(b"")
        with pytest.raises(InvalidInput, match=r"weights\.npz"):
            platform.endpoint.add(tmp_path / "policy")
        assert len(platform.endpoint.versions()) == 1

    def test_predictions_need_a_server(self, platform):
        assert platform.endpoint.vitals() == {}
        assert platform.endpoint.serving() == []
        with pytest.raises(InvalidInput, match="nothing serves it"):
            platform.endpoint.predict([[1.0]])

    def test_a_served_version_answers_every_instance(self, configure, platform, tmp_path):
        version = add(platform, tmp_path, 1)
        platform.endpoint.move(None, Release(champion=version))
        with self.server(configure()):
            wait_until(lambda: platform.endpoint.serving() == [version])
            for _ in range(20):
                answers = platform.endpoint.predict([[0.1] * 20] * 3)
            assert [answer["policy_version"] for answer in answers] == [version] * 3
            assert len({answer["event_id"] for answer in answers}) == 3
            if not on_vertex(platform):
                vitals = platform.endpoint.vitals()[version]
                assert vitals[:2] == (60, 0)
                assert 0 < vitals.milliseconds < 1000
            with pytest.raises(InvalidInput, match="an observation is a list of 20 numbers"):
                platform.endpoint.predict([[0.1]])

    def server(self, config):
        """What serves the endpoint, where it is not the platform itself."""
        local = config.backend.name == "local"
        return process(config, "-m", "functions.predictor") if local else contextlib.nullcontext()


def on_vertex(platform) -> bool:
    """Vertex AI lets nobody ask a container how it is doing."""
    return not isinstance(platform.endpoint, LocalEndpoint)


def add(platform, tmp_path, generation):
    make_policy(tmp_path / "policy", generation)
    return platform.endpoint.add(tmp_path / "policy")
