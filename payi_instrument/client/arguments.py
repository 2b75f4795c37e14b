"""What every client method takes beside its own arguments, and how an absent argument differs from None.

Source: client.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, TypeVar, cast

from payi_instrument.client.encoding import laid_over
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class Unset(Enum):
    """The type of :data:`UNSET`."""

    TOKEN = "unset"  # noqa: S105  # not a secret

    def __bool__(self) -> Literal[False]:
        """Be false."""
        return False

    def __repr__(self) -> str:
        """Show the name under which users know it."""
        return "NOT_GIVEN"


UNSET: Final = Unset.TOKEN
"""Stands for an argument that was not given: it is not sent, where None is sent as JSON null."""


class Timeout(Protocol):
    """A timeout as `httpx.Timeout` and `httpx2.Timeout` spell it, each phase in seconds, None without end."""

    @property
    def connect(self) -> float | None:
        """Return the seconds for a connection."""
        ...

    @property
    def read(self) -> float | None:
        """Return the seconds for each piece of an answer."""
        ...

    @property
    def write(self) -> float | None:
        """Return the seconds for each piece of a request."""
        ...

    @property
    def pool(self) -> float | None:
        """Return the seconds to wait for a free connection."""
        ...


Phases = tuple[float | None, float | None, float | None, float | None]
"""Seconds to connect, read, write and wait for a connection, in the HTTP libraries' order."""
DEFAULT_TIMEOUT: Phases = (5.0, 60.0, 60.0, 60.0)


def phases(timeout: float | Timeout | None) -> Phases:
    """Return the four phases of a timeout; one number stands for each, an endless one for None.

    Raises `TypeError` for what is no timeout, `ValueError` for one below 0 or past what a thread can wait.
    """
    if timeout is None:
        return (None, None, None, None)
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        seconds = _seconds(timeout)
        return (seconds, seconds, seconds, seconds)
    of_library = cast("Timeout", timeout)
    try:
        each = (of_library.connect, of_library.read, of_library.write, of_library.pool)
    except AttributeError:
        msg = f"timeout: {timeout!r} is a {type(timeout).__name__}, expected seconds, an httpx.Timeout or None"
        raise TypeError(msg) from None
    connect, read, write, pool = (None if phase is None else _seconds(phase) for phase in each)
    return (connect, read, write, pool)


def _seconds(timeout: float) -> float | None:
    if timeout == float("inf"):
        return None
    if not 0 <= timeout <= TIMEOUT_MAX:  # NaN is between nothing
        msg = f"timeout: {timeout!r} is not 0 to {TIMEOUT_MAX:.0f} seconds; None waits without end"
        raise ValueError(msg)
    return timeout


class Options(TypedDict, total=False):
    """The arguments that every method takes; they have the last word over the method's own.

    `timeout` is in seconds, an `httpx.Timeout`, or None to wait without end. A header that is None is not sent.
    """

    extra_headers: Mapping[str, str | None] | None
    extra_query: Mapping[str, object] | None
    extra_body: Mapping[str, object] | None
    timeout: float | Timeout | None


@dataclass(slots=True)
class Asked(Request[T]):
    """A request with what its caller said about sending it.

    `phases` is its own timeout and `max_retries` its own count, None for the client's. `dropped` are the client's headers,
    by lower-case name, that do not go with it. `plain` is the same request for a meter that does not list the extension
    `event_id`.
    """

    phases: Phases | None = None
    dropped: frozenset[str] = frozenset()
    max_retries: int | None = None
    plain: Request[T] | None = None


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {name: value for name, value in arguments.items() if value is not UNSET}


def mapping(name: str, value: object) -> Mapping[Any, Any]:
    """Return a mapping that a caller without a checker may have got wrong, an empty one for None or what was not given.

    Raises `TypeError` naming the argument.
    """
    if value is None or value is UNSET:
        return {}
    if not isinstance(value, Mapping):
        msg = f"{name}: {value!r} is a {type(value).__name__}, expected a mapping"
        raise TypeError(msg)
    return cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast]  # mypy knows, pyright does not


def headers_of(name: str, headers: object) -> Mapping[str, str | None]:
    """Return headers that a caller gave, an empty mapping for None.

    Raises `TypeError` naming the argument or `TypeError` and `ValueError` naming a header that can't be sent.
    """
    given: Mapping[str, str | None] = mapping(name, headers)
    laid_over(given)
    return given


def check_known(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `TypeError` for a keyword that nothing takes, as Python does for a function that lists its own."""
    for keyword in given:
        if keyword not in known:
            msg = f"{name} got an unexpected keyword argument {keyword!r}"
            raise TypeError(msg)


def dropped(headers: Mapping[str, str | None]) -> frozenset[str]:
    """Return the names, in lower case, of the headers that are None: they are not sent, whoever set them."""
    return frozenset(name.lower() for name, value in headers.items() if value is None)


def build(  # the parts of a request
    operation: Operation[T],
    options: Options,
    *,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Asked[T]:
    """Return the request for an operation.

    Raises `ValueError` or `TypeError` naming an option that there is not, a path argument that can't be one segment, or a
    header that can't be sent.
    """
    check_known(f"{operation.name}()", options, Options.__annotations__)
    for name, value in (path or {}).items():
        if not isinstance(cast("object", value), str) or not value or value in {".", ".."}:
            msg = f"{name}: {value!r} can't be part of a path, expected a str that is not empty, '.' or '..'"
            raise ValueError(msg)
    extra = mapping("extra_body", options.get("extra_body"))
    asked: dict[str, object] = {**(query or {}), **mapping("extra_query", options.get("extra_query"))}
    over = mapping("extra_headers", options.get("extra_headers"))
    return Asked(
        operation,
        path=path or {},
        query={name: value for name, value in asked.items() if value is not None},
        headers=laid_over(headers or {}, over),
        body=merged_body(body, extra) if extra else body,
        phases=phases(options["timeout"]) if "timeout" in options else None,
        dropped=dropped(over),
    )


def merged_headers(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Lay headers over each other, whatever the case of their names; one that is None is taken away."""
    headers: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            headers.pop(name.lower(), None)
            if value is not None:
                headers[name.lower()] = (name, value)
    return dict(headers.values())


def merged_body(body: object, extra: Mapping[str, object]) -> dict[str, object]:
    """Return a body with members added; raises `TypeError` for a body that has none."""
    if body is not None and not isinstance(body, dict):
        msg = f"extra_body: the body is a {type(body).__name__}, which takes no members"
        raise TypeError(msg)
    return {**cast("dict[str, object]", body or {}), **extra}
