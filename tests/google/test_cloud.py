"""Provisioning: `cloud up` creates what `cloud plan` lists, once, and mends what was changed."""

import json
from types import SimpleNamespace

import grpc
from google.cloud import pubsub_v1, scheduler_v1

from banditloop.functions.trigger import tick
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.release import Release
from tests.conftest import make_policy
from tests.google.conftest import IMAGE
from tests.support.emulators import PROJECT
from tests.support.processes import wait_until
from tests.support.project import NUMBER

LOCATION = f"projects/{PROJECT}/locations/us-central1"


def states(rows):
    return {row["resource"]: row["state"] for row in rows}


def states_except(rows, expected):
    """The states that differ from the expected one, without the resources that the loop creates."""
    return {k: v for k, v in states(rows).items() if v not in (expected, "created by the loop")}


def subscription(cloud, name):
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    return client.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/{cloud.name}-{name}")


def test_up_creates_what_plan_lists_and_is_idempotent(cloud):
    planned = cloud.run("plan")
    assert set(states(planned).values()) == {"to be created", "created by the loop"}
    assert cloud.project.changes == []
    created = cloud.run("up")
    assert states_except(created, "created") == {}
    assert states(created).keys() == states(planned).keys()
    assert len(cloud.project.changes) >= len(states(created)) - 3  # the loop creates runs, endpoint and model
    cloud.project.changes.clear()
    assert states_except(cloud.run("up"), "exists") == {}
    assert states_except(cloud.run("plan"), "exists") == {}
    assert cloud.project.changes == []


def test_services_run_the_image_with_a_config_of_their_own(cloud):
    cloud.values["backend"]["functions"] = "cloud-run"
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    services = {name.rpartition("-")[2]: service for name, service in cloud.project.services.items()}
    assert services.keys() == {"logger", "trigger", "monitor"}
    for name, service in services.items():
        [container] = service.template.containers
        assert container.image == IMAGE
        assert list(container.command) == ["functions-framework"]
        assert container.args == [f"--target={name}", f"--source=functions/{name}.py", "--signature-type=cloudevent"]
        function_config = Config.parse(json.loads(container.env[0].value))
        email = function_config.backend.service_account_email()
        assert email == f"{cloud.name}-pipelines@{PROJECT}.iam.gserviceaccount.com"
        assert container.resources.cpu_idle  # otherwise idle time is billed
        assert service.template.service_account == f"{cloud.name}-functions@{PROJECT}.iam.gserviceaccount.com"
        assert service.labels == {"banditloop": cloud.name}
    submitted = []
    platform = connect(function_config)
    endpoint = SimpleNamespace(release=lambda: Release(champion="v1"), verdicts=list, versions=lambda: [version])
    version = make_policy(cloud.path.parent / "policy").model_copy(update={"version": "v1"})
    warehouse = SimpleNamespace(window=lambda since: SimpleNamespace(interactions=10_000))
    runner = SimpleNamespace(runs=list, submit=lambda template, parameters, run_id: submitted.append(template) or True)
    ports = {"endpoint": endpoint, "warehouse": warehouse, "runner": runner}
    tick(function_config, SimpleNamespace(**ports, fetch=platform.fetch))
    assert IMAGE in submitted[0].read_text()
    cloud.run("up", "--simulator")
    assert f"{LOCATION}/services/{cloud.name}-simulator" in cloud.project.services


