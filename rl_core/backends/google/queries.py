"""The warehouse's queries in BigQuery's SQL. See banditloop.rl_core.ports.Warehouse for the results they must return.

The queries on interactions share these subqueries: `eligible`, the decisions that are not shadows; `decisions`, the
eligible ones that are interactions: a deferred one only once it is activated; and `rewarded`, their rewards within the
attribution window. Parameters on logged_at prune the partitions.
"""

from banditloop.rl_core.backends import episode_query
from banditloop.rl_core.backends.episode_query import AGGREGATE_FUNCTIONS, REWARD_ORDERS
from banditloop.rl_core.backends.google.tables import LOG
from banditloop.rl_core.events.holdout import HEX_DIGITS, Fold
from banditloop.rl_core.events.schema import KEYS, LOGGED_AT, STORED_TABLES

DECISIONS, REWARDS = STORED_TABLES["decisions"], STORED_TABLES["rewards"]
IS_LATE = """(r.timestamp > TIMESTAMP_ADD(d.timestamp, INTERVAL @window MICROSECOND)
    OR LEAST(COALESCE(r.received_at, r.logged_at), r.logged_at)
    > TIMESTAMP_ADD(d.logged_at, INTERVAL @window MICROSECOND)
    OR r.logged_at > TIMESTAMP_ADD(d.logged_at, INTERVAL @window + @max_wait MICROSECOND))"""
IS_EARLY = "r.timestamp < TIMESTAMP_SUB(d.timestamp, INTERVAL @max_skew MICROSECOND)"
IS_IN_TIME = f"NOT {IS_LATE} AND NOT {IS_EARLY}"
OUTCOMES = f"""CASE WHEN d.event_id IS NULL THEN '5 dangling' WHEN {IS_LATE} THEN '4 late'
    WHEN {IS_EARLY} THEN '3 early' WHEN r.name NOT IN UNNEST(@used) THEN '2 unnamed' ELSE '1 joined' END"""


def fold_filters(column: str) -> dict[Fold | None, str]:
    """The condition of each fold on the hash of a column of the decisions d."""
    hashed = f"SUBSTR(TO_HEX(SHA256(d.{column})), 1, {HEX_DIGITS})"
    return {None: "", "training": f"AND {hashed} >= @held_out", "held_out": f"AND {hashed} < @held_out"}


FOLD_FILTERS = fold_filters("event_id")
EPISODES = episode_query.Dialect(
    key="event_id",
    rewards="earned",
    is_in_time=IS_IN_TIME,
    latest="TIMESTAMP_ADD({first}, INTERVAL @episode_window MICROSECOND)",
    fold_filters=fold_filters("episode_id"),
    parameter="@",
)


# A logged_at that leads the clock by more than @max_lead was stored while the clock was ahead, and is ignored.
_NEXT_LOGGED_AT = """IF(logged_at > TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @max_lead MICROSECOND),
    CURRENT_TIMESTAMP(), GREATEST(CURRENT_TIMESTAMP(), TIMESTAMP_ADD(logged_at, INTERVAL 1 MILLISECOND)))"""


def append(dataset: str, table: str, columns: list[str], staging: str) -> str:
    """Insert the events of a staging table whose keys are new, each once, and return the number of inserted rows."""
    names = ", ".join(columns)
    same_key = " AND ".join(f"existing.{key} = staged.{key}" for key in KEYS[table])
    return f"""
DECLARE added INT64;
DECLARE stamp TIMESTAMP;
BEGIN TRANSACTION;
UPDATE `{dataset}`.{LOG} SET received = received + @events, logged_at = {_NEXT_LOGGED_AT} WHERE name = '{table}';
SET stamp = (SELECT logged_at FROM `{dataset}`.{LOG} WHERE name = '{table}');
INSERT INTO `{dataset}`.{STORED_TABLES[table]} ({names}, {LOGGED_AT.name})
SELECT {names}, stamp FROM `{dataset}`.{staging} AS staged
WHERE NOT EXISTS (
    SELECT 1 FROM `{dataset}`.{STORED_TABLES[table]} AS existing
    WHERE {same_key} AND existing.timestamp BETWEEN @earliest AND @latest AND existing.logged_at >= @logged_since
    AND existing.event_id BETWEEN @first_id AND @last_id)
QUALIFY ROW_NUMBER() OVER (PARTITION BY {", ".join(KEYS[table])}) = 1;
SET added = @@row_count;
COMMIT TRANSACTION;
SELECT added;"""


