"""`client.get`, `post`, `put`, `patch`, `delete`: endpoints that have no method of their own.

Source: client.md section 2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from payi_instrument.client.answers import check_kind
from payi_instrument.client.arguments import Asked, Timeout, check_known, dropped, mapping, merged_body, phases
from payi_instrument.client.content import Repeated
from payi_instrument.client.encoding import laid_over
from payi_instrument.client.method import Resource
from payi_instrument.client.modes import Async, Sync
from payi_instrument.client.settings import count_of
from payi_instrument.wire.headers import IDEMPOTENCY_KEY
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
_UNSENDABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class RequestOptions(TypedDict, total=False):
    """What one request may have beside its body; `timeout` as everywhere, `extra_json` are members added to the body."""

    headers: Mapping[str, str | None]
    params: Mapping[str, object]
    extra_json: Mapping[str, object]
    timeout: float | Timeout | None
    max_retries: int
    idempotency_key: str


def free_request(
    method: str, path: str, cast_to: type[T], body: object = None, options: RequestOptions | None = None
) -> Request[T]:
    """Return the request for a path as the caller wrote it; raises `ValueError` for one that leads elsewhere or nowhere."""
    check_kind("cast_to", cast_to)
    if not isinstance(cast("object", path), str):  # callers without a checker
        msg = f"path: {path!r} is a {type(path).__name__}, expected str"
        raise TypeError(msg)
    if _UNSENDABLE.search(path):
        msg = f"path: {path!r} holds what no URL can carry; percent-encode it"
        raise ValueError(msg)
    parts = urlsplit(path)
    if parts.scheme or parts.netloc:
        msg = f"path: {path!r} names a host; the key goes to base_url only, give the path alone"
        raise ValueError(msg)
    chosen = cast("RequestOptions", mapping("options", options))
    check_known(f"options: {method.lower()}()", chosen, RequestOptions.__annotations__)
    headers = mapping("options['headers']", chosen.get("headers"))
    query: dict[str, object] = {
        name: values[0] if len(values) == 1 else Repeated(values)
        for name, values in parse_qs(parts.query, keep_blank_values=True).items()
    }
    literal = ("/" + parts.path.lstrip("/")).replace("{", "{{").replace("}", "}}")
    key = {IDEMPOTENCY_KEY: chosen["idempotency_key"]} if "idempotency_key" in chosen else {}
    extra = mapping("options['extra_json']", chosen.get("extra_json"))
    return Asked(
        Operation(f"{method} {parts.path}", method, literal, cast_to),
        query={**query, **mapping("options['params']", chosen.get("params"))},
        headers=laid_over(headers, key),
        body=merged_body(body, extra) if extra else body,
        phases=phases(chosen["timeout"]) if "timeout" in chosen else None,
        max_retries=count_of(chosen["max_retries"]) if "max_retries" in chosen else None,
        dropped=dropped(headers),
    )


class Verbs(Resource[Sync]):
    """Requests by path: `cast_to` is what the answer is read as, a model, `dict[str, object]`, `object` for any JSON.

    `body` is what JSON can carry. All raise the error of the answer's status, and `NotFoundError` on an embedded meter
    for a path that none of its operations has.
    """

    def get(self, path: str, *, cast_to: type[T], options: RequestOptions | None = None) -> T:
        """Read from a path."""
        return self._mode.run(free_request("GET", path, cast_to, None, options))

    def post(self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None) -> T:
        """Send to a path with POST."""
        return self._mode.run(free_request("POST", path, cast_to, body, options))

    def put(self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None) -> T:
        """Send to a path with PUT."""
        return self._mode.run(free_request("PUT", path, cast_to, body, options))

    def patch(self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None) -> T:
        """Send to a path with PATCH."""
        return self._mode.run(free_request("PATCH", path, cast_to, body, options))

    def delete(self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None) -> T:
        """Delete what a path names."""
        return self._mode.run(free_request("DELETE", path, cast_to, body, options))


class AsyncVerbs(Resource[Async]):
    """Requests by path, awaited; see :class:`Verbs`."""

    async def get(self, path: str, *, cast_to: type[T], options: RequestOptions | None = None) -> T:
        """Read from a path."""
        return await self._mode.run(free_request("GET", path, cast_to, None, options))

    async def post(
        self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None
    ) -> T:
        """Send to a path with POST."""
        return await self._mode.run(free_request("POST", path, cast_to, body, options))

    async def put(
        self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None
    ) -> T:
        """Send to a path with PUT."""
        return await self._mode.run(free_request("PUT", path, cast_to, body, options))

    async def patch(
        self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None
    ) -> T:
        """Send to a path with PATCH."""
        return await self._mode.run(free_request("PATCH", path, cast_to, body, options))

    async def delete(
        self, path: str, *, cast_to: type[T], body: object = None, options: RequestOptions | None = None
    ) -> T:
        """Delete what a path names."""
        return await self._mode.run(free_request("DELETE", path, cast_to, body, options))
