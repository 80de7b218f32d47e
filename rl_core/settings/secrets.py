"""The endpoint's token: $BANDITLOOP_TOKEN, or the content of the file $BANDITLOOP_TOKEN_FILE.

It is never logged, and never part of the config, which is passed in pipeline parameters.
"""

import os
from pathlib import Path

from banditloop.rl_core.errors import InvalidInput

TOKEN, TOKEN_FILE = "BANDITLOOP_TOKEN", "BANDITLOOP_TOKEN_FILE"


def token() -> str | None:
    """The token from the environment; None if the endpoint needs none. InvalidInput: it is set, but unusable."""
    if path := os.environ.get(TOKEN_FILE):
        try:
            value = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"${TOKEN_FILE} = {path!r}: {error}") from None
    else:
        value = os.environ.get(TOKEN, "")
    if (path or TOKEN in os.environ) and not (value and value.isascii() and value.isprintable()):
        raise InvalidInput(f"${TOKEN_FILE if path else TOKEN}: a token is one line of printable ASCII, not empty")
    return value or None
