"""Counts of the logged events, as `status` and Prometheus show them."""

from banditloop.rl_core.ports import Platform

OUTCOMES = {
    "decisions": ("shown", "shadow", "inactive"),
    "rewards": ("joined", "late", "early", "unnamed", "dangling"),
}


def log_counts(platform: Platform) -> dict[str, dict[str, int]]:
    """Events of each topic by outcome, as LogCounts describes them, exact across all processes and crashes.

    The other outcomes add up to `received`, except for `dead`: messages, not events, that could not be logged.
    """
    counts = platform.warehouse.event_counts()
    return {
        topic: {
            "received": counts.received[topic],
            "duplicate": counts.duplicate[topic],
            **{name: getattr(counts, name) for name in names},
            "dead": len(platform.bus.dead_letters(topic)),
        }
        for topic, names in OUTCOMES.items()
    }
