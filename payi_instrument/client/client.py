"""The clients: where the meter is, and the groups of methods that speak to it. Source: client.md section 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from payi_instrument.client.categories import AsyncCategories, Categories
from payi_instrument.client.ingest import AsyncIngest, Ingest
from payi_instrument.client.limits import AsyncLimits, Limits
from payi_instrument.config import EMBEDDED_SCHEMES, MeterSettings, meter_settings
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import httpx

    from payi_instrument.client.transport import AsyncHttpTransport, HttpTransport
    from payi_instrument.local import LocalTransport
    from payi_instrument.wire.message import Reply, Request

_DEFAULT_TIMEOUT = 60.0


def _settings(api_key: str | None, base_url: str | None) -> MeterSettings:
    settings = meter_settings(api_key, base_url)
    if settings is None:
        msg = (
            "no meter: set PAYI_API_KEY (or api_key=) for a Pay-i service,"
            " or PAYI_BASE_URL=sqlite:///payi.db (or base_url=) for an embedded one"
        )
        raise PayiError(msg)
    return settings


def _is_embedded(url: str) -> bool:
    return url.partition(":")[0] in EMBEDDED_SCHEMES


def _shown(url: str) -> str:
    """Return a URL as `base_url` shows it: a remote one with a slash at its end, as the official SDK's."""
    return url if _is_embedded(url) else url.rstrip("/") + "/"


class Payi:
    """Speak to a meter.

    `base_url` decides which: `https://…` is a Pay-i service or our server and needs a key, `sqlite:///file.db` a ledger
    file and `sqlite://` one in memory, which need none. Arguments win over `PAYI_API_KEY` and `PAYI_BASE_URL`. `timeout` is
    in seconds. Raises `PayiError` when no meter is named or the ledger can't be opened. Safe to share between threads.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = _DEFAULT_TIMEOUT,
        default_headers: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        """Settle where the meter is; the environment is read now."""
        settings = _settings(api_key, base_url)
        transport: HttpTransport | LocalTransport
        if _is_embedded(settings.base_url):
            from payi_instrument.local import open_local

            transport = open_local(settings.base_url)
        else:
            from payi_instrument.client.transport import HttpTransport

            headers = {**settings.headers, **(default_headers or {})}
            transport = HttpTransport(settings.base_url, settings.api_key or "", headers, timeout, http_client)
        self._use(transport, settings.base_url, settings.api_key)

    @classmethod
    def over(cls, transport: LocalTransport) -> Self:
        """Return a client of a meter that another client opened already."""
        client = cls.__new__(cls)
        client._use(transport, "sqlite://", None)  # noqa: SLF001  # its own class
        return client

    def _use(self, transport: HttpTransport | LocalTransport, base_url: str, api_key: str | None) -> None:
        self.base_url = _shown(base_url)
        self.api_key = api_key
        self._transport = transport
        self.limits = Limits(self)
        self.ingest = Ingest(self)
        self.categories = Categories(self)

    @property
    def transport(self) -> HttpTransport | LocalTransport:
        """Return what carries this client's requests; instrumentation sends events through it."""
        return self._transport

    def _send(self, request: Request[Any]) -> Reply:
        return self._transport.send(request)

    def close(self) -> None:
        """Close the connections of this client."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return this client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close this client."""
        self.close()


class AsyncPayi:
    """Speak to a meter, awaited; see :class:`Payi` for the arguments. Safe to share between tasks."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = _DEFAULT_TIMEOUT,
        default_headers: Mapping[str, str] | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """Settle where the meter is; the environment is read now."""
        settings = _settings(api_key, base_url)
        transport: AsyncHttpTransport | LocalTransport
        if _is_embedded(settings.base_url):
            from payi_instrument.local import open_local

            transport = open_local(settings.base_url)
        else:
            from payi_instrument.client.transport import AsyncHttpTransport

            headers = {**settings.headers, **(default_headers or {})}
            transport = AsyncHttpTransport(settings.base_url, settings.api_key or "", headers, timeout, http_client)
        self._use(transport, settings.base_url, settings.api_key)

    @classmethod
    def over(cls, transport: LocalTransport) -> Self:
        """Return a client of a meter that another client opened already."""
        client = cls.__new__(cls)
        client._use(transport, "sqlite://", None)  # noqa: SLF001  # its own class
        return client

    def _use(self, transport: AsyncHttpTransport | LocalTransport, base_url: str, api_key: str | None) -> None:
        self.base_url = _shown(base_url)
        self.api_key = api_key
        self._transport = transport
        self.limits = AsyncLimits(self)
        self.ingest = AsyncIngest(self)
        self.categories = AsyncCategories(self)

    @property
    def transport(self) -> AsyncHttpTransport | LocalTransport:
        """Return what carries this client's requests; instrumentation sends events through it."""
        return self._transport

    async def _asend(self, request: Request[Any]) -> Reply:
        return await self._transport.asend(request)

    async def close(self) -> None:
        """Close the connections of this client."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """Return this client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close this client."""
        await self.close()
