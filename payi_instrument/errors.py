"""The exceptions of the package.

::

    PayiError
    ├─ APIError                      .message .request .body
    │  ├─ APIStatusError             .response .status_code .code .xproxy_error .xproxy_result
    │  │  ├─ BadRequestError         400
    │  │  ├─ AuthenticationError     401
    │  │  ├─ PermissionDeniedError   403
    │  │  ├─ NotFoundError           404
    │  │  ├─ ConflictError           409
    │  │  ├─ UnprocessableEntityError 422
    │  │  ├─ RateLimitError          429
    │  │  └─ InternalServerError     500 and above
    │  ├─ APIResponseValidationError .response .status_code
    │  └─ APIConnectionError         the cause is the transport's own error
    │     └─ APITimeoutError
    ├─ MissingExtraError             also an ImportError
    ├─ LastPageError                 also a RuntimeError, as in the official SDK
    └─ LimitBlockedError             .limit_ids .xproxy_result .status_code (424)

Source: client.md section 3, instrumentation-semantics section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from payi_instrument.wire.headers import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payi_instrument.event import Result


class RequestShown(Protocol):
    """A request as an error shows it, whichever HTTP library made it."""

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        ...

    @property
    def url(self) -> object:
        """Return where it goes; its text is the URL."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Return its headers, found in any case."""
        ...


class ResponseShown(Protocol):
    """A response as an error shows it, whichever HTTP library made it."""

    @property
    def status_code(self) -> int:
        """Return the HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Return its headers, found in any case."""
        ...


class PayiError(Exception):
    """Stand at the root of every exception that this package raises."""


class MissingExtraError(PayiError, ImportError):
    """Tell which extra has to be installed for the feature that was asked for."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature and the extra."""
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'payi-instrument[{extra}]'")


class LastPageError(PayiError, RuntimeError):
    """Tell that no page follows the last one; `has_next_page()` says so before. Source: client.md section 5."""

    def __init__(self) -> None:
        """Say what to ask first."""
        super().__init__("this is the last page; ask has_next_page() before get_next_page()")


def check_installed(feature: str, extra: str, libraries: Iterable[str]) -> None:
    """Raise `MissingExtraError` when one of the libraries of an extra is missing; none is imported."""
    from importlib.util import find_spec

    if any(find_spec(library) is None for library in libraries):
        raise MissingExtraError(feature, extra)


class APIError(PayiError):
    """Report a request to the meter that did not succeed."""

    def __init__(self, message: str, request: RequestShown | None = None, *, body: object | None = None) -> None:
        """Keep the message, the request and the decoded body (JSON, else text, else None)."""
        super().__init__(message)
        self.message = message
        self.request = request
        self.body = body


