"""Decorate a function so that its body runs in a scope.

One wrapper for each kind of callable, so that a decorated function is still what `inspect` says it is. Standard library
only. Source: instrumentation-semantics section 4.4.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from payi_instrument import scope as _scope
from payi_instrument.context import Opener
from payi_instrument.declared import declared
from payi_instrument.scope import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping

    from payi_instrument.declared import LimitIds

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., object]")


@overload
def track(function: F, /) -> F: ...


@overload
def track(
    *,
    limit_ids: LimitIds | None = None,
    use_case_name: str | None = None,
    use_case_id: str | None = None,
    use_case_version: int | None = None,
    use_case_step: str | None = None,
    use_case_properties: Mapping[str, object] | None = None,
    user_id: str | None = None,
    account_name: str | None = None,
    request_properties: Mapping[str, object] | None = None,
    price_as_category: str | None = None,
    price_as_resource: str | None = None,
    resource_scope: str | None = None,
    log_prompt_and_response: bool | None = None,
    proxy: bool | None = None,
) -> Callable[[F], F]: ...


def track(function: F | None = None, /, **values: Any) -> F | Callable[[F], F]:
    """Run every call of a function in a scope of its own: the calls inside are attributed to these values.

    Takes plain and coroutine functions, generators and async generators (the scope is active while the body runs, never
    in the consumer), methods, class and static methods, callable objects, and classes that define `__call__`. None
    inherits, an empty value clears. With a use case, every call is a new instance. Raises `TypeError` naming an argument
    of the wrong type, when the decorator is made. Source: sections 4.1 and 4.4.
    """
    opener = Opener(declared(**values))
    if function is not None:
        return _decorate(function, opener)
    return lambda decorated: _decorate(decorated, opener)


def _decorate(function: F, opener: Opener) -> F:
    if isinstance(function, (classmethod, staticmethod)):
        bound = cast("classmethod[Any, ..., Any] | staticmethod[..., Any]", function)
        return cast("F", type(bound)(_decorate(cast("Callable[..., Any]", bound.__func__), opener)))
    if isinstance(function, type):
        own = next((vars(base)["__call__"] for base in function.__mro__ if "__call__" in vars(base)), None)
        if own is None:
            msg = f"track: class {function.__name__} defines no __call__; decorate its methods instead"
            raise TypeError(msg)
        cast("Any", function).__call__ = _decorate(own, opener)
        return cast("F", function)
    if not callable(function):
        msg = f"track: {function!r} is a {type(function).__name__}, expected a function"
        raise TypeError(msg)
    called = function if inspect.isroutine(function) else cast("Callable[..., object]", type(function).__call__)
    for kind in (function, called):  # a callable object is what its __call__ is
        if inspect.iscoroutinefunction(kind):
            return cast("F", _coroutine_function(cast("Callable[..., Coroutine[Any, Any, object]]", function), opener))
        if inspect.isasyncgenfunction(kind):
            return cast(
                "F", _async_generator_function(cast("Callable[..., AsyncGenerator[Any, Any]]", function), opener)
            )
        if inspect.isgeneratorfunction(kind):
            return cast("F", _generator_function(cast("Callable[..., Generator[Any, Any, Any]]", function), opener))
    return cast("F", _function(function, opener))


def _function(function: Callable[P, R], opener: Opener) -> Callable[P, R]:
    enter, leave, open_scope = _scope.enter, _scope.leave, opener.open

    @functools.wraps(function)
    def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        token = enter(open_scope(Scope))
        try:
            return function(*args, **kwargs)
        finally:
            leave(token)

    return tracked


def _coroutine_function(
    function: Callable[P, Coroutine[Any, Any, R]], opener: Opener
) -> Callable[P, Coroutine[Any, Any, R]]:
    enter, leave_anywhere, open_scope = _scope.enter, _scope.leave_anywhere, opener.open

    @functools.wraps(function)
    async def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        token = enter(open_scope(Scope))
        try:
            return await function(*args, **kwargs)
        finally:
            leave_anywhere(token)  # a coroutine that is closed unfinished may be closed from another context

    return tracked


def _generator_function(
    function: Callable[P, Generator[Any, Any, R]], opener: Opener
) -> Callable[P, Generator[Any, Any, R]]:
    """Enter the scope round each step and leave it before the consumer goes on."""

    @functools.wraps(function)
    def tracked(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, R]:
        scope = opener.open(Scope)
        body = function(*args, **kwargs)
        sent, thrown = None, None
        while True:
            token = _scope.enter(scope)
            try:
                item = body.send(sent) if thrown is None else body.throw(thrown)
            except StopIteration as stop:
                return cast("R", stop.value)
            finally:
                _scope.leave(token)
                sent, thrown = None, None
            try:
                sent = yield item
            except BaseException as error:  # noqa: BLE001  # thrown or closed by the consumer: the body decides about it
                thrown = error

    return tracked


def _async_generator_function(
    function: Callable[P, AsyncGenerator[Any, Any]], opener: Opener
) -> Callable[P, AsyncGenerator[Any, Any]]:
    """Enter the scope round each step and leave it before the consumer goes on."""

    @functools.wraps(function)
    async def tracked(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        scope = opener.open(Scope)
        body = function(*args, **kwargs)
        sent, thrown = None, None
        while True:
            token = _scope.enter(scope)
            try:
                item = await (body.asend(sent) if thrown is None else body.athrow(thrown))
            except StopAsyncIteration:
                return
            finally:
                _scope.leave_anywhere(token)
                sent, thrown = None, None
            try:
                sent = yield item
            except BaseException as error:  # noqa: BLE001  # thrown or closed by the consumer: the body decides about it
                thrown = error

    return tracked
