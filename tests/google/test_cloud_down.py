"""Provisioning: `cloud down` removes what `cloud up` creates, and keeps what is not the loop's."""

import io
import json
import sys

import pytest
from google.cloud import bigquery, storage
from google.cloud.iam_admin_v1 import ServiceAccount
from google.iam.v1.policy_pb2 import Binding, Policy
from kfp import compiler, dsl

from banditloop.pipelines.cli.main import main
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.release import Release
from tests.conftest import make_policy
from tests.google.test_cloud import states, states_except
from tests.ports.conftest import kubeflow, vertex
from tests.ports.test_runner import sleeper
from tests.support.emulators import PROJECT
from tests.support.processes import wait_until

KEPT = {"bucket", "dataset", "APIs", "service agents"}
PROJECTS_OWN = {"APIs", "service agents"}


def members_of_project(cloud):
    """The emails of the service accounts that have roles on the project."""
    bindings = cloud.project.policies[f"projects/{PROJECT}"].bindings
    return {member.removeprefix("serviceAccount:") for binding in bindings for member in binding.members}


def test_down_keeps_only_the_data_and_is_idempotent(cloud):
    cloud.run("up", "--simulator")
    removed = states(cloud.run("down", "--yes"))
    kept = {name for name, state in removed.items() if state.startswith("kept")}
    assert {name.removesuffix(f" {cloud.name}-bucket").removesuffix(f" {cloud.name}") for name in kept} == KEPT
    project = cloud.project
    assert not project.functions and not project.services and not project.jobs
    assert not project.accounts and not project.topics_and_subscriptions
    assert members_of_project(cloud) <= set(project.known)  # the service agents'
    assert bigquery.Client(PROJECT, credentials()).get_dataset(cloud.config.backend.dataset)
    cloud.project.changes.clear()
    removed_again = cloud.run("down", "--yes")
    assert set(states_except(removed_again, "does not exist")) == kept
    assert cloud.project.changes == []
    missing = {name.split()[0] for name in states_except(cloud.run("plan"), "exists")}
    assert missing >= {"topic", "function", "pipelines", "source"}


def test_down_with_delete_data_removes_the_data_too(cloud):
    cloud.run("up")
    removed = states(cloud.run("down", "--yes", "--delete-data"))
    assert removed[f"bucket {cloud.name}-bucket"] == removed[f"dataset {cloud.config.backend.dataset}"] == "removed"
    assert storage.Client(PROJECT, credentials()).lookup_bucket(f"{cloud.name}-bucket") is None
    cloud.project.changes.clear()
    assert states_except(cloud.run("down", "-y"), "does not exist").keys() == PROJECTS_OWN
    assert states_except(cloud.run("down", "--yes", "--delete-data"), "does not exist").keys() == PROJECTS_OWN
    assert cloud.project.changes == []


def test_resources_of_other_owners_are_kept(cloud):
    bucket_client = storage.Client(PROJECT, credentials())
    bucket_client.create_bucket(f"{cloud.name}-bucket").blob("other/ledger.json").upload_from_string("theirs")
    client = bigquery.Client(PROJECT, credentials())
    client.create_dataset(cloud.config.backend.dataset)
    condition = {"title": "a year", "expression": "true"}
    other_bindings = [
        Binding(role="roles/owner", members=["user:somebody@example.org"]),
        Binding(role="roles/aiplatform.user", members=["user:somebody@example.org"]),
        Binding(role="roles/aiplatform.user", members=["user:another@example.org"], condition=condition),
    ]
    cloud.project.policies[f"projects/{PROJECT}"] = Policy(etag=b"0", version=3, bindings=other_bindings)
    cloud.run("up")
    cloud.values["backend"] |= {"endpoint": "another", "dataset": f"{cloud.name}_another"}
    first_config = cloud.path.read_text()
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    cloud.path.write_text(first_config)
    removed = states(cloud.run("down", "--yes", "--delete-data"))
    assert removed[f"bucket {cloud.name}-bucket"].startswith("kept")
    assert removed[f"dataset {cloud.config.backend.dataset}"].startswith("kept")
    names = {blob.name.split("/")[0] for blob in bucket_client.list_blobs(f"{cloud.name}-bucket")}
    assert names == {"other", "another"}
    assert {name.rpartition("/")[2] for name in cloud.project.jobs} == {"another-ticks", "another-log-ticks"}
    assert len(cloud.project.functions) == len(cloud.project.services) == 3
    assert len(cloud.project.accounts) == 4
    cloud.path.write_text(json.dumps(cloud.values))
    assert states_except(cloud.run("plan"), "exists") == {}
    cloud.run("down", "--yes", "--delete-data")
    remaining = cloud.project.policies[f"projects/{PROJECT}"].bindings
    assert [binding for binding in remaining if "serviceAgent" not in binding.role] == other_bindings


