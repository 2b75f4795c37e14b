"""Meter the answers of a session: a connection on which one comes after the other, or several at once.

Every message that is received is shown to the provider's file, which says what answer it is a piece of; each answer is a
call of its own, made in the scope of whoever receives its first piece. Source: instrumentation-semantics section 5.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from payi_instrument import scope as scopes
from payi_instrument.call import Call
from payi_instrument.guard import Guard
from payi_instrument.streams import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.call import Runtime
    from payi_instrument.providers._base import Provider, Session, Sessions

_SEE = Guard("read a message")
_ASK = Guard("see what a message asks for")
_CLOSED = "ConnectionClosed"
"""What the errors of a connection that ended are called; any other leaves it open, as a cancelled wait does."""


class _Open:
    """An open session: what reads it, and the answers that are on their way."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.endings: dict[str, Ending] = {}
        self.kept: deque[Any] = deque()
        """Messages whose receiver left while their event was delivered: whoever receives next gets them."""


class SessionDriver:
    """Run the sessions of one provider's SDK."""

    def __init__(self, provider: Provider, sessions: Sessions, runtime: Runtime) -> None:
        """Take the provider whose SDK is called, how its sessions are read, and what to run their calls with."""
        self._provider = provider
        self._open_session = sessions.open
        self._runtime = runtime
        self._open: WeakKeyDictionary[Any, _Open] = WeakKeyDictionary()

    def receive(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Receive a message, and end the call whose answer it completes."""
        try:
            message = wrapped(*args, **kwargs)
        except Exception as error:
            for unfinished in self._lost(connection, error):
                unfinished.fail(error)
            raise
        ending = self._take(connection, message)
        if ending is not None:
            ending.finish(ending.call.finish_stream)
        return message

    async def areceive(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Receive a message, and end the call whose answer it completes; to cancel it loses no message."""
        opened = self._open.get(connection)
        if opened is not None and opened.kept:
            return opened.kept.popleft()
        try:
            message = await wrapped(*args, **kwargs)
        except Exception as error:
            for unfinished in self._lost(connection, error):
                await unfinished.afail(error)
            raise
        ending = self._take(connection, message)
        if ending is not None:
            try:
                await ending.afinish(ending.call.finish_stream)
            except BaseException:  # cancelled: the event is kept by the delivery, the message by us
                self._of(connection).kept.append(message)
                raise
        return message

    def send(self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Send a message, unless it asks for something that a limit has no room for."""
        call = self._asked(connection, args, kwargs)
        if call is not None and self._runtime.gate is not None:
            self._runtime.gate.check(call)
        return wrapped(*args, **kwargs)

    async def asend(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Send a message, unless it asks for something that a limit has no room for."""
        call = self._asked(connection, args, kwargs)
        if call is not None and self._runtime.gate is not None:
            await self._runtime.gate.acheck(call)
        return await wrapped(*args, **kwargs)

    def _of(self, connection: Any) -> _Open:
        found = self._open.get(connection)
        if found is None:
            found = self._open[connection] = _Open(self._open_session(connection))
        return found

    def _take(self, connection: Any, message: Any) -> Ending | None:
        """Show a message to its answer's call; return what ends it, if it is the last one."""
        if not scopes.has_scope():
            return None
        with _SEE:
            opened = self._of(connection)
            turn = opened.session.received(message)
            if turn is None:
                return None
            ending = opened.endings.get(turn.key)
            if ending is None:
                call = Call(self._provider, turn.facts, None, self._runtime.settings)
                ending = opened.endings[turn.key] = Ending(call, self._runtime.delivery, connection)
            ending.call.chunk(turn.chunk)
            return opened.endings.pop(turn.key) if turn.ends else None
        return None

    def _lost(self, connection: Any, error: Exception) -> list[Ending]:
        """Return the answers that a connection that ended leaves unfinished."""
        opened = self._open.get(connection)
        if opened is None or not any(base.__name__ == _CLOSED for base in type(error).__mro__):
            return []
        endings, opened.endings = opened.endings, {}
        return list(endings.values())

    def _asked(self, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Return the call that a message asks for; None when it costs nothing."""
        if not scopes.has_scope():
            return None
        with _ASK:
            facts = self._of(connection).session.sending(args[0] if args else next(iter(kwargs.values())))
            if facts is not None:
                return Call(self._provider, facts, None, self._runtime.settings)
        return None
