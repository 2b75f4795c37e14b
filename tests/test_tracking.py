"""`@track` on every kind of callable: the scope is right inside, gone outside, and the function looks as it did."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest

from payi_instrument import get_context, track, track_context


def user() -> object:
    return get_context().get("user_id")


def plain(a: int, b: str = "b", *rest: int, key: Annotated[int, "meta"] = 3, **more: object) -> object:
    """Say who."""
    return user()


async def coroutine(a: int, b: str = "b") -> object:
    """Say who, later."""
    await asyncio.sleep(0)
    return user()


def generator(a: int) -> Iterator[object]:
    """Say who, and again."""
    yield user()
    yield user()


async def async_generator(a: int) -> AsyncIterator[object]:
    """Say who, and again, later."""
    yield user()
    await asyncio.sleep(0)
    yield user()


KINDS = (
    inspect.isfunction,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    asyncio.iscoroutinefunction,
)


@pytest.mark.parametrize("function", [plain, coroutine, generator, async_generator])
@pytest.mark.parametrize("decorate", [track, track(), track(user_id="u1")], ids=["bare", "empty", "values"])
def test_c17_a_decorated_function_is_what_inspect_says_it_was(
    function: Callable[..., object], decorate: Callable[..., Any]
) -> None:
    decorated = decorate(function)
    assert [kind(decorated) for kind in KINDS] == [kind(function) for kind in KINDS]
    assert inspect.signature(decorated) == inspect.signature(function)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, name) == getattr(function, name)
    assert decorated.__wrapped__ is function
    assert inspect.get_annotations(decorated, eval_str=True) == inspect.get_annotations(function, eval_str=True)


def test_c17_a_plain_function_runs_in_the_scope() -> None:
    assert track(user_id="u1")(plain)(1) == "u1"
    assert user() is None


async def test_c17_a_coroutine_function_runs_in_the_scope() -> None:
    assert await track(user_id="u1")(coroutine)(1) == "u1"
    assert user() is None


async def test_c17_a_coroutine_takes_the_scope_of_where_it_is_awaited() -> None:
    with track_context(account_name="outer"):
        later = track(user_id="u1")(get_context_later)()
    with track_context(account_name="awaiting"):
        assert await later == {"user_id": "u1", "account_name": "awaiting"}


async def get_context_later() -> dict[str, object]:
    await asyncio.sleep(0)
    return get_context()


def test_arguments_and_the_returned_value_are_untouched() -> None:
    @track(user_id="u1")
    def given(*args: object, **kwargs: object) -> tuple[object, ...]:
        return (args, kwargs)

    marker = object()
    assert given(1, marker, function=2, values=marker) == ((1, marker), {"function": 2, "values": marker})


class Agent:
    """Has a tracked method of every kind, in both decorator orders."""

    name = "agent"

    @track(user_id="method")
    def method(self) -> object:
        return (self.name, user())

    @classmethod
    @track(user_id="class inside")
    def class_inside(cls) -> object:
        return (cls.name, user())

    @track(user_id="class outside")
    @classmethod
    def class_outside(cls) -> object:
        return (cls.name, user())

    @staticmethod
    @track(user_id="static inside")
    def static_inside() -> object:
        return user()

    @track(user_id="static outside")
    @staticmethod
    def static_outside() -> object:
        return user()

    @track(user_id="async")
    async def later(self) -> object:
        return (self.name, user())

    @property
    @track(user_id="property")
    def shown(self) -> object:
        return (self.name, user())


async def test_c17_methods_of_every_kind_run_in_their_scope() -> None:
    agent = Agent()
    assert agent.method() == ("agent", "method")
    assert Agent.method(agent) == ("agent", "method")
    assert agent.class_inside() == Agent.class_inside() == ("agent", "class inside")
    assert agent.class_outside() == Agent.class_outside() == ("agent", "class outside")
    assert agent.static_inside() == Agent.static_inside() == "static inside"
    assert agent.static_outside() == Agent.static_outside() == "static outside"
    assert await agent.later() == ("agent", "async")
    assert agent.shown == ("agent", "property")
    assert inspect.iscoroutinefunction(agent.later)
    assert isinstance(vars(Agent)["class_outside"], classmethod)
    assert isinstance(vars(Agent)["static_outside"], staticmethod)


class Callee:
    """An object to call."""

    def __init__(self, name: str = "callee") -> None:
        self.name = name

    def __call__(self, a: int = 1) -> object:
        return (self.name, user())


class LaterCallee:
    async def __call__(self) -> object:
        await asyncio.sleep(0)
        return user()


async def test_a_callable_object_runs_in_the_scope() -> None:
    assert track(user_id="u1")(Callee("mine"))(2) == ("mine", "u1")
    later: Any = track(user_id="u1")(LaterCallee())
    assert inspect.iscoroutinefunction(later)
    assert await later() == "u1"


def test_a_class_with_a_call_method_stays_a_class() -> None:
    @track(user_id="u1")
    class Tracked(Callee):
        def __call__(self, a: int = 1) -> object:
            return super().__call__(a)

    class Derived(Tracked):
        pass

    assert inspect.isclass(Tracked)
    assert Tracked("mine")() == ("mine", "u1")
    assert Derived("other")() == ("other", "u1")
    assert user() is None
    assert Callee()() == ("callee", None)


def test_a_class_that_inherits_its_call_method_is_tracked_without_touching_the_parent() -> None:
    @track(user_id="u1")
    class Tracked(Callee):
        pass

    assert Tracked("mine")() == ("mine", "u1")
    assert Callee()() == ("callee", None)


async def test_partials_and_builtins_run_in_the_scope() -> None:
    assert track(user_id="u1")(functools.partial(plain, 1, key=2))() == "u1"
    later: Any = track(user_id="u1")(functools.partial(coroutine, 1))
    assert inspect.iscoroutinefunction(later)
    assert await later() == "u1"
    assert track(user_id="u1")(len)([1, 2]) == 2
    assert track(user_id="u1")(sorted)([1, 2], key=lambda _: 0 if user() == "u1" else 1 / 0) == [1, 2]


@pytest.mark.parametrize("thing", [3, "text", property(lambda _: 1), None], ids=lambda thing: type(thing).__name__)
def test_what_cannot_be_called_is_a_type_error(thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a function"):
        track(user_id="u1")(thing)


def test_a_class_without_a_call_method_is_a_type_error_that_says_what_to_do() -> None:
    class Plain:
        pass

    with pytest.raises(TypeError, match="decorate its methods"):
        track(Plain)


def test_decorators_stack_and_the_inner_one_wins() -> None:
    @track(user_id="outer", limit_ids=["a"], use_case_name="x")
    @track(user_id="inner", limit_ids=["b"])
    def read() -> dict[str, object]:
        return get_context()

    seen = read()
    assert (seen["user_id"], seen["limit_ids"], seen["use_case_name"]) == ("inner", ["a", "b"], "x")
    assert get_context() == {}


def test_recursion_shares_one_instance_of_the_use_case_and_unwinds() -> None:
    ids: list[object] = []

    @track(use_case_name="x", limit_ids=["a"])
    def down(depth: int) -> None:
        ids.append(get_context()["use_case_id"])
        assert get_context()["limit_ids"] == ["a"]
        if depth:
            down(depth - 1)
        ids.append(get_context()["use_case_id"])

    down(50)
    assert len(ids) == 102
    assert len(set(ids)) == 1
    down(0)
    assert len(set(ids)) == 2


def test_c8_every_run_is_a_new_instance_which_all_of_it_shares() -> None:
    @track(use_case_name="x")
    def run() -> object:
        first = get_context()["use_case_id"]
        with track_context(user_id="u1"):
            assert get_context()["use_case_id"] == first
        return first

    assert len({run() for _ in range(20)}) == 20


class MineError(Exception):
    pass


async def test_c16_exceptions_pass_unchanged_with_the_traceback_of_the_body() -> None:
    error = MineError("mine")

    @track(user_id="u1")
    def fails() -> None:
        raise error

    @track(user_id="u1")
    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(MineError) as caught:
        fails()
    assert caught.value is error
    assert caught.traceback[-1].name == "fails"
    with pytest.raises(MineError) as caught:
        await fails_later()
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert user() is None


async def test_a_cancelled_coroutine_restores_the_scope_and_is_cancelled() -> None:
    started = asyncio.Event()

    @track(user_id="u1")
    async def waits() -> None:
        started.set()
        await asyncio.Event().wait()

    async def around() -> object:
        try:
            await waits()
        except asyncio.CancelledError:
            return user()
        return "not cancelled"

    task = asyncio.ensure_future(around())
    await started.wait()
    task.cancel()
    assert await task is None


def test_a_coroutine_that_is_closed_unfinished_elsewhere_raises_nothing() -> None:
    left_in: list[object] = []

    class Pending:
        def __await__(self) -> Iterator[None]:
            yield

    @track(user_id="u1")
    async def waits() -> None:
        try:
            await Pending()
        finally:
            left_in.append(user())

    unfinished = waits()
    contextvars.copy_context().run(unfinished.send, None)
    with track_context(user_id="closing"):
        unfinished.close()
        assert user() == "closing"
    assert left_in == ["closing"]


def test_c18_without_instrumentation_decorators_are_transparent() -> None:
    assert track(plain)(1) is None
    assert track(user_id="u1", limit_ids=["a"])(sum)([1, 2]) == 3


async def test_context_variables_of_the_body_behave_as_without_the_decorator() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")

    @track(user_id="u1")
    def sets() -> None:
        mine.set("by the function")

    @track(user_id="u1")
    async def sets_later() -> None:
        mine.set("by the coroutine")

    sets()
    assert mine.get() == "by the function"
    await sets_later()
    assert mine.get() == "by the coroutine"
