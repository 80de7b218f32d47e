"""TensorFlow, imported with legacy Keras and without its start-up messages. Import it from here only.

TF-Agents needs Keras 2: TF_USE_LEGACY_KERAS must be set before TensorFlow is first imported. While it is imported,
TensorFlow writes to the file descriptor of stderr, before any of its log settings takes effect.
"""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # other threads may be writing to stderr
        yield
        return
    stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN reorders sums, so results would differ between machines
with _silent_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf
    import tensorflow_probability as tfp  # registers the types in saved policies
    from absl import logging as absl_logging

    tf.config.list_physical_devices()  # warns, once, if there is no accelerator

absl_logging.set_verbosity(absl_logging.ERROR)  # the logger's own level is reset by TensorFlow's savers
tf.get_logger().setLevel("ERROR")  # hides warnings of retracing when several networks are trained
warnings.filterwarnings("ignore", message="Encoding a StructuredValue")

__all__ = ["tf", "tfp"]
