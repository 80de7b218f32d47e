"""The scratch folder of a loop on this machine: nobody else may have put files there, since SavedModels are code."""

import os
import tempfile
from pathlib import Path

from banditloop.rl_core.settings.backend import GoogleBackend


def scratch_folder(backend: GoogleBackend) -> Path:
    """$XDG_STATE_HOME/banditloop/PROJECT/ENDPOINT, or below ~/.local/state: it survives restarts.

    In a container without a home that can be written to, it is a new folder in the temporary one.
    """
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        folder = state / "banditloop" / backend.project / backend.endpoint
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # not to be written to; there is no home
        pass
    return Path(tempfile.mkdtemp(prefix="banditloop-"))
