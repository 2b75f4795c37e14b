"""The connections that a client and its copies share. Source: client.md section 1."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any, Literal

from payi_instrument.client.network import library, library_of
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from payi_instrument.client.network import AsyncHttpClient, HttpBuilder, HttpClient

_CLOSED = "the client is closed; make a new one"


class _Pool:
    """What both pools share: the library, and whether connections may be used here and now."""

    _kind: Literal["Client", "AsyncClient"]

    def __init__(self, given: HttpBuilder | None) -> None:
        self.library = library() if given is None else library_of(given, self._kind)
        self.follows_redirects = given is None or given.follow_redirects  # a caller's own HTTP client says it itself
        self.extensions: dict[object, frozenset[str]] = {}
        self._is_closed = False
        self._made_in = os.getpid()

    def _made(self) -> Any:
        limits = self.library.Limits(max_connections=100, max_keepalive_connections=20)
        return getattr(self.library, self._kind)(limits=limits)

    def _check_open(self, given: HttpBuilder | None) -> None:
        if self._is_closed or (given is not None and given.is_closed):
            raise PayiError(_CLOSED)
        if given is not None and os.getpid() != self._made_in:
            msg = "http_client: it was made before this process was forked; make one in the child"
            raise PayiError(msg)


class Pool(_Pool):
    """Connections that a client and its copies share; `given` is the caller's own, which it closes itself.

    A forked child opens its own: two processes on one connection would read each other's answers.
    """

    _kind = "Client"

    def __init__(self, given: HttpClient | None = None) -> None:
        """Take the caller's HTTP client, or None to make one when it is needed."""
        super().__init__(given)
        self._given = given
        self._own: dict[int, HttpClient] = {}
        weakref.finalize(self, _close, self._own).atexit = False  # what exit hooks still deliver comes first

    def client(self) -> HttpClient:
        """Return the HTTP client of this process; raises `PayiError` when the pool is closed."""
        self._check_open(self._given)
        if self._given is not None:
            return self._given
        process = os.getpid()
        return self._own.get(process) or self._own.setdefault(process, self._made())

    def is_closed(self) -> bool:
        """Say whether :meth:`close` was called."""
        return self._is_closed or (self._given is not None and self._given.is_closed)

    def close(self) -> None:
        """Close the connections that this pool opened."""
        self._is_closed = True
        _close(self._own)


def _close(own: dict[int, HttpClient]) -> None:
    client = own.pop(os.getpid(), None)  # a parent's stay open: they are the parent's
    if client is not None:
        client.close()


_Place = tuple[int, asyncio.AbstractEventLoop]


class AsyncPool(_Pool):
    """Connections for `await` that a client and its copies share; each process and each event loop has its own."""

    _kind = "AsyncClient"

    def __init__(self, given: AsyncHttpClient | None = None) -> None:
        """Take the caller's HTTP client, or None to make one when it is needed."""
        super().__init__(given)
        self._given = given
        self._own: dict[_Place, AsyncHttpClient] = {}
        weakref.finalize(self, _close_soon, self._own).atexit = False

    def client(self) -> AsyncHttpClient:
        """Return the HTTP client of this process and loop; raises `PayiError` when the pool is closed."""
        self._check_open(self._given)
        if self._given is not None:
            return self._given
        place = (os.getpid(), asyncio.get_running_loop())
        if place not in self._own:
            for other in list(self._own):
                if other[1].is_closed():  # it took its connections along
                    self._own.pop(other, None)
            self._own[place] = self._made()
        return self._own[place]

    def is_closed(self) -> bool:
        """Say whether :meth:`aclose` was called."""
        return self._is_closed or (self._given is not None and self._given.is_closed)

    async def aclose(self) -> None:
        """Close the connections that this pool opened on the running loop, and let go of those of others."""
        self._is_closed = True
        client = self._own.pop((os.getpid(), asyncio.get_running_loop()), None)
        for other in list(self._own):
            if other[0] == os.getpid():  # a parent's connections are the parent's
                self._own.pop(other, None)
        if client is not None:
            await client.aclose()


_closing: set[asyncio.Task[None]] = set()


def _close_soon(own: dict[_Place, AsyncHttpClient]) -> None:
    """Close what a forgotten pool left on the running loop; elsewhere the sockets close with their objects."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    client = own.pop((os.getpid(), loop), None)
    if client is not None:
        task = loop.create_task(_closed(client))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _closed(client: AsyncHttpClient) -> None:
    await client.aclose()
