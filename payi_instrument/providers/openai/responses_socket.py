"""Responses over a WebSocket: the events of a streamed response, several lanes on one connection.

A lane, named by its `stream_id`, makes one response after the other, in the order in which they were asked for. Source:
https://platform.openai.com/docs/guides/websocket-mode.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from payi_instrument.providers._base import Turn
from payi_instrument.providers.openai.counting import is_reported
from payi_instrument.providers.openai.endpoints import Endpoint
from payi_instrument.providers.openai.responses import ResponseReader, read
from payi_instrument.providers.openai.sockets import Socket, kind_of, request_of
from payi_instrument.providers.openai.wire import members, named, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import CallFacts, Usage

_BEGINS = "response.created"
_ENDS = ("response.completed", "response.failed", "response.incomplete", "error")
_STEERED = "response.steer.accepted"
_NOTHING: Mapping[str, Any] = {}


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


class _Lane:
    """What was asked for on a lane and did not begin yet, and the response that it is at."""

    __slots__ = ("asked", "body", "facts", "key", "over")

    def __init__(self) -> None:
        self.asked: deque[Mapping[str, Any]] = deque()
        self.body = _NOTHING
        self.facts: CallFacts | None = None
        self.key = 0
        self.over = False
        """Whether an error ended the last response: what still comes of it counts no more."""


class ResponsesSession:
    """Read a connection for responses."""

    def __init__(self, connection: Any) -> None:
        """Take where it is connected to."""
        self._socket = Socket(connection)
        self._lanes: dict[str, _Lane] = {}
        self._steered: set[object] = set()
        """Responses that are followed by others which nobody asks for."""
        self._begun = 0

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: a piece of the response that its lane is at."""
        kind = kind_of(message)
        if not kind.startswith(("response.", "error")):
            return None
        event = parsed(message)
        if kind.startswith("response.steer."):  # about input that waits; no piece of an answer
            if kind == _STEERED and (steered := members(event.steer).get("previous_response_id")):
                self._steered.add(steered)
            return None
        return self.turn(event.stream_id or "", event)

    def turn(self, name: str, event: Any) -> Turn | None:
        """Return the response that an event of a lane belongs to; None for one that is of no response."""
        lane = self._lane(name)
        kind = str(event.type)
        if kind == "error" and not self._concerns(lane, event):
            return None
        response = members(event.response)
        if kind == _BEGINS or (lane.facts is None and not lane.over):
            self._begin(lane, response if kind == _BEGINS else _NOTHING)
        facts, ends = lane.facts, kind in _ENDS
        if ends:
            lane.facts, lane.over = None, kind == "error"
            if not (lane.asked or lane.over or response.get("id") in self._steered):
                del self._lanes[name]  # a session may have a lane for each response
        if facts is None:
            return None
        if facts.body.get("generate") is False and not is_reported(response.get("usage")):
            return None  # only warms up: nothing is made, and what that takes is not known before it is told
        return Turn(str(lane.key), facts, event, ends)

    def _concerns(self, lane: _Lane, event: Any) -> bool:
        """Say whether an error is a response's; one that bears a status is the protocol's answer to a message."""
        if event.status is None or event.sequence_number is not None:
            return True
        if lane.facts is None:
            lane.over = not lane.asked
            return bool(lane.asked)
        if lane.asked:  # the response goes on; what was asked for after it does not begin
            lane.asked.pop()
        return False

    def _begin(self, lane: _Lane, response: Mapping[str, Any]) -> None:
        """Take the request whose response begins; one that was steered is followed by another without a request."""
        before = response.get("previous_response_id")
        follows = before in self._steered and not (lane.asked and lane.asked[0].get("previous_response_id") == before)
        self._steered.discard(before)
        if not follows:
            lane.body = lane.asked.popleft() if lane.asked else _NOTHING
        self._begun += 1
        lane.key = self._begun
        lane.over = False
        lane.facts = self._facts(lane.body)

    def sending(self, message: Any) -> CallFacts | None:
        """Take a message that is to be sent, and keep what it asks for; None for one that asks for no response."""
        body = dict(request_of(message))
        if body.get("type") != "response.create":
            return None
        self._lane(body.get("stream_id") or "").asked.append(body)
        return self._facts(body)

    def _lane(self, name: str) -> _Lane:
        return self._lanes.setdefault(name, _Lane())

    def _facts(self, body: Mapping[str, Any]) -> CallFacts:
        return self._socket.facts(_RESPONSE, named(body.get("model")), body)
