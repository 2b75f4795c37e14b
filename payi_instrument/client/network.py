"""The one door to the network: what is used of an HTTP library, and which library that is.

httpx2 is used when it is installed, else httpx; `PAYI_HTTP` picks; a caller's own HTTP client may be of either. Source:
client.md section 1, design section 3.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from payi_instrument.config import http_library
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
    from datetime import timedelta

    from httpx import Timeout as Timeout  # noqa: PLC0414  # public, and httpx2's has the same shape

    from payi_instrument.client.arguments import Phases
    from payi_instrument.client.arguments import Timeout as TimeoutOfAny

    DEFAULT_TIMEOUT: Timeout


class HttpUrl(Protocol):
    """A URL of either library."""

    @property
    def scheme(self) -> str:
        """Return the scheme, in lower case."""
        ...

    @property
    def host(self) -> str:
        """Return the host, in lower case."""
        ...

    @property
    def port(self) -> int | None:
        """Return the port, None for the scheme's own."""
        ...

    @property
    def path(self) -> str:
        """Return the decoded path, without the query."""
        ...


class HttpRequest(Protocol):
    """A request of either library."""

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        ...

    @property
    def url(self) -> HttpUrl:
        """Return where it goes."""
        ...

    @property
    def headers(self) -> MutableMapping[str, str]:
        """Return its headers."""
        ...


class HttpResponse(Protocol):
    """A response of either library; the methods with `a` are those of an async client's."""

    @property
    def status_code(self) -> int:
        """Return the HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Return its headers, found in any case."""
        ...

    @property
    def request(self) -> HttpRequest:
        """Return the request that it answers."""
        ...

    @property
    def url(self) -> HttpUrl:
        """Return where the request went."""
        ...

    @property
    def next_request(self) -> Any:
        """Return the request that a redirect asks for, else None."""
        ...

    @property
    def content(self) -> bytes:
        """Return the body that was read."""
        ...

    @property
    def text(self) -> str:
        """Return the body that was read, decoded."""
        ...

    @property
    def elapsed(self) -> timedelta:
        """Return the time from sending to closing."""
        ...

    @property
    def is_closed(self) -> bool:
        """Say whether the connection was given back."""
        ...

    @property
    def http_version(self) -> str:
        """Return the protocol's version."""
        ...

    def read(self) -> bytes:
        """Read the whole body."""
        ...

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Walk through the body."""
        ...

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Walk through the decoded body."""
        ...

    def iter_lines(self) -> Iterator[str]:
        """Walk through the body's lines."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...

    async def aread(self) -> bytes:
        """Read the whole body."""
        ...

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Walk through the body."""
        ...

    def aiter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Walk through the decoded body."""
        ...

    def aiter_lines(self) -> AsyncIterator[str]:
        """Walk through the body's lines."""
        ...

    async def aclose(self) -> None:
        """Give the connection back."""
        ...


class HttpBuilder(Protocol):
    """A client of either library, sync or async."""

    @property
    def is_closed(self) -> bool:
        """Say whether it was closed."""
        ...

    @property
    def follow_redirects(self) -> bool:
        """Say whether it goes where an answer points."""
        ...

    @property
    def timeout(self) -> TimeoutOfAny:
        """Return how long it waits unless it is told otherwise."""
        ...

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Phases,
    ) -> Any:
        """Make a request; it is the library's own, which :meth:`send` takes back."""
        ...


class HttpClient(HttpBuilder, Protocol):
    """A `Client` of either library."""

    def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> HttpResponse:
        """Send a request that it built."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


class AsyncHttpClient(HttpBuilder, Protocol):
    """An `AsyncClient` of either library."""

    async def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> HttpResponse:
        """Send a request that it built."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class Library(Protocol):
    """What is needed of an HTTP library."""

    __name__: str
    Client: Callable[..., HttpClient]
    AsyncClient: Callable[..., AsyncHttpClient]
    Limits: Callable[..., object]
    Timeout: Callable[..., object]
    URL: Callable[[str], HttpUrl]
    InvalidURL: type[Exception]
    HTTPError: type[Exception]
    StreamError: type[Exception]
    TimeoutException: type[Exception]
    UnsupportedProtocol: type[Exception]
    LocalProtocolError: type[Exception]


_NAMES = ("httpx2", "httpx")


def is_response_type(kind: object) -> bool:
    """Say whether a type is a response of an HTTP library, or stands above one."""
    responses = (module.Response for name in _NAMES if (module := sys.modules.get(name)) is not None)
    return isinstance(kind, type) and kind is not object and any(issubclass(each, kind) for each in responses)


def library() -> Library:
    """Return the HTTP library in use; raises `PayiError` when `PAYI_HTTP` names one that is not installed."""
    chosen = http_library()
    if chosen != "httpx":
        try:
            import httpx2
        except ImportError:
            if chosen is not None:
                msg = "PAYI_HTTP='httpx2': it is not installed; pip install httpx2, or unset PAYI_HTTP"
                raise PayiError(msg) from None
        else:
            return cast("Library", httpx2)
    import httpx

    return cast("Library", httpx)


def library_of(client: object, kind: Literal["Client", "AsyncClient"]) -> Library:
    """Return the library of a caller's HTTP client; raises `TypeError` naming what is given and what is wanted."""
    for name in _NAMES:
        module = sys.modules.get(name)  # whoever has a client of a library has loaded it
        if module is not None and isinstance(client, getattr(module, kind)):
            return cast("Library", module)
    given = f"{type(client).__module__}.{type(client).__qualname__}"
    msg = f"http_client: {given} is no {' or '.join(f'{name}.{kind}' for name in _NAMES)}"
    raise TypeError(msg)


def __getattr__(name: str) -> object:
    """Load `Timeout`, the class of the library in use, or `DEFAULT_TIMEOUT`, one of it, when it is wanted (PEP 562)."""
    from payi_instrument.client.arguments import DEFAULT_TIMEOUT as PHASES

    if name not in {"Timeout", "DEFAULT_TIMEOUT"}:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    kind = library().Timeout
    value = kind if name == "Timeout" else kind(PHASES)
    globals()[name] = value
    return value
