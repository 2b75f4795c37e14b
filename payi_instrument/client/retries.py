"""When a request is sent again, how long to wait before, and where a redirect may lead: once for sync and async.

:func:`exchange` decides and never acts: a transport sends what it yields, or waits, and tells it what came of it. Source:
wire-api section 1.7.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import TYPE_CHECKING

from payi_instrument.client.log import logger, without_secrets
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.headers import PayiHeaderNames

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from payi_instrument.client.network import HttpRequest, HttpResponse, HttpUrl

_RETRIED = frozenset({408, 409, 429})
_SUCCESSES = range(200, 300)
_SERVER_FAULT = 500
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0
_JITTER = 0.25
_spread = SystemRandom().random  # not `random`'s own generator: a program that seeds it keeps its numbers
_LONGEST_ASKED_S = 60.0
_MAX_REDIRECTS = 20


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask for a pause before the next attempt."""

    seconds: float


def exchange(
    request: HttpRequest, max_retries: int, *, follows: bool
) -> Generator[HttpRequest | Wait, HttpResponse | APIConnectionError | None, tuple[HttpResponse, int]]:
    """Yield what to send or how long to wait, take what came of it; return the last answer and how often it was asked again.

    Raises `APIConnectionError` when there is no answer.
    """
    retries = 0
    while True:
        outcome = yield from _followed(request, follows=follows)
        if retries >= max_retries or not may_help(outcome):
            break
        pause = delay(retries, None if isinstance(outcome, APIConnectionError) else outcome.headers)
        retries += 1
        logger.info(
            "payi: %s %s again in %.2f s (%d of %d)", request.method, request.url.path, pause, retries, max_retries
        )
        yield Wait(pause)
    if isinstance(outcome, APIConnectionError):
        raise outcome
    return outcome, retries


def _followed(
    request: HttpRequest, *, follows: bool
) -> Generator[HttpRequest, HttpResponse | APIConnectionError | None, HttpResponse | APIConnectionError]:
    """Send a request and follow where it is redirected to if that is wanted; only the meter itself sees the key."""
    origin = request.url
    for _ in range(_MAX_REDIRECTS):
        logger.debug("payi: %s %s %s", request.method, request.url.path, without_secrets(request.headers))
        outcome = yield request
        assert outcome is not None  # noqa: S101  # only a pause has no outcome
        if isinstance(outcome, APIConnectionError):
            logger.info("payi: %s %s: %s", request.method, request.url.path, outcome.message)
            return outcome
        logger.info("payi: %s %s: %d", request.method, request.url.path, outcome.status_code)
        if outcome.next_request is None or not follows:
            return outcome
        request = outcome.next_request
        if not _is_same_meter(origin, request.url):
            request.headers.pop(PayiHeaderNames.api_key, None)
    raise APIConnectionError(f"{request.url.path}: more than {_MAX_REDIRECTS} redirects", request)


def _is_same_meter(origin: HttpUrl, url: HttpUrl) -> bool:
    """Say whether a redirect stays with the meter: the same origin, or the same host by TLS from now on."""
    if url.host != origin.host:
        return False
    secured = (origin.scheme, url.scheme) == ("http", "https") and origin.port is None and url.port is None
    return secured or (url.scheme, url.port) == (origin.scheme, origin.port)


def succeeded(status: int) -> bool:
    """Say whether a status means that a request was done; a redirect that leads nowhere means that it was not."""
    return status in _SUCCESSES


def may_help(outcome: HttpResponse | APIConnectionError) -> bool:
    """Say whether the same request may succeed when it is sent again."""
    if isinstance(outcome, APIConnectionError):
        return True
    status, told = outcome.status_code, outcome.headers.get("x-should-retry", "").lower()
    if succeeded(status) or told == "false":
        return False
    return told == "true" or status in _RETRIED or status >= _SERVER_FAULT


def delay(retries: int, headers: Mapping[str, str] | None) -> float:
    """Return the seconds to wait before a retry: what the meter asks for, else longer each time."""
    asked = _asked_for(headers) if headers is not None else None
    if asked is not None and 0 < asked <= _LONGEST_ASKED_S:
        return asked
    longest: float = min(_FIRST_DELAY_S * 2.0 ** min(retries, 10), _LONGEST_DELAY_S)
    return longest * (1 - _JITTER * _spread())


def _asked_for(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a meter asks to wait: in milliseconds, in seconds, or until a date."""
    in_ms = _number(headers.get("retry-after-ms"))
    if in_ms is not None:
        return in_ms / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
