"""Live sessions: billed by the second of sound, told as a growing sum.

Tasks go to responses and decisions, which are told as their own.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers._base import Ask, Turn
from payi_instrument.providers.openai.endpoints import DECISION, Endpoint
from payi_instrument.providers.openai.responses_socket import ResponsesSession
from payi_instrument.providers.openai.sockets import Socket, kind_of, request_of
from payi_instrument.providers.openai.wire import members, named, number, parsed

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts

_TOLD = ("session.usage.updated", "session.closed")
_SOUND = "session.input_audio.append"
_ASKS = ("session.start", "response.create", "decision.create")
"""Messages that a live session costs something for, beside the sound that it is sent."""


class LiveSession:
    """Read a live connection."""

    def __init__(self, speaker: Any) -> None:
        """Take where it is connected to; the session's own events say more."""
        self._socket = Socket(speaker)
        self._tasks = ResponsesSession(speaker)
        self._session: str | None = None
        self._counted = 0

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: seconds that were added, or a piece of a response that a task was handed to."""
        kind = kind_of(message)
        if not kind.startswith(("session.", "response.event", "decision.event")):
            return None
        event = parsed(message)
        if kind == "decision.event":
            return self._decided(named(event.event_id) or "", members(event.event).get("decision"))
        if kind == "response.event":
            return self._tasks.turn(named(event.delegation_id) or "", event.event)
        session = members(event.session)
        self._socket.model = named(session.get("model")) or self._socket.model
        name = named(session.get("id"))
        if event.type == "session.started" and name != self._session:  # after a reconnect it is another
            self._session, self._counted = name, 0
        if event.type not in _TOLD:
            return None
        seconds = ceil(number(members(event.usage), "seconds"))
        added, self._counted = seconds - self._counted, max(seconds, self._counted)
        return Turn(f"{seconds} s", self._facts(), added, ends=True) if added > 0 else None

    def _decided(self, name: str, decision: Any) -> Turn:
        model = named(members(decision).get("model"))
        return Turn(name, self._socket.facts(DECISION, model and DECISION.prefix + model), decision, ends=True)

    def asks(self, _speaker: Any, message: Any) -> Ask | None:
        """Return what a message asks for, None for one that costs nothing."""
        body = request_of(message)
        kind = body.get("type")
        if kind == _SOUND:
            return Ask(self._facts())
        model = named(members(body.get("session")).get("model")) or self._socket.model
        return Ask(self._socket.facts(_LIVE, model, {})) if kind in _ASKS else None

    def sent(self, facts: CallFacts) -> None:
        """Take note of nothing: seconds are not asked for one by one."""

    def unsent(self, facts: CallFacts) -> None:
        """Have nothing to forget."""

    def lost(self) -> None:
        """Forget the tasks; the seconds are a sum of the session, which says when it is another."""
        self._tasks.lost()

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
