"""A transport that sends what is written to it in one go: uvicorn writes the head and the body of an answer apart."""

from __future__ import annotations

import asyncio
from typing import Any

Data = bytes | bytearray | memoryview
"""What asyncio's transports take."""
_MOST = 64 * 1024
"""Bytes from which on nothing is gathered: who writes more has to hear from the transport when to pause."""


class GatheringTransport(asyncio.Transport):
    """Stand in for a connection's transport; what is written in one turn of the event loop leaves in one system call.

    It waits for the end of the turn only. What asyncio lets a protocol ask of a transport, and uvicorn does, is there.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Take the connection's transport, and the loop whose turns count."""
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._gathered = bytearray()

    def write(self, data: Data) -> None:
        """Send data with what else is written in this turn."""
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered += data
        if len(self._gathered) >= _MOST:
            self._flush()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        if gathered and not self._transport.is_closing():
            self._transport.write(gathered)

    def close(self) -> None:
        """Send what was written, then close the connection."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Say whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)
