"""What of the log trains and what evaluates: split by the hash of the event id, stable for ever, on any backend.

An event is held out where the first eight hexadecimal digits of its id's SHA-256 come before `bound(share)`.
"""

import hashlib
from typing import Literal

Part = Literal["training", "held_out"]
DIGITS = 8


def bound(share: float) -> str:
    """The digits before which a `share` of all hashes lies, share in [0, 1)."""
    return f"{int(share * 16**DIGITS):0{DIGITS}x}"


def held_out(event_id: str, share: float) -> bool:
    """Whether an event is kept from training."""
    return hashlib.sha256(event_id.encode()).hexdigest()[:DIGITS] < bound(share)
