"""Whether the propensity of a logged decision is known."""

import pyarrow as pa
import pyarrow.compute as pc


def has_unknown_propensity(table: pa.Table) -> pa.ChunkedArray:
    """Whether the propensity of an application's own decision is unknown [B]: then it is 1 among several candidates."""
    several = pc.greater(pc.list_value_length(table["probabilities"]), 1)
    return pc.and_(is_external(table), pc.and_(several, pc.equal(table["propensity"], 1)))


def is_external(table: pa.Table) -> pa.ChunkedArray:
    """Whether an application took a decision itself [B]."""
    return pc.equal(table["mode"], "external")
