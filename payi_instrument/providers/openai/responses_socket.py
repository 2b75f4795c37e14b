"""Responses over a WebSocket: the events of a streamed response, several lanes on one connection.

A lane, named by its `stream_id`, makes one response after the other, in the order in which they were asked for. Source:
https://platform.openai.com/docs/guides/websocket-mode.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from payi_instrument.providers._base import Ask, Turn
from payi_instrument.providers.openai.endpoints import Endpoint
from payi_instrument.providers.openai.responses import ResponseReader, read
from payi_instrument.providers.openai.sockets import Socket, kind_of, request_of
from payi_instrument.providers.openai.wire import failure_of, members, named, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import CallFacts, Usage

_BEGINS = "response.created"
_ENDS = ("response.completed", "response.failed", "response.incomplete")
_STEERED, _NOT_STEERED = "response.steer.accepted", "response.steer.failed"
_BESIDE = ("response.steer.", "response.inject.")
"""Events about input that waits: no piece of an answer."""
_REFUSALS_OF_INPUT = frozenset(
    {
        *("response_not_found", "steering_not_supported", "too_many_pending_steers", "successor_creation_failed"),
        *("response_already_completed", "response_not_active"),
    }
)
_ADDS = ("response.steer", "response.inject")
"""Messages that let a response go on, in another one perhaps."""


class LaneReader(ResponseReader):
    """Gather what a response of a lane used: an error before it began is a refusal, as over HTTP a status is."""

    __slots__ = ()

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed; what a warm-up says it used is read like any other's."""
        super().__init__(replace(facts, reports_later=False))

    def usage(self) -> Usage:
        """Return what was used, nothing for a response that was refused."""
        found = super().usage()
        if found.failure is not None and not self._response:
            found.units, found.estimated = {}, False
        return found


_RESPONSE = Endpoint(read, LaneReader)


class _Lane:
    """What was asked for on a lane and did not begin yet, and the response that it is at."""

    __slots__ = ("asked", "facts", "key", "last", "over")

    def __init__(self) -> None:
        self.asked: deque[CallFacts] = deque()
        self.facts: CallFacts | None = None
        self.key = ""
        self.last: str | None = None
        """The model of the response that ended last."""
        self.over = False
        """Whether an error ended the last response: its end, should it come, counts no more."""


