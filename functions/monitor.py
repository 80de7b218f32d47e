"""The monitor: compares the challenger with the champion on live traffic and ends the comparison once it is decided."""

import logging

import functions_framework
from cloudevents.http import CloudEvent

from banditloop.rl_core.backends import platform_from_environment
from banditloop.rl_core.promotion.monitor import check_canary

log = logging.getLogger("banditloop.monitor")


@functions_framework.cloud_event
def monitor(event: CloudEvent) -> None:
    """Check the challenger once."""
    decision, reason = check_canary(*platform_from_environment())
    log.info("%s: %s", decision or "nothing decided", reason)
