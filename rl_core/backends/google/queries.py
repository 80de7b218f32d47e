"""The warehouse's questions in BigQuery's SQL. See rl_core.backends.Warehouse for what they must answer.

Every query starts from `asked`, the decisions that may count; of them `decisions`, that do, for a deferred one only
does once activated; and `rewarded`, their rewards within the window. Partitions of logged_at are pruned by parameters.
"""

from rl_core.backends.google.tables import LOG
from rl_core.schema import INTERACTION, KEYS, LATER_FIELDS, SCHEMAS
from rl_core.split import DIGITS, Part

ORDERS = {"first": "r.logged_at, r.timestamp, r.source_id", "last": "r.timestamp DESC, r.source_id DESC"}
AGGREGATES = {"sum": "SUM", "mean": "AVG", "max": "MAX", "min": "MIN"}
LATE = """(r.timestamp > TIMESTAMP_ADD(d.timestamp, INTERVAL @window MICROSECOND)
    OR r.logged_at > TIMESTAMP_ADD(d.logged_at, INTERVAL @window MICROSECOND))"""
IN_TIME = f"NOT {LATE} AND r.timestamp >= TIMESTAMP_SUB(d.timestamp, INTERVAL @apart MICROSECOND)"
HASH = f"SUBSTR(TO_HEX(SHA256(d.event_id)), 1, {DIGITS})"
PARTS: dict[Part | None, str] = {
    None: "",
    "training": f"AND {HASH} >= @held_out",
    "held_out": f"AND {HASH} < @held_out",
}


def append(dataset: str, table: str, arrivals: str) -> str:
    """Add the arrivals whose keys are not there, once, and answer how many these were."""
    columns = ", ".join(SCHEMAS[table].names)
    keys = " AND ".join(f"known.{key} = came.{key}" for key in KEYS[table])
    return f"""
DECLARE added INT64;
DECLARE stamp TIMESTAMP;
BEGIN TRANSACTION;
UPDATE `{dataset}`.{LOG} SET received = received + @events,
    logged_at = GREATEST(CURRENT_TIMESTAMP(), TIMESTAMP_ADD(logged_at, INTERVAL 1 MILLISECOND)) WHERE name = '{table}';
SET stamp = (SELECT logged_at FROM `{dataset}`.{LOG} WHERE name = '{table}');
INSERT INTO `{dataset}`.{table} ({columns}, logged_at)
SELECT {columns}, stamp FROM `{dataset}`.{arrivals} AS came
WHERE NOT EXISTS (
    SELECT 1 FROM `{dataset}`.{table} AS known
    WHERE {keys} AND known.timestamp BETWEEN @earliest AND @latest AND known.logged_at >= @logged_since)
QUALIFY ROW_NUMBER() OVER (PARTITION BY {", ".join(KEYS[table])}) = 1;
SET added = @@row_count;
COMMIT TRANSACTION;
SELECT added;"""


def window(dataset: str, aggregation: str) -> str:
    """Where the complete stretch after @since ends, and how many interactions it has.

    It touches the row of the rewards, so that it fails, and is tried again, where an append of some is under way:
    what comes later has a later logged_at.
    """
    settled = "AND event_id NOT IN (SELECT event_id FROM rewarded)" if aggregation == "first" else ""
    return f"""
DECLARE found STRUCT<until TIMESTAMP, interactions INT64>;
BEGIN TRANSACTION;
UPDATE `{dataset}`.{LOG} SET received = received + 0 WHERE name = 'rewards';
SET found = (
    WITH {_interactions(dataset, aggregation)},
    still_open AS (
        SELECT TIMESTAMP_SUB(MIN(logged_at), INTERVAL 1 MICROSECOND) AS until FROM asked
        WHERE logged_at > @since AND mode <> 'simulated' {settled}
        AND TIMESTAMP_ADD(logged_at, INTERVAL @window MICROSECOND) > CURRENT_TIMESTAMP())
    SELECT AS STRUCT MAX(d.logged_at) AS until, COUNT(d.logged_at) AS interactions
    FROM decisions AS d CROSS JOIN still_open AS s
    WHERE d.logged_at > @since AND d.logged_at <= COALESCE(s.until, @until));
COMMIT TRANSACTION;
SELECT found.until, found.interactions;"""


