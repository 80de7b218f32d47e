"""CloudEvents as Pub/Sub and Cloud Scheduler deliver them: a base64 message inside an envelope."""

import base64

from cloudevents.http import CloudEvent

from rl_core.errors import InvalidInput

PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


def wrap(topic: str, payload: bytes) -> CloudEvent:
    """The event that delivers `payload` from `topic`."""
    attributes = {"type": PUBLISHED, "source": f"//pubsub.googleapis.com/projects/local/topics/{topic}"}
    return CloudEvent(attributes, {"message": {"data": base64.b64encode(payload).decode()}})


def topic(event: CloudEvent) -> str:
    """The topic that an event comes from. In Pub/Sub its name is that of the endpoint, a dash, and this."""
    return event["source"].rpartition("/")[2].rpartition("-")[2]


def payload(event: CloudEvent) -> bytes:
    """The message inside an event, or InvalidInput where there is none."""
    try:
        return base64.b64decode(event.data["message"]["data"], validate=True)
    except (TypeError, KeyError, ValueError):
        raise InvalidInput("event: has no message.data in base64; deliver it through Pub/Sub") from None
