"""Live sessions: billed by the second of sound, told as a growing sum; tasks are handed to responses, told as theirs."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers._base import Turn
from payi_instrument.providers.openai.endpoints import Endpoint
from payi_instrument.providers.openai.responses_socket import ResponsesSession
from payi_instrument.providers.openai.sockets import Socket, kind_of, request_of
from payi_instrument.providers.openai.wire import members, named, number, parsed

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts

_TOLD = ("session.usage.updated", "session.closed")
_ASKS = ("session.start", "session.input_audio.append")
"""Messages that a live session costs something for."""


class LiveSession:
    """Read a live connection."""

    def __init__(self, connection: Any) -> None:
        """Take where it is connected to; the session's own events say more."""
        self._socket = Socket(connection)
        self._tasks = ResponsesSession(connection)
        self._session: object = None
        self._counted = 0

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: seconds that were added, or a piece of a response that a task was handed to."""
        kind = kind_of(message)
        if not kind.startswith(("session.", "response.event")):
            return None
        event = parsed(message)
        if event.type == "response.event":
            return self._tasks.turn(event.delegation_id or "", event.event)
        session = members(event.session)
        self._socket.model = named(session.get("model")) or self._socket.model
        if event.type == "session.started" and session.get("id") != self._session:  # after a reconnect it is another
            self._session, self._counted = session.get("id"), 0
        if event.type not in _TOLD:
            return None
        seconds = ceil(number(members(event.usage), "seconds"))
        added, self._counted = seconds - self._counted, max(seconds, self._counted)
        return Turn(f"{seconds} s", self._facts(), added, ends=True) if added > 0 else None

    def sending(self, message: Any) -> CallFacts | None:
        """Take a message that is to be sent; None for one that costs nothing."""
        body = request_of(message)
        if body.get("type") not in _ASKS:
            return None
        self._socket.model = named(members(body.get("session")).get("model")) or self._socket.model
        return self._facts()

    def _facts(self) -> CallFacts:
        return self._socket.facts(_LIVE, self._socket.model)


class SecondsReader:
    """Count the seconds that a live session told."""

    __slots__ = ("_seconds", "has_text")

    def __init__(self, _facts: CallFacts) -> None:
        """Take the call that the seconds are billed as."""
        self._seconds = 0
        self.has_text = False

    def see(self, seconds: Any) -> bool:
        """Take seconds that were added."""
        self._seconds += seconds
        return False

    def usage(self) -> Usage:
        """Return the seconds."""
        return Usage(units={"audio_seconds": (self._seconds, 0)})


def read(_facts: CallFacts, seconds: int) -> Usage:
    """Return the seconds that a live session told."""
    return Usage(units={"audio_seconds": (seconds, 0)})


_LIVE = Endpoint(read, SecondsReader)
