"""Cron expressions, in UTC, of what Vertex AI and Kubeflow Pipelines both understand."""

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from rl_core.errors import InvalidInput

# No last days, no n-th weekdays, and Sunday is 0: the rest not every scheduler knows.
SHARED = re.compile(r"([\d*/,-]+ ){3}([\d*/,-]|[a-z]{3})+ ([0-6*/,-]|[a-z]{3})+", re.IGNORECASE)


def checked_cron(cron: str) -> str:
    """A cron expression, with single spaces.

    Raises:
        InvalidInput: it is none that every platform understands, or its time never comes.
    """
    plain = " ".join(cron.split())
    try:
        if not SHARED.fullmatch(plain):
            raise CronSimError("Not understood everywhere")
        next_run(plain)
    except CronSimError as error:
        raise InvalidInput(
            f"cron = {cron!r}: {error}; give minute, hour, day, month and weekday (0-6), in UTC, as '30 3 * * 1-5'"
        ) from None
    return plain


def next_run(cron: str) -> datetime:
    """When the time of a cron expression comes next."""
    return next(CronSim(cron, datetime.now(UTC)))
