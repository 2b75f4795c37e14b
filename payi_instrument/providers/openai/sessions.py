"""The SDK's sessions: realtime ones, responses over a WebSocket, live ones.

We stand in `recv_bytes`, `send`, `send_raw` and `close` of each connection, through which every way of using it leads, and
in `send` of what opens one: it keeps messages until there is a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.providers._base import Session, Sessions, Shape, Target
from payi_instrument.providers.openai.live import LiveSession
from payi_instrument.providers.openai.realtime import RealtimeSession
from payi_instrument.providers.openai.responses_socket import ResponsesSession

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


def _open(connection: Any) -> Session:
    """Return what reads a connection, by the name of its class."""
    name = type(connection).__name__.removeprefix("Async").removesuffix("Manager").removesuffix("Connection")
    return _READERS.get(name, RealtimeSession)(connection)


def _targets(*functions: str) -> tuple[Target, ...]:
    return tuple(
        Target(module, f"{prefix}{name}.{function}", shape, optional=True)
        for module, name in _CONNECTIONS.items()
        for prefix, shape in (("", Shape.SYNC), ("Async", Shape.ASYNC))
        for function in functions
    )


_OPENERS = tuple(
    Target(module, f"{prefix}{name}Manager.send", Shape.SYNC, optional=True)
    for module, name in _CONNECTIONS.items()
    for prefix in ("", "Async")
)
SESSIONS = Sessions(
    receive=_targets("recv_bytes"),
    send=(*_targets("send", "send_raw"), *_OPENERS),
    close=_targets("close"),
    open=_open,
)
