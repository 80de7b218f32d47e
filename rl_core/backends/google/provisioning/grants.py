"""Who may do what: each account what its part needs, on the one resource wherever Google lets a grant be so narrow."""

import functools
from collections.abc import Sequence

from google.cloud.iam_admin_v1 import IAMClient
from google.cloud.resourcemanager_v3 import ProjectsClient

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import administration
from rl_core.backends.google.provisioning.access import Access, BucketPolicies, Member, ResourcePolicies
from rl_core.backends.google.provisioning.account import email, runs_as
from rl_core.backends.google.provisioning.bucket import Bucket
from rl_core.backends.google.provisioning.dataset import Dataset, DatasetAccess
from rl_core.backends.google.provisioning.messages import Subscription, Topic, publisher, subscriber
from rl_core.backends.google.provisioning.resource import Resource
from rl_core.backends.google.provisioning.service import Service, services

PROJECT_ROLES = ("roles/aiplatform.user", "roles/bigquery.jobUser", "roles/bigquery.readSessionUser")


def work(backend: GoogleBackend, simulator: bool) -> list[Resource]:
    """For pipelines, versions and functions: to read and write what was logged, to train and to deploy."""
    functions = email(backend, "functions")
    workers: list[Member] = [runs_as(backend), functions]
    account = f"projects/{backend.project}/serviceAccounts/{runs_as(backend)}"
    projects = ResourcePolicies(lambda: administration(ProjectsClient), f"projects/{backend.project}")
    return [
        Access(f"project {backend.project}", projects, dict.fromkeys(PROJECT_ROLES, workers)),
        Access(Bucket(backend), BucketPolicies(backend), {"roles/storage.objectAdmin": workers}),
        DatasetAccess(Dataset(backend), [runs_as(backend), functions]),
        _account_access(account, {"roles/iam.serviceAccountUser": workers}),
        _publishing(Topic(backend, "decisions"), runs_as(backend)),
        _publishing(Topic(backend, "rewards"), runs_as(backend), *([functions] if simulator else [])),
    ]


def delivery(backend: GoogleBackend, called: list[Service], buried: Sequence[Subscription]) -> list[Resource]:
    """For Pub/Sub: to call the functions, and to give up a message to the topic of the dead."""

    @functools.cache
    def messenger() -> str:
        project = administration(ProjectsClient).get_project(name=f"projects/{backend.project}")
        return f"service-{project.name.rpartition('/')[2]}@gcp-sa-pubsub.iam.gserviceaccount.com"

    caller = f"projects/{backend.project}/serviceAccounts/{email(backend, 'push')}"
    return [
        _account_access(caller, {"roles/iam.serviceAccountTokenCreator": [messenger]}),
        _publishing(Topic(backend, "dead"), messenger),
        *(
            Access(
                subscription, ResourcePolicies(subscriber, subscription.name), {"roles/pubsub.subscriber": [messenger]}
            )
            for subscription in buried
        ),
        *(
            Access(service, ResourcePolicies(services, service.name), {"roles/run.invoker": [email(backend, "push")]})
            for service in called
        ),
    ]


def _account_access(name: str, roles: dict[str, list[Member]]) -> Access:
    policies = ResourcePolicies(lambda: administration(IAMClient), name)
    return Access(f"service account {name.rpartition('/')[2].partition('@')[0]}", policies, roles)


def _publishing(topic: Topic, *who: Member) -> Access:
    return Access(topic, ResourcePolicies(publisher, topic.name), {"roles/pubsub.publisher": list(who)})
