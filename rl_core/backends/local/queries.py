"""The local warehouse's queries in DuckDB's SQL, on the views of log_connection."""

from datetime import datetime, timedelta

from banditloop.rl_core.backends.episode_query import AGGREGATE_FUNCTIONS, REWARD_ORDERS
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.events.holdout import HEX_DIGITS, Fold


def fold_filters(column: str) -> dict[Fold | None, str]:
    """The condition of each fold on the hash of a column of the decisions d."""
    hashed = f"substr(sha256(d.{column}), 1, {HEX_DIGITS})"
    return {None: "", "training": f"AND {hashed} >= $held_out", "held_out": f"AND {hashed} < $held_out"}


FOLD_FILTERS = fold_filters("event_id")
SHARD_FILTER = "AND hash(d.event_id) % $shards = $shard"
REWARDED_COUNT = "count(*) FILTER (number IN (SELECT number FROM rewarded))"
IS_LATE = """(r.timestamp > d.timestamp + to_microseconds($window)
    OR least(r.received_at, r.logged_at) > d.logged_at + to_microseconds($window)
    OR r.logged_at > d.logged_at + to_microseconds($window + $max_wait))"""  # or interactions already read would change
IS_EARLY = "r.timestamp < d.timestamp - to_microseconds($max_skew)"
IS_IN_TIME = f"NOT {IS_LATE} AND NOT {IS_EARLY}"
OUTCOME = f"""CASE WHEN d.event_id IS NULL THEN '5 dangling' WHEN {IS_LATE} THEN '4 late'
    WHEN {IS_EARLY} THEN '3 early' WHEN NOT list_contains($used, r.name) THEN '2 unnamed' ELSE '1 joined' END"""
REWARD_OUTCOMES = f"""SELECT outcome, sum(sign) FROM (
        SELECT min({OUTCOME}) AS outcome, r.sign
        FROM rewards r LEFT JOIN logged_decisions d ON r.event_id = d.event_id GROUP BY r.number, r.sign)
    GROUP BY outcome"""
ELIGIBLE = "SELECT coalesce(sum(sign), 0) FROM eligible"


def rewarded(aggregation: str) -> str:
    """Common table expression: the aggregated rewards in time, one row per decision that has any."""
    if aggregation in REWARD_ORDERS:  # unlike arg_min, a window function spills to disk
        choice = f"QUALIFY row_number() OVER (PARTITION BY d.number ORDER BY {REWARD_ORDERS[aggregation]}) = 1"
        reward = "r.value"
    else:
        choice, reward = "GROUP BY d.number", f"{AGGREGATE_FUNCTIONS[aggregation]}(r.value)"
    return f"""rewarded AS (
        SELECT d.number, {reward} AS reward FROM rewards r JOIN decisions d ON r.event_id = d.event_id
        WHERE r.name = $name AND d.logged_at > $decided_since AND {IS_IN_TIME} {choice})"""


def version_sums(rewarded: str, value: str) -> str:
    """The columns of VERSION_SUMS, its time in microseconds. Rows count with their `sign`, as in `sums_query`."""
    return f"""WITH {rewarded}, shown AS (
            SELECT policy_version, sum(sign) FILTER ({value} IS NOT NULL) AS interactions,
                sum(sign) FILTER ({value} IS NULL) AS ignored, sum(sign) FILTER (reward IS NOT NULL) AS rewarded,
                sum(sign * {value} / logging_probability) AS weighted_reward,
                sum(sign / logging_probability) FILTER ({value} IS NOT NULL) AS weight, min(logged_at) AS first
            FROM decisions LEFT JOIN rewarded USING (number) GROUP BY ALL),
        shadowed AS (SELECT policy_version, sum(sign) AS shadowed, min(logged_at) AS first FROM shadows GROUP BY ALL)
        SELECT policy_version, epoch_us(least(shown.first, shadowed.first)), coalesce(interactions, 0),
            coalesce(rewarded, 0), coalesce(ignored, 0), coalesce(shadowed, 0), coalesce(weighted_reward, 0),
            coalesce(weight, 0)
        FROM shown FULL JOIN shadowed USING (policy_version)"""


def time_of(microseconds: int | None) -> datetime | None:
    """A time that a query gives by `epoch_us`: DuckDB's own conversion first reads a list of all time zones."""
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def sql_time(time: datetime) -> str:
    """A time as a literal."""
    return f"TIMESTAMPTZ '{time.isoformat()}'"
