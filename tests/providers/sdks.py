"""What the conformance suite has to know of an SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from examples.openai_standin import StandIn


@dataclass(frozen=True)
class Form:
    """One way to make a call: what opens it (awaited or entered as need be), and what a caller reads of the answer.

    `in_pieces`: the provider streams. `read_later`: the answer is whole, but still on the wire. `of_bytes`: the SDK
    hands on what the wire says, errors inside a stream included.
    """

    name: str
    opens: Callable[[Any, dict[str, Any]], Any]
    reads: Callable[[Any], Iterator[Any]]
    areads: Callable[[Any], AsyncIterator[Any]]
    in_pieces: bool = False
    read_later: bool = False
    of_bytes: bool = False


@dataclass(frozen=True)
class Sdk:
    """One SDK: its forms, its clients for the stand-in, a request, the text it is answered with and the units of it.

    `lacks` says what a form with a request needs that the installed version does not have, None for nothing.
    """

    name: str
    forms: tuple[Form, ...]
    client: Callable[[StandIn], Any]
    async_client: Callable[[StandIn], Any]
    unreachable: Callable[[Any], Any]
    ask: dict[str, Any]
    text: str
    units: dict[str, tuple[int, int]]
    cost: float
    seen: Callable[[list[Any]], list[Any]] = field(repr=False)
    lacks: Callable[[Form, dict[str, Any]], str | None] = field(repr=False)
    id_begins: str = "payi_"
    told_by_request: bool = False
    """Whether the units are known before there is an answer."""
