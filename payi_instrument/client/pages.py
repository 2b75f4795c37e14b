"""Listings, page by page: iterate a page to walk through all that follow, as often as you like.

Source: client.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack

from payi_instrument.client.arguments import UNSET, Unset
from payi_instrument.errors import LastPageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping

    from payi_instrument.wire.message import Page, Request

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What gets the next page: the query members in `params`. No listing here has its next page by `url` or `json`."""

    params: Mapping[str, str]
    url: Unset = UNSET
    json: Unset = UNSET


class Selection(TypedDict, total=False):
    """What a dump leaves out and how it names members, as for `to_dict` of a model."""

    use_api_names: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    warnings: bool


class _Cursor(Generic[ItemT]):
    """What a sync and an async page share: the items, and the request that gets the next ones."""

    def __init__(self, request: Request[Page[ItemT]], page: Page[ItemT]) -> None:
        self._request = request
        self._page = page
        self.items: list[ItemT] = page.items or []
        self.cursor = page.cursor or None
        self.request_id = page.request_id

    def __repr__(self) -> str:
        """Show the items, and what leads to the next ones."""
        return f"{type(self).__name__}(items={self.items!r}, cursor={self.cursor!r}, request_id={self.request_id!r})"

    def to_dict(self, *, mode: Literal["json", "python"] = "python", **selection: Unpack[Selection]) -> dict[str, Any]:
        """Return this page as a dictionary, amounts as floats, times as text in mode `json`."""
        return self._page.to_dict(mode=mode, **selection)

    def to_json(self, *, indent: int | None = 2, **selection: Unpack[Selection]) -> str:
        """Return this page as JSON text, amounts with all their digits; None for `indent` is one line."""
        return self._page.to_json(indent=indent, **selection)

    def has_next_page(self) -> bool:
        """Say whether more items follow this page."""
        return bool(self.items) and self.cursor is not None

    def next_page_info(self) -> PageInfo | None:
        """Return what gets the next page, None on the last."""
        return PageInfo({"cursor": self.cursor}) if self.cursor is not None and self.has_next_page() else None

    def _next_request(self) -> Request[Page[ItemT]]:
        info = self.next_page_info()
        if info is None:
            raise LastPageError
        return replace(self._request, query={**self._request.query, **info.params})


class SyncCursorPage(_Cursor[ItemT]):
    """One page of a listing; iterating it walks through the following pages too, fetched when reached."""

    def __init__(
        self, fetch: Callable[[Request[Page[ItemT]]], Page[ItemT]], request: Request[Page[ItemT]], page: Page[ItemT]
    ) -> None:
        """Take what fetches, and a fetched page with the request that it answers."""
        self._fetch = fetch
        super().__init__(request, page)

    def get_next_page(self) -> SyncCursorPage[ItemT]:
        """Fetch the next page; raises `LastPageError` on the last."""
        following = self._next_request()
        return SyncCursorPage(self._fetch, following, self._fetch(following))

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

    def __init__(
        self,
        fetch: Callable[[Request[Page[ItemT]]], Awaitable[Page[ItemT]]],
        request: Request[Page[ItemT]],
        page: Page[ItemT],
    ) -> None:
        """Take what fetches, and a fetched page with the request that it answers."""
        self._fetch = fetch
        super().__init__(request, page)

    async def get_next_page(self) -> AsyncCursorPage[ItemT]:
        """Fetch the next page; raises `LastPageError` on the last."""
        return await AsyncPaginator(self._fetch, self._next_request())

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

    def __init__(
        self, fetch: Callable[[Request[Page[ItemT]]], Awaitable[Page[ItemT]]], request: Request[Page[ItemT]]
    ) -> None:
        """Take what fetches, and the request for the first page."""
        self._fetch = fetch
        self._request = request

    def __await__(self) -> Generator[Any, None, AsyncCursorPage[ItemT]]:
        """Fetch the first page."""
        return self._first().__await__()

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Walk through the items of all pages."""
        page = await self._first()
        async for item in page:
            yield item

    async def _first(self) -> AsyncCursorPage[ItemT]:
        return AsyncCursorPage(self._fetch, self._request, await self._fetch(self._request))
