"""Deterministic train/hold-out split by the SHA-256 of the event id: stable over time and the same on every backend.

An event is held out if the first eight hexadecimal digits of the hash are below `hash_bound(fraction)`.
"""

import hashlib
from typing import Literal

Fold = Literal["training", "held_out"]
HEX_DIGITS = 8


def hash_bound(fraction: float) -> str:
    """Hexadecimal upper bound (exclusive) of the lowest `fraction` of all hashes; fraction in [0, 1)."""
    return f"{int(fraction * 16**HEX_DIGITS):0{HEX_DIGITS}x}"


def is_held_out(event_id: str, fraction: float) -> bool:
    """Whether an event belongs to the fold "held_out", of about `fraction` of all events."""
    return hashlib.sha256(event_id.encode()).hexdigest()[:HEX_DIGITS] < hash_bound(fraction)
