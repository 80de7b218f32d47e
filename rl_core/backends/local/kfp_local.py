"""kfp.local: pipelines and components on this machine, whose tasks are processes with this Python environment."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def kfp_local(root: Path) -> Iterator[None]:
    """Pipelines and components that are called inside run here, and write their outputs below a folder.

    For every task, KFP makes a temporary folder for its code and never removes it. They are removed at the end here.
    """
    from kfp import local
    from kfp.local.config import LocalExecutionConfig

    before = LocalExecutionConfig.instance
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="kfp.local")  # that it ignores images
    with tempfile.TemporaryDirectory() as folder, _variable("TMPDIR", folder):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=folder)
        try:
            yield
        finally:
            LocalExecutionConfig.instance = before


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, and set it back."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
