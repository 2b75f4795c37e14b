"""Stand in for functions: the only file that knows wrapt.

The drivers of a call, sync and async, are the two ends of one mechanism: begin, ask the gate, call the SDK, end. Source:
instrumentation-semantics section 5.
"""

from __future__ import annotations

import importlib
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import wrapt

from payi_instrument import scope as scopes
from payi_instrument import streams
from payi_instrument.answers import OWN_RESULT, attach
from payi_instrument.call import Call
from payi_instrument.context import carry
from payi_instrument.guard import Guard, logger
from payi_instrument.providers._base import Kind, Shape
from payi_instrument.sessions import SessionDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import ThreadPoolExecutor
    from types import ModuleType

    from payi_instrument.call import Runtime
    from payi_instrument.event import UsageEvent
    from payi_instrument.providers._base import Arguments, Provider, Target, View

_BEGIN = Guard("begin a call")
_FINISH = Guard("end a call")
_INSTALL = Guard("stand in for a function; it is left alone")


class Driver:
    """Run one provider's calls."""

    def __init__(self, provider: Provider, runtime: Runtime) -> None:
        """Take the provider whose SDK is called and what to run its calls with."""
        self._provider = provider
        self._runtime = runtime

    def call(self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a sync call of the SDK, metered."""
        call = self._begin(client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        if self._runtime.gate is not None and call.facts.costs:
            self._runtime.gate.check(call)
        while True:
            try:
                answer = wrapped(*call.arguments[0], **call.arguments[1])
                break
            except BaseException as error:
                if not _goes_again(call, error, (args, kwargs)):
                    self._fail(call, error)
                    raise
        with _FINISH:
            event = self._end(call, answer, awaited=False)
            if event is not None:
                _settle(call, answer, self._runtime.delivery.deliver(event))
            return answer
        self._rescue(call)
        return answer

    async def acall(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make an async call of the SDK, metered."""
        call = self._begin(client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        if self._runtime.gate is not None and call.facts.costs:
            await self._runtime.gate.acheck(call)
        while True:
            try:
                answer = await wrapped(*call.arguments[0], **call.arguments[1])
                break
            except BaseException as error:
                if not _goes_again(call, error, (args, kwargs)):
                    await self._afail(call, error)
                    raise
        with _FINISH:
            event = self._end(call, answer, awaited=True)
            if event is not None:
                _settle(call, answer, await self._runtime.delivery.adeliver(event))
            return answer
        self._rescue(call)
        return answer

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Begin a call; None for one that is not metered."""
        if not scopes.has_scope():
            return None
        with _BEGIN:
            facts = self._provider.read_request(client, (args, kwargs))
            if facts is not None:
                return Call(self._provider, facts, (args, kwargs), self._runtime.settings)
        return None

    def _end(self, call: Call, answer: Any, *, awaited: bool) -> UsageEvent | None:
        """Return the event of a whole answer; stand in a stream, whose end makes the event."""
        kind = self._provider.kind(call.facts, answer)
        if kind is Kind.WHOLE:
            return call.finish(answer)
        stand_in = streams.stand_in_stream if kind is Kind.STREAM else streams.tap_raw
        stand_in(call, self._runtime.delivery, answer, awaited=awaited)
        return None

    def _rescue(self, call: Call) -> None:
        """Make the event of a call whose end we failed to see: no error of ours loses one."""
        with _FINISH:
            event = call.finish_stream()
            if event is not None:
                self._runtime.delivery.defer(event)

    def _fail(self, call: Call, error: BaseException) -> None:
        with _FINISH:
            event = call.failed(error, self._runtime.delivery)
            if event is not None:
                call.settled(self._runtime.delivery.deliver(event))

    async def _afail(self, call: Call, error: BaseException) -> None:
        with _FINISH:
            event = call.failed(error, self._runtime.delivery)
            if event is not None:
                call.settled(await self._runtime.delivery.adeliver(event))


def _settle(call: Call, answer: object, result: Any) -> None:
    call.settled(result)
    attach(answer, result)


def _goes_again(call: Call, error: BaseException, given: Arguments) -> bool:
    """Say whether to call the SDK once more: without our request for usage, which the provider refused (section 6.5)."""
    with _BEGIN:
        return isinstance(error, Exception) and call.without_usage(error, given)
    return False


class Installation:
    """The functions that were stood in for, to be put back."""

    def __init__(self) -> None:
        """Begin with nothing installed."""
        self._installs: list[Callable[[ModuleType], None]] = []
        self._undo: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.active = True

    def provider(self, provider: Provider, runtime: Runtime) -> None:
        """Stand in for a provider's functions now, or once its SDK is imported; none is imported here."""
        driver = Driver(provider, runtime)
        self._stand_in(provider.targets, driver.call, driver.acall)
        if provider.sessions is not None:
            sessions = SessionDriver(provider, provider.sessions, runtime)
            self._stand_in(provider.sessions.receive, sessions.receive, sessions.areceive)
            self._stand_in(provider.sessions.send, sessions.send, sessions.asend)
            self._stand_in(provider.sessions.connect, sessions.connect, sessions.connect)
            self._undo.append(sessions.leave)
        for view in provider.views:
            self._when_imported(view.module, partial(self._add_view, view=view))

    def _stand_in(self, targets: Iterable[Target], sync: Callable[..., Any], awaited: Callable[..., Any]) -> None:
        for target in targets:
            stand_in = awaited if target.shape is Shape.ASYNC else sync
            install = partial(self._replace, name=target.name, stand_in=stand_in, optional=target.optional)
            self._when_imported(target.module, install)

    def threads(self, mode: str) -> None:
        """Let executors carry the scope of each item; with `inherit`, plain threads carry their starter's too.

        A process of `multiprocessing` that is forked inside a scope begins without it, as a spawned one does: a pool's
        worker would bill its first submitter for life.
        """
        self._replace(importlib.import_module("concurrent.futures.thread"), "ThreadPoolExecutor.submit", _submit)
        if mode == "inherit":
            self._replace(threading, "Thread.start", _start)
        self._when_imported("multiprocessing.util", lambda module: module.register_after_fork(self, _begin_process))

    def _when_imported(self, name: str, install: Callable[[ModuleType], None]) -> None:
        """Install once a module is there; the hook of one that is never imported stays for ever, so it holds nothing."""
        index = len(self._installs)
        self._installs.append(install)
        reference = weakref.ref(self)

        def hook(module: ModuleType) -> None:
            installation = reference()
            if installation is not None and installation.active:
                with _INSTALL:
                    installation._installs[index](module)  # noqa: SLF001  # our own

        wrapt.when_imported(name)(hook)

    def _replace(self, module: ModuleType, name: str, stand_in: Callable[..., Any], *, optional: bool = False) -> None:
        with self._lock:
            if not self.active:  # the SDK was imported after uninstrument()
                return
            try:
                parent, attribute, original = wrapt.resolve_path(module, name)
            except AttributeError:
                if optional:
                    return
                raise
            inherited = attribute not in vars(parent)
            wrapt.apply_patch(parent, attribute, wrapt.FunctionWrapper(original, stand_in))
            self._undo.append(lambda: delattr(parent, attribute) if inherited else setattr(parent, attribute, original))
        logger.debug("payi: standing in for %s.%s", module.__name__, name)

    def _add_view(self, module: ModuleType, view: View) -> None:
        """Let a class show results; one that holds its own goes on doing so, since answers outlive an instrumentation."""
        with self._lock:
            if not self.active:
                return
            holder, inner = getattr(module, view.name), view.inner
            if inner is None:
                holder.xproxy_result = OWN_RESULT
                return
            holder.xproxy_result = property(lambda outer: getattr(getattr(outer, inner), "xproxy_result", None))
            self._undo.append(lambda: delattr(holder, "xproxy_result"))

    def undo(self) -> None:
        """Put every function back."""
        with self._lock:
            self.active = False
            while self._undo:
                self._undo.pop()()


def _submit(
    wrapped: Callable[..., Any], _pool: ThreadPoolExecutor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Hand the submitter's scope over with the item."""
    if not args:
        return wrapped(*args, **kwargs)
    return wrapped(carry(args[0]), *args[1:], **kwargs)


def _begin_process(installation: Installation) -> None:
    """Leave the scope of the process that this one was forked from."""
    if installation.active:
        scopes.enter(None)
        scopes.forget_result()


def _start(wrapped: Callable[..., Any], thread: threading.Thread, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand the starter's scope over to the thread."""
    thread.run = carry(thread.run)  # type: ignore[method-assign]  # for this thread alone
    return wrapped(*args, **kwargs)
