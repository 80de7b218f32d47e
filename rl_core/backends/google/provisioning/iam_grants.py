"""The role grants of the loop. Each account gets what it needs, on the single resource where Google allows that."""

import functools
from collections.abc import Iterable, Sequence

from google.cloud.iam_admin_v1 import IAMClient

from banditloop.rl_core.backends.google.clients import admin_client
from banditloop.rl_core.backends.google.provisioning.bucket import Bucket
from banditloop.rl_core.backends.google.provisioning.cloud_run import services_client
from banditloop.rl_core.backends.google.provisioning.dataset import Dataset, DatasetAccess
from banditloop.rl_core.backends.google.provisioning.iam_policy import (
    Access,
    BucketPolicyStore,
    Member,
    ResourcePolicyStore,
)
from banditloop.rl_core.backends.google.provisioning.pubsub import Subscription, Topic, publisher, subscriber
from banditloop.rl_core.backends.google.provisioning.resource import Service
from banditloop.rl_core.backends.google.provisioning.service_agents import project_policy, service_agent
from banditloop.rl_core.ports import Resource
from banditloop.rl_core.settings.backend import GoogleBackend

ACCOUNT_ADMIN = "roles/iam.serviceAccountAdmin"  # Vertex AI needs it to serve under an account of ours
PROJECT_ROLES = ("roles/aiplatform.user", "roles/bigquery.jobUser", "roles/bigquery.readSessionUser")


def worker_grants(backend: GoogleBackend, dataset: Dataset, simulator: bool) -> list[Resource]:
    """Grants pipelines, served versions and functions access to the log, to training and to deployment."""
    worker, functions = backend.service_account_email(), backend.account_email("functions")
    user_managed = backend.service_account
    members: list[Member] = [worker, functions]
    account_roles: dict[str, list[Member]] = {
        "roles/iam.serviceAccountUser": members,
        ACCOUNT_ADMIN: [service_agent(backend, "aiplatform")],
    }
    return [
        Access(
            f"project {backend.project}", project_policy(backend), dict.fromkeys(PROJECT_ROLES, members), user_managed
        ),
        Access(Bucket(backend), BucketPolicyStore(backend), {"roles/storage.objectAdmin": members}, user_managed),
        DatasetAccess(dataset, [worker, functions], user_managed),
        _account_access(backend, f"projects/{backend.project}/serviceAccounts/{worker}", account_roles),
        _publisher_access(Topic(backend, "decisions"), worker),
        _publisher_access(Topic(backend, "rewards"), worker, *([functions] if simulator else [])),
    ]


def delivery_grants(backend: GoogleBackend, subscriptions: Sequence[Subscription]) -> list[Resource]:
    """Grants Pub/Sub permission to push as the push account, and to forward dead letters of these subscriptions.

    The functions may pull from them, too.
    """
    agent = service_agent(backend, "pubsub")
    push_account = f"projects/{backend.project}/serviceAccounts/{backend.account_email('push')}"
    roles: dict[str, list[Member]] = {"roles/pubsub.subscriber": [agent, backend.account_email("functions")]}
    return [
        _account_access(backend, push_account, {"roles/iam.serviceAccountTokenCreator": [agent]}),
        _publisher_access(Topic(backend, "dead"), agent),
        *(
            Access(subscription, ResourcePolicyStore(subscriber, subscription.name), roles)
            for subscription in subscriptions
        ),
    ]


def invoker_grants(backend: GoogleBackend, services: Iterable[Service]) -> list[Resource]:
    """Grants the push account permission to invoke the services."""
    roles: dict[str, list[Member]] = {"roles/run.invoker": [backend.account_email("push")]}
    client = functools.partial(services_client, backend)
    return [Access(service, ResourcePolicyStore(client, service.name), roles) for service in services]


def _account_access(backend: GoogleBackend, name: str, roles: dict[str, list[Member]]) -> Access:
    policies = ResourcePolicyStore(lambda: admin_client(backend, IAMClient), name)
    return Access(f"service account {name.rpartition('/')[2].partition('@')[0]}", policies, roles)


def _publisher_access(topic: Topic, *members: Member) -> Access:
    return Access(topic, ResourcePolicyStore(publisher, topic.name), {"roles/pubsub.publisher": list(members)})
