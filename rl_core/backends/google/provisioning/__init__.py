"""What the loop needs in a project of Google Cloud, in the order in which it is made.

Everything is named after the endpoint, and labelled with it where Google has labels.
"""

from rl_core.backend import GoogleBackend
from rl_core.backends.google.provisioning import grants
from rl_core.backends.google.provisioning.account import Account
from rl_core.backends.google.provisioning.apis import Apis
from rl_core.backends.google.provisioning.bucket import Bucket
from rl_core.backends.google.provisioning.dataset import Dataset
from rl_core.backends.google.provisioning.job import Job
from rl_core.backends.google.provisioning.messages import Push, Subscription, Topic
from rl_core.backends.google.provisioning.resource import Resource
from rl_core.backends.google.provisioning.served import Runs, Served, Versions
from rl_core.backends.google.provisioning.service import Service
from rl_core.backends.google.provisioning.templates import Templates
from rl_core.config import Config
from rl_core.errors import InvalidInput

HOLD_WHAT_WAS_LEARNED = (Bucket, Dataset)
LOGGERS = 3
LONGEST_NAME = 20  # of an endpoint: a service account's has 30 characters at most


def resources(config: Config, templates: dict[str, bytes], simulator: bool) -> list[Resource]:
    """Everything, for a config and its compiled pipelines; the simulator only where it is asked for."""
    backend = config.backend
    assert isinstance(backend, GoogleBackend)
    if len(backend.endpoint) > LONGEST_NAME:
        raise InvalidInput(
            f"backend.endpoint = {backend.endpoint!r}: give at most {LONGEST_NAME} characters: accounts are named so"
        )
    if backend.runner == "local":
        raise InvalidInput("backend.runner = 'local': the functions start pipelines, and go; give 'vertex' or 'kfp'")
    decisions, rewards, dead, ticks = (Topic(backend, name) for name in ("decisions", "rewards", "dead", "ticks"))
    pipelines, caller = Templates(backend, templates), backend.account("push")
    told = _told(config, pipelines)
    logger = Service(told, backend, "logger", LOGGERS)
    ticked = ("trigger", "monitor", "simulator") if simulator else ("trigger", "monitor")
    looking = {name: Service(told, backend, name) for name in ticked}
    logged = [Push(backend, topic, logger, caller, dead=dead) for topic in (decisions, rewards)]
    return [
        Apis(backend),
        Bucket(backend),
        Dataset(backend),
        pipelines,
        *(decisions, rewards, dead, ticks),
        *_accounts(backend),
        *grants.work(backend, simulator),
        logger,
        *logged,
        Subscription(backend, dead),
        *grants.delivery(backend, logged),
        *grants.calls(backend, [logger]),
        Versions(backend),  # from here on events come, and `down` ends them before it takes away who logs them
        Served(told, backend),
        Runs(backend),
        *looking.values(),
        *grants.calls(backend, looking.values()),
        *(Push(backend, ticks, service, caller, f"-{name}") for name, service in looking.items()),
        Job(backend, ticks),
    ]


def _accounts(backend: GoogleBackend) -> list[Account]:
    """Theirs for pipelines only where the config names no other."""
    return [
        *([] if backend.service_account else [Account(backend, "pipelines", "pipelines and versions run as it")]),
        Account(backend, "functions", "the functions run as it"),
        Account(backend, "push", "Pub/Sub calls the functions as it"),
    ]


def _told(config: Config, pipelines: Templates) -> Config:
    """The config that the functions get: it names the template that is there."""
    trigger = config.trigger.model_copy(update={"template": pipelines.address("retraining.yaml")})
    return config.model_copy(update={"trigger": trigger})
