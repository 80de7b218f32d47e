"""Cron expressions in UTC, in the syntax that Vertex AI and Kubeflow Pipelines have in common."""

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from banditloop.rl_core.errors import InvalidInput

# Without last days and n-th weekdays, and Sunday is 0: not every scheduler supports more.
COMMON_SYNTAX = re.compile(r"([\d*/,-]+ ){3}([\d*/,-]|[a-z]{3})+ ([0-6*/,-]|[a-z]{3})+", re.IGNORECASE)


def check_cron(cron: str) -> str:
    """The cron expression with single spaces between its fields.

    Raises:
        InvalidInput: not every platform supports it, or it never matches.
    """
    normalized = " ".join(cron.split())
    try:
        if not COMMON_SYNTAX.fullmatch(normalized):
            raise CronSimError("Not supported by every platform")
        next_run(normalized)
    except CronSimError as error:
        raise InvalidInput(
            f"cron = {cron!r}: {error}; give minute, hour, day, month and weekday (0-6), in UTC, as '30 3 * * 1-5'"
        ) from None
    return normalized


def next_run(cron: str) -> datetime:
    """The next time that a cron expression matches."""
    return next(CronSim(cron, datetime.now(UTC)))
