"""A project in which nothing was ever used: `up` makes it work in one go, and waits for what takes Google minutes."""

import json
import re

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import storage

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import EMULATORS, credentials
from banditloop.rl_core.backends.google.provisioning import apply
from tests.google.test_cloud import PROJECT, states, states_except
from tests.google.test_cloud_down import PROJECTS_OWN
from tests.support.fresh_project import NUMBER

AGENTS = {f"serviceAccount:service-{NUMBER}@gcp-sa-{name}.iam.gserviceaccount.com" for name in ("aiplatform", "pubsub")}
PLAIN_PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
OTHERS_IMAGE = "europe-docker.pkg.dev/other/shared/tools/banditloop:1"


@pytest.fixture
def fresh(cloud, monkeypatch):
    """A project that takes a minute, on a clock of its own, until a change is known everywhere."""
    cloud.project.propagation = 60.0
    monkeypatch.setattr(apply, "PROPAGATION_SECONDS", 600.0)
    monkeypatch.setattr(apply, "sleep", cloud.project.sleep)
    return cloud


def test_up_brings_up_a_fresh_project_at_once_and_down_leaves_nothing(fresh):
    assert set(states(fresh.run("plan")).values()) == {"to be created", "created by the loop"}
    assert states_except(fresh.run("up"), "created") == {}
    assert 60 <= fresh.project.clock < 600
    assert states_except(fresh.run("plan"), "exists") == {}
    roles = {binding.role: set(binding.members) for binding in fresh.project.policies[f"projects/{PROJECT}"].bindings}
    assert roles["roles/aiplatform.serviceAgent"] | roles["roles/pubsub.serviceAgent"] == AGENTS
    removed = states(fresh.run("down", "--yes", "--delete-data"))
    assert {name for name, state in removed.items() if state.startswith("kept")} == PROJECTS_OWN
    project = fresh.project
    assert not project.functions and not project.services and not project.jobs
    assert not project.accounts and not project.topics_and_subscriptions
    policies = [policy for name, policy in project.policies.items() if name != f"projects/{PROJECT}"]
    assert not any(binding.members for policy in policies for binding in policy.bindings)
    assert {
        member for binding in project.policies[f"projects/{PROJECT}"].bindings for member in binding.members
    } == AGENTS
    assert storage.Client(PROJECT, credentials()).lookup_bucket(f"{fresh.name}-bucket") is None


def test_what_is_waited_for_is_reported(fresh):
    reports = []
    resources = {str(resource): resource for resource in connect(fresh.config).resources({}, simulator=False)}
    for name in ("APIs", "service agents"):
        apply.apply(resources[name], reports.append)
    assert re.match("waiting for service agents: Google Cloud: .* has not been used in project", reports[0])
    assert re.match("waiting for service agents: Google Cloud: .*account .* does not exist", reports[-1])


def test_a_missing_permission_of_the_user_is_not_waited_for(fresh):
    message = "Permission 'iam.serviceAccounts.create' denied on resource (or it may not exist)."
    fresh.project.errors["CreateServiceAccount"] = (grpc.StatusCode.PERMISSION_DENIED, message)
    assert message in fresh.run("up", code=1)
    assert fresh.project.clock < 300  # for APIs and service agents


def test_waiting_ends(fresh):
    fresh.project.propagation = 3600.0
    assert "service agents: Google Cloud: " in fresh.run("up", code=1)
    assert 600 <= fresh.project.clock < 700


def test_an_api_that_only_the_user_can_enable_is_told_with_the_command(fresh):
    message = "Service Usage API has not been used in project 1 before or it is disabled."
    fresh.project.errors["BatchGetServices"] = (grpc.StatusCode.PERMISSION_DENIED, message)
    for command in ("plan", "up"):
        assert "run `gcloud services enable serviceusage.googleapis.com --project=" in fresh.run(command, code=1)
    assert fresh.project.clock == 0.0


def test_a_missing_quota_project_is_told_with_the_command(fresh):
    message = "The serviceusage.googleapis.com API requires a quota project, which is not set by default."
    fresh.project.errors["BatchGetServices"] = (grpc.StatusCode.PERMISSION_DENIED, message)
    assert "gcloud auth application-default set-quota-project" in fresh.run("plan", code=1)


@pytest.mark.parametrize("kind", ["authorized_user", "service_account"])
def test_the_loops_project_is_the_quota_project_of_users_only(tmp_path, monkeypatch, kind):
    for name in EMULATORS:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    content = {"client_id": "a", "client_secret": "b", "refresh_token": "c", "quota_project_id": "theirs"}
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(*PLAIN_PEM, serialization.NoEncryption()).decode()
    content |= {"client_email": "d@e.iam.gserviceaccount.com", "token_uri": "https://f", "private_key": text}
    file.write_text(json.dumps({"type": kind} | content))
    expected = {"authorized_user": PROJECT, "service_account": None}
    assert credentials(PROJECT).quota_project_id == expected[kind]


def warnings(cloud):
    cloud.run("plan")
    return cloud.run.warnings


def test_an_image_without_access_is_told_before_deploying(cloud):
    [warning] = warnings(cloud)  # Artifact Registry is off
    assert "is not there yet: `make image" in warning
    for api in ("artifactregistry", "cloudresourcemanager"):
        cloud.project.enable(api)
    assert warnings(cloud) == []
    cloud.project.missing_images = {f"{PROJECT}/images/banditloop"}
    [warning] = warnings(cloud)
    assert "is not there yet: `make image" in warning
    cloud.values["backend"]["image"] = OTHERS_IMAGE
    cloud.path.write_text(json.dumps(cloud.values))
    [warning] = warnings(cloud)
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"
    assert "add-iam-policy-binding shared --project=other --location=europe " in warning
    assert f"--member={agent} --role=roles/artifactregistry.reader" in warning
    granted = {"bindings": [{"role": "roles/artifactregistry.reader", "members": [agent]}]}
    cloud.project.repository_policies["other/shared"] = granted
    assert warnings(cloud) == []
