"""Logs of other systems, as tests write and read them."""

import pyarrow as pa

from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.settings.task import Task

TASK = Task.parse(
    {
        "actions": ["a", "b", "c"],
        "context": {"age": "number", "member": "boolean", "country": "category", "tags": "categories"}
        | {"device": ["phone", "tablet"], "x": {"vector": 2}},
    }
)
ROWS = [
    {"id": 9007199254740993, "when": "2026-01-31T12:00:00Z", "arm": "a", "clicked": 1, "p": 0.5, "age": 31.5}
    | {"member": True, "country": "NA", "tags": ["u", "v"], "device": "phone", "x": [1.0, 2.0]},
    {"id": 9007199254740992, "when": "2026-01-31T12:00:01.5Z", "arm": "c", "clicked": None, "p": 0.25, "age": None}
    | {"member": None, "country": None, "tags": None, "device": None, "x": None},
]
NUMBERED = Task.parse({"actions": 2, "context": {}})
MAP = ["event_id=id", "timestamp=when", "action=arm", "reward=clicked", "propensity=p"]


def read(path, task=TASK, mapping=(), format="", ignore_others=False, **arguments):
    """Decisions and rewards of a file as rows."""
    files = LogFiles([path], task, parse_mapping(mapping), format, ignore_others)
    events = list(files.events(**arguments))
    decisions = pa.concat_tables([each.decisions for each in events])
    assert decisions.schema.equals(decision_schema(task))
    return decisions.to_pylist(), pa.concat_tables([each.rewards for each in events]).to_pylist()


def write(tmp_path, text: str, name: str = "log.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name
