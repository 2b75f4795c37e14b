"""Realtime sessions: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done.

A turn is told by its `response.done`, however it went; what users said is transcribed by another model, and told by an
event of its own. A turn that the connection did not survive is estimated by what was heard of it.
"""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers._base import Ask, Turn
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.providers.openai.audio import read_transcription
from payi_instrument.providers.openai.calls import called_in
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.endpoints import Endpoint
from payi_instrument.providers.openai.sockets import Socket, kind_of, request_of
from payi_instrument.providers.openai.wire import failure_of, listed, members, named, parsed, strings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import CallFacts, Units

_RESPONSE_ID = re.compile(rb'"response_id"\s*:\s*"([^"]*)"')
_AUDIO = ("response.output_audio.delta", "response.audio.delta")
_TEXT = ("response.output_text.delta", "response.text.delta", "response.function_call_arguments.delta")
_DONE = "response.done"
_PIECES = frozenset({"response.created", *_TEXT, _DONE})
"""The pieces of a turn that say something of it; others repeat it, or frame it."""
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_ASKS, _SOUND = "response.create", "input_audio_buffer.append"
"""What lets the model speak: at once, or as soon as it takes the turn."""
_SESSIONS = frozenset(
    f"{kind}.{what}" for kind in ("session", "transcription_session") for what in ("created", "updated")
)
_BYTES_PER_TOKEN = 3200
"""Of base64 audio, for estimates only: a token is a twentieth of a second, of 16 bits 24 000 times a second."""


class RealtimeSession:
    """Read a realtime connection."""

    def __init__(self, speaker: Any) -> None:
        """Take where it is connected to; the session's own events say more."""
        self._socket = Socket(speaker)
        self._transcriber: str | None = None

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: a piece of a turn, or the transcript of what the user said."""
        kind = kind_of(message)
        if kind in _AUDIO:  # the bulk of a session, and nothing in it but sound
            found = _RESPONSE_ID.search(message)
            return self._turn(found[1].decode(), len(message)) if found is not None else None
        if kind in _PIECES:
            event = parsed(message)
            key = named(members(event.response).get("id")) or named(event.response_id)
            return self._turn(key, event, ends=kind == _DONE) if key else None
        if kind == _TRANSCRIBED:
            event = parsed(message)
            facts = self._socket.facts(_HEARD, self._transcriber)
            return Turn(f"{event.item_id}/{event.content_index}", facts, event, ends=True)
        if kind in _SESSIONS:
            self._learn(members(parsed(message).session))
        return None

    def asks(self, _speaker: Any, message: Any) -> Ask | None:
        """Return what a message asks for, None for one that does not let the model speak."""
        kind = request_of(message).get("type")
        if kind == _SOUND:
            return Ask(self._socket.facts(_TURN, self._socket.model))
        return Ask(self._socket.facts(_TURN, self._socket.model, {})) if kind == _ASKS else None

    def sent(self, facts: CallFacts) -> None:
        """Take note of nothing: the model takes its turns itself, so that none is told apart as one that was asked for."""

    def unsent(self, facts: CallFacts) -> None:
        """Have nothing to forget."""

    def lost(self) -> None:
        """Have nothing to forget."""

    def _learn(self, session: Mapping[str, Any]) -> None:
        """Take the models of a session, in today's form and the one before; what was asked for is the one that counts."""
        self._socket.model = self._socket.model or named(session.get("model"))
        heard = members(members(session.get("audio")).get("input")).get("transcription")
        heard = heard or session.get("input_audio_transcription")
        self._transcriber = named(members(heard).get("model")) or self._transcriber

    def _turn(self, key: str, chunk: object, *, ends: bool = False) -> Turn:
        return Turn(key, self._socket.facts(_TURN, self._socket.model), chunk, ends)


class TurnReader:
    """Gather what a turn used."""

    __slots__ = ("_done", "_facts", "_heard", "_texts", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer the turn is."""
        self._facts = facts
        self._done: Any = None
        self._heard = 0
        self._texts: list[str] = []
        self.has_text = False

    def see(self, chunk: Any) -> bool:
        """Take the next event, of sound only its size; none is hidden."""
        if isinstance(chunk, int):
            self._heard += chunk
            self.has_text = True
        elif chunk.type in _TEXT:
            self._texts += strings([chunk.delta])
            self.has_text = True
        elif chunk.type == _DONE:
            self._done = chunk.response
        return False

    def usage(self) -> Usage:
        """Return what was used: as its end reported it, else as estimated."""
        found = read(self._facts, self._done)
        if not found.units and found.failure is None:
            units: Units = {"text": (0, estimate_tokens(self._texts))}
            if self._heard:
                units["audio"] = (0, ceil(self._heard / _BYTES_PER_TOKEN))
            found.units, found.estimated = units, True
        found.once = self._facts.job is not None and not found.estimated  # all who joined the call hear the same
        return found


def read(_facts: CallFacts, turn: Any) -> Usage:
    """Return what a finished turn says it used."""
    told = members(turn)
    usage = told.get("usage")
    return Usage(
        units=units_of(usage) if is_reported(usage) else {},
        response_id=named(told.get("id")),
        function_calls=list(called_in(listed(told.get("output")))),
        failure=failure_of(members(told.get("status_details")).get("error")),
    )


class TranscriptReader:
    """Say what a transcript of the user's words took."""

    __slots__ = ("_event", "_facts", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer the transcript is."""
        self._facts = facts
        self._event: Any = None
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the event that is all of it."""
        self._event = event
        return False

    def usage(self) -> Usage:
        """Return what was used, as the event reported it; else an estimate."""
        told = members(self._event)
        found = read_transcription(self._facts, {"text": told.get("transcript") or "", **told})
        if (item := named(told.get("item_id"))) is not None:
            found.response_id = f"{item}/{told.get('content_index')}"
        found.once = self._facts.job is not None and not found.estimated
        return found


_TURN = Endpoint(read, TurnReader)
_HEARD = Endpoint(read_transcription, TranscriptReader)
