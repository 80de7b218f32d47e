"""The kind of feature that a column of a log could be, by its name and its values."""

import re

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from banditloop.rl_core.events.schema import MAX_ABS_VALUE, MAX_CATEGORIES
from banditloop.rl_core.logs.names import PROPENSITY_NAMES, REWARD_NAMES, bare_name
from banditloop.rl_core.settings.feature_kinds import MAX_TEXT_LENGTH, Kind, Vector

USER_NAMES = ("user", "visitor", "customer", "client", "session", "cookie", "member", "account", "ip", "email")
TIME_NAMES = r"(.*_)?(timestamp|time|ts|date|datetime|epoch)|.*_at"
EPOCH_SECONDS = 1e8  # of 1973: no other number in a column that is called a time is so large
BEYOND = f"values beyond {MAX_ABS_VALUE:,.0f}; scale it"
LONG = f"texts of more than {MAX_TEXT_LENGTH} characters; shorten them"
MIN_ROWS = 10  # with fewer rows or values, nothing is a sign of ids


def feature_kind(name: str, present: pa.ChunkedArray) -> tuple[Kind | None, str]:
    """The kind of a feature by its values that are not null; None and the reason if the column is no feature."""
    if not len(present):
        return None, "it is empty"
    if reason := _reason_by_name(name, present):
        return None, reason
    if is_list(present.type):
        return _list_kind(present)
    if types.is_temporal(present.type):
        return None, "it is a time"
    if not (types.is_boolean(present.type) or is_number(present.type) or is_text(present.type)):
        return None, f"it holds {present.type}"
    return _scalar_kind(name, present)


def _scalar_kind(name: str, present: pa.ChunkedArray) -> tuple[Kind | None, str]:
    distinct = present.unique()
    if len(distinct) == 1:
        return None, "all its values are the same"
    if types.is_boolean(present.type):
        return "boolean", ""
    if is_text(present.type):
        if _has_long(present):
            return None, f"it has {LONG}"
        if len(present) >= MIN_ROWS and len(distinct) > len(present) / 2:
            return None, "it looks like an id: its values hardly ever occur twice"
        return "category", ""
    if types.is_integer(present.type) and (re.search(r"(^|_)id$", name.lower()) or _counts_rows(present, distinct)):
        return None, "it looks like an id, and the size of an id says nothing"
    if is_beyond(present):
        return None, f"it has {BEYOND}"
    return ("boolean" if set(distinct.to_pylist()) == {0, 1} else "number"), ""


def _reason_by_name(name: str, present: pa.ChunkedArray) -> str:
    """Why a column of this name is no feature; empty if it may be one."""
    bare = bare_name(name)
    low, high = pc.min_max(present).as_py().values() if is_number(present.type) else (0, 0)
    if bare in PROPENSITY_NAMES and low > 0 and high <= 1:
        return "it is the probability of the action"
    if bare in REWARD_NAMES:
        return "it looks like a reward, which is unknown when an action is chosen"
    if bare in USER_NAMES and len(present.unique()) > MIN_ROWS:
        return "it identifies users: send it as `user` beside the context"
    return "it is a time" if re.fullmatch(TIME_NAMES, name.lower()) and low > EPOCH_SECONDS else ""


def _list_kind(present: pa.ChunkedArray) -> tuple[Kind | None, str]:
    items, lengths = pc.list_flatten(present), pc.list_value_length(present).unique().to_pylist()
    if is_text(items.type):
        if _has_long(items) or max(lengths) > MAX_CATEGORIES:
            return None, f"it has {LONG}" if _has_long(items) else f"it has lists of more than {MAX_CATEGORIES:,} texts"
        return "categories", ""
    if is_number(items.type) and len(lengths) == 1 and lengths[0] and not items.null_count:
        return (None, f"it has {BEYOND}") if is_beyond(items) else (Vector(vector=lengths[0]), "")
    return None, "its lists are neither of texts nor of numbers in equal number"


def is_beyond(numbers: pa.ChunkedArray) -> bool:
    """Whether any of the numbers is one that requests refuse."""
    return not pc.all(pc.less_equal(pc.abs(numbers.cast(pa.float64(), safe=False)), MAX_ABS_VALUE), min_count=0).as_py()


def _has_long(texts: pa.ChunkedArray) -> bool:
    return not pc.all(pc.less_equal(pc.utf8_length(texts), MAX_TEXT_LENGTH), min_count=0).as_py()


def _counts_rows(present: pa.ChunkedArray, distinct: pa.Array) -> bool:
    ends = pc.min_max(present).as_py()
    return len(present) >= MIN_ROWS and len(distinct) == len(present) == ends["max"] - ends["min"] + 1


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    return types.is_string(kind) or types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether values are numbers, booleans excluded."""
    return types.is_integer(kind) or types.is_floating(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists."""
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
