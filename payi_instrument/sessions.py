"""Meter the answers of a session: a connection on which one comes after the other, or several at once.

Every message that is received is shown to the provider's file, which says what answer it is a piece of; each answer is a
call of its own, made in the scope of whoever receives its first piece. Source: instrumentation-semantics section 5.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from payi_instrument import scope as scopes
from payi_instrument.call import Call
from payi_instrument.errors import LimitBlockedError
from payi_instrument.guard import Guard
from payi_instrument.streams import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from payi_instrument.call import Gate, Runtime
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
        self.refused: Call | None = None
        """The request that was stopped last: its other pieces are stopped too, and reported no more."""

    def unfinished(self) -> list[Ending]:
        """Return the answers that are on their way, and leave them to the caller to end."""
        endings, self.endings = self.endings, {}
        return list(endings.values())

    @contextmanager
    def asking(self, call: Call) -> Generator[None]:
        """Note whether a request is stopped."""
        try:
            yield
        except LimitBlockedError:
            self.refused = call
            raise
        self.refused = None


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
        if (kept := self._kept(connection)) is not None:
            return kept.popleft()
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
        if (asked := self._asked(connection, args, kwargs)) is not None:
            opened, call, gate = asked
            with opened.asking(call):
                gate.check(call)
        return wrapped(*args, **kwargs)

    async def asend(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Send a message, unless it asks for something that a limit has no room for."""
        if (asked := self._asked(connection, args, kwargs)) is not None:
            opened, call, gate = asked
            with opened.asking(call):
                await gate.acheck(call)
        return await wrapped(*args, **kwargs)

    def close(self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Close a connection, and end the calls whose answers nobody will hear to their end."""
        try:
            return wrapped(*args, **kwargs)
        finally:
            for unfinished in self._left(connection):
                unfinished.finish(unfinished.call.finish_stream)

    async def aclose(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Close a connection, and end the calls whose answers nobody will hear to their end."""
        try:
            return await wrapped(*args, **kwargs)
        finally:
            for unfinished in self._left(connection):
                await unfinished.afinish(unfinished.call.finish_stream)

    def _of(self, connection: Any) -> _Open:
        found = self._open.get(connection)
        if found is None:  # the first wins: one thread may send while another receives
            found = self._open.setdefault(connection, _Open(self._open_session(connection)))
        return found

    def _kept(self, connection: Any) -> deque[Any] | None:
        """Return the messages that nobody received yet, None without any."""
        with _SEE:
            opened = self._open.get(connection)
            return opened.kept if opened is not None and opened.kept else None
        return None

    def _left(self, connection: Any) -> list[Ending]:
        """Return the answers that are on their way on a connection."""
        with _SEE:
            opened = self._open.get(connection)
            return [] if opened is None else opened.unfinished()
        return []

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
        ended = any(base.__name__ == _CLOSED for base in type(error).__mro__)
        return self._left(connection) if ended else []

    def _asked(self, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Open, Call, Gate] | None:
        """Return the call that a message asks for, and who is asked; None when it costs nothing, or has no limits."""
        gate = self._runtime.gate
        if not scopes.has_scope():
            return None
        with _ASK:
            opened = self._of(connection)
            facts = opened.session.sending(args[0] if args else next(iter(kwargs.values())))
            if facts is None or gate is None:
                return None
            limit_ids = scopes.attribution(scopes.current()).limit_ids
            if not limit_ids:
                return None
            call = opened.refused
            if call is None or call.facts is not facts or call.attribution.limit_ids != limit_ids:
                call = Call(self._provider, facts, None, self._runtime.settings)
            return opened, call, gate
        return None
