"""The queries on episodes, in the SQL that DuckDB and BigQuery share.

Each of them follows a WITH, and reads the rewards and `decisions`, which holds those that are interactions. See
banditloop.rl_core.ports.Warehouse for the results they must return.
"""

from typing import Any, NamedTuple

from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import ACTIVATION, TERMINAL, TRUNCATED, RewardSection

REWARD_ORDERS = {"first": "r.logged_at, r.timestamp, r.source_id", "last": "r.timestamp DESC, r.source_id DESC"}
AGGREGATE_FUNCTIONS = {"sum": "SUM", "mean": "AVG", "max": "MAX", "min": "MIN"}
SEPARATE = {"terminal", "truncated"}  # columns of decisions that are known from rewards, too


class Dialect(NamedTuple):
    """What differs between the databases."""

    key: str  # column that identifies a decision
    rewards: str  # name of the table of rewards
    is_in_time: str  # whether the reward r counts for the decision d
    latest: str  # when an episode is complete at the latest, given when its {first} decision was logged
    fold_filters: dict[Fold | None, str]  # of the decisions d
    parameter: str = "$"  # prefix of a parameter's name

    def written(self, query: str) -> str:
        """A query of this module in this dialect."""
        return query.replace("$", self.parameter)


def used_names(episodes: EpisodesSection | None, reward: RewardSection) -> list[str]:
    """The names of all rewards that are read, events of a decision such as its activation included."""
    in_episodes = [TERMINAL, TRUNCATED, *episodes.value_names(reward.name)] if episodes else []
    return list(dict.fromkeys([reward.name, ACTIVATION, *in_episodes]))


def parameters(episodes: EpisodesSection) -> dict[str, Any]:
    """The parameters of every query, except those of the window and of `is_in_time`."""
    limits = {"max_steps": episodes.max_steps, "episode_window": round(episodes.window_seconds * 1_000_000)}
    return {"terminal": TERMINAL, "truncated": TRUNCATED} | limits


def name_parameters(names: list[str]) -> dict[str, str]:
    """The parameters that name the rewards that are read."""
    return {f"name_{place}": name for place, name in enumerate(names)}


def timeline(dialect: Dialect, columns: list[str], values: int, aggregation: str, fold: Fold | None) -> str:
    """The decisions of complete episodes in order, with their ordinals and whether they are terminal.

    columns: of the decisions. values: number of named rewards: columns value_0, value_1, …, null where there is none.
    """
    selected = [f"d.{name}" for name in columns if name not in SEPARATE]
    named = [f"v.value_{place}" for place in range(values)]
    return dialect.written(
        f"""{_episodes(dialect, fold)},
        {_named_values(dialect, values, aggregation)}
        SELECT {", ".join([*selected, *named])}, t.is_terminal, t.ordinal
        FROM timeline AS t JOIN decisions AS d ON d.{dialect.key} = t.{dialect.key}
        LEFT JOIN named_values AS v ON v.{dialect.key} = t.{dialect.key}
        ORDER BY t.complete_at, d.episode_id, t.ordinal"""
    )


def counts(dialect: Dialect) -> str:
    """The fields of EpisodeCounts, in one row."""
    return dialect.written(
        f"""{_episodes(dialect, None)},
        found AS (SELECT
            (SELECT COUNT(*) FROM decisions AS d WHERE d.logged_at <= $until) AS decided,
            (SELECT COUNT(*) FROM shown) AS in_episodes,
            (SELECT COUNT(*) FROM steps) AS distinct_steps,
            (SELECT COUNT(*) FROM completed WHERE complete_at > $until) AS unfinished,
            (SELECT COUNT(*) FROM timeline) AS transitions,
            (SELECT COUNT(*) FROM timeline WHERE ordinal = 0) AS episodes)
        SELECT episodes, transitions, unfinished, distinct_steps - unfinished - transitions,
            in_episodes - distinct_steps, decided - in_episodes
        FROM found"""
    )


