"""Server-sent events in raw bytes: see every event, drop the ones that the caller must not see, change nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_END_OF_EVENT = re.compile(rb"(?>\r\n|\n|\r)(?:\r\n|\n|\r(?!\Z))")
"""Two line ends of any kind; a carriage return at the very end may be half of one."""


class EventFilter:
    """Pass the bytes of an event stream through, whole events at a time."""

    __slots__ = ("_held", "_see")

    def __init__(self, see: Callable[[str], bool]) -> None:
        """Take what sees each event's data; True drops the event."""
        self._see = see
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the events that are complete now."""
        self._held += data
        passed: list[bytes] = []
        start = 0
        for end in _END_OF_EVENT.finditer(self._held):
            event = self._held[start : end.end()]
            start = end.end()
            if not self._see(_data(event)):
                passed.append(event)
        self._held = self._held[start:]
        return b"".join(passed)

    def rest(self) -> bytes:
        """Return what is held back at the end of the stream."""
        held, self._held = self._held, b""
        return b"" if held.strip() and self._see(_data(held)) else held


def _data(event: bytes) -> str:
    lines = [line for line in event.splitlines() if line.startswith(b"data:")]  # bytes: Unicode has more line ends
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines).decode(errors="replace")
