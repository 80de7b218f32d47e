"""Examples parsed as Google's own code does."""

from pathlib import Path

from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.tfrecords import read_records
from banditloop.rl_core.tf import tf

ROWS_PARSED = 8_192  # at a time


def parsed(files: list[Path]) -> None:
    """All features of the Examples in files, by the parser that Google's own code has."""
    first = Example.FromString(next(read_records(files[0]))).features.feature
    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    features = {name: tf.io.RaggedFeature(dtypes[value.WhichOneof("kind")]) for name, value in first.items()}
    records = tf.data.TFRecordDataset([str(file) for file in files]).batch(ROWS_PARSED)
    for _ in records.map(lambda batch: tf.io.parse_example(batch, features)):
        pass
