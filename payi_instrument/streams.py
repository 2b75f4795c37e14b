"""Stand in a stream without getting in its way: the caller keeps the SDK's own object.

A chunk iterator stands in the stream's inner iterator, and the response's `close` is hooked; a raw response has its bytes
tapped. However the caller leaves (full read, break and close, `with`, dropped object, cancelled task, exception), the call
ends once. Source: instrumentation-semantics section 6.9, design decision 12.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from payi_instrument.answers import attach
from payi_instrument.guard import Guard
from payi_instrument.providers._sse import EventFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from payi_instrument.call import Call, Delivery
    from payi_instrument.event import UsageEvent

_SEE = Guard("read a chunk")
_END = Guard("end a stream")


class Ending:
    """End a call once, whoever sees the end first, and put the result on the stream."""

    __slots__ = ("__weakref__", "_answer", "_delivery", "_hooks", "call", "is_begun")

    def __init__(self, call: Call, delivery: Delivery, answer: object, *, is_begun: bool = True) -> None:
        """Take the call, how its event is delivered, and the object that gets the result.

        A call whose answer did not begin has failed when it is abandoned; of any other's answer something was used.
        """
        self.call = call
        self.is_begun = is_begun
        self._delivery = delivery
        self._answer = weakref.ref(answer)  # the answer holds us, not the other way round
        self._hooks: list[tuple[dict[str, Any], str, Any]] = []
        _open[self] = delivery

    def __del__(self) -> None:
        """End a call whose stream was dropped."""
        self.abandon()

    def hook(self, response: Any, name: str, function: Callable[..., Any]) -> None:
        """Let a function stand for a method of the response until the call ends."""
        own: dict[str, Any] = response.__dict__
        self._hooks.append((own, name, own.get(name)))
        setattr(response, name, function)

    def _unhook(self) -> None:
        """Give the response its methods back; otherwise only a garbage collection would free it."""
        _open.pop(self, None)
        hooks, self._hooks = self._hooks, []
        for own, name, before in hooks:
            own.pop(name, None)
            if before is not None:
                own[name] = before

    def begin(self, answer: object) -> None:
        """Take note that the answer begins, and of the object that gets the result."""
        self.is_begun = True
        self._answer = weakref.ref(answer)

    def abandon(self) -> None:
        """End without waiting, locking or running the user's code: a finaliser may run in the middle of anything."""
        self._unhook()
        if not self.call.open:
            return
        if self.is_begun:
            self._delivery.defer(partial(self.call.finish_stream, self._answer()))
        else:
            self.fail_later(ConnectionAbortedError("the connection was left before the answer began"))

    def fail_later(self, error: BaseException) -> None:
        """End with an exception, without waiting."""
        if self.call.open:
            self._delivery.defer(partial(self.call.fail, error))

    def finish(self, event: Callable[[Any], UsageEvent | None]) -> None:
        """End with the event that a method of the call makes of the answer, and deliver it."""
        self._unhook()
        with _END:
            if (made := event(self._answer())) is not None:
                self._settle(self._delivery.deliver(made))

    async def afinish(self, event: Callable[[Any], UsageEvent | None]) -> None:
        """End with the event that a method of the call makes of the answer, and deliver it."""
        self._unhook()
        with _END:
            if (made := event(self._answer())) is not None:
                self._settle(await self._delivery.adeliver(made))

    def fail(self, error: BaseException) -> None:
        """End with an exception."""
        self.finish(lambda _answer: self.call.failed(error, self._delivery))

    async def afail(self, error: BaseException) -> None:
        """End with an exception."""
        await self.afinish(lambda _answer: self.call.failed(error, self._delivery))

    def _settle(self, result: Any) -> None:
        self.call.settled(result)
        attach(self._answer(), result)


_open: weakref.WeakKeyDictionary[Ending, Delivery] = weakref.WeakKeyDictionary()
"""The calls that did not end, each with what is to deliver it, which may not go before."""


def abandon_open() -> None:
    """End the calls whose streams are still open, at the exit of the process."""
    for reference in _open.keyrefs():  # in one step: other threads may still open streams
        if (ending := reference()) is not None:
            ending.abandon()


def _leave_to_parent() -> None:
    """Take no part in the calls of the process that this one was forked from: it ends them."""
    for reference in _open.keyrefs():
        if (ending := reference()) is not None:
            ending.call.leave()
    _open.clear()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_leave_to_parent)


