"""Responses over a WebSocket: the events of a streamed response, several lanes on one connection.

Source: https://platform.openai.com/docs/guides/websocket-mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.providers._base import Turn
from payi_instrument.providers.openai.endpoints import Endpoint
from payi_instrument.providers.openai.responses import ResponseReader, read
from payi_instrument.providers.openai.sockets import Socket, kind_of
from payi_instrument.providers.openai.wire import members, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import CallFacts, Usage

_ENDS = ("response.completed", "response.failed", "response.incomplete", "error")


class LaneReader(ResponseReader):
    """Gather what a response of a lane used: an error before it began is a refusal, as over HTTP a status is."""

    __slots__ = ()

    def usage(self) -> Usage:
        """Return what was used, nothing for a response that was refused."""
        found = super().usage()
        if found.failure is not None and not self._response:
            found.units, found.estimated = {}, False
        return found


_RESPONSE = Endpoint(read, LaneReader)


class ResponsesSession:
    """Read a connection for responses; a lane is named by its `stream_id`."""

    def __init__(self, connection: Any) -> None:
        """Take where it is connected to."""
        self._socket = Socket(connection)
        self._asked: dict[str, Mapping[str, Any]] = {}

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: a piece of the response that its lane is at."""
        if not kind_of(message).startswith(("response.", "error")):
            return None
        event = parsed(message)
        return self.turn(event.stream_id or "", event)

    def turn(self, lane: str, event: Any) -> Turn:
        """Return the response that an event of a lane belongs to."""
        body = self._asked.get(lane, {})
        return Turn(lane, self._socket.facts(_RESPONSE, body.get("model"), body), event, str(event.type) in _ENDS)

    def sending(self, message: Any) -> CallFacts | None:
        """Take a message that is to be sent, and keep what it asks for; None for one that asks for no response."""
        body = members(message)
        if body.get("type") != "response.create":
            return None
        self._asked[body.get("stream_id") or ""] = body
        return self._socket.facts(_RESPONSE, body.get("model"), body)
