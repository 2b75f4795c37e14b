"""What every WebSocket of this SDK tells: where it is connected to, what a message is, whose call a turn is."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

from payi_instrument.event import CallFacts
from payi_instrument.providers.openai.hosts import category_of, identity_of, sdk
from payi_instrument.providers.openai.wire import members, named, parsed, texts_of
from payi_instrument.wire.headers import PREFIX, PayiCategories

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.providers._base import Arguments

_OF_AZURE = frozenset({"deployment", "api-version"})
"""What only Azure asks for in the URL of a connection, behind whatever host."""
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"([^"\\]*)"')


def kind_of(message: bytes | str) -> str:
    """Return the type of a message, which nearly always comes first."""
    found = _TYPE.match(message if isinstance(message, bytes) else message.encode())
    return found[1].decode(errors="replace") if found is not None else str(getattr(parsed(message), "type", None))


def request_of(message: Any) -> Mapping[str, Any]:
    """Return the members of a message that is to be sent: an object of the SDK, a mapping, or JSON as it is."""
    if isinstance(message, memoryview):
        message = bytes(cast("memoryview[int]", message))
    if isinstance(message, (str, bytes, bytearray)):
        try:
            message = json.loads(message)
        except ValueError:
            return {}
    return members(message)


class Socket:
    """Where a connection leads, and what its turns have in common; it does not hold the connection."""

    def __init__(self, speaker: Any) -> None:
        """Take a connection, or what is to open one."""
        self.host, self.category, self.model, self._joined = _leads_to(speaker)
        """`model` is what was asked for; a session that did not ask has what it is told to have."""
        self._headers = _headers(speaker)
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
            headers=self._headers,
            body=body or {},
            endpoint=endpoint,
            job=self._joined,
        )
        if body is None:
            self._facts[endpoint, model] = found
        return found


def _leads_to(speaker: Any) -> tuple[str | None, str, str | None, str | None]:
    """Return the base URL and the category of a connection, the model it asks for and the call that it joins, if it does."""
    client = _own(speaker, "client")
    if client is not None:
        given: Mapping[str, object] = _own(speaker, "extra_query") or {}
        model, joined = (named(given.get(name)) or named(_own(speaker, name)) for name in ("model", "call_id"))
        return *identity_of(client), model, joined
    request = getattr(getattr(speaker, "_connection", None), "request", None)
    url = urlsplit(getattr(request, "path", None) or "")
    asked = parse_qs(url.query)
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    host = f"https://{headers['Host']}{url.path.rpartition('/')[0]}/" if headers.get("Host") else None
    on_azure = not _OF_AZURE.isdisjoint(asked) or "api-key" in headers
    category = PayiCategories.azure_openai if on_azure else category_of((), host or "")
    model = next((asked[name][0] for name in ("model", "deployment") if name in asked), None)
    return host, category, model, asked["call_id"][0] if "call_id" in asked else None


def _headers(speaker: Any) -> dict[str, str]:
    """Return the headers of ours that a connection is opened with: its client's, and its own before those."""
    found: dict[str, object] = {}
    for given in (
        getattr(_own(speaker, "client"), "_custom_headers", None),
        _own(speaker, "extra_headers"),
        getattr(speaker, "_extra_headers", None),
    ):
        found |= given or {}
    return texts_of({name: value for name, value in found.items() if name.lower().startswith(PREFIX)})


def without_ours(opener: Any, arguments: Arguments) -> Arguments:
    """Return what a connection is opened with, `(extra_query, extra_headers)`, without headers of ours."""
    ours = dict.fromkeys(_headers(opener), sys.modules["openai"].Omit())
    positional, keyword = arguments
    if not ours:
        return arguments
    if len(positional) > 1:
        return (positional[0], {**positional[1], **ours}, *positional[2:]), keyword
    return positional, {**keyword, "extra_headers": {**keyword["extra_headers"], **ours}}


def _own(speaker: Any, name: str) -> Any:
    """Return what the SDK's connection managers keep to themselves, None for what is none."""
    mangled = (f"_{base.__name__}__{name}" for base in type(speaker).__mro__)
    return next((found for member in mangled if (found := getattr(speaker, member, None)) is not None), None)


def connection_of(speaker: Any) -> Any:
    """Return the connection that a lane of the SDK's helper speaks over; anything else speaks for itself."""
    return getattr(getattr(speaker, "_session", None), "connection", speaker)


def place_of(speaker: Any) -> tuple[Any, Any]:
    """Return the connection that something speaks over, None for a manager; and the queue of what waits to be sent."""
    connection = connection_of(speaker)
    if hasattr(connection, "_connection"):  # asked for each message; a manager hides its members
        return connection, getattr(connection, "_send_queue", None)
    return None, _own(connection, "send_queue")
