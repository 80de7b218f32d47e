"""Logs of TensorBoard, written without TensorFlow, which takes seconds to import."""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from banditloop.rl_core.events.tfrecords import write_records
from banditloop.rl_core.ports import Scalars


def write_scalars(folder: Path, scalars: Mapping[str, Scalars]) -> None:
    """Write series of numbers, by their tags, into a folder, which TensorBoard shows as a run of its name. Idempotent.

    What was written before for the same last step is replaced; all else stays.
    """
    now, last = time.time(), max(step for points in scalars.values() for step, _ in points)
    events = [Event(wall_time=now, file_version="brain.Event:2")]
    for tag, points in scalars.items():
        for step, value in points:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            events.append(Event(wall_time=now, step=step, summary=summary))
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{last:010d}"
    write_records(part, (event.SerializeToString() for event in events))
    part.replace(folder / f"events.out.tfevents.{last:010d}")
