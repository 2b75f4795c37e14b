"""Listings, page by page: iterate a page to walk through all that follow, as often as you like.

Source: client.md section 5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from payi_instrument.client.method import AsyncResource, AsyncSender, Resource, Sender, answer_of, named
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from payi_instrument.wire.message import Page, Request

P = ParamSpec("P")
ItemT = TypeVar("ItemT")


class _Cursor(Generic[ItemT]):
    """What a sync and an async page share: the items, and the request that gets the next ones."""

    def __init__(self, request: Request[Page[ItemT]], page: Page[ItemT]) -> None:
        self._request = request
        self.items: list[ItemT] = page.items or []
        self.cursor = page.cursor or None

    def has_next_page(self) -> bool:
        """Say whether more items follow this page."""
        return bool(self.items) and self.cursor is not None

    def next_page_info(self) -> dict[str, str] | None:
        """Return the query of the next page, None on the last."""
        return {"cursor": self.cursor} if self.cursor is not None and self.has_next_page() else None

    def _next_request(self) -> Request[Page[ItemT]]:
        if not self.has_next_page():
            msg = "this is the last page; ask has_next_page() before get_next_page()"
            raise PayiError(msg)
        return replace(self._request, query={**self._request.query, "cursor": self.cursor})


class SyncCursorPage(_Cursor[ItemT]):
    """One page of a listing; iterating it walks through the following pages too, fetched when reached."""

    def __init__(self, client: Sender, request: Request[Page[ItemT]]) -> None:
        """Fetch the page that a request asks for."""
        self._client = client
        super().__init__(request, answer_of(request, client._send(request)))  # noqa: SLF001

    def get_next_page(self) -> SyncCursorPage[ItemT]:
        """Fetch the next page; raises `PayiError` on the last."""
        return SyncCursorPage(self._client, self._next_request())

    def iter_pages(self) -> Iterator[SyncCursorPage[ItemT]]:
        """Walk through this page and all that follow."""
        page = self
        while True:
            yield page
            if not page.has_next_page():
                return
            page = page.get_next_page()

    def __iter__(self) -> Iterator[ItemT]:
        """Walk through the items of this page and of all that follow."""
        for page in self.iter_pages():
            yield from page.items


class AsyncCursorPage(_Cursor[ItemT]):
    """One page of a listing; `async for` walks through the following pages too, fetched when reached."""

    def __init__(self, client: AsyncSender, request: Request[Page[ItemT]], page: Page[ItemT]) -> None:
        """Take a fetched page and the request that it answers."""
        self._client = client
        super().__init__(request, page)

    async def get_next_page(self) -> AsyncCursorPage[ItemT]:
        """Fetch the next page; raises `PayiError` on the last."""
        return await AsyncPaginator(self._client, self._next_request())

    async def iter_pages(self) -> AsyncIterator[AsyncCursorPage[ItemT]]:
        """Walk through this page and all that follow."""
        page = self
        while True:
            yield page
            if not page.has_next_page():
                return
            page = await page.get_next_page()

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Walk through the items of this page and of all that follow."""
        async for page in self.iter_pages():
            for item in page.items:
                yield item


class AsyncPaginator(Generic[ItemT]):
    """A listing not fetched yet: `await` it for its first page, or iterate it with `async for`."""

    def __init__(self, client: AsyncSender, request: Request[Page[ItemT]]) -> None:
        """Take the request for the first page."""
        self._client = client
        self._request = request

    def __await__(self) -> Generator[Any, None, AsyncCursorPage[ItemT]]:
        """Fetch the first page."""
        return self._fetch().__await__()

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Walk through the items of all pages."""
        page = await self._fetch()
        async for item in page:
            yield item

    async def _fetch(self) -> AsyncCursorPage[ItemT]:
        reply = await self._client._asend(self._request)  # noqa: SLF001
        return AsyncCursorPage(self._client, self._request, answer_of(self._request, reply))


class page_method(Generic[P, ItemT]):  # noqa: N801  # used like a decorator
    """Send what a function asks for and return the first page of the listing."""

    def __init__(self, build: Callable[P, Request[Page[ItemT]]]) -> None:
        """Take the function that makes the request."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> page_method[P, ItemT]: ...
    @overload
    def __get__(self, resource: Resource, owner: type) -> Callable[P, SyncCursorPage[ItemT]]: ...
    def __get__(
        self, resource: Resource | None, owner: type
    ) -> page_method[P, ItemT] | Callable[P, SyncCursorPage[ItemT]]:
        """Bind to a resource."""
        if resource is None:
            return self
        client, build = resource._client, self._build  # noqa: SLF001

        def call(*args: P.args, **kwargs: P.kwargs) -> SyncCursorPage[ItemT]:
            return SyncCursorPage(client, build(*args, **kwargs))

        return named(call, build)


class async_page_method(Generic[P, ItemT]):  # noqa: N801  # used like a decorator
    """Return the listing that a function asks for, to be awaited or iterated."""

    def __init__(self, build: Callable[P, Request[Page[ItemT]]]) -> None:
        """Take the function that makes the request."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> async_page_method[P, ItemT]: ...
    @overload
    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, AsyncPaginator[ItemT]]: ...
    def __get__(
        self, resource: AsyncResource | None, owner: type
    ) -> async_page_method[P, ItemT] | Callable[P, AsyncPaginator[ItemT]]:
        """Bind to a resource."""
        if resource is None:
            return self
        client, build = resource._client, self._build  # noqa: SLF001

        def call(*args: P.args, **kwargs: P.kwargs) -> AsyncPaginator[ItemT]:
            return AsyncPaginator(client, build(*args, **kwargs))

        return named(call, build)
