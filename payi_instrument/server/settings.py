"""How a server is run: plain values, so that they travel to its worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True)  # without slots, so that the class shows its defaults to the command line
class ServerSettings:
    """Hold where the ledger is (its URL says how strict the meter is), and what a client may send.

    `max_body` is in bytes; a body over it is refused with 413 before it is read (wire-api section 1.5).
    """

    database_url: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    max_body: int = 32 * 1024 * 1024
    log_level: LogLevel = "info"
    graceful_timeout: int = 30
