"""Who may do what: each account what its part needs, on the one resource wherever Google lets a grant be so narrow."""

import functools
from collections.abc import Callable, Iterable, Sequence

from google.cloud.iam_admin_v1 import IAMClient
from google.cloud.resourcemanager_v3 import ProjectsClient

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import administration
from rl_core.backends.google.provisioning.access import Access, BucketPolicies, Member, ResourcePolicies
from rl_core.backends.google.provisioning.bucket import Bucket
from rl_core.backends.google.provisioning.dataset import Dataset, DatasetAccess
from rl_core.backends.google.provisioning.messages import Subscription, Topic, publisher, subscriber
from rl_core.backends.google.provisioning.resource import Resource
from rl_core.backends.google.provisioning.service import Service, services

SERVES_AS = "roles/iam.serviceAccountAdmin"  # that Vertex AI asks for, to serve as an account that is not its own
PROJECT_ROLES = ("roles/aiplatform.user", "roles/bigquery.jobUser", "roles/bigquery.readSessionUser")


def work(backend: GoogleBackend, simulator: bool) -> list[Resource]:
    """For pipelines, versions and functions: to read and write what was logged, to train and to deploy."""
    functions, lent = backend.account("functions"), backend.service_account
    workers: list[Member] = [backend.runs_as(), functions]
    account = f"projects/{backend.project}/serviceAccounts/{backend.runs_as()}"
    projects = ResourcePolicies(lambda: administration(ProjectsClient), f"projects/{backend.project}")
    return [
        Access(f"project {backend.project}", projects, dict.fromkeys(PROJECT_ROLES, workers), lent),
        Access(Bucket(backend), BucketPolicies(backend), {"roles/storage.objectAdmin": workers}, lent),
        DatasetAccess(Dataset(backend), [backend.runs_as(), functions], lent),
        _account_access(account, {"roles/iam.serviceAccountUser": workers, SERVES_AS: [_agent(backend, "aiplatform")]}),
        _publishing(Topic(backend, "decisions"), backend.runs_as()),
        _publishing(Topic(backend, "rewards"), backend.runs_as(), *([functions] if simulator else [])),
    ]


def delivery(backend: GoogleBackend, buried: Sequence[Subscription]) -> list[Resource]:
    """For Pub/Sub: to call functions as an account, and to give up a message to the topic of the dead."""
    messenger = _agent(backend, "pubsub")
    caller = f"projects/{backend.project}/serviceAccounts/{backend.account('push')}"
    return [
        _account_access(caller, {"roles/iam.serviceAccountTokenCreator": [messenger]}),
        _publishing(Topic(backend, "dead"), messenger),
        *(
            Access(
                subscription, ResourcePolicies(subscriber, subscription.name), {"roles/pubsub.subscriber": [messenger]}
            )
            for subscription in buried
        ),
    ]


def calls(backend: GoogleBackend, called: Iterable[Service]) -> list[Resource]:
    """To call functions, for whom Pub/Sub calls them as."""
    roles: dict[str, list[Member]] = {"roles/run.invoker": [backend.account("push")]}
    return [Access(service, ResourcePolicies(services, service.name), roles) for service in called]


def _agent(backend: GoogleBackend, service: str) -> Callable[[], str]:
    """The account of one of Google's own services, which is numbered."""

    @functools.cache
    def agent() -> str:
        project = administration(ProjectsClient).get_project(name=f"projects/{backend.project}")
        return f"service-{project.name.rpartition('/')[2]}@gcp-sa-{service}.iam.gserviceaccount.com"

    return agent


def _account_access(name: str, roles: dict[str, list[Member]]) -> Access:
    policies = ResourcePolicies(lambda: administration(IAMClient), name)
    return Access(f"service account {name.rpartition('/')[2].partition('@')[0]}", policies, roles)


def _publishing(topic: Topic, *who: Member) -> Access:
    return Access(topic, ResourcePolicies(publisher, topic.name), {"roles/pubsub.publisher": list(who)})
