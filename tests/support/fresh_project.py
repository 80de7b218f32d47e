"""What a new project refuses: calls of APIs that are off, and roles for accounts that are not there.

Both change a while after they were asked for. That time passes on the stand-in's own clock only.
"""

import re

import grpc

NUMBER = "123456789"
APIS = {  # by the last word of a method's name, or by method
    "Service": "run",
    "Job": "cloudscheduler",
    "Account": "iam",
    "Project": "cloudresourcemanager",
    "Topic": "pubsub",
    "Subscription": "pubsub",
}


class FreshProject:
    """The enabled APIs, the service agents and the other accounts, each with the time from which it is known."""

    def __init__(self) -> None:
        self.clock, self.propagation = 0.0, 0.0  # seconds
        self.enabled: dict[str, float] = {}  # by API, without its domain
        self.known: dict[str, float] = {}  # by email

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.clock += seconds

    def enable(self, api: str) -> None:
        self.enabled.setdefault(api, self.clock + self.propagation)

    def make_known(self, email: str) -> None:
        self.known.setdefault(email, self.clock + self.propagation)

    def make_agent(self, service: str) -> None:
        """Make the agent of a service on request, which an API that is off has none of."""
        self.make_known(f"service-{NUMBER}@gcp-sa-{service}.iam.gserviceaccount.com")

    def refusal(self, api: str) -> str:
        """Why a call of an API is refused; empty if it is enabled."""
        if self.enabled.get(api, float("inf")) <= self.clock:
            return ""
        return f"{api} API has not been used in project {NUMBER} before or it is disabled. Enable it by visiting ..."

    def check_api(self, method: str, context: grpc.ServicerContext) -> None:
        word = re.findall("[A-Z][a-z]+", method)[-1]
        if word in APIS and (refusal := self.refusal(APIS[word])):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)

    def check_account(self, email: str, context: grpc.ServicerContext) -> None:
        if not self.is_known(email):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Service account {email} does not exist.")

    def is_known(self, email: str) -> bool:
        return self.known.get(email, float("inf")) <= self.clock
