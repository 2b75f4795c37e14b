"""What every WebSocket of this SDK tells: where it is connected to, what a message is, whose call a turn is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from payi_instrument.event import CallFacts
from payi_instrument.providers.openai.hosts import category_of, sdk
from payi_instrument.providers.openai.wire import members, parsed
from payi_instrument.wire.headers import PayiCategories

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_AZURE = frozenset({"deployment", "api-version"})
"""What only Azure asks for in the URL of a connection, behind whatever host."""
_TYPE = re.compile(rb'"type"\s*:\s*"([^"]*)"')


def kind_of(message: bytes | str) -> str:
    """Return the type of a message, which nearly always comes first; the types of what is inside it have no dot."""
    found = _TYPE.search(message if isinstance(message, bytes) else message.encode())
    kind = found[1].decode(errors="replace") if found is not None else ""
    return kind if "." in kind or kind == "error" else str(getattr(parsed(message), "type", None))


def request_of(message: Any) -> Mapping[str, Any]:
    """Return the members of a message that is to be sent: an object of the SDK, a mapping, or JSON as it is."""
    if isinstance(message, (str, bytes)):
        try:
            message = json.loads(message)
        except ValueError:
            return {}
    return members(message)


class Socket:
    """Where a connection leads, and what its turns have in common; it does not hold the connection."""

    def __init__(self, connection: Any) -> None:
        """Read the request that the connection was opened with."""
        request = getattr(getattr(connection, "_connection", None), "request", None)
        url = urlsplit(getattr(request, "path", None) or "")
        asked = parse_qs(url.query)
        headers: Mapping[str, str] = getattr(request, "headers", None) or {}
        host = headers.get("Host")
        on_azure = not _OF_AZURE.isdisjoint(asked) or "api-key" in headers
        self.host = f"https://{host}{url.path.rpartition('/')[0]}/" if host else None
        self.category = PayiCategories.azure_openai if on_azure else category_of((), self.host or "")
        self.model: str | None = next((asked[name][0] for name in ("model", "deployment") if name in asked), None)
        """What was asked for; a session that did not ask has what it is told to have."""
        self._facts: dict[tuple[object, str | None], CallFacts] = {}

    def facts(self, endpoint: object, model: str | None, body: Mapping[str, Any] | None = None) -> CallFacts:
        """Return what a turn is about: the same for all turns that name no `body` of their own."""
        if body is None and (known := self._facts.get((endpoint, model))) is not None:
            return known
        found = CallFacts(
            category=self.category,
            resource=model,
            library=sdk(),
            host=self.host,
            streamed=True,
            body=body or {},
            endpoint=endpoint,
        )
        if body is None:
            self._facts[endpoint, model] = found
        return found