def stand_in_stream(call: Call, delivery: Delivery, stream: Any, *, awaited: bool) -> None:
    """Stand in an SDK's stream object: its chunks are seen, and however it ends the call does."""
    parts = call.provider.stream_parts(stream)
    call.begin_stream()
    attach(stream, None)
    ending = Ending(call, delivery, stream)
    inner: Any = getattr(parts.holder, parts.attribute)
    setattr(parts.holder, parts.attribute, (AsyncChunks if awaited else Chunks)(inner, ending))
    running = weakref.ref(inner)  # a response that held its own generator would be one more cycle
    _hook_close(parts.response, ending, lambda: _is_stepping(running()), awaited=awaited)


def _is_stepping(inner: Any) -> bool:
    """Say whether a generator makes its next item, or has just ended and only its remains are being cleared away."""
    if inner is None:
        return False
    kind = "ag" if hasattr(inner, "ag_frame") else "gi"
    ended = getattr(inner, f"{kind}_frame", inner) is None
    return ended or (getattr(inner, f"{kind}_running", False) and not _is_dropped())


class _Stand:
    """What stands in a stream's inner iterator."""

    __slots__ = ("_ending", "_inner", "_next", "_see")

    def __init__(self, inner: Any, ending: Ending) -> None:
        self._inner = inner
        self._ending = ending
        self._see: Callable[[Any], bool] = self._see_first
        self._next = inner.__next__ if hasattr(inner, "__next__") else inner.__anext__

    def _see_first(self, chunk: Any) -> bool:
        """Take the first chunks, whose times count; after that the reader alone sees them."""
        call = self._ending.call
        hidden = call.chunk(chunk)
        self._see = call.next_chunk()
        return hidden


class Chunks(_Stand):
    """Pass a sync stream's chunks through."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        """Return itself."""
        return self

    def close(self) -> None:
        """Close the inner generator."""
        self._inner.close()

    def __next__(self) -> Any:
        """Return the next chunk that the caller is to see."""
        while True:
            try:
                chunk = self._next()
            except StopIteration:
                self._ending.finish(self._ending.call.finish_stream)
                raise
            except BaseException as error:
                self._ending.fail(error)
                raise
            try:
                if not self._see(chunk):
                    return chunk
            except Exception as error:  # noqa: BLE001  # handed to the guard
                _SEE.handle(error)
                return chunk


class AsyncChunks(_Stand):
    """Pass an async stream's chunks through."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Return itself."""
        return self

    async def aclose(self) -> None:
        """Close the inner generator."""
        await self._inner.aclose()

    async def __anext__(self) -> Any:
        """Return the next chunk that the caller is to see."""
        while True:
            try:
                chunk = await self._next()
            except StopAsyncIteration:
                await self._ending.afinish(self._ending.call.finish_stream)
                raise
            except BaseException as error:
                await self._ending.afail(error)
                raise
            try:
                if not self._see(chunk):
                    return chunk
            except Exception as error:  # noqa: BLE001  # handed to the guard
                _SEE.handle(error)
                return chunk


def _hook_close(response: Any, ending: Ending, stepping: Callable[[], bool], *, awaited: bool) -> None:
    """End the call when the response is closed from outside; inside a step the step itself says how it ended."""
    if awaited:
        close_later = response.aclose

        async def aclose() -> None:
            inside, dropped = stepping(), _is_dropped()
            try:
                await close_later()
            finally:
                if dropped and not inside:
                    ending.abandon()
                elif not inside:
                    await ending.afinish(ending.call.finish_stream)

        ending.hook(response, "aclose", aclose)
        return
    close_now = response.close

    def close() -> None:
        inside, dropped = stepping(), _is_dropped()
        try:
            close_now()
        finally:
            if dropped and not inside:
                ending.abandon()
            elif not inside:
                ending.finish(ending.call.finish_stream)

    ending.hook(response, "close", close)


def _is_dropped() -> bool:
    """Say whether a generator is being closed, by the garbage collector perhaps: in the middle of anything."""
    return isinstance(sys.exc_info()[1], GeneratorExit)


def tap_raw(call: Call, delivery: Delivery, answer: Any, *, awaited: bool) -> None:
    """Tap the bytes of a raw response that was not read yet; every way of reading it goes through them."""
    response = call.provider.raw_response(answer)
    call.begin_stream()
    attach(answer, None)
    ending = Ending(call, delivery, answer)
    tap = _Tap(call, response.headers.get("content-type") or "")
    if awaited:
        ending.hook(
            response,
            "aiter_bytes",
            _for_one(response.aiter_bytes, _tapped_async(response.aiter_bytes, tap, ending), tap),
        )
    else:
        ending.hook(
            response, "iter_bytes", _for_one(response.iter_bytes, _tapped(response.iter_bytes, tap, ending), tap)
        )
    _hook_close(response, ending, lambda: tap.stepping, awaited=awaited)


