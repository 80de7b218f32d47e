"""The Google Cloud resources of the loop, in order of creation.

They are named after the endpoint, and labelled with it where Google supports labels.
"""

from collections.abc import Sequence

from banditloop.rl_core.backends.google.provisioning import iam_grants
from banditloop.rl_core.backends.google.provisioning.account import ServiceAccount
from banditloop.rl_core.backends.google.provisioning.apis import Apis
from banditloop.rl_core.backends.google.provisioning.bucket import Bucket
from banditloop.rl_core.backends.google.provisioning.bucket_folder import BucketFolder
from banditloop.rl_core.backends.google.provisioning.dataset import Dataset
from banditloop.rl_core.backends.google.provisioning.functions import Functions
from banditloop.rl_core.backends.google.provisioning.pubsub import PushSubscription, Subscription, Topic
from banditloop.rl_core.backends.google.provisioning.scheduler import SchedulerJob
from banditloop.rl_core.backends.google.provisioning.service_agents import ServiceAgents
from banditloop.rl_core.backends.google.provisioning.superseded import Superseded
from banditloop.rl_core.backends.google.provisioning.vertex import EndpointResource, ModelResource, RunsResource
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Resource
from banditloop.rl_core.settings.backend import GoogleBackend

DATA_RESOURCES = (Bucket, Dataset)
CHECK_MINUTES = 5  # between two runs of the trigger and the monitor
MAX_ENDPOINT_LENGTH = 20  # as service account ids, which start with the endpoint's name, have at most 30 characters


def resources(config: Config, templates: dict[str, bytes], simulator: bool) -> list[Resource]:
    """All resources for a config and its compiled pipelines, including the simulator's on request."""
    backend = config.backend
    assert isinstance(backend, GoogleBackend)
    _check(backend)
    topics = [Topic(backend, name) for name in ("decisions", "rewards", "dead", "ticks", "log-ticks")]
    decisions, rewards, dead, ticks, log_ticks = topics
    pipelines = BucketFolder(backend, "pipelines", templates)
    dataset = Dataset(backend, config.task)
    function_config = _function_config(config, pipelines)
    functions = Functions(function_config, backend)
    event_subscriptions = [Subscription(backend, topic, dead_letters=dead) for topic in (decisions, rewards)]
    dead_subscription = Subscription(backend, dead)
    names = ("trigger", "monitor", "simulator") if simulator else ("trigger", "monitor")
    return [
        Apis(backend),
        ServiceAgents(backend),
        Bucket(backend),
        dataset,
        pipelines,
        *topics,
        *_accounts(backend),
        *iam_grants.worker_grants(backend, dataset, simulator),
        *functions.build(),
        *event_subscriptions,
        dead_subscription,
        *iam_grants.delivery_grants(backend, [*event_subscriptions, dead_subscription]),
        *_logger(backend, functions, log_ticks),
        # these produce events: `up` creates them after the logger, and `down` removes them before it
        ModelResource(backend),
        ModelResource(backend, "-server"),
        EndpointResource(function_config, backend),
        RunsResource(backend),
        *_ticked(backend, functions, names, ticks),
        *functions.superseded_build(),
        SchedulerJob(backend, ticks, CHECK_MINUTES, "trigger and the monitor"),
    ]


def _logger(backend: GoogleBackend, functions: Functions, ticks: Topic) -> list[Resource]:
    """The logger, with its access, its ticks and their job."""
    logger, job = functions.chosen("logger"), SchedulerJob(backend, ticks, backend.logger_minutes, "logger")
    return [
        logger,
        *iam_grants.invoker_grants(backend, [logger]),
        PushSubscription(backend, ticks, logger),
        *functions.superseded(["logger"]),  # nothing is pushed to it any more
        job if backend.logger_minutes else Superseded(job),
    ]


def _ticked(backend: GoogleBackend, functions: Functions, names: Sequence[str], ticks: Topic) -> list[Resource]:
    """The functions to which each tick is pushed, with their access and subscriptions."""
    services = {name: functions.chosen(name) for name in names}
    return [
        *services.values(),
        *iam_grants.invoker_grants(backend, services.values()),
        *(PushSubscription(backend, ticks, service, f"-{name}") for name, service in services.items()),
        *functions.superseded(names),
    ]


def _check(backend: GoogleBackend) -> None:
    if len(backend.endpoint) > MAX_ENDPOINT_LENGTH:
        raise InvalidInput(
            f"backend.endpoint = {backend.endpoint!r}: is too long for the names of service accounts; "
            f"give at most {MAX_ENDPOINT_LENGTH} characters"
        )
    if backend.runner == "local":
        raise InvalidInput("backend.runner = 'local': functions in the cloud cannot use it; give 'vertex' or 'kfp'")
    if backend.runner == "kfp" and backend.functions == "cloud-functions":
        raise InvalidInput(
            "backend.runner = 'kfp': functions built from source lack its client; give backend.functions = 'cloud-run'"
        )


def _accounts(backend: GoogleBackend) -> list[ServiceAccount]:
    """The service accounts; the one of the pipelines only if the config does not name a user-managed one."""
    pipelines = ServiceAccount(backend, "pipelines", "pipelines and served versions run as this account")
    return [
        *([] if backend.service_account else [pipelines]),
        ServiceAccount(backend, "functions", "the functions run as this account"),
        ServiceAccount(backend, "push", "Pub/Sub invokes the functions as this account"),
    ]


def _function_config(config: Config, pipelines: BucketFolder) -> Config:
    """The config of the functions, whose retraining template is the one in the bucket."""
    retraining = config.retraining.model_copy(update={"template": pipelines.uri("retraining.yaml")})
    return config.model_copy(update={"retraining": retraining})
