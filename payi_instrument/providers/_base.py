"""What a provider's file has to offer, and nothing more: it reads, it keeps no state, it does no I/O.

How to add one: docs/add-a-provider.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payi_instrument.event import CallFacts, Failure, Usage

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of an SDK's function; what is in them is the SDK's business."""


class Shape(Enum):
    """How an SDK's function is called."""

    SYNC = "sync"
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Target:
    """Name a function of an SDK to stand in for: `name` is dotted, inside `module`.

    `optional`: not every version of the SDK has it. Any other that is not found is logged as an error.
    """

    module: str
    name: str
    shape: Shape
    optional: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """Name a class of an SDK that shows a result: that of the stream in its attribute `inner`, None for its own.

    A class of answers that would show all its attributes, as a pydantic model does, keeps its own out of sight.
    """

    module: str
    name: str
    inner: str | None = None


class Kind(Enum):
    """What an SDK's function returned."""

    WHOLE = "whole"
    """The answer is there."""
    STREAM = "stream"
    """An SDK's stream object: chunks follow."""
    RAW = "raw"
    """An SDK's raw response whose body was not read yet: bytes follow."""


@dataclass(frozen=True, slots=True)
class StreamParts:
    """Say where to stand in a stream: `holder.attribute` is its inner iterator, `response` what is closed."""

    holder: object
    attribute: str
    response: object


class StreamReader(Protocol):
    """Gather the usage of one streamed answer."""

    @property
    def has_text(self) -> bool:
        """Say whether a chunk with answer text was seen."""
        ...

    def see(self, chunk: Any, /) -> bool:
        """Take the next chunk; True when it is one that we asked for and the caller must not see."""
        ...

    def usage(self) -> Usage:
        """Return what was used so far: as reported, else as estimated from what was seen."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """Say what a message of a session belongs to: the answer `key`, which `chunk` is a piece of, the last one when `ends`.

    `facts` are those of the call that the answer is metered as, should this be its first piece.
    """

    key: str
    facts: CallFacts
    chunk: object
    ends: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Say what a message that is to be sent asks for: the call that its answer is.

    `told_apart`: the answer's `Turn` will bear these very `facts`. Pieces of one request, as sound is sent, have the same.
    """

    facts: CallFacts
    told_apart: bool = False


class Session(Protocol):
    """Read the messages of one connection; it must not hold the connection. Threads may send while others receive."""

    def received(self, message: Any) -> Turn | None:
        """Take a message that came, return what it belongs to, None for one that is of no answer."""
        ...

    def asks(self, speaker: Any, message: Any, /) -> Ask | None:
        """Return what a message asks for that `speaker` may send, None for one that costs nothing; takes note of nothing."""
        ...

    def sent(self, facts: CallFacts) -> None:
        """Take note of a request that is told apart, just before it is sent."""
        ...

    def unsent(self, facts: CallFacts) -> None:
        """Forget a request that could not be sent."""
        ...

    def lost(self) -> None:
        """Forget everything: the connection ended, another may take its place."""
        ...


@dataclass(frozen=True, slots=True)
class Sessions:
    """Name an SDK's functions that receive a message of a session and return it, that send one, and that connect.

    `connecting` returns the arguments to connect with: our headers out.
    `place` returns the connection that something speaks over, None for what is to open one; and what messages wait in
    meanwhile, None where they do not. Both live as long as what speaks.
    """

    receive: tuple[Target, ...]
    send: tuple[Target, ...]
    connect: tuple[Target, ...]
    connecting: Callable[[Any, Arguments], Arguments]
    open: Callable[[Any], Session]
    place: Callable[[Any], tuple[Any, Any]]


class Provider(Protocol):
    """Read one SDK."""

    library: str
    """The SDK's top-level package."""
    categories: frozenset[str]
    """The names in `instruments=` that switch this provider on."""
    targets: tuple[Target, ...]
    views: tuple[View, ...]
    sessions: Sessions | None
    """Connections on which several answers come; None for an SDK that has none."""

    def read_request(self, client: Any, arguments: Arguments) -> CallFacts | None:
        """Return what a call is about, None for one that is not metered."""
        ...

    def prepare(self, facts: CallFacts, arguments: Arguments) -> Arguments:
        """Return the arguments to call the SDK with; the caller's objects are not changed."""
        ...

    def refuses_usage(self, error: Exception) -> bool:
        """Say whether a provider refused our request for usage, so that the call may be made without it."""
        ...

    def kind(self, facts: CallFacts, answer: Any) -> Kind:
        """Say what the SDK returned."""
        ...

    def read_answer(self, facts: CallFacts, answer: Any) -> Usage:
        """Return what a whole answer says it used."""
        ...

    def read_bytes(self, facts: CallFacts, body: bytes) -> Usage:
        """Return what a whole answer says it used, from its bytes."""
        ...

    def read_failure(self, facts: CallFacts, error: BaseException) -> Failure:
        """Return what an exception of the SDK says about the call."""
        ...

    def reader(self, facts: CallFacts) -> StreamReader:
        """Return a reader for a streamed answer."""
        ...

    def stream_parts(self, answer: Any) -> StreamParts:
        """Say where to stand in a stream object."""
        ...

    def raw_response(self, answer: Any) -> Any:
        """Return the HTTP library's response behind a raw one."""
        ...

    def parse_chunk(self, data: str) -> Any:
        """Return the chunk that one server-sent event holds, None for one that is not a chunk."""
        ...

    def response_headers(self, answer: Any) -> Mapping[str, str]:
        """Return the headers of an answer, empty where the SDK does not show them."""
        ...

    def log_request(self, facts: CallFacts, *, inline_data: bool) -> str | None:
        """Return the request as JSON text; base64 data is replaced unless `inline_data`."""
        ...

    def log_answer(self, answer: Any) -> str | None:
        """Return an answer or a chunk as JSON text."""
        ...
