"""The clients: where the meter is, and the groups of methods that speak to it. Source: client.md section 1."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from payi_instrument.client.arguments import UNSET, Timeout, Unset, headers_of, mapping, merged_headers, phases
from payi_instrument.client.categories import Categories
from payi_instrument.client.embedded import EmbeddedSender
from payi_instrument.client.ingest import Ingest
from payi_instrument.client.limits import Limits
from payi_instrument.client.method import M, Resource, raw_view, streaming_view
from payi_instrument.client.modes import Async, Sync
from payi_instrument.client.pool import AsyncPool, Pool
from payi_instrument.client.requests import Requests
from payi_instrument.client.settings import DEFAULT_MAX_RETRIES, Settings
from payi_instrument.client.transport import AsyncHttpTransport, HttpTransport
from payi_instrument.client.use_cases import UseCases
from payi_instrument.client.verbs import AsyncVerbs, Verbs
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from payi_instrument.client.modes import AsyncRaw, AsyncSender, AsyncStreaming, Raw, Sender, Streaming
    from payi_instrument.client.network import AsyncHttpClient, HttpBuilder, HttpClient
    from payi_instrument.local import LocalTransport

HttpT = TypeVar("HttpT", bound="HttpBuilder")
TransportT = TypeVar("TransportT")


class Nouns(Resource[M]):
    """Everything that can be asked of a meter."""

    with_raw_response: raw_view[Nouns[Raw], Nouns[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Nouns[Streaming], Nouns[AsyncStreaming]] = streaming_view()

    @cached_property
    def limits(self) -> Limits[M]:
        """Return the methods for limits."""
        return Limits(self._mode)

    @cached_property
    def ingest(self) -> Ingest[M]:
        """Return the methods that report usage."""
        return Ingest(self._mode)

    @cached_property
    def categories(self) -> Categories[M]:
        """Return the methods for categories and resources."""
        return Categories(self._mode)

    @cached_property
    def use_cases(self) -> UseCases[M]:
        """Return the methods for use cases."""
        return UseCases(self._mode)

    @cached_property
    def requests(self) -> Requests[M]:
        """Return the methods for events that were ingested."""
        return Requests(self._mode)


class _Connected(Generic[TransportT, HttpT]):
    """What both clients share: settings, a transport, and how to make a copy."""

    _settings: Settings
    _transport: TransportT

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | Timeout | Unset | None = UNSET,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: HttpT | None = None,
        _strict_response_validation: bool = False,
    ) -> None:
        """Settle where the meter is; the environment is read now."""
        settings = Settings.settle(
            api_key=api_key,
            base_url=base_url,
            timeout=_own_timeout(http_client) if timeout is UNSET else timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            strict=_strict_response_validation,
        )
        self._use(settings, self._opened(settings, http_client))

    def _opened(self, settings: Settings, http_client: HttpT | None) -> TransportT:
        raise NotImplementedError

    def _shared(self, settings: Settings, http_client: HttpT | None) -> TransportT:
        raise NotImplementedError

    def _use(self, settings: Settings, transport: TransportT) -> None:
        raise NotImplementedError

    def _settle(self, settings: Settings) -> None:
        raise NotImplementedError

    def _change(self, **changes: Any) -> None:
        """Speak to the meter otherwise from now on; the copies of this client stay as they are."""
        settings = self._settings.changed(**changes)
        if settings.base_url != self._settings.base_url and (settings.is_embedded or self._settings.is_embedded):
            msg = f"base_url: {settings.base_url!r} is another ledger; make a client for it, or use with_options"
            raise ValueError(msg)
        self._settle(settings)
        self._settings = settings

    @classmethod
    def over(cls, transport: LocalTransport) -> Self:
        """Return a client of a meter that another client opened already."""
        client = cls.__new__(cls)
        client._use(Settings("sqlite://"), cast("TransportT", transport))  # noqa: SLF001  # its own class
        return client

    @property
    def transport(self) -> TransportT:
        """Return what carries this client's requests; instrumentation sends events through it."""
        return self._transport

    @property
    def base_url(self) -> str:
        """Return where the meter is; set, requests go there from now on. Raises `ValueError` for another ledger."""
        return self._settings.shown_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._change(base_url=str(base_url))

    @property
    def api_key(self) -> str | None:
        """Return the key, None for an embedded meter that was given none; set, it goes with every request from now on."""
        return self._settings.api_key

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        self._change(api_key=api_key)

    @property
    def timeout(self) -> float | Timeout | None:
        """Return the timeout as it was given, in seconds; set, it holds from now on."""
        return self._settings.timeout

    @timeout.setter
    def timeout(self, timeout: float | Timeout | None) -> None:
        self._change(timeout=timeout)

    @property
    def max_retries(self) -> int:
        """Return how often a request is sent again; set, it holds from now on."""
        return self._settings.max_retries

    @max_retries.setter
    def max_retries(self, max_retries: int) -> None:
        self._change(max_retries=max_retries)

    @property
    def default_headers(self) -> dict[str, str]:
        """Return the headers that go with every request, the key excepted."""
        return dict(self._settings.headers)

    @property
    def default_query(self) -> dict[str, object]:
        """Return the query parameters that go with every request."""
        return dict(self._settings.query)

    def copy(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | Timeout | Unset | None = UNSET,
        max_retries: int | Unset = UNSET,
        http_client: HttpT | None = None,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
    ) -> Self:
        """Return a client with the same options but for those given; this one stays as it is.

        Both share their connections, or the embedded meter, unless `http_client` is given: closing one closes both.
        `default_headers` and `default_query` are added to those there are, `set_default_headers` and `set_default_query`
        take their place. Raises `ValueError` when both of a pair are given.
        """
        now = self._settings
        _exclude("default_headers", default_headers, set_default_headers)
        _exclude("default_query", default_query, set_default_query)
        settings = now.changed(
            timeout=timeout,
            max_retries=max_retries,
            api_key=api_key or now.api_key,
            base_url=str(base_url or now.base_url),
            headers=merged_headers(
                now.headers if set_default_headers is None else headers_of("set_default_headers", set_default_headers),
                headers_of("default_headers", default_headers),
            ),
            query={
                **(now.query if set_default_query is None else mapping("set_default_query", set_default_query)),
                **mapping("default_query", default_query),
            },
        )
        moved = settings.base_url != now.base_url and (settings.is_embedded or now.is_embedded)
        if moved and not settings.is_embedded and settings.api_key is None:
            msg = f"api_key: {settings.base_url} needs one, give it with base_url"
            raise PayiError(msg)
        twin = object.__new__(type(self))
        make = self._opened if moved else self._shared
        twin._use(settings, make(settings, http_client))  # its own class
        return twin

    with_options = copy