def window(dataset: str, aggregation: str, ignores: bool, settles_first: bool) -> str:
    """The end of the complete window after @since, and its number of interactions.

    settles_first: whether the first reward settles an interaction.
    The query updates the log row of the rewards. So it conflicts with a concurrent append of rewards and is retried,
    and every reward that is appended afterwards has a later logged_at.
    """
    settled = "AND event_id NOT IN (SELECT event_id FROM rewarded)" if settles_first else ""
    counted = "w.event_id" if ignores else "d.event_id"
    join = "LEFT JOIN rewarded AS w ON w.event_id = d.event_id" if ignores else ""
    return f"""
DECLARE complete STRUCT<until TIMESTAMP, interactions INT64>;
BEGIN TRANSACTION;
UPDATE `{dataset}`.{LOG} SET received = received + 0 WHERE name = 'rewards';
SET complete = (
    WITH {_interactions(dataset, aggregation)},
    still_open AS (
        SELECT TIMESTAMP_SUB(MIN(logged_at), INTERVAL 1 MICROSECOND) AS until FROM eligible
        WHERE logged_at > @since AND mode <> 'simulated' {settled}
        AND TIMESTAMP_ADD(logged_at, INTERVAL @window + @max_wait MICROSECOND) > CURRENT_TIMESTAMP())
    SELECT AS STRUCT MAX(d.logged_at) AS until, COUNT({counted}) AS interactions
    FROM decisions AS d CROSS JOIN still_open AS s {join}
    WHERE d.logged_at > @since AND d.logged_at <= COALESCE(s.until, @until));
COMMIT TRANSACTION;
SELECT complete.until, complete.interactions;"""


def interactions(dataset: str, aggregation: str, columns: list[str], fold: Fold | None, ignores: bool) -> str:
    """The interactions logged after @since and up to @until, with these columns of their decisions."""
    return f"""WITH {_interactions(dataset, aggregation)}
SELECT {", ".join(f"d.{name}" for name in columns)}, {_value(ignores)} AS reward
FROM decisions AS d {"" if ignores else "LEFT"} JOIN rewarded ON rewarded.event_id = d.event_id
WHERE d.logged_at > @since AND d.logged_at <= @until {FOLD_FILTERS[fold]}"""


def episode_ids(dataset: str, aggregation: str, ignores: bool) -> str:
    """The ids of the episodes of the interactions logged after @since and up to @until."""
    query = interactions(dataset, aggregation, ["episode_id"], None, ignores)
    return f"SELECT DISTINCT episode_id FROM ({query}) WHERE episode_id IS NOT NULL"


def transitions(dataset: str, aggregation: str, columns: list[str], values: int, fold: Fold | None) -> str:
    """The decisions of the episodes complete after @complete_since and up to @until; see episode_query.timeline."""
    query = episode_query.timeline(EPISODES, columns, values, aggregation, fold)
    return f"WITH {_interactions(dataset, aggregation)}, {query}"


def episode_counts(dataset: str) -> str:
    """What the decisions logged up to @until are in the timeline; see episode_query.counts."""
    return f"WITH {_interactions(dataset, 'sum')}, {episode_query.counts(EPISODES)}"


def earliest(dataset: str) -> str:
    """The earliest timestamp of the decisions logged after @since and up to @until."""
    return f"SELECT MIN(timestamp) FROM `{dataset}`.{DECISIONS} WHERE logged_at > @since AND logged_at <= @until"


def totals(dataset: str, aggregation: str, ignores: bool) -> str:
    """Per policy version: interactions, rewarded and ignored ones, mean reward and shadow decisions."""
    value = _value(ignores)
    return f"""WITH {_interactions(dataset, aggregation)},
shown AS (
    SELECT d.policy_version, COUNT({value}) AS interactions, COUNT(*) - COUNT({value}) AS ignored,
        COUNT(reward) AS rewarded, MIN(logged_at) AS first,
        SUM({value} / logging_probability) / SUM(IF({value} IS NULL, NULL, 1 / logging_probability)) AS mean_reward
    FROM decisions AS d LEFT JOIN rewarded ON rewarded.event_id = d.event_id GROUP BY d.policy_version),
shadowed AS (
    SELECT policy_version, COUNT(*) AS shadowed, MIN(logged_at) AS first FROM logged
    WHERE mode = 'shadow' GROUP BY policy_version)
SELECT COALESCE(shown.policy_version, shadowed.policy_version) AS version, COALESCE(interactions, 0) AS interactions,
    COALESCE(rewarded, 0) AS rewarded, mean_reward, COALESCE(ignored, 0) AS ignored,
    COALESCE(shadowed, 0) AS shadowed
FROM shown FULL JOIN shadowed ON shown.policy_version = shadowed.policy_version
ORDER BY LEAST(COALESCE(shown.first, shadowed.first), COALESCE(shadowed.first, shown.first))"""


