"""Provisioning: what `cloud up` makes is all there is to make, `down` removes it, and either may be done again."""

import io
import json
import sys
from types import SimpleNamespace

import grpc
import pytest
from google.cloud import bigquery, pubsub_v1, scheduler_v1, storage
from google.cloud.iam_admin_v1 import ServiceAccount
from google.iam.v1.policy_pb2 import Binding, Policy
from kfp import compiler, dsl

from functions.trigger import tick
from pipelines.cli import main
from rl_core.backends import connect
from rl_core.backends.google.clients import credentials
from rl_core.config import Config
from rl_core.release import Release
from tests.conftest import make_policy
from tests.emulators import PROJECT
from tests.ports.conftest import google, vertex
from tests.ports.test_runner import sleeper
from tests.project import NUMBER, project

IMAGE = f"europe-docker.pkg.dev/{PROJECT}/images/banditloop@sha256:{'0' * 64}"
PLACE = f"projects/{PROJECT}/locations/us-central1"
STAY = {"bucket", "dataset", "APIs"}


@pytest.fixture
def cloud(tmp_path, monkeypatch, capsys):
    """An empty project, a config for it, and the command line."""
    values = google(tmp_path).to_dict()
    name = values["backend"]["endpoint"]
    values["backend"] |= {"image": IMAGE, "bucket": f"{name}-bucket"}
    path = tmp_path / "loop.json"
    path.write_text(json.dumps(values))
    monkeypatch.setattr("rl_core.backends.google.patience.PATIENCE_SECONDS", 1.0)

    def run(*words: str, code: int = 0) -> list[dict[str, str]] | str:
        """The rows that a command shows, or its error."""
        monkeypatch.setattr(sys, "argv", ["banditloop", "cloud", *words, "-c", str(path), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert (ended.value.code or 0) == code, shown
        if code:
            assert shown.out == ""
            assert len(shown.err.strip().splitlines()) == 1, shown.err
            return shown.err
        return json.loads(shown.out)

    with project() as (found, variables):
        for variable, address in variables.items():
            monkeypatch.setenv(variable, address)
        yield SimpleNamespace(run=run, project=found, name=name, config=Config.parse(values), path=path, values=values)


def states(rows):
    return {row["resource"]: row["state"] for row in rows}


def but(rows, usual):
    """The rows that are not as usual, without those that wait for a version."""
    return {k: v for k, v in states(rows).items() if v not in (usual, "the loop makes it")}


def subscription(cloud, name):
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    return client.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/{cloud.name}-{name}")


def test_up_makes_what_plan_lists_and_again_nothing(cloud):
    planned = cloud.run("plan")
    assert set(states(planned).values()) == {"would be made", "the loop makes it"}
    assert cloud.project.changes == []
    made = cloud.run("up")
    assert but(made, "made") == {}
    assert states(made).keys() == states(planned).keys()
    assert len(cloud.project.changes) >= len(states(made)) - 3  # runs, endpoint and model are the loop's
    cloud.project.changes.clear()
    assert but(cloud.run("up"), "is there") == {}
    assert but(cloud.run("plan"), "is there") == {}
    assert cloud.project.changes == []


def test_the_functions_run_the_image_with_a_config_of_their_own(cloud):
    cloud.run("up")
    services = {name.rpartition("-")[2]: service for name, service in cloud.project.services.items()}
    assert services.keys() == {"logger", "trigger", "monitor"}
    for name, service in services.items():
        [container] = service.template.containers
        assert container.image == IMAGE
        assert list(container.command) == ["functions-framework"]
        assert container.args == [f"--target={name}", f"--source=functions/{name}.py", "--signature-type=cloudevent"]
        told = Config.parse(json.loads(container.env[0].value))
        assert told.backend.runs_as() == f"{cloud.name}-pipelines@{PROJECT}.iam.gserviceaccount.com"
        assert container.resources.cpu_idle  # else it is paid while nothing comes
        assert service.template.service_account == f"{cloud.name}-functions@{PROJECT}.iam.gserviceaccount.com"
        assert service.labels == {"banditloop": cloud.name}
    submitted = []
    platform = connect(told)
    release = SimpleNamespace(release=lambda: Release(champion="v1"), verdicts=list, versions=lambda: [version])
    version = make_policy(cloud.path.parent / "policy").model_copy(update={"version": "v1"})
    warehouse = SimpleNamespace(window=lambda since: SimpleNamespace(interactions=10_000))
    runner = SimpleNamespace(runs=list, submit=lambda template, parameters, run_id: submitted.append(template) or True)
    tick(told, SimpleNamespace(endpoint=release, warehouse=warehouse, runner=runner, scratch=platform.scratch))
    assert IMAGE in submitted[0].read_text()
    cloud.run("up", "--simulator")
    assert f"{PLACE}/services/{cloud.name}-simulator" in cloud.project.services


def test_messages_are_pushed_with_a_token_and_given_up_at_last(cloud):
    cloud.run("up")
    logger = cloud.project.services[f"{PLACE}/services/{cloud.name}-logger"]
    for name in ("decisions", "rewards"):
        found = subscription(cloud, name)
        assert found.push_config.push_endpoint == f"{logger.uri}/projects/{PROJECT}/topics/{cloud.name}-{name}"
        assert found.push_config.oidc_token.service_account_email.startswith(f"{cloud.name}-push@")
        assert found.push_config.oidc_token.audience == logger.uri
        assert found.dead_letter_policy.dead_letter_topic.endswith(f"{cloud.name}-dead")
        assert found.retry_policy.maximum_backoff.seconds == 600
        [binding] = cloud.project.policies[found.name].bindings
        assert list(binding.members) == [f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"]
    assert not subscription(cloud, "dead").push_config.push_endpoint
    assert "trigger" in subscription(cloud, "ticks-trigger").push_config.push_endpoint
    [job] = cloud.project.jobs.values()
    assert (job.schedule, job.pubsub_target.topic_name.rpartition("/")[2]) == ("*/5 * * * *", f"{cloud.name}-ticks")
    connect(cloud.config).bus.publish("rewards", b"[]")  # it finds topic and subscription made
    assert subscription(cloud, "rewards").push_config.push_endpoint


def test_what_somebody_changed_is_shown_and_mended(cloud):
    cloud.run("up")
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    client.delete_subscription(subscription=subscription(cloud, "rewards").name)
    publisher = pubsub_v1.PublisherClient(credentials=credentials())
    publisher.delete_topic(topic=f"projects/{PROJECT}/topics/{cloud.name}-decisions")
    [job] = cloud.project.jobs.values()
    job.schedule = "0 0 * * *"
    cloud.project.services[f"{PLACE}/services/{cloud.name}-monitor"].template.containers[0].image = "other"
    project_policy = cloud.project.policies[f"projects/{PROJECT}"]
    project_policy.bindings[0].members.pop()
    planned = but(cloud.run("plan"), "is there")
    assert planned == {
        f"topic {cloud.name}-decisions": "would be made",
        f"access to topic {cloud.name}-decisions": "would be made",
        f"access to project {PROJECT}": "would be changed",
        f"service {cloud.name}-monitor": "would be changed",
        f"subscription {cloud.name}-decisions": "would be changed",
        f"subscription {cloud.name}-rewards": "would be made",
        f"access to subscription {cloud.name}-rewards": "would be made",
        f"scheduler job {cloud.name}-ticks": "would be changed",
    }
    done = but(cloud.run("up"), "is there")
    assert done.keys() >= planned.keys()
    assert job.schedule == "*/5 * * * *"
    job.state = scheduler_v1.Job.State.PAUSED
    assert but(cloud.run("plan"), "is there") == {f"scheduler job {cloud.name}-ticks": "would be changed"}
    cloud.run("up")
    assert job.state == scheduler_v1.Job.State.ENABLED
    assert subscription(cloud, "decisions").topic.endswith(f"{cloud.name}-decisions")
    assert but(cloud.run("plan"), "is there") == {}


def test_another_image_or_another_config_changes_the_functions_only(cloud):
    cloud.run("up")
    cloud.values["backend"]["image"] = IMAGE.replace("0", "1")
    cloud.path.write_text(json.dumps(cloud.values))
    changed = but(cloud.run("up"), "is there")
    assert {name.split()[0] for name in changed} == {"pipelines", "service"}
    assert set(changed.values()) == {"changed"}


def test_a_call_that_is_refused_is_one_line_and_up_goes_on_from_there(cloud):
    cloud.project.refused["CreateService"] = (
        grpc.StatusCode.PERMISSION_DENIED,
        f"Permission 'run.services.create' denied on resource '{PLACE}/services'",
    )
    error = cloud.run("up", code=1)
    assert error.startswith(
        f"banditloop: service {cloud.name}-logger: Google Cloud: PermissionDenied: Permission 'run."
    )
    before = states(cloud.run("plan"))
    assert before[f"service account {cloud.name}-push"] == "is there"
    assert before[f"service {cloud.name}-logger"] == "would be made"
    cloud.project.refused.clear()
    done = states(cloud.run("up"))
    assert done[f"service account {cloud.name}-push"] == "is there"
    assert done[f"service {cloud.name}-logger"] == "made"
    assert but(cloud.run("plan"), "is there") == {}


def test_an_api_that_is_disabled_is_one_line_that_names_it(cloud):
    says = "Cloud Scheduler API has not been used in project 1 before or it is disabled. Enable it by visiting ..."
    cloud.project.refused["GetJob"] = (grpc.StatusCode.PERMISSION_DENIED, says)
    assert states(cloud.run("plan"))[f"scheduler job {cloud.name}-ticks"] == "would be made"
    assert says in cloud.run("up", code=1)
    cloud.project.refused.clear()
    assert states(cloud.run("up"))[f"scheduler job {cloud.name}-ticks"] == "made"


def test_what_fails_for_the_moment_is_asked_again(cloud, monkeypatch):
    monkeypatch.setattr("rl_core.backends.google.patience.PATIENCE_SECONDS", 20.0)
    cloud.run("plan")
    cloud.project.faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED] * 3
    cloud.run("up")
    assert but(cloud.run("plan"), "is there") == {}


def test_down_removes_all_but_what_was_learned_and_again_nothing(cloud):
    cloud.run("up", "--simulator")
    removed = states(cloud.run("down", "--yes"))
    stays = {name for name, state in removed.items() if state.startswith("stays")}
    assert {name.split()[0] for name in stays} == STAY
    project = cloud.project
    assert not project.services and not project.jobs and not project.accounts and not project.messages
    assert not project.policies[f"projects/{PROJECT}"].bindings
    assert bigquery.Client(PROJECT, credentials()).get_dataset(cloud.config.backend.dataset)
    cloud.project.changes.clear()
    again = cloud.run("down", "--yes")
    assert set(but(again, "is not there")) == stays
    assert cloud.project.changes == []
    assert {name.split()[0] for name in but(cloud.run("plan"), "is there")} >= {"topic", "service", "pipelines"}


def test_down_with_data_removes_that_too(cloud):
    cloud.run("up")
    removed = states(cloud.run("down", "--yes", "--data"))
    assert removed[f"bucket {cloud.name}-bucket"] == removed[f"dataset {cloud.config.backend.dataset}"] == "removed"
    assert storage.Client(PROJECT, credentials()).lookup_bucket(f"{cloud.name}-bucket") is None
    cloud.project.changes.clear()
    assert but(cloud.run("down", "--yes"), "is not there").keys() == {"APIs"}
    assert but(cloud.run("down", "--yes", "--data"), "is not there").keys() == {"APIs"}
    assert cloud.project.changes == []


def test_other_peoples_resources_stay(cloud):
    objects = storage.Client(PROJECT, credentials())
    objects.create_bucket(f"{cloud.name}-bucket").blob("other/ledger.json").upload_from_string("theirs")
    client = bigquery.Client(PROJECT, credentials())
    client.create_dataset(cloud.config.backend.dataset)
    condition = {"title": "a year", "expression": "true"}
    theirs = [
        Binding(role="roles/owner", members=["user:somebody@example.org"]),
        Binding(role="roles/aiplatform.user", members=["user:somebody@example.org"]),
        Binding(role="roles/aiplatform.user", members=["user:another@example.org"], condition=condition),
    ]
    cloud.project.policies[f"projects/{PROJECT}"] = Policy(etag=b"0", version=3, bindings=theirs)
    cloud.run("up")
    cloud.values["backend"] |= {"endpoint": "another", "dataset": f"{cloud.name}_another"}
    mine = cloud.path.read_text()
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    cloud.path.write_text(mine)
    removed = states(cloud.run("down", "--yes", "--data"))
    assert removed[f"bucket {cloud.name}-bucket"].startswith("stays")
    assert removed[f"dataset {cloud.config.backend.dataset}"].startswith("stays")
    names = {blob.name.split("/")[0] for blob in objects.list_blobs(f"{cloud.name}-bucket")}
    assert names == {"other", "another"}
    assert {name.rpartition("/")[2] for name in cloud.project.jobs} == {"another-ticks"}
    assert len(cloud.project.services) == len(cloud.project.accounts) == 3
    cloud.path.write_text(json.dumps(cloud.values))
    assert but(cloud.run("plan"), "is there") == {}
    cloud.run("down", "--yes", "--data")
    assert list(cloud.project.policies[f"projects/{PROJECT}"].bindings) == theirs


def test_an_account_that_was_lent_keeps_what_it_had(cloud):
    lent = f"theirs@{PROJECT}.iam.gserviceaccount.com"
    cloud.project.accounts[f"projects/{PROJECT}/serviceAccounts/{lent}"] = ServiceAccount(email=lent)
    had = [Binding(role="roles/aiplatform.user", members=[f"serviceAccount:{lent}"])]
    cloud.project.policies[f"projects/{PROJECT}"] = Policy(etag=b"0", bindings=had)
    cloud.values["backend"]["service_account"] = lent
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    cloud.run("down", "--yes")
    assert had[0] in cloud.project.policies[f"projects/{PROJECT}"].bindings
    assert [account.email for account in cloud.project.accounts.values()] == [lent]


def test_events_come_only_while_somebody_logs_them(cloud):
    order = [row["resource"] for row in cloud.run("plan")]
    logged = [f"subscription {cloud.name}-{topic}" for topic in ("decisions", "rewards")]
    served = order.index(f"endpoint {cloud.name}")
    assert max(map(order.index, [*logged, f"service {cloud.name}-logger"])) < served  # and `down` goes the other way


def test_down_ends_what_is_served_and_up_serves_it_again(cloud):
    cloud.run("up")
    endpoint = connect(cloud.config).endpoint
    make_policy(cloud.path.parent / "policy")
    make_policy(cloud.path.parent / "other", seed=1)
    first, second = (endpoint.add(cloud.path.parent / name) for name in ("policy", "other"))
    release = Release(champion=first, challenger=second, share=20)
    endpoint.move(None, release)
    assert but(cloud.run("plan"), "is there") == {}
    [served] = (e for e in vertex().endpoints.values() if e.display_name == cloud.name)
    served.traffic_split = dict(zip(served.traffic_split, (50, 50), strict=True))
    assert but(cloud.run("plan"), "is there") == {f"endpoint {cloud.name}": "would be changed"}
    cloud.run("up")
    assert sorted(served.traffic_split.values()) == [20, 80]
    removed = states(cloud.run("down", "--yes"))
    assert removed[f"endpoint {cloud.name}"] == removed[f"model {cloud.name}"] == "removed"
    assert cloud.name not in {e.display_name for e in vertex().endpoints.values()}
    assert not any(name.endswith(cloud.name) for name in vertex().models)
    assert endpoint.release() == release
    assert states(cloud.run("plan"))[f"endpoint {cloud.name}"] == "would be made"
    cloud.run("up")
    assert sorted(endpoint.serving()) == sorted([first, second])


def test_down_ends_runs_so_that_none_brings_the_endpoint_back(cloud, tmp_path):
    @dsl.pipeline(name="sleep")
    def sleep():
        sleeper(seconds=30.0, config={})

    compiler.Compiler().compile(sleep, str(tmp_path / "sleep.yaml"))
    cloud.run("up")
    runner = connect(cloud.config).runner
    runner.submit(tmp_path / "sleep.yaml", {}, "run")
    runner.schedule("nightly", "30 3 * * *", tmp_path / "sleep.yaml", {})
    vertex().fire(cloud.config.backend.endpoint, "nightly")
    assert states(cloud.run("plan"))["running pipelines and schedules"] == "is there"
    assert states(cloud.run("down", "--yes"))["running pipelines and schedules"] == "removed"
    assert [run.state for run in runner.runs()] == ["failed", "failed"]
    assert runner.schedules() == []


def test_down_asks_first(cloud, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["banditloop", "cloud", "down", "-c", str(cloud.path)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"Remove what is around endpoint {cloud.name}?" in capsys.readouterr().err
    assert cloud.project.changes == []


def test_what_cannot_be_provisioned_is_refused(cloud):
    cloud.values["backend"]["endpoint"] = "a-name-that-is-too-long-for-an-account"
    cloud.path.write_text(json.dumps(cloud.values))
    assert "give at most 20 characters" in cloud.run("plan", code=2)
    cloud.values["backend"] |= {"endpoint": cloud.name, "runner": "local"}
    cloud.path.write_text(json.dumps(cloud.values))
    assert "backend.runner = 'local'" in cloud.run("up", code=2)
    cloud.values["backend"] = {"name": "local"}
    cloud.path.write_text(json.dumps(cloud.values))
    for words in (["plan"], ["up"], ["down", "--yes"]):
        assert "backend.name = 'local': nothing is provisioned there" in cloud.run(*words, code=2)
