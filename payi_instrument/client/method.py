"""One definition of each client method, called sync or async.

A method is a function that takes the caller's arguments and returns the request for them. :class:`method` sends it and
returns the answer, :class:`async_method` is its awaited twin; both keep the function's signature and docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic import TypeAdapter

from payi_instrument.errors import APIResponseValidationError, status_error
from payi_instrument.wire.model import Model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payi_instrument.wire.message import Operation, Reply, Request

P = ParamSpec("P")
T = TypeVar("T")
_ERRORS_FROM = 400


class Sender(Protocol):
    """What a sync client's resources need of it."""

    def _send(self, request: Request[Any]) -> Reply: ...


class AsyncSender(Protocol):
    """What an async client's resources need of it."""

    async def _asend(self, request: Request[Any]) -> Reply: ...


class Resource:
    """A group of methods of a sync client."""

    def __init__(self, client: Sender) -> None:
        """Take the client that sends."""
        self._client = client


class AsyncResource:
    """A group of methods of an async client."""

    def __init__(self, client: AsyncSender) -> None:
        """Take the client that sends."""
        self._client = client


class method(Generic[P, T]):  # noqa: N801  # used like a decorator
    """Send what a function asks for and return the answer."""

    def __init__(self, build: Callable[P, Request[T]]) -> None:
        """Take the function that makes the request."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> method[P, T]: ...
    @overload
    def __get__(self, resource: Resource, owner: type) -> Callable[P, T]: ...
    def __get__(self, resource: Resource | None, owner: type) -> method[P, T] | Callable[P, T]:
        """Bind to a resource."""
        if resource is None:
            return self
        client, build = resource._client, self._build  # noqa: SLF001  # one mechanism, two classes

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            request = build(*args, **kwargs)
            return answer_of(request, client._send(request))  # noqa: SLF001

        return named(call, build)


class async_method(Generic[P, T]):  # noqa: N801  # used like a decorator
    """Send what a function asks for and return the answer, awaited."""

    def __init__(self, build: Callable[P, Request[T]]) -> None:
        """Take the function that makes the request."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> async_method[P, T]: ...
    @overload
    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, resource: AsyncResource | None, owner: type) -> async_method[P, T] | Callable[P, Awaitable[T]]:
        """Bind to a resource."""
        if resource is None:
            return self
        client, build = resource._client, self._build  # noqa: SLF001  # one mechanism, two classes

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            request = build(*args, **kwargs)
            return answer_of(request, await client._asend(request))  # noqa: SLF001

        return named(call, build)


def named(call: Callable[P, T], build: Callable[..., object]) -> Callable[P, T]:
    """Give a bound method the name, docstring and signature of the function that makes its request."""
    call.__name__ = build.__name__.lstrip("_")
    call.__doc__ = build.__doc__
    call.__wrapped__ = build  # type: ignore[attr-defined]  # so that inspect.signature shows the arguments
    return call


def answer_of(request: Request[T], reply: Reply) -> T:
    """Return the body of a reply as the operation's answer; an embedded meter's is that already.

    Raises the error of the reply's status, or `APIResponseValidationError` for a body of another shape.
    """
    if reply.status >= _ERRORS_FROM:
        body = reply.body.to_dict() if isinstance(reply.body, Model) else reply.body
        raise status_error(reply.status, body)
    expected = request.operation.answer
    if isinstance(expected, type) and isinstance(reply.body, expected):  # pyright: ignore[reportUnnecessaryIsInstance]  # list[X]
        return reply.body  # pyright: ignore[reportReturnType]
    try:
        return _adapter(request.operation).validate_python(reply.body)
    except ValueError as error:
        message = f"{request.operation.name}: the meter's answer has another shape: {error}"
        raise APIResponseValidationError(message, status_code=reply.status, response=None, body=reply.body) from error


_adapters: dict[str, TypeAdapter[Any]] = {}


def _adapter(operation: Operation[T]) -> TypeAdapter[T]:
    """Return what reads an operation's answer from JSON, made once."""
    adapter = _adapters.get(operation.name)
    if adapter is None:
        adapter = _adapters[operation.name] = TypeAdapter(operation.answer)
    return adapter
