"""An operation, a request for it and the reply: what client, engine and server pass to each other.

A request's body is a plain mapping or list as the wire carries it; a reply's body is the JSON value from the network or,
in process, the answer's own model. Nothing is serialised to be parsed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote

from payi_instrument.wire.model import Model

if TYPE_CHECKING:
    from pydantic import BaseModel

    from payi_instrument.wire.ingest import IngestRequest

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class Page(Model, Generic[ItemT]):
    """Answer one page of a listing; a null, absent or empty `cursor` ends it (wire-api section 1.6)."""

    request_id: str | None = None
    cursor: str | None = None
    items: list[ItemT] | None = None


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """Describe one operation of the REST surface.

    `path` has its parameters in braces, `answer` is the type of a successful reply's body (None: an empty body), `status`
    lists the statuses of success, `errors` the codes it may be refused with beside the common ones.
    """

    name: str
    method: str
    path: str
    answer: type[T]
    body: type[BaseModel | IngestRequest] | None = None
    many: bool = False
    query: type[BaseModel] | None = None
    status: tuple[int, ...] = (200,)
    errors: tuple[str, ...] = ()
    extension: bool = False


@dataclass(slots=True)
class Request(Generic[T]):
    """Ask for one operation; `timeout` is in seconds, None for the client's own."""

    operation: Operation[T]
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = None
    timeout: float | None = None

    def url_path(self) -> str:
        """Return the path with every parameter percent-encoded as one segment; raises `ValueError` naming a bad one."""
        return self.operation.path.format(**{name: _segment(name, value) for name, value in self.path.items()})


def _segment(name: str, value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        msg = f"{name}: {value!r} holds half a character, which no URL can carry"
        raise ValueError(msg) from None


@dataclass(slots=True)
class Reply:
    """Answer a request: status, body (see the module), headers by lower-case name."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
