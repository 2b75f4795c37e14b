"""What the client says about its requests, for who set `PAYI_LOG`: never a body, never a secret.

Source: client.md section 1.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("payi")
"""The client's logger; the name is the official SDK's, so that existing logging configurations keep working."""

_SECRET = ("api-key", "authorization", "cookie", "token", "secret", "password")
_LEVELS: Mapping[str, int] = {"info": logging.INFO, "debug": logging.DEBUG}


def show(level: str | None) -> None:
    """Let the client's log be seen from `info` or `debug` on; handlers that the program has set up stay alone."""
    if level is not None:
        logging.basicConfig(format="[%(asctime)s - %(name)s:%(levelname)s] %(message)s")
        logger.setLevel(_LEVELS[level])


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with what only the meter may see blotted out."""
    return {
        name: "<redacted>" if any(mark in name.lower() for mark in _SECRET) else value
        for name, value in headers.items()
    }