def test_a_user_managed_account_keeps_its_grants(cloud):
    email = f"theirs@{PROJECT}.iam.gserviceaccount.com"
    cloud.project.accounts[f"projects/{PROJECT}/serviceAccounts/{email}"] = ServiceAccount(email=email)
    cloud.project.make_known(email)
    bindings = [Binding(role="roles/aiplatform.user", members=[f"serviceAccount:{email}"])]
    cloud.project.policies[f"projects/{PROJECT}"] = Policy(etag=b"0", bindings=bindings)
    cloud.values["backend"]["service_account"] = email
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    cloud.run("down", "--yes")
    assert bindings[0] in cloud.project.policies[f"projects/{PROJECT}"].bindings
    assert [account.email for account in cloud.project.accounts.values()] == [email]


def test_down_undeploys_the_server_and_up_deploys_it_again(cloud):
    cloud.run("up")
    endpoint = connect(cloud.config).endpoint
    make_policy(cloud.path.parent / "policy")
    release = Release(champion=endpoint.add(cloud.path.parent / "policy"))
    endpoint.set_release(None, release)
    assert states_except(cloud.run("plan"), "exists") == {}
    removed = states(cloud.run("down", "--yes"))
    kinds = (f"endpoint {cloud.name}", f"model {cloud.name}", f"model {cloud.name}-server")
    assert {removed[kind] for kind in kinds} == {"removed"}
    assert not any(cloud.name in name for name in vertex().models)
    assert states(cloud.run("plan"))[f"endpoint {cloud.name}"] == "to be created"
    cloud.run("up")
    assert endpoint.release() == release
    wait_until(lambda: endpoint.serving_versions() == [release.champion])


def test_down_undeploys_the_versions_and_up_deploys_them_again(cloud):
    cloud.values["backend"]["split"] = "vertex"
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.config = Config.parse(cloud.values)
    cloud.run("up")
    endpoint = connect(cloud.config).endpoint
    make_policy(cloud.path.parent / "policy")
    make_policy(cloud.path.parent / "other", seed=1)
    first, second = (endpoint.add(cloud.path.parent / name) for name in ("policy", "other"))
    release = Release(champion=first, challenger=second, challenger_percent=20)
    endpoint.set_release(None, release)
    assert states_except(cloud.run("plan"), "exists") == {}
    [deployed] = (e for e in vertex().endpoints.values() if e.display_name == cloud.name)
    deployed.traffic_split = dict(zip(deployed.traffic_split, (50, 50), strict=True))
    assert states_except(cloud.run("plan"), "exists") == {f"endpoint {cloud.name}": "to be updated"}
    cloud.run("up")
    assert sorted(deployed.traffic_split.values()) == [20, 80]
    removed = states(cloud.run("down", "--yes"))
    assert removed[f"endpoint {cloud.name}"] == removed[f"model {cloud.name}"] == "removed"
    assert cloud.name not in {e.display_name for e in vertex().endpoints.values()}
    assert not any(name.endswith(cloud.name) for name in vertex().models)
    assert endpoint.release() == release
    assert states(cloud.run("plan"))[f"endpoint {cloud.name}"] == "to be created"
    cloud.run("up")
    wait_until(lambda: sorted(endpoint.serving_versions()) == sorted([first, second]))


@pytest.mark.parametrize("where", ["vertex", "kfp"])
def test_down_stops_runs_and_schedules(cloud, tmp_path, where):
    """Otherwise a run would create the endpoint again."""
    runs_on = {"runner": where, "functions": "cloud-run", "kfp_host": kubeflow().address if where == "kfp" else ""}
    cloud.values["backend"] |= runs_on
    cloud.path.write_text(json.dumps(cloud.values))

    @dsl.pipeline(name="sleep")
    def sleep():
        sleeper(seconds=30.0, config={})

    compiler.Compiler().compile(sleep, str(tmp_path / "sleep.yaml"))
    cloud.run("up")
    runner = connect(Config.parse(cloud.values)).runner
    runner.submit(tmp_path / "sleep.yaml", {}, "run")
    runner.schedule("nightly", "30 3 * * *", tmp_path / "sleep.yaml", {})
    (kubeflow() if where == "kfp" else vertex()).fire(cloud.config.backend.endpoint, "nightly")
    assert states(cloud.run("plan"))["running pipelines and schedules"] == "exists"
    assert states(cloud.run("down", "--yes"))["running pipelines and schedules"] == "removed"
    assert [run.state for run in runner.runs()] == ["failed", "failed"]
    assert runner.schedules() == []


class Terminal(io.StringIO):
    """What somebody types on a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stdin", "status", "message"),
    [(Terminal("n\n"), 1, "are removed.\nGo on? [y/N]"), (io.StringIO("y\n"), 2, "nothing was changed; give --yes")],
)
def test_down_asks_for_confirmation(cloud, monkeypatch, capsys, stdin, status, message):
    monkeypatch.setattr(sys, "argv", ["banditloop", "cloud", "down", "-c", str(cloud.path)])
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == status
    error = capsys.readouterr().err
    assert f"the resources of endpoint {cloud.name} " in error
    assert message in error
    assert cloud.project.changes == []