def test_messages_are_pulled_and_dead_lettered_and_ticks_are_pushed_with_a_token(cloud):
    cloud.run("up")
    functions = f"serviceAccount:{cloud.name}-functions@{PROJECT}.iam.gserviceaccount.com"
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    for name in ("decisions", "rewards"):
        pulled = subscription(cloud, name)
        assert not pulled.push_config.push_endpoint
        assert pulled.dead_letter_policy.dead_letter_topic.endswith(f"{cloud.name}-dead")
        assert pulled.retry_policy.maximum_backoff.seconds == 600
        [binding] = cloud.project.policies[pulled.name].bindings
        assert (binding.role, set(binding.members)) == ("roles/pubsub.subscriber", {functions, agent})
    assert not subscription(cloud, "dead").push_config.push_endpoint
    logger = cloud.project.services[f"{LOCATION}/services/{cloud.name}-logger-function"]
    push = subscription(cloud, "log-ticks").push_config
    assert push.push_endpoint == f"{logger.uri}/projects/{PROJECT}/topics/{cloud.name}-log-ticks"
    assert push.oidc_token.service_account_email.startswith(f"{cloud.name}-push@")
    assert push.oidc_token.audience == logger.uri
    function = cloud.project.functions[f"{LOCATION}/functions/{cloud.name}-logger-function"].service_config
    assert (function.max_instance_count, function.max_instance_request_concurrency) == (1, 1)
    assert "trigger" in subscription(cloud, "ticks-trigger").push_config.push_endpoint
    schedules = {job.pubsub_target.topic_name.rpartition("/")[2]: job.schedule for job in cloud.project.jobs.values()}
    assert schedules == {f"{cloud.name}-ticks": "*/5 * * * *", f"{cloud.name}-log-ticks": "*/5 * * * *"}
    connect(cloud.config).bus.publish("rewards", b"[]")  # topic and subscription exist already
    assert subscription(cloud, "rewards").dead_letter_policy.max_delivery_attempts == 100


def test_subscriptions_that_pushed_are_pulled_after_up_without_losing_messages(cloud):
    cloud.run("up")
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    push = {"push_endpoint": "http://127.0.0.1:9/"}
    client.modify_push_config(subscription=subscription(cloud, "decisions").name, push_config=push)
    connect(cloud.config).bus.publish("decisions", b"waits")
    planned = states_except(cloud.run("plan"), "exists")
    assert planned == {f"subscription {cloud.name}-decisions": "to be updated"}
    cloud.run("up")
    delivered = []
    wait_until(lambda: connect(cloud.config).bus.deliver("decisions", delivered.extend))
    assert delivered == [b"waits"]
    assert states_except(cloud.run("plan"), "exists") == {}


def test_the_logger_function_is_not_started_where_a_process_logs(cloud):
    cloud.run("up")
    cloud.values["backend"]["logger_minutes"] = 0
    cloud.path.write_text(json.dumps(cloud.values))
    cloud.run("up")
    assert [name.rpartition("/")[2] for name in cloud.project.jobs] == [f"{cloud.name}-ticks"]
    assert states_except(cloud.run("plan"), "exists") == {}


def test_manual_changes_are_shown_by_plan_and_reverted_by_up(cloud):
    cloud.run("up")
    client = pubsub_v1.SubscriberClient(credentials=credentials())
    client.delete_subscription(subscription=subscription(cloud, "rewards").name)
    publisher = pubsub_v1.PublisherClient(credentials=credentials())
    publisher.delete_topic(topic=f"projects/{PROJECT}/topics/{cloud.name}-decisions")
    job = cloud.project.jobs[f"{LOCATION}/jobs/{cloud.name}-ticks"]
    job.schedule = "0 0 * * *"
    monitor = cloud.project.functions[f"{LOCATION}/functions/{cloud.name}-monitor-function"]
    monitor.service_config.available_memory = "256M"
    bindings = cloud.project.policies[f"projects/{PROJECT}"].bindings
    next(binding for binding in bindings if binding.role == "roles/aiplatform.user").members.pop()
    planned = states_except(cloud.run("plan"), "exists")
    assert planned == {
        f"topic {cloud.name}-decisions": "to be created",
        f"access to topic {cloud.name}-decisions": "to be created",
        f"access to project {PROJECT}": "to be updated",
        f"function {cloud.name}-monitor-function": "to be updated",
        f"subscription {cloud.name}-decisions": "to be updated",
        f"subscription {cloud.name}-rewards": "to be created",
        f"access to subscription {cloud.name}-rewards": "to be created",
        f"scheduler job {cloud.name}-ticks": "to be updated",
    }
    changed = states_except(cloud.run("up"), "exists")
    assert changed.keys() >= planned.keys()
    assert job.schedule == "*/5 * * * *"
    job.state = scheduler_v1.Job.State.PAUSED
    assert states_except(cloud.run("plan"), "exists") == {f"scheduler job {cloud.name}-ticks": "to be updated"}
    cloud.run("up")
    assert job.state == scheduler_v1.Job.State.ENABLED
    assert subscription(cloud, "decisions").topic.endswith(f"{cloud.name}-decisions")
    assert states_except(cloud.run("plan"), "exists") == {}


