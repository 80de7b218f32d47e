"""The runner: a run succeeds, fails or was killed, and says why."""

import time

import pytest
import yaml
from kfp import compiler, dsl

from rl_core.errors import InvalidInput


@dsl.component(base_image="registry.test/banditloop:test", install_kfp_package=False)
def sleeper(seconds: float, config: dict, fails: bool = False):
    import time

    time.sleep(seconds)
    if fails:
        raise ValueError(f"it was told to fail with {config}")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    @dsl.pipeline(name="sleep")
    def sleep(seconds: float, config: dict, fails: bool = False):
        sleeper(seconds=seconds, config=config, fails=fails)

    path = tmp_path_factory.mktemp("template") / "sleep.yaml"
    compiler.Compiler().compile(sleep, str(path))
    assert len(list(yaml.safe_load_all(path.read_text()))) == 1
    return path


def finish(platform, run_id):
    deadline = time.monotonic() + 60
    while platform.runner.state(run_id) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return platform.runner.state(run_id)


class TestRunner:
    def test_a_run_succeeds_or_fails_and_says_why(self, platform, template):
        parameters = {"seconds": 0.0, "config": {"a": 1}}
        assert platform.runner.runs() == []
        assert platform.runner.submit(template, parameters, "good")
        assert finish(platform, "good") == "succeeded"
        assert platform.runner.submit(template, parameters | {"fails": True}, "bad")
        assert finish(platform, "bad") == "failed"
        assert platform.runner.explain("bad") == "sleeper: ValueError: it was told to fail with {'a': 1.0}"
        assert [run[:2] for run in platform.runner.runs()] == [("good", "succeeded"), ("bad", "failed")]
        assert platform.runner.runs()[0].started <= platform.runner.runs()[1].started

    def test_a_run_id_is_taken_once(self, platform, template):
        parameters = {"seconds": 1.0, "config": {}}
        assert platform.runner.submit(template, parameters, "run")
        assert platform.runner.state("run") == "running"
        assert not platform.runner.submit(template, parameters, "run")
        assert finish(platform, "run") == "succeeded"
        assert not platform.runner.submit(template, parameters, "run")
        assert len(platform.runner.runs()) == 1

    def test_wrong_parameters_and_templates_are_refused_with_the_reason(self, platform, template, tmp_path):
        right = {"seconds": 0.0, "config": {}}
        for wrong, words in (
            (right | {"no": 1}, "parameter 'no': is not one of: config, fails, seconds"),
            (right | {"config": "text"}, "parameter config = 'text': is not of type STRUCT"),
            (right | {"seconds": True}, "parameter seconds = True: is not of type NUMBER_DOUBLE"),
            ({"config": {}}, "parameter 'seconds': is missing"),
        ):
            with pytest.raises(InvalidInput, match=words):
                platform.runner.submit(template, wrong, "run")
        (tmp_path / "empty.yaml").write_text("a: 1")
        with pytest.raises(InvalidInput, match="not a compiled pipeline"):
            platform.runner.submit(tmp_path / "empty.yaml", {}, "run")
        assert platform.runner.runs() == []
        with pytest.raises(InvalidInput, match="No such file"):
            platform.runner.submit(tmp_path / "none.yaml", {}, "other")
        with pytest.raises(InvalidInput, match="no such run"):
            platform.runner.state("other")
