"""Who calls: the application and the scope of an API key. Source: wire-api section 1.2, decision 16."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine.keys import Key
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_REMEMBERED_S = 5.0
"""How long a key is taken at its word; a revoked one is refused after that at the latest."""
_MOST_UNKNOWN = 10_000
"""Unknown keys that are remembered: any number of them can be made up."""


class Caller(NamedTuple):
    """The application that a key belongs to, and what it may do there."""

    application: str
    scope: str


class Callers:
    """Find the caller behind a key, asking the ledger once in a while for each key."""

    def __init__(self, ask: Callable[[str], Awaitable[Caller | None]]) -> None:
        """Take how to ask the ledger for the caller behind a key's text."""
        self._ask = ask
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    async def of(self, key: str | None) -> Caller:
        """Return the caller behind a key.

        Raises `ContractError` `invalid_api_key` for one that is missing, unknown or revoked, `APIConnectionError` when
        the ledger can't say.
        """
        caller = await self._find(key) if key else None
        if caller is None:
            raise ContractError("invalid_api_key", "xProxy-api-key: the key is missing, unknown or revoked")
        return caller

    async def _find(self, key: str) -> Caller | None:
        digest = sha256(key.encode("utf-8", "surrogateescape")).digest()  # so that memory holds no keys
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        if self._unknown.get(digest, now) > now or Key.parse(key) is None:
            return None
        task = self._asking.get(digest)
        if task is None:  # many requests with one key wait for one answer
            task = self._asking[digest] = asyncio.create_task(self._look_up(digest, key, now + _REMEMBERED_S))
        return await asyncio.shield(task)

    async def _look_up(self, digest: bytes, key: str, until: float) -> Caller | None:
        """Ask, and remember what is said until then; what could not be answered is asked again."""
        try:
            caller = await self._ask(key)
        finally:
            del self._asking[digest]
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        if caller is not None:
            self._known[digest] = (until, caller)
        else:
            self._unknown[digest] = until
            if len(self._unknown) > _MOST_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]  # the oldest
        return caller
