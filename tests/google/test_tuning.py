"""Tuning on Vertex AI: the job that Google's client sends runs on the stand-in, and its result is used."""

import pytest
from google.cloud import aiplatform_v1 as v1

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google import tuning_job
from banditloop.rl_core.backends.google.tuning_space import parameter_specs
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.training.tuned import with_tuned
from banditloop.rl_core.tuning.tune import tune
from tests.conftest import make_config
from tests.ports.conftest import google, vertex
from tests.support.containers import IMAGE

GOOGLE = {"name": "google", "project": "banditloop-test", "bucket": "tuning", "image": IMAGE, "endpoint": "tuned"}
SPACE = {
    "name": {"values": ["linucb", "neural_epsilon_greedy"]},
    "alpha": {"low": 0.1, "high": 10, "log": True},
    "l2": {"values": [1, 0.3]},
    "hidden_units": {"low": 4, "high": 8},
    "seed": {"low": 0, "high": 9, "agents": ["neural_epsilon_greedy"]},
}


@pytest.fixture
def jobs(monkeypatch):
    """The Vertex AI stand-in that runs tuning jobs."""
    monkeypatch.setenv("VERTEX_EMULATOR_HOST", vertex().address)
    monkeypatch.setattr(tuning_job.custom_job, "MAX_POLL_SECONDS", 0.01)
    return vertex()


def google_config(folder, space=SPACE, **tuning):
    settings = {"search_space": {"agent": space}, "objective": "simulation", "interactions": 60, "seeds": 2}
    values = make_config(folder, environment={"name": "linear", "actions": 3, "dim": 3}).to_dict()
    training = {"machine_type": "n1-standard-4", "accelerator": "NVIDIA_TESLA_T4"}
    return Config.parse(values | {"backend": GOOGLE, "training": training, "tuning": settings | tuning})


def test_settings_of_one_agent_are_conditional_on_its_name(tmp_path):
    [name] = parameter_specs(google_config(tmp_path))
    assert name["categorical_value_spec"] == {"values": SPACE["name"]["values"]}
    conditions = {
        spec["parameter_spec"]["parameter_id"]: (spec["parameter_spec"], spec["parent_categorical_values"]["values"])
        for spec in name["conditional_parameter_specs"]
    }
    alpha, of_alpha = conditions["agent.alpha"]
    assert alpha["double_value_spec"] == {"min_value": 0.1, "max_value": 10}
    assert (alpha["scale_type"], of_alpha) == ("UNIT_LOG_SCALE", ["linucb"])
    assert conditions["agent.l2"][0]["discrete_value_spec"] == {"values": [0.3, 1]}
    assert conditions["agent.hidden_units"][0]["integer_value_spec"] == {"min_value": 4, "max_value": 8}
    assert conditions["agent.seed"][1] == ["neural_epsilon_greedy"]


@pytest.mark.slow
def test_the_job_is_accepted_and_its_result_is_used(jobs, tmp_path):
    """The present settings are bad ones, so that both trials are better."""
    space = {"alpha": {"low": 0.1, "high": 1}, "l2": SPACE["l2"]}
    values = google_config(tmp_path, space, trials=2, parallel=2, test_seeds=5).to_dict()
    config = google(
        tmp_path, agent={"alpha": 50.0}, **{key: values[key] for key in ("environment", "training", "tuning")}
    )
    platform = connect(config)
    summary = tune(config, platform, tmp_path)
    job = list(jobs.tuning_jobs.values())[-1]
    assert (job.state, job.max_trial_count, job.parallel_trial_count) == (v1.JobState.JOB_STATE_SUCCEEDED, 2, 2)
    assert [metric.metric_id for metric in job.study_spec.metrics] == ["final_average_return"]
    [pool] = job.trial_job_spec.worker_pool_specs
    assert (pool.machine_spec.machine_type, pool.container_spec.image_uri) == ("n1-standard-4", IMAGE)
    assert job.trial_job_spec.scheduling.disable_retries
    better, worse = summary["trials"]
    recorded = [c.display_name for c in jobs.contexts.values() if f"{config.backend.endpoint}-tuning" in c.name]
    assert sorted(recorded)[-2:] == ["tuning-trial-0", "tuning-trial-1"]
    assert f"/experiments/{config.backend.endpoint}-tuning?" in summary["experiment"]
    assert better["value"] > worse["value"]
    assert summary["comparison"]["difference"]["low"] > 0
    best = {key.removeprefix("agent."): value for key, value in better["parameters"].items()}
    tuned = platform.endpoint.tuned()
    assert tuned.agent == {"name": "linucb"} | best
    assert with_tuned(config, tuned).agent.model_dump() == tuned.agent


@pytest.mark.slow
def test_a_failed_job_is_raised_in_one_line(jobs, tmp_path):
    config = google_config(tmp_path, trials=1)
    with pytest.raises(PlatformError, match=r"tuning job \d+: failed: All trials failed"):
        connect(config).runner.trials(config, ["--unknown=1"])


def test_a_job_is_cancelled_when_its_caller_ends(jobs, tmp_path, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    config = google_config(tmp_path)
    monkeypatch.setattr(tuning_job.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect(config).runner.trials(config, [])
    assert list(jobs.tuning_jobs.values())[-1].state == v1.JobState.JOB_STATE_CANCELLED
    tuning_job.cancel_all(config.backend)  # none is left


def test_what_vertex_ai_lacks_is_refused(jobs, tmp_path):
    config = google_config(tmp_path, pruning="hyperband")
    with pytest.raises(InvalidInput, match=r"tuning.pruning = 'hyperband': .* give median or none"):
        connect(config).runner.trials(config, [])
