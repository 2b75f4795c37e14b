"""The six ways to call one method: sync or awaited, for the answer, for the response, or for a response still to be read.

A resource has one of them, and so have the resources below it. Source: client.md section 2.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

from payi_instrument.client.answers import answer_of
from payi_instrument.client.pages import AsyncCursorPage, AsyncPaginator, SyncCursorPage
from payi_instrument.client.response import APIResponse, AsyncAPIResponse
from payi_instrument.errors import APIStatusError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from payi_instrument.wire.message import Page, Reply, Request

T = TypeVar("T")
R = TypeVar("R")
ItemT = TypeVar("ItemT")


class Sender(Protocol):
    """What carries a sync client's requests; :meth:`open` leaves the answer's body to be read."""

    def send(self, request: Request[Any]) -> Reply:
        """Send a request; raises the error of the answer's status."""
        ...

    def open(self, request: Request[Any]) -> Reply:
        """Send a request and read no more than the answer's headers."""
        ...


class AsyncSender(Protocol):
    """What carries an async client's requests."""

    async def asend(self, request: Request[Any]) -> Reply:
        """Send a request; raises the error of the answer's status."""
        ...

    async def aopen(self, request: Request[Any]) -> Reply:
        """Send a request and read no more than the answer's headers."""
        ...


class _Answering:
    """What all modes share: whether an answer has to have the documented shape."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def read(self, request: Request[T], reply: Reply) -> T:
        """Return the answer in a reply."""
        return answer_of(request, reply, strict=self._strict)


@final
class Sync(_Answering):
    """Return the answer."""

    gives, lists = "{}", "SyncCursorPage[{}]"

    def __init__(self, sender: Sender, *, strict: bool) -> None:
        """Take what sends, and whether answers must have the documented shape."""
        super().__init__(strict=strict)
        self.sender = sender

    def run(self, request: Request[T]) -> T:
        """Send a request and return its answer."""
        return self.read(request, self.sender.send(request))

    def page(self, request: Request[Page[ItemT]]) -> SyncCursorPage[ItemT]:
        """Fetch the first page of a listing."""
        return SyncCursorPage(self.run, request, self.run(request))

    def follow(self, plan: Generator[Request[Any], Any, T]) -> T:
        """Send what a plan asks for, one request after another, and return what it makes of the answers."""
        step: Callable[[], Request[Any]] = partial(next, plan)
        while True:
            try:
                request = step()
            except StopIteration as done:
                answer: T = done.value
                return answer
            try:
                step = partial(plan.send, self.run(request))
            except APIStatusError as error:
                step = partial(plan.throw, error)

    def raw(self) -> Raw:
        """Return the mode for responses."""
        return Raw(self)

    def streaming(self) -> Streaming:
        """Return the mode for responses still to be read."""
        return Streaming(self)


@final
class Async(_Answering):
    """Return the answer, awaited."""

    gives, lists = "{}", "AsyncPaginator[{}]"

    def __init__(self, sender: AsyncSender, *, strict: bool) -> None:
        """Take what sends, and whether answers must have the documented shape."""
        super().__init__(strict=strict)
        self.sender = sender

    async def run(self, request: Request[T]) -> T:
        """Send a request and return its answer."""
        return self.read(request, await self.sender.asend(request))

    def page(self, request: Request[Page[ItemT]]) -> AsyncPaginator[ItemT]:
        """Return a listing, to be awaited or iterated."""
        return AsyncPaginator(self.run, request)

    async def follow(self, plan: Generator[Request[Any], Any, T]) -> T:
        """Send what a plan asks for, one after another; the plan itself runs on a worker thread, it may read files."""
        step: Callable[[], Request[Any]] = partial(next, plan)
        while True:
            request = await asyncio.to_thread(_stepped, step)
            if isinstance(request, _Done):
                answer: T = request.value
                return answer
            try:
                step = partial(plan.send, await self.run(request))
            except APIStatusError as error:
                step = partial(plan.throw, error)

    def raw(self) -> AsyncRaw:
        """Return the mode for responses."""
        return AsyncRaw(self)

    def streaming(self) -> AsyncStreaming:
        """Return the mode for responses still to be read."""
        return AsyncStreaming(self)


class _Done:
    """The end of a plan; StopIteration itself passes through no future."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _stepped(step: Callable[[], Request[Any]]) -> Request[Any] | _Done:
    try:
        return step()
    except StopIteration as done:
        return _Done(done.value)


