"""The examples section: in what files the ingester leaves interactions for the trainer."""

from typing import Literal

from pydantic import Field

from banditloop.rl_core.settings.section import Section


class ExamplesSection(Section):
    """The files in which the ingester leaves interactions, or transitions of episodes, for the trainer."""

    format: Literal["tfrecord", "arrow"] = Field(
        "tfrecord",
        description="'tfrecord': tf.train.Examples in TFRecord files, which TensorFlow reads; 'arrow': uncompressed "
        "Arrow IPC files, faster to write and read. What is learned is the same; the trainer reads either",
    )
