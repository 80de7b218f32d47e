"""TensorFlow, imported the one way it works here: with legacy Keras, and without its chatter.

TF-Agents needs Keras 2 (TF_USE_LEGACY_KERAS must be set before TensorFlow is first imported), and TensorFlow writes to
the file descriptor of stderr before any of its log settings takes effect.
"""

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # others write there meanwhile
        yield
        return
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN reorders sums: results would differ between machines
with _stderr_closed(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf
    import tensorflow_probability as tfp  # registers the types that a saved policy is made of

    tf.config.list_physical_devices()  # looks for accelerators, and complains where there is none

logging.getLogger("absl").setLevel(logging.ERROR)
tf.get_logger().setLevel("ERROR")  # as that a network was traced for each of several trainings
warnings.filterwarnings("ignore", message="Encoding a StructuredValue")

__all__ = ["tf", "tfp"]