class APIStatusError(APIError):
    """Report an answer of the meter whose status is no success.

    `response` is the HTTP library's, an `APIResponse` from an embedded meter; an error that travelled between processes has
    no more of it than its status.
    """

    response: ResponseShown

    def __init__(
        self, message: str, *, response: ResponseShown | None, body: object | None, status_code: int | None = None
    ) -> None:
        """Read code and result from the error envelope in `body` (wire-api section 1.4), if it is one.

        `status_code` is the response's unless given; raises `TypeError` when there is neither.
        """
        super().__init__(message, getattr(response, "request", None), body=body)
        self.status_code = _status_of(response, status_code)
        self.response = _Status(self.status_code) if response is None else response
        envelope: Mapping[str, object] = cast("Mapping[str, object]", body) if isinstance(body, Mapping) else {}
        error = envelope.get("xproxy_error")
        self.xproxy_error = cast("Mapping[str, object]", error) if isinstance(error, Mapping) else None
        self.xproxy_result = envelope.get("xproxy_result")
        code = self.xproxy_error.get("code") if self.xproxy_error else None
        self.code = code if isinstance(code, str) else None

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, without the response."""
        return (_made_again, (type(self), self.message, self.status_code, self.body))


class BadRequestError(APIStatusError):
    """Report a request that the meter refused for what it holds (400)."""


class AuthenticationError(APIStatusError):
    """Report a missing, unknown or expired key (401)."""


class PermissionDeniedError(APIStatusError):
    """Report a write to something read-only, such as a `system.` category (403)."""


class NotFoundError(APIStatusError):
    """Report an id or a name that the meter does not know (404)."""


class ConflictError(APIStatusError):
    """Report a conflict (409); our meter never answers it."""


class UnprocessableEntityError(APIStatusError):
    """Report a request that was understood and cannot be done (422)."""


class RateLimitError(APIStatusError):
    """Report that the meter asks for fewer requests (429)."""


class InternalServerError(APIStatusError):
    """Report a fault of the meter (500 and above)."""


class APIResponseValidationError(APIError):
    """Report an answer that does not have the documented shape."""

    def __init__(
        self,
        message: str = "The meter's answer does not have the documented shape.",
        *,
        response: ResponseShown | None,
        body: object | None,
        status_code: int | None = None,
    ) -> None:
        """Keep the answer beside the message; `status_code` is the response's unless given, `TypeError` without both."""
        super().__init__(message, getattr(response, "request", None), body=body)
        self.status_code = _status_of(response, status_code)
        self.response: ResponseShown = _Status(self.status_code) if response is None else response

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, without the response."""
        return (_made_again, (type(self), self.message, self.status_code, self.body))


class APIConnectionError(APIError):
    """Report that the meter could not be reached; `__cause__` is the transport's error."""

    def __init__(self, message: str = "Connection error.", request: RequestShown | None = None) -> None:
        """Keep the request; there is no response."""
        super().__init__(message, request, body=None)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, without the request."""
        return (type(self), (self.message,))


class APITimeoutError(APIConnectionError):
    """Report that the meter did not answer in time."""

    def __init__(self, request: RequestShown | None = None) -> None:
        """Keep the request that timed out."""
        super().__init__("Request timed out.", request)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, without the request."""
        return (type(self), ())


class LimitBlockedError(PayiError):
    """Tell that a call was stopped before it reached the provider, because a `block` limit is full.

    `limit_ids` are the limits that stopped it; `xproxy_result` is the meter's answer to the recorded refusal. Source:
    limits-semantics section 6.3.
    """

    status_code = REFUSED
    """What frameworks go by: to LiteLLM's Router an error without a status is a fault of the host, which it tries again and
    then rests for every user."""

    def __init__(self, limit_ids: list[str], xproxy_result: Result | None = None) -> None:
        """Name the limits that blocked."""
        named = ", ".join(limit_ids)
        super().__init__(f"blocked by limit {named}: raise its max, reset it, or call without it")
        self.limit_ids = limit_ids
        self.xproxy_result = xproxy_result

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes."""
        return (type(self), (self.limit_ids, self.xproxy_result))


@dataclass(frozen=True, slots=True)
class _Status:
    """What is left of a response that stayed in another process."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def _status_of(response: ResponseShown | None, status_code: int | None) -> int:
    if status_code is not None:
        return status_code
    if response is None:
        msg = "response: None has no status; give a response or status_code"
        raise TypeError(msg)
    return response.status_code


def _made_again(
    kind: type[APIStatusError | APIResponseValidationError], message: str, status_code: int, body: object
) -> APIError:
    return kind(message, status_code=status_code, response=None, body=body)


_BY_STATUS: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error(status_code: int, body: object, response: ResponseShown | None = None) -> APIStatusError:
    """Make the exception for an answer whose status is no success; its text holds status and body."""
    default = InternalServerError if status_code >= 500 else APIStatusError  # noqa: PLR2004  # the HTTP class
    kind = _BY_STATUS.get(status_code, default)
    message = f"Error code: {status_code} - {body}" if body else f"Error code: {status_code}"
    return kind(message, status_code=status_code, response=response, body=body)
