"""Resources that an earlier config chose and this one does not."""

from google.api_core.exceptions import Forbidden

from banditloop.rl_core.backends.google.provisioning.resource import is_disabled
from banditloop.rl_core.ports import Resource, ResourceState


class Superseded:
    """A resource that the config does not choose. `up` removes it if it exists."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def __str__(self) -> str:
        return str(self._resource)

    def state(self) -> ResourceState:
        try:
            return "absent" if self._resource.state() == "missing" else "obsolete"
        except Forbidden as error:
            if is_disabled(error):  # nothing was made by an API that was never enabled
                return "absent"
            raise

    def make(self) -> None:
        self._resource.remove()

    def remove(self) -> bool:
        return self._resource.remove()
