"""The embedded meter behind the client: an in-process transport with the requests, replies and errors of the network.

`sqlite:///file.db` is a file shared with other processes, `sqlite://` memory of this client alone. Source: client.md
section 1, local mode.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from payi_instrument.engine.address import Address
from payi_instrument.engine.ledger import Ingest
from payi_instrument.engine.loop_commit import LoopCommitter
from payi_instrument.engine.use_cases import limit_id as limit_of_instance
from payi_instrument.errors import PayiError
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.result import LaterResult, XproxyError, XproxyResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.bookkeeper import Outcome
    from payi_instrument.engine.engine import Batch, Engine
    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.message import Reply, Request
    from payi_instrument.wire.result import LimitResult


class LocalTransport:
    """Carry requests and events to an engine in this process, for one application."""

    embedded: Literal[True] = True

    def __init__(self, engine: Engine, application: str) -> None:
        """Take the engine and the application whose limits and events are meant."""
        self._open: Engine | None = engine
        self._application = application
        self._worker: ThreadPoolExecutor | None = None
        self._committer: LoopCommitter[Batch, list[Outcome]] | None = None

    @property
    def meter(self) -> tuple[Engine, str]:
        """Return what two transports to the same ledger and application share."""
        return (self._engine(), self._application)

    def send(self, request: Request[Any]) -> Reply:
        """Answer one operation."""
        return self._engine().answer(request, self._application)

    async def asend(self, request: Request[Any]) -> Reply:
        """Answer one operation on a worker thread; the loop goes on meanwhile."""
        self._engine()
        return await asyncio.get_running_loop().run_in_executor(self._thread(), self.send, request)

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events and return a result for each; they are durable when this returns."""
        return [_result(outcome) for outcome in self._engine().ingest(list(events), self._application)]

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events at once where nobody has to be waited for, else on a worker thread.

        What many tasks queue for the thread is committed together. A task that is cancelled while it waits has its events
        booked all the same.
        """
        engine = self._engine()
        outcomes = engine.ingest_nowait(list(events), self._application)
        if outcomes is None:
            if self._committer is None:
                self._committer = LoopCommitter(engine.ingest_all, self._thread)
            outcomes = await self._committer.put([Ingest(self._application, event) for event in events])
        return [_result(outcome) for outcome in outcomes]

    def automatic_limits(self, use_case_name: str, use_case_id: str) -> tuple[str, ...]:
        """Return the limit that a use-case instance has if its definition gives it one."""
        return (limit_of_instance(use_case_name, use_case_id),)

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:  # noqa: ARG002
        """Return how limits stand now; unknown ids are left out. There is no network to wait for."""
        return self._engine().limit_states(list(limit_ids), self._application)

    async def alimit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:  # noqa: ARG002, ASYNC109
        """Return how limits stand now, read on a worker thread when somebody has to be waited for."""
        states = self._engine().limit_states_nowait(list(limit_ids), self._application)
        if states is not None:
            return states
        return await asyncio.get_running_loop().run_in_executor(self._thread(), self.limit_states, limit_ids)

    def is_closed(self) -> bool:
        """Say whether it stopped serving."""
        return self._open is None

    def close(self) -> None:
        """Stop serving; the engine closes with its last client."""
        self._open = None
        if self._worker is not None:
            self._worker.shutdown(wait=True)
        self._committer = None  # it holds the engine

    async def aclose(self) -> None:
        """Stop serving; what is being booked on the worker thread is finished, and the loop goes on meanwhile."""
        self._open = None
        if self._worker is not None:
            await asyncio.to_thread(self._worker.shutdown)
        self._committer = None

    def _thread(self) -> ThreadPoolExecutor:
        """Return the one worker thread: a second could only wait for the same lock. A forked child gets its own."""
        if self._worker is None or self._worker_pid != os.getpid():
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="payi-meter")
            self._worker_pid = os.getpid()
        return self._worker

    _worker_pid = 0

    def _engine(self) -> Engine:
        if self._open is None:
            msg = "the client is closed; make a new one"
            raise PayiError(msg)
        return self._open


def _result(outcome: Outcome) -> XproxyResult:
    if isinstance(outcome, ContractError):
        return XproxyResult(error=XproxyError(code=outcome.code, message=outcome.message))
    if outcome.notes or outcome.has_automatic_limit:  # it says what its reader does not know yet
        return outcome.result()
    return LaterResult.made_by(outcome.result)


_engines: weakref.WeakValueDictionary[Address, Engine] = weakref.WeakValueDictionary()
_opening = threading.Lock()


def _after_fork_in_child() -> None:
    global _opening  # a thread of the parent may hold the old one
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def open_local(url: str) -> LocalTransport:
    """Open the embedded meter that a URL names.

    Raises `MissingExtraError` without the extra that it takes, `ValueError` for an unknown option, `PayiError` when the
    ledger can't be opened, of these `APIConnectionError` when there is none to be reached.
    """
    address = Address.of(url)
    if not address.is_shared:
        return LocalTransport(address.open(), address.application)
    shared = replace(address, application="")
    with _opening:
        engine = _engines.get(shared)
        if engine is None:
            engine = _engines[shared] = address.open()
    return LocalTransport(engine, address.application)
