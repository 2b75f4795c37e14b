"""One definition of each client method, called in any of the six modes.

A method is a function that takes the caller's arguments and returns the request for them. :class:`method` sends it as the
mode of its resource says (see `modes.py`); :class:`page_method` is for listings, :class:`plan_method` for what takes more
than one request. All keep the function's signature and docstring.
"""

from __future__ import annotations

from collections.abc import Generator
from inspect import Signature, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from payi_instrument.client.modes import Async, AsyncRaw, AsyncStreaming, Raw, Streaming, Sync
from payi_instrument.wire.message import Page, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from payi_instrument.client.pages import AsyncCursorPage, AsyncPaginator, SyncCursorPage
    from payi_instrument.client.response import APIResponse, AsyncAPIResponse

P = ParamSpec("P")
T = TypeVar("T")
ItemT = TypeVar("ItemT")
SyncT = TypeVar("SyncT")
AsyncT = TypeVar("AsyncT")
M = TypeVar("M", Sync, Async, Raw, AsyncRaw, Streaming, AsyncStreaming)


class Resource(Generic[M]):
    """A group of methods, all called in one mode."""

    def __init__(self, mode: M) -> None:
        """Take the mode."""
        self._mode: M = mode


class _Method(Generic[P, T]):
    """A function that makes a request, found on a resource; its return annotation has the answer's type in an outline."""

    _outline = ("Request[", "]")

    def __init__(self, build: Callable[P, T]) -> None:
        """Take the function that makes the request."""
        self._build = build
        self._signatures: dict[str, Signature] = {}
        self.__doc__ = build.__doc__

    def __set_name__(self, owner: type[Resource[Any]], name: str) -> None:
        """Let Python's own messages about arguments name the method, not the function behind it."""
        self._build.__qualname__ = f"{owner.__name__}.{name}"

    def _bound(self, run: Callable[[T], Any], gives: str) -> Callable[P, Any]:
        """Return the function that sends what is asked for, with the name, docstring and arguments of what asks.

        It is a coroutine function where `run` is one, for who asks before calling: a mock, a framework. `gives` says in
        text what comes back, `{}` standing for the answer.
        """
        build = self._build
        if iscoroutinefunction(run):

            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await run(build(*args, **kwargs))

            call: Any = awaited
        else:

            def called(*args: P.args, **kwargs: P.kwargs) -> Any:
                return run(build(*args, **kwargs))

            call = called
        call.__name__ = build.__name__.lstrip("_")
        call.__qualname__ = build.__qualname__
        call.__doc__ = build.__doc__
        call.__module__ = build.__module__
        call.__signature__ = self._signature(gives)
        return cast("Callable[P, Any]", call)

    def _signature(self, gives: str) -> Signature:
        if gives not in self._signatures:
            asked = signature(self._build)
            before, after = self._outline
            answer = str(asked.return_annotation).removeprefix(before).removesuffix(after)
            self._signatures[gives] = asked.replace(return_annotation=gives.format(answer))
        return self._signatures[gives]


class method(_Method[P, Request[T]], Generic[P, T]):  # noqa: N801  # used like a decorator
    """Send what a function asks for and return the answer, as the resource's mode says."""

    @overload
    def __get__(self, resource: None, owner: type) -> method[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, resource: Resource[Raw], owner: type) -> Callable[P, APIResponse[T]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncRaw], owner: type
    ) -> Callable[P, Coroutine[Any, Any, AsyncAPIResponse[T]]]: ...
    @overload
    def __get__(
        self, resource: Resource[Streaming], owner: type
    ) -> Callable[P, AbstractContextManager[APIResponse[T]]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncStreaming], owner: type
    ) -> Callable[P, AbstractAsyncContextManager[AsyncAPIResponse[T]]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """Bind to a resource."""
        if resource is None:
            return self
        mode = resource._mode  # noqa: SLF001  # one mechanism, two classes
        return self._bound(mode.run, mode.gives)


class page_method(_Method[P, Request[Page[ItemT]]], Generic[P, ItemT]):  # noqa: N801  # used like a decorator
    """Send what a function asks for and return the first page of the listing, as the resource's mode says."""

    _outline = ("Request[Page[", "]]")

    @overload
    def __get__(self, resource: None, owner: type) -> page_method[P, ItemT]: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: type) -> Callable[P, SyncCursorPage[ItemT]]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: type) -> Callable[P, AsyncPaginator[ItemT]]: ...
    @overload
    def __get__(self, resource: Resource[Raw], owner: type) -> Callable[P, APIResponse[SyncCursorPage[ItemT]]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncRaw], owner: type
    ) -> Callable[P, Coroutine[Any, Any, AsyncAPIResponse[AsyncCursorPage[ItemT]]]]: ...
    @overload
    def __get__(
        self, resource: Resource[Streaming], owner: type
    ) -> Callable[P, AbstractContextManager[APIResponse[SyncCursorPage[ItemT]]]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncStreaming], owner: type
    ) -> Callable[P, AbstractAsyncContextManager[AsyncAPIResponse[AsyncCursorPage[ItemT]]]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """Bind to a resource."""
        if resource is None:
            return self
        mode = resource._mode  # noqa: SLF001
        return self._bound(mode.page, mode.lists)


class plan_method(_Method[P, Generator[Request[Any], Any, T]], Generic[P, T]):  # noqa: N801  # used like a decorator
    """Send what a plan asks for, request by request; there is no one response to show."""

    _outline = ("Generator[Request[Any], BulkIngestResponse, ", "]")

    @overload
    def __get__(self, resource: None, owner: type) -> plan_method[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """Bind to a resource; raises `AttributeError` on one that gives responses."""
        if resource is None:
            return self
        mode = resource._mode  # noqa: SLF001
        if not isinstance(mode, (Sync, Async)):
            msg = f"{self._build.__name__.lstrip('_')} sends any number of requests and has no one response"
            raise AttributeError(msg)  # noqa: TRY004  # what hasattr() expects
        return self._bound(mode.follow, mode.gives)


class _View:
    """The same resource in another mode."""

    def __set_name__(self, owner: type[Resource[Any]], name: str) -> None:
        """Learn which resource it stands on."""
        self._resource = owner


class raw_view(_View, Generic[SyncT, AsyncT]):  # noqa: N801  # used like a decorator
    """Show a resource whose methods return the response, `parse()` of which is the answer."""

    @overload
    def __get__(self, resource: Resource[Sync], owner: type) -> SyncT: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: type) -> AsyncT: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """Return the view."""
        return self if resource is None else self._resource(resource._mode.raw())  # noqa: SLF001


class streaming_view(_View, Generic[SyncT, AsyncT]):  # noqa: N801  # used like a decorator
    """Show a resource whose methods return a `with` block round a response still to be read."""

    @overload
    def __get__(self, resource: Resource[Sync], owner: type) -> SyncT: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: type) -> AsyncT: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        """Return the view."""
        return self if resource is None else self._resource(resource._mode.streaming())  # noqa: SLF001