class ResponsesSession:
    """Read a connection for responses."""

    def __init__(self, speaker: Any) -> None:
        """Take where it is connected to."""
        self._socket = Socket(speaker)
        self._lanes: dict[str, _Lane] = {}
        self._steered: set[str | None] = set()
        """Responses that are followed by others which nobody asks for."""
        self._begun = 0
        self._lock = threading.Lock()

    def received(self, message: Any) -> Turn | None:
        """Take a message that came: a piece of the response that its lane is at."""
        kind = kind_of(message)
        if not kind.startswith(("response.", "error")):
            return None
        event = parsed(message)
        if kind.startswith(_BESIDE):
            self._hear_of_input(kind, named(members(event.steer).get("previous_response_id")))
            return None
        return self.turn(named(event.stream_id) or "", event)

    def _hear_of_input(self, kind: str, steered: str | None) -> None:
        """Take note of a response that is to be followed by another, or is not after all."""
        if kind == _STEERED and steered is not None:
            self._steered.add(steered)
        elif kind == _NOT_STEERED and steered is not None:
            self._steered.discard(steered)

    def turn(self, name: str, event: Any) -> Turn | None:
        """Return the response that an event of a lane belongs to; None for one that is of no response."""
        kind = str(event.type)
        with self._lock:
            if kind == "error":
                return self._failed(name, event)
            lane = self._lanes.get(name)
            if kind == _BEGINS:
                lane = self._begin(name, members(event.response))
            if lane is None:
                return None
            turn = Turn(lane.key, lane.facts, event, kind in _ENDS) if lane.facts is not None else None
            if kind in _ENDS:
                lane.last = lane.facts.resource if lane.facts is not None else None
                lane.facts, lane.over = None, False
                self._leave(name, lane, named(members(event.response).get("id")))
            return turn

    def _begin(self, name: str, response: Mapping[str, Any]) -> _Lane:
        """Take the request whose response begins; one that was steered is followed by another without a request."""
        lane = self._lanes.setdefault(name, _Lane())
        before = named(response.get("previous_response_id"))
        asked = lane.asked[0].body.get("previous_response_id") if lane.asked else None
        if before in self._steered and asked != before:
            lane.facts = self._socket.facts(_RESPONSE, lane.last, {})
        else:
            lane.facts = lane.asked.popleft() if lane.asked else self._socket.facts(_RESPONSE, None, {})
        self._steered -= {before}
        lane.key = self._key()
        lane.over = False
        return lane

    def _failed(self, name: str, event: Any) -> Turn | None:
        """Return the response that an error ends, or the request that it refuses; None when it is about neither.

        One with a status, and no place in a response's events, answers a message: the last one, while a response goes on.
        """
        lane = self._lanes.get(name)
        if lane is not None and lane.facts is not None and (event.status is None or event.sequence_number is not None):
            turn = Turn(lane.key, lane.facts, event, ends=True)
            lane.facts, lane.over = None, True
            return turn
        if not name and (lane is None or not lane.asked):  # perhaps it does not say which lane
            waiting = [at for at, other in self._lanes.items() if other.asked]
            name = waiting[0] if len(waiting) == 1 else name
            lane = self._lanes.get(name)
        if lane is None or not lane.asked or (lane.facts is not None and _of_input(event)):
            return None
        refused = lane.asked.popleft() if lane.facts is None else lane.asked.pop()
        self._leave(name, lane, None)
        return Turn(self._key(), refused, event, ends=True)

    def _leave(self, name: str, lane: _Lane, response: str | None) -> None:
        """Forget a lane that nothing is to come on: a session may have one for each response."""
        if lane.facts is None and not lane.asked and not lane.over and response not in self._steered:
            self._lanes.pop(name, None)

    def _key(self) -> str:
        self._begun += 1
        return str(self._begun)

    def asks(self, speaker: Any, message: Any) -> Ask | None:
        """Return what a message asks for, None for one that asks for no response."""
        body = dict(request_of(message))
        if body.get("type") in _ADDS:
            return Ask(self._socket.facts(_RESPONSE, self._socket.model, body))
        if body.get("type") != "response.create":
            return None
        helper = getattr(speaker, "_state", None)  # a lane of the SDK's own writes its name into the message
        if (name := getattr(helper, "stream_id", None)) is not None:
            body["stream_id"] = name
        facts = self._socket.facts(_RESPONSE, named(body.get("model")), body)
        if body.get("generate") is False:  # only warms up: what that takes is not known before it is told
            facts = replace(facts, reports_later=True)
        return Ask(facts, told_apart=True)

    def sent(self, facts: CallFacts) -> None:
        """Take note of what is asked for on a lane."""
        with self._lock:
            self._lanes.setdefault(_lane_of(facts), _Lane()).asked.append(facts)
            self._socket.model = facts.resource

    def unsent(self, facts: CallFacts) -> None:
        """Forget what could not be asked for."""
        with self._lock:
            name = _lane_of(facts)
            lane = self._lanes.get(name)
            if lane is not None:
                lane.asked = deque(other for other in lane.asked if other is not facts)
                self._leave(name, lane, None)

    def lost(self) -> None:
        """Forget everything."""
        with self._lock:
            self._lanes.clear()
            self._steered.clear()


def _of_input(event: Any) -> bool:
    """Say whether an error refuses input for a response that goes on, and no request."""
    failure = failure_of(event.error or members(event))
    return failure is not None and failure[0] in _REFUSALS_OF_INPUT


def _lane_of(facts: CallFacts) -> str:
    return named(facts.body.get("stream_id")) or ""
