"""Ids that nobody else has, made without a system call: three are needed for a metered call.

They are unique, not secret. A generator of our own, so that a program that seeds `random` does not seed its ids, and a
forked child does not repeat its parent's.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_random = Random()  # noqa: S311  # uniqueness is all that is asked
_bits = _random.getrandbits

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """Return a UUID of version 4 as text."""
    return _as_text(_bits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62)


def derived_id(*parts: str) -> str:
    """Return the same UUID, of version 8, for the same parts, whoever asks (RFC 9562 section 5.8)."""
    from hashlib import sha256  # a millisecond that a program without such ids need not wait

    digest = sha256("\0".join(parts).encode()).digest()
    return _as_text(int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)


def ordered_id() -> str:
    """Return a UUID of version 7 as text: ordered by time, so that an index grows at its end (RFC 9562 section 5.7).

    Twelve bits say which 4096th of the millisecond it is (section 6.2, method 3): what one process makes in a row is in
    order.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    return _as_text(milliseconds << 80 | 0x7 << 76 | (rest << 12) // 1_000_000 << 64 | 0x2 << 62 | _bits(62))


def first_id(moment: datetime) -> str:
    """Return what every :func:`ordered_id` made at or after a moment is greater than or equal to, as text compares."""
    return _as_text(max(int(moment.timestamp() * 1000), 0) << 80)


def _as_text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
