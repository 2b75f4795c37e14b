"""The SDK's sessions: realtime ones, responses over a WebSocket, live ones.

We stand in `recv_bytes`, `send` and `send_raw` of each connection, in `send` of what opens one, which keeps messages until
there is a connection, and of the lanes of the SDK's helper, which go round it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.providers._base import Session, Sessions, Shape, Target
from payi_instrument.providers.openai.live import LiveSession
from payi_instrument.providers.openai.realtime import RealtimeSession
from payi_instrument.providers.openai.responses_socket import ResponsesSession
from payi_instrument.providers.openai.sockets import connection_of, place_of, without_ours

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECTIONS = {
    "openai.resources.realtime.realtime": "RealtimeConnection",
    "openai.resources.beta.realtime.realtime": "RealtimeConnection",
    "openai.resources.responses.responses": "ResponsesConnection",
    "openai.resources.beta.responses.responses": "ResponsesConnection",
    "openai.resources.live.live": "LiveConnection",
}
_READERS: dict[str, Callable[[Any], Session]] = {"Responses": ResponsesSession, "Live": LiveSession}


def _open(speaker: Any) -> Session:
    """Return what reads a connection, by the name of its class or of what speaks over it."""
    name = type(speaker).__name__.removeprefix("Async")
    return next((read for kind, read in _READERS.items() if name.startswith(kind)), RealtimeSession)(
        connection_of(speaker)
    )


def _targets(*functions: str) -> tuple[Target, ...]:
    return tuple(
        Target(module, f"{prefix}{name}.{function}", shape, optional=True)
        for module, name in _CONNECTIONS.items()
        for prefix, shape in (("", Shape.SYNC), ("Async", Shape.ASYNC))
        for function in functions
    )


def _openers(function: str) -> tuple[Target, ...]:
    """Return a function of the managers that is called the same sync and async."""
    return tuple(
        Target(module, f"{prefix}{name}Manager.{function}", Shape.SYNC, optional=True)
        for module, name in _CONNECTIONS.items()
        for prefix in ("", "Async")
    )


_LANES = (
    Target("openai.lib.responses_websocket", "ResponsesWebSocketLane.send", Shape.SYNC, optional=True),
    Target("openai.lib.responses_websocket", "AsyncResponsesWebSocketLane.send", Shape.ASYNC, optional=True),
)
SESSIONS = Sessions(
    receive=_targets("recv_bytes"),
    send=(*_targets("send", "send_raw"), *_openers("send"), *_LANES),
    connect=_openers("_connect_ws"),
    connecting=without_ours,
    open=_open,
    place=place_of,
)