def _episodes(dialect: Dialect, fold: Fold | None) -> str:
    """Common table expressions that end with `timeline`: the decisions of episodes complete in the window."""
    key = dialect.key
    return f"""ended AS (
            SELECT d.{key}, MAX(CASE WHEN r.name = $terminal THEN 1 ELSE 0 END) AS terminal
            FROM {dialect.rewards} AS r JOIN decisions AS d ON r.event_id = d.event_id
            WHERE r.name IN ($terminal, $truncated) AND r.value <> 0 AND {dialect.is_in_time} GROUP BY d.{key}),
        shown AS (
            SELECT d.{key}, d.event_id, d.timestamp, d.logged_at, d.episode_id, d.step,
                COALESCE(d.terminal, FALSE) AS terminal, COALESCE(d.truncated, FALSE) AS truncated
            FROM decisions AS d WHERE d.episode_id IS NOT NULL AND d.step IS NOT NULL AND d.logged_at <= $until
            {dialect.fold_filters[fold]}),
        steps AS (
            SELECT d.{key}, d.logged_at, d.episode_id, d.step, d.terminal OR COALESCE(e.terminal, 0) = 1 AS is_terminal,
                d.terminal OR d.truncated OR e.terminal IS NOT NULL AS is_end
            FROM shown AS d LEFT JOIN ended AS e ON e.{key} = d.{key} WHERE TRUE
            QUALIFY ROW_NUMBER() OVER (
                PARTITION BY d.episode_id, d.step ORDER BY d.logged_at, d.timestamp, d.event_id) = 1),
        numbered AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY episode_id ORDER BY logged_at, step) AS logged_number FROM steps),
        bounded AS (
            SELECT *, {dialect.latest.format(first="MIN(logged_at) OVER (PARTITION BY episode_id)")} AS latest,
                MIN(CASE WHEN is_end OR logged_number = $max_steps THEN logged_at END)
                OVER (PARTITION BY episode_id) AS ended_at
            FROM numbered),
        completed AS (
            SELECT *, LEAST(latest, COALESCE(ended_at, latest)) AS complete_at,
                CASE WHEN ended_at <= latest THEN $until ELSE latest END AS counts_until
            FROM bounded),
        in_window AS (
            SELECT *, MIN(CASE WHEN is_end AND logged_at <= complete_at THEN step END)
                OVER (PARTITION BY episode_id) AS last_step
            FROM completed
            WHERE complete_at > $complete_since AND complete_at <= $until AND logged_at <= counts_until),
        timeline AS (
            SELECT {key}, is_terminal, complete_at,
                ROW_NUMBER() OVER (PARTITION BY episode_id ORDER BY step) - 1 AS ordinal
            FROM in_window WHERE step <= COALESCE(last_step, step)
            QUALIFY ROW_NUMBER() OVER (PARTITION BY episode_id ORDER BY step) <= $max_steps)"""


def _named_values(dialect: Dialect, values: int, aggregation: str) -> str:
    """Common table expressions that end with `named_values`: the aggregated rewards of each decision, by name."""
    by_name = f"d.{dialect.key}, r.name"
    if aggregation in REWARD_ORDERS:  # as for interactions, a window function, since it spills to disk
        order = REWARD_ORDERS[aggregation]
        value, clause = "r.value", f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {by_name} ORDER BY {order}) = 1"
    else:
        value, clause = f"{AGGREGATE_FUNCTIONS[aggregation]}(r.value)", f"GROUP BY {by_name}"
    names = ", ".join(f"$name_{place}" for place in range(values))
    columns = [f"MAX(CASE WHEN name = $name_{place} THEN value END) AS value_{place}" for place in range(values)]
    return f"""named AS (
            SELECT {by_name}, {value} AS value
            FROM {dialect.rewards} AS r JOIN decisions AS d ON r.event_id = d.event_id
            WHERE r.name IN ({names}) AND {dialect.is_in_time} {clause}),
        named_values AS (SELECT {dialect.key}, {", ".join(columns)} FROM named GROUP BY {dialect.key})"""