def counts(dataset: str) -> str:
    """Names and numbers: events received and rows stored by table, decisions and rewards by their outcome."""
    key = ", ".join(f"r.{name}" for name in [*KEYS["rewards"], "timestamp"])
    return f"""WITH {_interactions(dataset, "sum")},
outcomes AS (
    SELECT MIN({OUTCOMES}) AS outcome FROM `{dataset}`.{REWARDS} AS r
    LEFT JOIN `{dataset}`.{DECISIONS} AS d ON r.event_id = d.event_id GROUP BY {key})
SELECT CONCAT('received ', name) AS name, received AS number FROM `{dataset}`.{LOG}
UNION ALL SELECT 'rows decisions', COUNT(*) FROM logged
UNION ALL SELECT 'rows rewards', COUNT(*) FROM earned
UNION ALL SELECT 'shown', COUNT(*) FROM decisions
UNION ALL SELECT 'shadow', COUNTIF(mode = 'shadow') FROM logged
UNION ALL SELECT 'eligible', COUNT(*) FROM eligible
UNION ALL SELECT SUBSTR(outcome, 3), COUNT(*) FROM outcomes GROUP BY outcome"""


def repair(dataset: str) -> str:
    """Set logged_at to the present in rows where it leads the clock by more than @max_lead; return how many."""
    statements = []
    for table in KEYS:
        statements.append(
            f"""BEGIN TRANSACTION;
UPDATE `{dataset}`.{LOG} SET logged_at = {_NEXT_LOGGED_AT} WHERE name = '{table}';
SET stamp = (SELECT logged_at FROM `{dataset}`.{LOG} WHERE name = '{table}');
UPDATE `{dataset}`.{STORED_TABLES[table]} SET {LOGGED_AT.name} = stamp
WHERE {LOGGED_AT.name} > TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @max_lead MICROSECOND);
SET repaired = repaired + @@row_count;
COMMIT TRANSACTION;"""
        )
    return "DECLARE repaired INT64 DEFAULT 0;\nDECLARE stamp TIMESTAMP;\n" + "\n".join(
        [*statements, "SELECT repaired;"]
    )


def _value(ignores: bool) -> str:
    """SQL of the reward of an interaction; null where a decision without one is ignored."""
    return "reward" if ignores else "COALESCE(reward, @default)"


def _interactions(dataset: str, aggregation: str) -> str:
    if aggregation in REWARD_ORDERS:
        order = f"QUALIFY ROW_NUMBER() OVER (PARTITION BY d.event_id ORDER BY {REWARD_ORDERS[aggregation]}) = 1"
        reward, grouping = "r.value", order
    else:
        reward, grouping = f"{AGGREGATE_FUNCTIONS[aggregation]}(r.value)", "GROUP BY d.event_id"
    return f"""logged AS (
    SELECT * FROM `{dataset}`.{DECISIONS} WHERE logged_at > @since AND logged_at <= @until),
earned AS (SELECT * FROM `{dataset}`.{REWARDS} WHERE logged_at >= @logged_since),
eligible AS (SELECT * FROM logged WHERE mode <> 'shadow'),
activated AS (
    SELECT DISTINCT d.event_id FROM earned AS r JOIN eligible AS d ON r.event_id = d.event_id
    WHERE r.name = @activation AND {IS_IN_TIME}),
decisions AS (SELECT * FROM eligible WHERE mode <> 'deferred' OR event_id IN (SELECT event_id FROM activated)),
rewarded AS (
    SELECT d.event_id, {reward} AS reward FROM earned AS r JOIN decisions AS d ON r.event_id = d.event_id
    WHERE r.name = @name AND {IS_IN_TIME} {grouping})"""