def test_a_new_image_updates_pipelines_and_functions_without_a_build(cloud):
    cloud.run("up")
    cloud.project.builds.clear()
    cloud.values["backend"]["image"] = IMAGE.replace("0", "1")
    cloud.path.write_text(json.dumps(cloud.values))
    changed = states_except(cloud.run("up"), "exists")
    assert {name.split()[0] for name in changed} == {"pipelines", "function"}
    assert set(changed.values()) == {"updated"}
    assert cloud.project.builds == []


def test_a_refused_call_is_one_line_and_up_resumes_from_there(cloud):
    cloud.project.errors["CreateFunction"] = (
        grpc.StatusCode.PERMISSION_DENIED,
        f"Permission 'cloudfunctions.functions.create' denied on resource '{LOCATION}/functions'",
    )
    error = cloud.run("up", code=1)
    assert error.startswith(
        f"banditloop: function {cloud.name}-logger-function: Google Cloud: PermissionDenied: Permission 'cloudf"
    )
    planned = states(cloud.run("plan"))
    assert planned[f"service account {cloud.name}-push"] == "exists"
    assert planned[f"function {cloud.name}-logger-function"] == "to be created"
    cloud.project.errors.clear()
    applied = states(cloud.run("up"))
    assert applied[f"service account {cloud.name}-push"] == "exists"
    assert applied[f"function {cloud.name}-logger-function"] == "created"
    assert states_except(cloud.run("plan"), "exists") == {}


def test_a_disabled_api_is_named_in_one_line(cloud):
    message = "Cloud Scheduler API has not been used in project 1 before or it is disabled. Enable it by visiting ..."
    cloud.project.errors["GetJob"] = (grpc.StatusCode.PERMISSION_DENIED, message)
    assert states(cloud.run("plan"))[f"scheduler job {cloud.name}-ticks"] == "to be created"
    assert message in cloud.run("up", code=1)
    cloud.project.errors.clear()
    assert states(cloud.run("up"))[f"scheduler job {cloud.name}-ticks"] == "created"


def test_transient_errors_are_retried(cloud, monkeypatch):
    monkeypatch.setattr("banditloop.rl_core.backends.retries.RETRY_SECONDS", 20.0)
    cloud.run("plan")
    cloud.project.faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED] * 3
    cloud.run("up")
    assert states_except(cloud.run("plan"), "exists") == {}


def test_the_logger_is_created_before_the_endpoint(cloud):
    order = [row["resource"] for row in cloud.run("plan")]
    subscriptions = [f"subscription {cloud.name}-{topic}" for topic in ("decisions", "rewards")]
    endpoint = order.index(f"endpoint {cloud.name}")
    logger = f"function {cloud.name}-logger-function"
    assert max(map(order.index, [*subscriptions, logger])) < endpoint  # `down` reverses it


def test_configs_that_cannot_be_provisioned_are_refused(cloud):
    cloud.values["backend"]["endpoint"] = "a-name-that-is-too-long-for-an-account"
    cloud.path.write_text(json.dumps(cloud.values))
    assert "give at most 20 characters" in cloud.run("plan", code=2)
    cloud.values["backend"] |= {"endpoint": cloud.name, "runner": "local"}
    cloud.path.write_text(json.dumps(cloud.values))
    assert "backend.runner = 'local'" in cloud.run("up", code=2)
    cloud.values["backend"] = {"name": "local"}
    cloud.path.write_text(json.dumps(cloud.values))
    for arguments in (["plan"], ["up"], ["down", "--yes"]):
        assert "backend: has nothing to provision on this machine; " in cloud.run(*arguments, code=2)
