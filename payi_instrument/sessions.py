"""Meter the answers of a session: a connection on which one comes after the other, or several at once.

Every message is shown to the provider's file, which says what it asks for, or what answer it is a piece of. Each answer is a
call of its own: of whoever asked for it, from then on; where nobody did, of whoever receives its first piece, or sent last
where that is outside of every scope. Source: instrumentation-semantics section 5.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from payi_instrument import scope as scopes
from payi_instrument.call import Call
from payi_instrument.context import override
from payi_instrument.errors import LimitBlockedError
from payi_instrument.guard import Guard
from payi_instrument.streams import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from payi_instrument.call import Runtime
    from payi_instrument.event import CallFacts
    from payi_instrument.providers._base import Ask, Provider, Session, Sessions, Turn
    from payi_instrument.scope import Scope

_SEE = Guard("read a message")
_ASK = Guard("see what a message asks for")
_CLOSED = "ConnectionClosed"
"""What the errors of a connection that ended are called; any other leaves it open, as a cancelled wait does."""
_NO_MESSAGE = object()


class _Open:
    """An open session: what reads it, what was asked for, and the answers that are on their way."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.asked: dict[int, Ending | None] = {}
        """What ends the requests whose answers did not begin, by the identity of their facts; None: it is nobody's."""
        self.endings: dict[str, Ending] = {}
        self.kept: deque[Any] = deque()
        """Messages whose receiver left while their event was delivered: whoever receives next gets them."""
        self.refused: tuple[CallFacts, Call] | None = None
        """What was asked for when a request was stopped last: its other pieces are stopped too, and reported no more."""
        self.sender: Scope | None = None
        """The scope of whoever sent last."""
        self.line = threading.RLock()
        """Held while a thread sends a request, so that requests are sent in the order in which they were noted."""


class _Request:
    """A message that asks for something, on its way to the provider."""

    def __init__(self, opened: _Open, ask: Ask, call: Call | None, ending: Ending | None) -> None:
        self._opened = opened
        self._ask = ask
        self._ending = ending
        self.call = call

    @contextmanager
    def checking(self) -> Generator[None]:
        """Note whether the request is stopped."""
        try:
            yield
        except LimitBlockedError:
            self._opened.refused = (self._ask.facts, self.call) if self.call is not None else None
            raise
        self._opened.refused = None

    def in_line(self) -> AbstractContextManager[object]:
        """Wait for other threads whose requests were noted before."""
        return self._opened.line if self._ask.told_apart else nullcontext()

    @contextmanager
    def sending(self) -> Generator[None]:
        """Let the answer be this request's, unless it can't be sent; one that was cancelled may be on its way."""
        facts = self._ask.facts
        if self._ask.told_apart:
            with _ASK:
                self._opened.session.sent(facts)
                self._opened.asked[id(facts)] = self._ending
        try:
            yield
        except Exception:
            with _ASK:
                self._opened.session.unsent(facts)
                self._opened.asked.pop(id(facts), None)
                if self.call is not None:
                    self.call.leave()
            raise