@final
class Raw:
    """Return the response; its `parse()` gives the answer."""

    gives, lists = "APIResponse[{}]", "APIResponse[SyncCursorPage[{}]]"

    def __init__(self, plain: Sync) -> None:
        """Take the mode whose answers are wrapped."""
        self._plain = plain

    def run(self, request: Request[T]) -> APIResponse[T]:
        """Send a request and return the response."""
        return self._response(request, partial(self._plain.read, request))

    def page(self, request: Request[Page[ItemT]]) -> APIResponse[SyncCursorPage[ItemT]]:
        """Fetch the first page of a listing."""
        return self._response(request, _page_of(self._plain, request))

    def _response(self, request: Request[Any], read: Callable[[Reply], R]) -> APIResponse[R]:
        started = time.perf_counter()
        reply = self._plain.sender.send(request)
        return APIResponse(request, reply, read, timedelta(seconds=time.perf_counter() - started))


@final
class AsyncRaw:
    """Return the response, awaited; its `parse()` gives the answer."""

    gives, lists = "AsyncAPIResponse[{}]", "AsyncAPIResponse[AsyncCursorPage[{}]]"

    def __init__(self, plain: Async) -> None:
        """Take the mode whose answers are wrapped."""
        self._plain = plain

    async def run(self, request: Request[T]) -> AsyncAPIResponse[T]:
        """Send a request and return the response."""
        return await self._response(request, partial(self._plain.read, request))

    async def page(self, request: Request[Page[ItemT]]) -> AsyncAPIResponse[AsyncCursorPage[ItemT]]:
        """Fetch the first page of a listing."""
        return await self._response(request, _apage_of(self._plain, request))

    async def _response(self, request: Request[Any], read: Callable[[Reply], R]) -> AsyncAPIResponse[R]:
        started = time.perf_counter()
        reply = await self._plain.sender.asend(request)
        return AsyncAPIResponse(request, reply, read, timedelta(seconds=time.perf_counter() - started))


@final
class Streaming:
    """Return a `with` block whose response is read as its owner likes, and closed behind it."""

    gives = "AbstractContextManager[APIResponse[{}]]"
    lists = "AbstractContextManager[APIResponse[SyncCursorPage[{}]]]"

    def __init__(self, plain: Sync) -> None:
        """Take the mode whose answers are wrapped."""
        self._plain = plain

    @contextmanager
    def run(self, request: Request[T]) -> Generator[APIResponse[T]]:
        """Send a request when the block is entered."""
        with self._response(request, partial(self._plain.read, request)) as response:
            yield response

    @contextmanager
    def page(self, request: Request[Page[ItemT]]) -> Generator[APIResponse[SyncCursorPage[ItemT]]]:
        """Fetch the first page of a listing when the block is entered."""
        with self._response(request, _page_of(self._plain, request)) as response:
            yield response

    @contextmanager
    def _response(self, request: Request[Any], read: Callable[[Reply], R]) -> Generator[APIResponse[R]]:
        started = time.perf_counter()
        reply = self._plain.sender.open(request)
        response = APIResponse(request, reply, read, timedelta(seconds=time.perf_counter() - started))
        try:
            yield response
        finally:
            response.close()


@final
class AsyncStreaming:
    """Return an `async with` block whose response is read as its owner likes, and closed behind it."""

    gives = "AbstractAsyncContextManager[AsyncAPIResponse[{}]]"
    lists = "AbstractAsyncContextManager[AsyncAPIResponse[AsyncCursorPage[{}]]]"

    def __init__(self, plain: Async) -> None:
        """Take the mode whose answers are wrapped."""
        self._plain = plain

    @asynccontextmanager
    async def run(self, request: Request[T]) -> AsyncGenerator[AsyncAPIResponse[T]]:
        """Send a request when the block is entered."""
        async with self._response(request, partial(self._plain.read, request)) as response:
            yield response

    @asynccontextmanager
    async def page(self, request: Request[Page[ItemT]]) -> AsyncGenerator[AsyncAPIResponse[AsyncCursorPage[ItemT]]]:
        """Fetch the first page of a listing when the block is entered."""
        async with self._response(request, _apage_of(self._plain, request)) as response:
            yield response

    @asynccontextmanager
    async def _response(self, request: Request[Any], read: Callable[[Reply], R]) -> AsyncGenerator[AsyncAPIResponse[R]]:
        started = time.perf_counter()
        reply = await self._plain.sender.aopen(request)
        response = AsyncAPIResponse(request, reply, read, timedelta(seconds=time.perf_counter() - started))
        try:
            yield response
        finally:
            await response.close()


def _page_of(plain: Sync, request: Request[Page[ItemT]]) -> Callable[[Reply], SyncCursorPage[ItemT]]:
    return lambda reply: SyncCursorPage(plain.run, request, plain.read(request, reply))


def _apage_of(plain: Async, request: Request[Page[ItemT]]) -> Callable[[Reply], AsyncCursorPage[ItemT]]:
    return lambda reply: AsyncCursorPage(plain.run, request, plain.read(request, reply))
