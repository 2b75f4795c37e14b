"""One request and its answer over HTTP: headers, query and body as the engine takes them, replies as JSON.

Source: wire-api sections 1.1, 1.3 and 1.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from payi_instrument.errors import APIConnectionError
from payi_instrument.wire import headers as names
from payi_instrument.wire.codes import ContractError, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

Extra = Iterable[tuple[bytes, bytes]]
"""Headers of an answer beside those that every answer has."""

_IDEMPOTENCY_KEY = names.IDEMPOTENCY_KEY.lower()
_JSON = re.compile(r"application/([^\s/;,]+\+)?json\s*(;\s*charset\s*=\s*\"?utf-?8\"?\s*)?;?", re.IGNORECASE)
UNEXPECTED = ContractError("unexpected_error", "unexpected error of the meter; its log says more")
"""What a client is told of an error that nobody expected."""


class UnreadableError(Exception):
    """Refuse a request whose form is wrong, with a status that no code of the contract has."""

    def __init__(self, status: int, message: str, extra: Extra = ()) -> None:
        """Take the HTTP status, what is wrong, and headers that go with it."""
        super().__init__(message)
        self.status = status
        self.extra = extra


class GoneError(Exception):
    """Say that the client closed the connection before its request was whole."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Return headers by lower-case name; raises `ContractError` for one of ours that is there twice.

    Values are UTF-8, as the official SDK sends them, or Latin-1 where they are not.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1")
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name.startswith(names.PREFIX) or name == _IDEMPOTENCY_KEY:  # who passed it on may have meant the other one
            raise ContractError("request_processing_error", f"{name}: the header is there twice; send it once")
        else:
            headers[name] += f", {value}"
    return headers


def query_of(scope: Scope) -> dict[str, object]:
    """Return query parameters; one that is there twice is a list."""
    raw: bytes = scope["query_string"]
    if not raw:
        return {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


async def body_of(headers: Mapping[str, str], receive: Receive, at_most: int) -> bytes:
    """Return the body, JSON text that may be wrong.

    Raises `ContractError` `payload_too_large` as soon as it is known to be over `at_most` bytes, `header_is_missing`
    without a content type, `UnreadableError` for one that is no JSON or is compressed: none is ever unpacked. Raises
    `GoneError` when the client goes away.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > at_most:
        raise _too_large(at_most)
    if length not in {"", "0"} or "transfer-encoding" in headers:
        _check_form(headers)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > at_most:
            raise _too_large(at_most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(at_most: int) -> ContractError:
    return ContractError("payload_too_large", f"body: it is over {at_most} bytes; send fewer events in one call")


def _check_form(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not plain JSON, before it is read."""
    for name, plain in (("content-encoding", {"", "identity"}), ("transfer-encoding", {"", "chunked"})):
        if headers.get(name, "").strip().lower() not in plain:
            raise UnreadableError(415, f"{name}: send the body as it is, not compressed")
    kind = headers.get("content-type")
    if kind is None:
        raise ContractError("header_is_missing", "Content-Type: the header is missing; send application/json")
    if not _JSON.fullmatch(kind.strip()):
        raise UnreadableError(415, f"content-type: {kind[:80]!r} is not JSON in UTF-8; send application/json")


def refusal_of(error: Exception) -> tuple[int, bytes, Extra]:
    """Return what an error is answered with: status, envelope, headers. Nothing is shown of one that nobody expected."""
    if isinstance(error, UnreadableError):
        return error.status, _bare(error.status, str(error)), error.extra
    if isinstance(error, APIConnectionError):
        return 503, _bare(503, "the ledger can't be reached; try again"), ()
    known = error if isinstance(error, ContractError) and error.code != UNEXPECTED.code else UNEXPECTED
    return known.status, json.dumps(envelope(known)).encode(), ()


def _bare(status: int, message: str) -> bytes:
    """Return an error envelope without a code, for what has none (wire-api section 1.4)."""
    return json.dumps({"statusCode": status, "message": message}).encode()


async def send_json(send: Send, status: int, text: bytes, extra: Extra = ()) -> None:
    """Send an answer of JSON text; an empty one has no body."""
    headers = [(b"content-length", str(len(text)).encode()), *extra]
    if text:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