def _own_timeout(http_client: HttpBuilder | None) -> Timeout | Unset:
    """Return the timeout that a caller gave their own HTTP client: one that it has by itself was not given."""
    timeout: Timeout | Unset = getattr(http_client, "timeout", UNSET)
    return UNSET if timeout is UNSET or phases(timeout) == _LIBRARYS_TIMEOUT else timeout


_LIBRARYS_TIMEOUT = (5.0, 5.0, 5.0, 5.0)
"""What a client of httpx and httpx2 waits when it was told nothing."""


def _exclude(name: str, added: object, put: object) -> None:
    if added is not None and put is not None:
        msg = f"{name} and set_{name} exclude each other; the first adds to what is there, the second takes its place"
        raise ValueError(msg)


def _no_network(settings: Settings, http_client: object) -> None:
    if http_client is not None:
        msg = f"http_client: base_url={settings.base_url!r} is an embedded meter, which no network leads to; leave one out"
        raise ValueError(msg)


class Payi(_Connected["HttpTransport | LocalTransport", "HttpClient"], Verbs, Nouns[Sync]):
    """Speak to a meter.

    `base_url` decides which: `https://…` is a Pay-i service or our server and needs a key, `sqlite:///file.db` a ledger
    file and `sqlite://` one in memory, which need none. Arguments win over `PAYI_API_KEY` and `PAYI_BASE_URL`. `timeout` is
    in seconds, an `httpx.Timeout` or None; without it 60, of which 5 to connect. `max_retries` is how often a request is
    sent again after a connection error, a timeout, 408, 409, 429 or a fault of the meter. `default_headers` (over
    `PAYI_CUSTOM_HEADERS`) and `default_query` go with every request. `http_client` is your own `httpx.Client` or
    `httpx2.Client`, which you close yourself; the timeout that you gave it holds unless `timeout` is given, and it follows
    redirects if you made it so. With `_strict_response_validation` an answer of another shape than documented is an error.

    Raises `PayiError` when no meter is named or the ledger can't be opened, `TypeError` or `ValueError` naming a bad
    argument. Safe to share between threads; a forked child opens connections of its own.
    """

    def _opened(self, settings: Settings, http_client: HttpClient | None) -> HttpTransport | LocalTransport:
        if settings.is_embedded:
            _no_network(settings, http_client)
            from payi_instrument.local import open_local

            return open_local(settings.base_url)
        return HttpTransport(settings, Pool(http_client))

    def _shared(self, settings: Settings, http_client: HttpClient | None) -> HttpTransport | LocalTransport:
        transport = self._transport
        if transport.embedded is True:
            _no_network(settings, http_client)
            return transport
        return transport.with_settings(settings, None if http_client is None else Pool(http_client))

    def _use(self, settings: Settings, transport: HttpTransport | LocalTransport) -> None:
        self._settings = settings
        self._transport = transport
        sender: Sender = EmbeddedSender(transport, settings) if transport.embedded is True else transport
        self._mode = Sync(sender, strict=settings.strict)

    def _settle(self, settings: Settings) -> None:
        if self._transport.embedded is not True:
            self._transport.settle(settings)

    def is_closed(self) -> bool:
        """Say whether this client, or one that shares its connections, was closed."""
        return self._transport.is_closed()

    def close(self) -> None:
        """Close the connections of this client and of its copies; your own `http_client` stays open."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return this client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close this client."""
        self.close()


