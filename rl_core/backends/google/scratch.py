"""The scratch folder of a loop on this machine. No other user may write to it, since SavedModels are code."""

import os
import tempfile
from pathlib import Path

from banditloop.rl_core.settings.backend import GoogleBackend


def scratch_folder(backend: GoogleBackend) -> Path:
    """$XDG_STATE_HOME/banditloop/PROJECT/ENDPOINT, or below ~/.local/state: it survives restarts.

    Without a writable home, as in a container, it is a new temporary folder.
    """
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        folder = state / "banditloop" / backend.project / backend.endpoint
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # it is not writable, or there is no home
        pass
    return Path(tempfile.mkdtemp(prefix="banditloop-"))
