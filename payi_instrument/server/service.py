"""The engine behind a server's event loop: single events are committed in groups, the rest runs on threads."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from payi_instrument.engine.bulk import BulkAnswer
from payi_instrument.engine.intake import json_value, single
from payi_instrument.engine.ledger import Ingest
from payi_instrument.engine.loop_commit import LoopCommitter
from payi_instrument.engine.result_text import response_text
from payi_instrument.server.callers import Caller
from payi_instrument.server.exchange import UNEXPECTED
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.model import reply_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payi_instrument.engine.bookkeeper import Outcome
    from payi_instrument.engine.engine import Batch, Engine
    from payi_instrument.wire.message import Reply, Request

T = TypeVar("T")

_log = logging.getLogger(__name__)
_THREADS = 8
_REFUSED_FROM = 400
_READ_AT_ONCE = 64 * 1024
"""Bytes of an event that the loop itself reads; a longer one would keep the others waiting."""


class Answer(NamedTuple):
    """What is answered, as JSON text, and the codes of what was refused."""

    status: int
    text: bytes
    refusals: Sequence[str] = ()


class Service:
    """Answer requests, whose bodies are JSON text, without keeping the event loop waiting."""

    def __init__(self, engine: Engine) -> None:
        """Take an open engine."""
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="payi-commits")
        self._committer: LoopCommitter[Batch, list[Outcome]] = LoopCommitter(engine.ingest_all, lambda: self._writer)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="payi-operations")
        self._looking: asyncio.Future[bool] | None = None

    async def ingest(self, request: Request[Any], application: str) -> Answer:
        """Book one event with those that arrive meanwhile, and answer once it is durable.

        Raises `ContractError` for an event that is refused, `APIConnectionError` when nothing could be stored.
        """
        body = request.body
        short = isinstance(body, bytes) and len(body) <= _READ_AT_ONCE
        event = single(request) if short else await self._on_thread(single, request)
        [outcome] = await self._committer.put([Ingest(application, event)])
        if isinstance(outcome, ContractError):
            raise _shown(outcome)
        return Answer(200, response_text(outcome).encode())

    async def answer(self, request: Request[Any], application: str) -> Answer:
        """Answer any other operation; raises as :meth:`ingest` does."""
        answers = self._bulk if request.operation.many else self._other
        return await self._on_thread(answers, request, application)

    def _bulk(self, request: Request[Any], application: str) -> Answer:
        booked = self._engine.bulk(request, application)
        outcomes = [_shown(outcome) if isinstance(outcome, ContractError) else outcome for outcome in booked.outcomes]
        answer = BulkAnswer(outcomes, booked.with_results)
        return Answer(answer.status, answer.text(), [refusal.code for refusal in answer.refusals])

    def _other(self, request: Request[Any], application: str) -> Answer:
        if isinstance(request.body, bytes):
            request.body = json_value(request.body)
        reply = self._engine.answer(request, application)
        return Answer(reply.status, reply_text(reply.body), _codes(reply))

    async def caller(self, key: str) -> Caller | None:
        """Return the caller behind a key, None for one that is unknown or revoked; raises `APIConnectionError`."""
        found = await self._on_thread(self._engine.caller, key)
        return None if found is None else Caller(*found)

    async def is_ready(self) -> bool:
        """Say whether the ledger answers; all who ask meanwhile are told the same."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._on_thread(self._engine.is_ready))
        return await asyncio.shield(self._looking)

    async def _on_thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        """Finish what was accepted, then close the ledger."""
        self._writer.shutdown(wait=True)
        self._threads.shutdown(wait=True)
        self._engine.close()


def _codes(reply: Reply) -> list[str]:
    """Return the code of a reply that is an error envelope."""
    error = cast("Mapping[str, Any]", reply.body).get("xproxy_error") if reply.status >= _REFUSED_FROM else None
    return [error["code"]] if error else []


def _shown(refusal: ContractError) -> ContractError:
    """Return a refusal as a client may see it: of what nobody expected it is told nothing."""
    if refusal.code != UNEXPECTED.code:
        return refusal
    kind, _, _ = refusal.message.partition(":")  # what follows may quote the event
    _log.error("an event could not be booked", extra={"error": kind})
    return UNEXPECTED
