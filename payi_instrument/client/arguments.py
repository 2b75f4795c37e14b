"""What every client method takes beside its own arguments, and how an absent argument differs from None.

Source: client.md section 2.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar

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


class Options(TypedDict, total=False):
    """The arguments that every method takes; they have the last word over the method's own. `timeout` in seconds."""

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: Mapping[str, object] | None
    timeout: float | None


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
) -> Request[T]:
    """Return the request for an operation; raises `ValueError` naming a path argument that can't be one segment."""
    for name, value in (path or {}).items():
        if not isinstance(value, str) or not value or value in {".", ".."}:  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"{name}: {value!r} can't be part of a path, expected a non-empty str"
            raise ValueError(msg)
    extra = options.get("extra_body")
    asked: dict[str, object] = {**(query or {}), **(options.get("extra_query") or {})}
    return Request(
        operation,
        path=path or {},
        query={name: value for name, value in asked.items() if value is not None},
        headers={**(headers or {}), **(options.get("extra_headers") or {})},
        body=_merged(body, extra) if extra else body,
        timeout=options.get("timeout"),
    )


def _merged(body: dict[str, Any] | None, extra: Mapping[str, object]) -> dict[str, Any]:
    return {**(body or {}), **extra}