def interactions(dataset: str, aggregation: str, part: Part | None) -> str:
    """The interactions logged after @since and up to @until."""
    columns = ", ".join(f"d.{name}" for name in INTERACTION.names if name != "reward")
    return f"""WITH {_interactions(dataset, aggregation)}
SELECT {columns}, COALESCE(rewarded.reward, @default) AS reward
FROM decisions AS d LEFT JOIN rewarded ON rewarded.event_id = d.event_id
WHERE d.logged_at > @since AND d.logged_at <= @until {PARTS[part]}"""


def earliest(dataset: str) -> str:
    """When the first of the decisions logged after @since and up to @until was taken."""
    return f"SELECT MIN(timestamp) FROM `{dataset}`.decisions WHERE logged_at > @since AND logged_at <= @until"


def totals(dataset: str, aggregation: str) -> str:
    """Per policy version: what was shown and what it earned, and what was only in the shadow."""
    return f"""WITH {_interactions(dataset, aggregation)},
shown AS (
    SELECT d.policy_version, COUNT(*) AS interactions, COUNT(reward) AS rewarded, MIN(logged_at) AS first,
        SUM(COALESCE(reward, @default) / pass_probability) / SUM(1 / pass_probability) AS mean_reward
    FROM decisions AS d LEFT JOIN rewarded ON rewarded.event_id = d.event_id GROUP BY d.policy_version),
shadowed AS (
    SELECT policy_version, COUNT(*) AS shadowed, MIN(logged_at) AS first FROM logged
    WHERE mode = 'shadow' GROUP BY policy_version)
SELECT COALESCE(shown.policy_version, shadowed.policy_version) AS version, COALESCE(interactions, 0) AS interactions,
    COALESCE(rewarded, 0) AS rewarded, mean_reward, COALESCE(shadowed, 0) AS shadowed
FROM shown FULL JOIN shadowed ON shown.policy_version = shadowed.policy_version
ORDER BY LEAST(COALESCE(shown.first, shadowed.first), COALESCE(shadowed.first, shown.first))"""


def counts(dataset: str) -> str:
    """Per table: events received and rows; and of the rewards, late ones and those without a decision."""
    return f"""SELECT l.name, l.received, IF(l.name = 'decisions', decided.many, earned.many) AS kept,
    COALESCE(earned.late, 0) AS late, earned.dangling
FROM `{dataset}`.{LOG} AS l
CROSS JOIN (SELECT COUNT(*) AS many FROM `{dataset}`.decisions) AS decided
CROSS JOIN (
    SELECT COUNT(*) AS many, COUNTIF({LATE}) AS late, COUNTIF(d.event_id IS NULL) AS dangling
    FROM `{dataset}`.rewards AS r LEFT JOIN `{dataset}`.decisions AS d ON r.event_id = d.event_id) AS earned"""


def _interactions(dataset: str, aggregation: str) -> str:
    if aggregation in ORDERS:
        order = f"QUALIFY ROW_NUMBER() OVER (PARTITION BY d.event_id ORDER BY {ORDERS[aggregation]}) = 1"
        reward, choice = "r.value", order
    else:
        reward, choice = f"{AGGREGATES[aggregation]}(r.value)", "GROUP BY d.event_id"
    later = ", ".join(f"COALESCE({name}, {value}) AS {name}" for name, value in LATER_FIELDS.items())
    return f"""logged AS (
    SELECT * REPLACE ({later}) FROM `{dataset}`.decisions WHERE logged_at > @since AND logged_at <= @until),
earned AS (SELECT * FROM `{dataset}`.rewards WHERE logged_at >= @logged_since),
asked AS (SELECT * FROM logged WHERE mode <> 'shadow'),
activated AS (
    SELECT DISTINCT d.event_id FROM earned AS r JOIN asked AS d ON r.event_id = d.event_id
    WHERE r.name = @activation AND {IN_TIME}),
decisions AS (SELECT * FROM asked WHERE mode <> 'deferred' OR event_id IN (SELECT event_id FROM activated)),
rewarded AS (
    SELECT d.event_id, {reward} AS reward FROM earned AS r JOIN decisions AS d ON r.event_id = d.event_id
    WHERE r.name = @name AND {IN_TIME} {choice})"""
