"""Rollouts in the form of a log in a file, as other systems write them: a column for every feature."""

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput

DECISION = ("event_id", "timestamp", "action", "propensity", "probabilities", "reward")
EPISODE = ("episode_id", "step", "terminal", "truncated")


def as_log(rollouts: pa.Table) -> pa.Table:
    """The columns of rollouts that a log has, and one for each feature of the context.

    The column candidates is there if any row lists some.

    Raises:
        InvalidInput: a feature has the name of another column.
    """
    listed = ["candidates"] if any(rollouts["candidates"].to_pylist()) else []
    log = rollouts.select([*DECISION, *EPISODE, *listed])
    for feature in rollouts.schema.field("context").type:
        if feature.name in log.column_names:
            raise InvalidInput(f"feature {feature.name}: has the name of a column of logs; give it another one")
        column = pa.chunked_array([chunk.field(feature.name) for chunk in rollouts["context"].chunks], feature.type)
        log = log.append_column(feature.name, column)
    return log