def _see_event(call: Call, data: str) -> bool:
    with _SEE:
        chunk = call.provider.parse_chunk(data)
        return chunk is not None and call.chunk(chunk)
    return False


_EVENTS = "text/event-stream"


class _Tap:
    """Read bytes on their way to the caller; only an event that we asked for is taken out."""

    __slots__ = ("_body", "_call", "_events", "_keeps", "_kept", "_size", "hides", "stepping", "taken")

    def __init__(self, call: Call, content_type: str) -> None:
        self._call = call
        streamed = call.facts.streamed or content_type.startswith(_EVENTS)
        self._events = EventFilter(partial(_see_event, call)) if streamed else None
        self._keeps = not call.facts.sound  # it says nothing, and may be long
        self._body: list[bytes] = []
        self._kept = b""
        self._size: int | None = None
        self.hides = call.facts.asked_for_usage
        self.taken = False
        """Whether somebody reads already."""
        self.stepping = False
        """Whether bytes are being read: at their end the response closes itself."""

    def begin(self, chunk_size: int | None) -> int | None:
        """Return the size to read in; where events are taken out, the sizes are made here."""
        self.taken = self.stepping = True
        self._size = chunk_size
        return None if self.hides else chunk_size

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the pieces that the caller is to see."""
        if self._events is None:
            if self._keeps:
                self._body.append(data)
            return [data]
        passed = self._events.feed(data)
        return self._pieces(passed) if self.hides else [data]

    def _pieces(self, data: bytes) -> list[bytes]:
        if self._size is None:
            return [data] if data else []
        self._kept += data
        whole = len(self._kept) // self._size * self._size
        pieces = [self._kept[at : at + self._size] for at in range(0, whole, self._size)]
        self._kept = self._kept[whole:]
        return pieces

    def rest(self, *, broken: bool = False) -> list[bytes]:
        """Return what was held back; a response that broke off does not fill a piece up to its size."""
        held = self._events.rest() if self._events is not None else b""
        pieces = self._pieces(held) if self.hides else []
        return [*pieces, self._kept] if self._kept and not broken else pieces

    def finished(self, answer: Any) -> UsageEvent | None:
        """End the call with all the bytes."""
        if self._events is not None:
            return self._call.finish_stream(answer)
        return self._call.finish_bytes(b"".join(self._body), answer)


def _for_one(read: Callable[..., Any], tapped: Callable[..., Any], tap: _Tap) -> Callable[..., Any]:
    """Tap the first reader alone; another gets what the HTTP library has for it, an error mostly."""

    def reader(chunk_size: int | None = None) -> Any:
        return (read if tap.taken else tapped)(chunk_size)

    return reader


def _tapped(read: Callable[..., Iterator[bytes]], tap: _Tap, ending: Ending) -> Callable[..., Iterator[bytes]]:
    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        try:
            for data in read(tap.begin(chunk_size)):
                tap.stepping = False
                yield from tap.feed(data)
                tap.stepping = True
        except BaseException as error:
            if not tap.stepping:  # the reader leaves
                ending.abandon()
                raise
            tap.stepping = False
            if isinstance(error, Exception):
                yield from tap.rest(broken=True)
            ending.fail(error)
            raise
        tap.stepping = False
        yield from tap.rest()
        ending.finish(tap.finished)

    return iter_bytes


def _tapped_async(  # an async generator can't delegate to another
    read: Callable[..., AsyncGenerator[bytes]], tap: _Tap, ending: Ending
) -> Callable[..., AsyncIterator[bytes]]:
    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        try:
            async with aclosing(read(tap.begin(chunk_size))) as parts:
                async for data in parts:
                    tap.stepping = False
                    for piece in tap.feed(data):
                        yield piece
                    tap.stepping = True
        except BaseException as error:
            if not tap.stepping:  # the reader leaves
                ending.abandon()
                raise
            tap.stepping = False
            if isinstance(error, Exception):
                for piece in tap.rest(broken=True):
                    yield piece
            await ending.afail(error)
            raise
        tap.stepping = False
        for piece in tap.rest():
            yield piece
        await ending.afinish(tap.finished)

    return aiter_bytes
