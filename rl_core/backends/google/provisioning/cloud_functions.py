"""The functions as Cloud Functions of the 2nd generation, which Google also calls Cloud Run functions.

Cloud Build makes an image from the source archive, and a Cloud Run service of the function's name runs it. No function
has an event trigger: the loop's own subscriptions push to that service, with its own dead letters.
"""

from functools import cached_property

from google.api_core.exceptions import Forbidden

# Only functions_v2 can be imported: functions-framework overwrites files of the older clients in the same package.
from google.cloud import functions_v2

from banditloop.rl_core.backends.google.clients import LABEL, admin_client, location_name
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.backends.google.provisioning.bucket_folder import BucketFolder
from banditloop.rl_core.backends.google.provisioning.cloud_run import MEMORY, REQUEST_SECONDS
from banditloop.rl_core.backends.google.provisioning.function_source import RUNTIME
from banditloop.rl_core.backends.google.provisioning.resource import changed_fields, get_or_none, is_disabled
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

BUILD_SECONDS = 1800.0
ARCHIVE = "functions.zip"
SOURCE_LABEL = f"{LABEL}-source"  # its value is the source's digest, as Google gives back the address of its own copy
ACTIVE = functions_v2.Function.State.ACTIVE


class CloudFunction:
    """A function built from the source, reachable by Pub/Sub only. It scales to zero between requests."""

    def __init__(self, config: Config, backend: GoogleBackend, function: str, source: BucketFolder) -> None:
        self._config, self._backend, self._function, self._source = config, backend, function, source
        # A Cloud Run service of the image has the name without the suffix: the two exist side by side.
        self._id = f"{backend.endpoint}-{function}-function"
        self.name = f"{location_name(backend)}/services/{self._id}"
        self._function_name = f"{location_name(backend)}/functions/{self._id}"

    def __str__(self) -> str:
        return f"function {self._id}"

    @cached_property
    def _client(self) -> functions_v2.FunctionServiceClient:
        return admin_client(self._backend, functions_v2.FunctionServiceClient)

    def url(self) -> str:
        """The URL of the function's service; empty if the function does not exist yet."""
        try:
            current = self._find()
        except Forbidden as error:
            if is_disabled(error):  # so that `plan` can still show its subscription
                return ""
            raise
        return current.service_config.uri if current else ""

    def state(self) -> ResourceState:
        current = self._find()
        if current is None:
            return "missing"
        return "changed" if self._changed(current) else "present"

    def make(self) -> None:
        current, desired = self._find(), self._desired()
        archive = {"bucket": self._backend.bucket, "object_": self._source.path(ARCHIVE)}
        desired.build_config.source = {"storage_source": archive}
        if current is None:
            request = {"parent": location_name(self._backend), "function": desired, "function_id": self._id}
            wait(self._client.create_function(request=request), BUILD_SECONDS)
        else:
            mask = {"paths": self._changed(current)}
            request = {"function": desired, "update_mask": mask}
            wait(self._client.update_function(request=request), BUILD_SECONDS)

    def remove(self) -> bool:
        wait(self._client.delete_function(name=self._function_name), BUILD_SECONDS)
        return True

    def _find(self) -> functions_v2.Function | None:
        return get_or_none(self._client.get_function, name=self._function_name)

    def _changed(self, current: functions_v2.Function) -> list[str]:
        """The fields to update. Without `build_config` among them, nothing is built."""
        if current.state != ACTIVE:  # its last build or start failed
            return ["labels", "build_config", "service_config"]
        fields = changed_fields(current, self._desired())
        return sorted({*fields, "build_config"}) if "labels" in fields else fields

    def _desired(self) -> functions_v2.Function:
        """The function without its source."""
        backend = self._backend
        build_account = f"projects/{backend.project}/serviceAccounts/{backend.account_email('build')}"
        return functions_v2.Function(
            name=self._function_name,
            environment=functions_v2.Environment.GEN_2,
            labels={LABEL: backend.endpoint, SOURCE_LABEL: self._source.digest},
            build_config={"runtime": RUNTIME, "entry_point": self._function, "service_account": build_account},
            service_config={
                "environment_variables": {ENVIRONMENT_VARIABLE: self._config.model_dump_json(exclude_none=True)},
                "service_account_email": backend.account_email("functions"),
                "ingress_settings": functions_v2.ServiceConfig.IngressSettings.ALLOW_INTERNAL_ONLY,
                "available_memory": MEMORY,
                "timeout_seconds": REQUEST_SECONDS,
                "max_instance_count": 1,
                "max_instance_request_concurrency": 1,  # appends and checks run one at a time
                "all_traffic_on_latest_revision": True,
            },
        )