class AsyncPayi(_Connected["AsyncHttpTransport | LocalTransport", "AsyncHttpClient"], AsyncVerbs, Nouns[Async]):
    """Speak to a meter, awaited; see :class:`Payi` for the arguments. Safe to share between tasks.

    `http_client` is an `httpx.AsyncClient` or `httpx2.AsyncClient`. Each event loop has connections of its own.
    """

    def _opened(self, settings: Settings, http_client: AsyncHttpClient | None) -> AsyncHttpTransport | LocalTransport:
        if settings.is_embedded:
            _no_network(settings, http_client)
            from payi_instrument.local import open_local

            return open_local(settings.base_url)
        return AsyncHttpTransport(settings, AsyncPool(http_client))

    def _shared(self, settings: Settings, http_client: AsyncHttpClient | None) -> AsyncHttpTransport | LocalTransport:
        transport = self._transport
        if transport.embedded is True:
            _no_network(settings, http_client)
            return transport
        return transport.with_settings(settings, None if http_client is None else AsyncPool(http_client))

    def _use(self, settings: Settings, transport: AsyncHttpTransport | LocalTransport) -> None:
        self._settings = settings
        self._transport = transport
        sender: AsyncSender = EmbeddedSender(transport, settings) if transport.embedded is True else transport
        self._mode = Async(sender, strict=settings.strict)

    def _settle(self, settings: Settings) -> None:
        if self._transport.embedded is not True:
            self._transport.settle(settings)

    def is_closed(self) -> bool:
        """Say whether this client, or one that shares its connections, was closed."""
        return self._transport.is_closed()

    async def close(self) -> None:
        """Close the connections of this client and of its copies; your own `http_client` stays open."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """Return this client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close this client."""
        await self.close()
