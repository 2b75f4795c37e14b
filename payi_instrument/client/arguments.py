"""What every client method takes beside its own arguments, and how an absent argument differs from None.

Source: client.md section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, TypeVar, cast

from payi_instrument.client.encoding import laid_over
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class Unset(Enum):
    """The type of :data:`UNSET`."""

    TOKEN = "unset"  # noqa: S105  # not a secret

    def __bool__(self) -> Literal[False]:
        """Be false."""
        return False


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
    """Return the four phases of a timeout; one number stands for each. Raises `TypeError` for anything else."""
    if timeout is None:
        return (None, None, None, None)
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return (timeout, timeout, timeout, timeout)
    of_library = cast("Timeout", timeout)
    try:
        return (of_library.connect, of_library.read, of_library.write, of_library.pool)
    except AttributeError:
        msg = f"timeout: {timeout!r} is a {type(timeout).__name__}, expected seconds, an httpx.Timeout or None"
        raise TypeError(msg) from None


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

    `phases` is its own timeout and `max_retries` its own count, None for the client's. `plain` is the same request for a
    meter that does not list the extension `event_id`.
    """

    phases: Phases | None = None
    max_retries: int | None = None
    plain: Request[T] | None = None


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {name: value for name, value in arguments.items() if value is not UNSET}


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

    Raises `ValueError` or `TypeError` naming a path argument that can't be one segment, or a header that can't be sent.
    """
    for name, value in (path or {}).items():
        if not isinstance(cast("object", value), str) or not value or value in {".", ".."}:
            msg = f"{name}: {value!r} can't be part of a path, expected a non-empty str"
            raise ValueError(msg)
    extra = options.get("extra_body")
    asked: dict[str, object] = {**(query or {}), **(options.get("extra_query") or {})}
    return Asked(
        operation,
        path=path or {},
        query={name: value for name, value in asked.items() if value is not None},
        headers=laid_over(headers or {}, options.get("extra_headers") or {}),
        body=merged_body(body, extra) if extra else body,
        phases=phases(options["timeout"]) if "timeout" in options else None,
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