class SessionDriver:
    """Run the sessions of one provider's SDK."""

    def __init__(self, provider: Provider, sessions: Sessions, runtime: Runtime) -> None:
        """Take the provider whose SDK is called, how its sessions are read, and what to run their calls with."""
        self._provider = provider
        self._sessions = sessions
        self._runtime = runtime
        self._open: WeakKeyDictionary[Any, _Open] = WeakKeyDictionary()

    def receive(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Receive a message, and end the call whose answer it completes; to interrupt it loses no message."""
        if (kept := self._kept(connection)) is not _NO_MESSAGE:
            return kept
        try:
            message = wrapped(*args, **kwargs)
        except Exception as error:
            with self._losing(connection, error) as lost:
                while lost:
                    lost.pop().fail(error)
            raise
        ending = self._take(connection, message)
        if ending is not None:
            with self._keeping(connection, message):
                ending.finish(ending.call.finish_stream)
        return message

    async def areceive(
        self, wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Receive a message, and end the call whose answer it completes; to cancel it loses no message."""
        if (kept := self._kept(connection)) is not _NO_MESSAGE:
            return kept
        try:
            message = await wrapped(*args, **kwargs)
        except Exception as error:
            with self._losing(connection, error) as lost:
                while lost:
                    await lost.pop().afail(error)
            raise
        ending = self._take(connection, message)
        if ending is not None:
            with self._keeping(connection, message):
                await ending.afinish(ending.call.finish_stream)
        return message

    def send(self, wrapped: Callable[..., Any], speaker: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Send a message, unless it asks for something that a limit has no room for."""
        request = self._request(speaker, args, kwargs)
        if request is None:
            return wrapped(*args, **kwargs)
        if request.call is not None and self._runtime.gate is not None:
            with request.checking():
                self._runtime.gate.check(request.call)
        with request.in_line(), request.sending():
            return wrapped(*args, **kwargs)

    async def asend(
        self, wrapped: Callable[..., Any], speaker: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Send a message, unless it asks for something that a limit has no room for."""
        request = self._request(speaker, args, kwargs)
        if request is None:
            return await wrapped(*args, **kwargs)
        if request.call is not None and self._runtime.gate is not None:
            with request.checking():
                await self._runtime.gate.acheck(request.call)
        with request.sending():
            return await wrapped(*args, **kwargs)

    def connect(self, wrapped: Callable[..., Any], opener: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Connect, and keep to ourselves what is meant for us; the session is that of the connection to come."""
        with _ASK:
            self._of(opener)
            args, kwargs = self._sessions.connecting(opener, (args, kwargs))
        return wrapped(*args, **kwargs)

    def leave(self) -> None:
        """End what is on its way: nothing more is heard of it."""
        for opened in list(self._open.values()):
            for ending in (*opened.endings.values(), *opened.asked.values()):
                if ending is not None:
                    ending.abandon()
            opened.endings, opened.asked = {}, {}

    def _of(self, speaker: Any) -> _Open:
        """Return the open session of a connection, or the one that a connection is to have once it is there."""
        connection, queue = self._sessions.place(speaker)
        holder = queue if connection is None else connection
        found = self._open.get(holder)
        if found is None:
            found = self._open.pop(queue, None) if queue is not None else None
            # the first wins: one thread may send while another receives
            found = self._open.setdefault(holder, found or _Open(self._sessions.open(speaker)))
        return found

    def _known(self, connection: Any) -> _Open | None:
        """Return the open session of a connection, None for one that nothing was asked of, nor heard from."""
        connection, queue = self._sessions.place(connection)
        return self._open.get(connection) or (self._open.get(queue) if queue is not None else None)

    def _kept(self, connection: Any) -> Any:
        """Return the first message that nobody received yet, `_NO_MESSAGE` without any."""
        with _SEE:
            opened = self._known(connection)
            if opened is not None and opened.kept:
                return opened.kept.popleft()
        return _NO_MESSAGE

    @contextmanager
    def _keeping(self, connection: Any, message: Any) -> Generator[None]:
        """Keep a message whose receiver is interrupted; its event is kept by the delivery."""
        try:
            yield
        except BaseException:
            with _SEE:
                self._of(connection).kept.append(message)
            raise

    def _take(self, connection: Any, message: Any) -> Ending | None:
        """Show a message to its answer's call; return what ends it, if it is the last one."""
        with _SEE:
            if not scopes.has_scope() and self._known(connection) is None:
                return None  # nothing was asked for either
            opened = self._of(connection)
            turn = opened.session.received(message)
            ending = self._ending(opened, turn, connection) if turn is not None else None
            if turn is None or ending is None:
                return None
            ending.call.chunk(turn.chunk)
            return opened.endings.pop(turn.key) if turn.ends else None
        return None

    def _ending(self, opened: _Open, turn: Turn, connection: Any) -> Ending | None:
        """Return what ends an answer; None for one that is nobody's."""
        ending = opened.endings.get(turn.key)
        if ending is not None:
            return ending
        asked = id(turn.facts)
        if asked in opened.asked:
            ending = opened.asked[asked]
            if ending is not None or turn.ends:
                del opened.asked[asked]
            if ending is None:
                return None
            ending.begin(connection)
        else:
            scope = scopes.current() or opened.sender
            if scope is None and not scopes.has_scope():
                return None
            call = Call(self._provider, turn.facts, None, self._runtime.settings, scope)
            ending = Ending(call, self._runtime.delivery, connection)
        opened.endings[turn.key] = ending
        return ending

    @contextmanager
    def _losing(self, connection: Any, error: Exception) -> Generator[list[Ending]]:
        """Give the answers that a lost connection leaves unfinished; those that are not ended here are ended later."""
        lost = self._lost(connection, error)
        try:
            yield lost
        finally:
            for unfinished in lost:
                unfinished.fail_later(error)

    def _lost(self, connection: Any, error: Exception) -> list[Ending]:
        """Return the answers that a connection that ended leaves unfinished, those that did not begin included."""
        if not any(base.__name__ == _CLOSED for base in type(error).__mro__):
            return []
        with _SEE:
            opened = self._known(connection)
            if opened is None:
                return []
            opened.session.lost()
            (endings, opened.endings), (asked, opened.asked) = (opened.endings, {}), (opened.asked, {})
            return [ending for ending in (*asked.values(), *endings.values()) if ending is not None]
        return []

    def _request(self, speaker: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Request | None:
        """Return what a message asks for; None when that costs nothing."""
        with _ASK:
            opened = self._of(speaker)
            ask = opened.session.asks(speaker, args[0] if args else next(iter(kwargs.values())))
            if ask is None:
                return None
            opened.sender = scope = scopes.current()
            call = self._call(opened, ask, scope)
            ending = None
            if call is not None and ask.told_apart:
                ending = Ending(call, self._runtime.delivery, speaker, is_begun=False)
            return _Request(opened, ask, call, ending)
        return None

    def _call(self, opened: _Open, ask: Ask, scope: Scope | None) -> Call | None:
        """Return the call that is asked for; None where nobody needs one before there is an answer."""
        if not scopes.has_scope():
            return None
        who, gate = override(scopes.attribution(scope), ask.facts.headers), self._runtime.gate
        if not ask.told_apart and (gate is None or not gate.limits_of(who)):
            return None
        facts, refused = opened.refused or (None, None)
        if refused is not None and facts is ask.facts and refused.attribution == who:
            return refused
        return Call(self._provider, ask.facts, None, self._runtime.settings)
