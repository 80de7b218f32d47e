"""CloudEvents in the format of Pub/Sub and Cloud Scheduler: a base64-encoded message in an envelope."""

import base64

from cloudevents.http import CloudEvent

from banditloop.rl_core.errors import InvalidInput

MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


def wrap(topic: str, payload: bytes) -> CloudEvent:
    """CloudEvent that delivers `payload` from `topic`."""
    attributes = {"type": MESSAGE_PUBLISHED, "source": f"//pubsub.googleapis.com/projects/local/topics/{topic}"}
    return CloudEvent(attributes, {"message": {"data": base64.b64encode(payload).decode()}})


def topic(event: CloudEvent) -> str:
    """Topic of an event, without the prefix `<endpoint>-` that its name has in Pub/Sub."""
    return event["source"].rpartition("/")[2].rpartition("-")[2]


def payload(event: CloudEvent) -> bytes:
    """Payload of the message in an event. InvalidInput: it has none."""
    try:
        return base64.b64decode(event.data["message"]["data"], validate=True)
    except (TypeError, KeyError, ValueError):
        raise InvalidInput("event: has no message.data in base64; deliver it through Pub/Sub") from None
