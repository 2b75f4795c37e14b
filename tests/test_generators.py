"""Tracked generators: the scope is in effect while the body runs, and the protocol is that of the undecorated one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_instrument import get_context, track, track_context

MINE: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")


def user() -> object:
    return get_context().get("user_id")


def body(log: list[object]) -> Generator[object, object, str]:
    """Say who at every turn; what comes in goes out again."""
    sent: object = "start"
    try:
        while sent != "stop":
            log.append(("runs as", user()))
            try:
                sent = yield sent
            except KeyError as error:
                sent = f"caught {error}"
            except GeneratorExit:
                log.append(("closed as", user()))
                raise
    finally:
        log.append(("ended as", user()))
    return "returned"


async def async_body(log: list[object]) -> AsyncGenerator[object, object]:
    """The same, awaited."""
    sent: object = "start"
    try:
        while sent != "stop":
            await asyncio.sleep(0)
            log.append(("runs as", user()))
            try:
                sent = yield sent
            except KeyError as error:
                sent = f"caught {error}"
            except GeneratorExit:
                log.append(("closed as", user()))
                raise
    finally:
        await asyncio.sleep(0)
        log.append(("ended as", user()))


STEPS = st.lists(
    st.sampled_from(["next", "send", "stop", "throw caught", "throw", "throw exit", "throw stop", "close"]), max_size=6
)
THROWN: dict[str, BaseException] = {
    "throw caught": KeyError("k"),
    "throw": ValueError("v"),
    "throw exit": GeneratorExit(),
    "throw stop": StopIteration("s"),
}


def drive(steps: list[str], generator: Generator[object, object, str]) -> list[object]:
    """Take the steps; write down what the consumer sees: items, ends, exceptions, and its own scope."""
    seen: list[object] = []
    actions: dict[str, Callable[[], object]] = {
        "next": lambda: next(generator),
        "send": lambda: generator.send("sent"),
        "stop": lambda: generator.send("stop"),
        "close": generator.close,
    }
    for step in steps:
        try:
            seen.append(actions[step]() if step in actions else generator.throw(THROWN[step]))
        except StopIteration as stop:
            seen.append(("end", stop.value))
        except BaseException as error:  # noqa: BLE001  # whatever it is, both must raise it
            seen.append((type(error), str(error)))
        seen.append(("consumer is", user()))
    return seen


async def adrive(steps: list[str], generator: AsyncGenerator[object, object]) -> list[object]:
    seen: list[object] = []
    actions: dict[str, Callable[[], Any]] = {
        "next": lambda: anext(generator),
        "send": lambda: generator.asend("sent"),
        "stop": lambda: generator.asend("stop"),
        "close": generator.aclose,
    }
    for step in steps:
        try:
            seen.append(await (actions[step]() if step in actions else generator.athrow(THROWN[step])))
        except StopAsyncIteration:
            seen.append("end")
        except BaseException as error:  # noqa: BLE001  # whatever it is, both must raise it
            seen.append((type(error), str(error)))
        seen.append(("consumer is", user()))
    return seen


@settings(deadline=None)
@given(steps=STEPS)
def test_c17_a_tracked_generator_answers_as_the_undecorated_one(steps: list[str]) -> None:
    plain_log: list[object] = []
    log: list[object] = []
    with track_context(user_id="consumer"):
        assert drive(steps, track(user_id="u1")(body)(log)) == drive(steps, body(plain_log))
    assert log == [(what, "u1") for what, _ in plain_log]  # type: ignore[misc]


@settings(deadline=None)
@given(steps=STEPS)
def test_c17_a_tracked_async_generator_answers_as_the_undecorated_one(steps: list[str]) -> None:
    async def compare() -> None:
        plain_log: list[object] = []
        log: list[object] = []
        async with (
            track_context(user_id="consumer"),
            aclosing(async_body(plain_log)) as plain,
            aclosing(track(user_id="u1")(async_body)(log)) as tracked,
        ):
            assert await adrive(steps, tracked) == await adrive(steps, plain)
        assert log == [(what, "u1") for what, _ in plain_log]  # type: ignore[misc]

    asyncio.run(compare())


def stubborn() -> Iterator[int]:
    try:
        yield 1
    except GeneratorExit:
        yield 2


async def stubborn_later() -> AsyncIterator[int]:
    try:
        yield 1
    except GeneratorExit:
        yield 2


async def test_a_body_that_will_not_close_is_the_same_error_as_without_the_decorator() -> None:
    for made in (stubborn(), track(stubborn)()):
        next(made)
        with pytest.raises(RuntimeError, match=r"^generator ignored GeneratorExit$"):
            made.close()  # type: ignore[attr-defined]
    for later in (stubborn_later(), track(stubborn_later)()):
        await anext(later)
        with pytest.raises(RuntimeError, match=r"^async generator ignored GeneratorExit$"):
            await later.aclose()  # type: ignore[attr-defined]


def test_c15b_a_generator_left_half_way_leaks_no_scope() -> None:
    log: list[object] = []
    with track_context(user_id="consumer"):
        for _ in track(user_id="u1")(body)(log):
            assert user() == "consumer"
            break
        gc.collect()
        assert user() == "consumer"
    assert log == [("runs as", "u1"), ("closed as", "u1"), ("ended as", "u1")]


def test_c15b_a_generator_collected_in_another_context_leaks_nothing_there() -> None:
    log: list[object] = []
    left = [track(user_id="u1")(body)(log)]
    next(left[0])
    elsewhere = contextvars.Context()

    def drop() -> object:
        with track_context(user_id="collecting"):
            left.clear()
            gc.collect()
            return user()

    assert elsewhere.run(drop) == "collecting"
    assert elsewhere.run(user) is None
    assert log[-1] == ("ended as", "u1")


async def test_c15b_an_async_generator_closed_by_another_task_leaks_nothing_and_raises_nothing() -> None:
    log: list[object] = []
    tracked = track(user_id="u1")(async_body)(log)
    with track_context(user_id="consumer"):
        await anext(tracked)

        async def close() -> object:
            with track_context(user_id="closer"):
                await tracked.aclose()
                return user()

        assert await asyncio.create_task(close()) == "closer"
        assert user() == "consumer"
    assert log == [("runs as", "u1"), ("closed as", "u1"), ("ended as", "u1")]


async def test_c15b_a_block_inside_an_async_generator_closed_by_another_task_raises_nothing() -> None:
    ended: list[object] = []

    @track(user_id="u1")
    async def opens_a_block() -> AsyncIterator[object]:
        try:
            with track_context(account_name="block"):
                yield get_context()
        finally:
            ended.append(user())

    tracked: Any = opens_a_block()
    assert await anext(tracked) == {"user_id": "u1", "account_name": "block"}
    assert get_context() == {}
    with track_context(user_id="closer"):
        await asyncio.create_task(tracked.aclose())
        assert get_context() == {"user_id": "closer"}
    assert ended == ["u1"]


async def test_c15b_an_async_generator_that_is_dropped_is_closed_by_the_loop_in_its_scope() -> None:
    log: list[object] = []
    tracked = track(user_id="u1")(async_body)(log)
    await anext(tracked)
    del tracked
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert log == [("runs as", "u1"), ("closed as", "u1"), ("ended as", "u1")]
    assert user() is None


async def test_c15b_a_cancelled_step_of_an_async_generator_leaks_nothing() -> None:
    @track(user_id="u1")
    async def hangs() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    tracked = hangs()

    async def consume() -> object:
        try:
            async for _ in tracked:
                pass
        except asyncio.CancelledError:
            return user()
        return "not cancelled"

    with track_context(user_id="consumer"):
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.001)
        task.cancel()
        assert await task == "consumer"


class Pending:
    def __await__(self) -> Iterator[None]:
        yield


def test_c15b_a_step_of_an_async_generator_closed_in_another_context_raises_nothing() -> None:
    @track(user_id="u1")
    async def hangs() -> AsyncIterator[int]:
        await Pending()
        yield 1

    step: Any = anext(hangs())
    contextvars.copy_context().run(step.send, None)
    with track_context(user_id="closer"):
        step.close()
        assert user() == "closer"


def test_nested_and_delegating_tracked_generators_each_run_in_their_own_scope() -> None:
    @track(user_id="inner", limit_ids=["i"])
    def inner() -> Generator[object, object, str]:
        got = yield get_context()
        return f"inner got {got}"

    @track(user_id="outer", limit_ids=["o"])
    def outer() -> Generator[object, object, object]:
        yield get_context()
        result = yield from inner()
        yield get_context()
        return result

    with track_context(limit_ids=["c"]):
        steps = outer()
        assert next(steps) == {"user_id": "outer", "limit_ids": ["c", "o"]}
        assert next(steps) == {"user_id": "inner", "limit_ids": ["c", "o", "i"]}
        assert get_context() == {"limit_ids": ["c"]}
        assert steps.send("word") == {"user_id": "outer", "limit_ids": ["c", "o"]}
        with pytest.raises(StopIteration) as ended:
            next(steps)
    assert ended.value.value == "inner got word"


def test_one_instance_of_a_use_case_for_all_steps_of_one_generator() -> None:
    @track(use_case_name="x")
    def ids() -> Iterator[object]:
        for _ in range(3):
            yield get_context()["use_case_id"]

    first, second = set(ids()), set(ids())
    assert len(first) == len(second) == 1
    assert first != second


def test_interleaved_generators_keep_their_own_scopes() -> None:
    def who() -> Iterator[object]:
        for _ in range(3):
            yield user()

    made = [track(user_id=f"u{number}")(who)() for number in range(4)]
    for _ in range(3):
        assert [next(steps) for steps in made] == ["u0", "u1", "u2", "u3"]
    assert user() is None


def test_c17_context_variables_set_in_the_body_reach_the_consumer_as_without_the_decorator() -> None:
    @track(user_id="u1")
    def sets() -> Iterator[str]:
        MINE.set("by the body")
        yield MINE.get()
        yield MINE.get()

    def consume() -> None:
        steps = sets()
        assert next(steps) == "by the body"
        assert MINE.get() == "by the body"
        MINE.set("by the consumer")
        assert next(steps) == "by the consumer"

    contextvars.copy_context().run(consume)


async def test_c17_context_variables_set_in_an_async_body_reach_the_consumer() -> None:
    @track(user_id="u1")
    async def sets() -> AsyncIterator[str]:
        MINE.set("by the body")
        yield MINE.get()

    async for seen in sets():
        assert seen == MINE.get() == "by the body"


def test_a_tracked_generator_makes_a_context_manager() -> None:
    @contextmanager
    @track(user_id="u1")
    def opened() -> Iterator[object]:
        yield user()

    with opened() as seen:
        assert seen == "u1"
        assert user() is None  # the body of a `with` is the consumer
    assert inspect.isgeneratorfunction(opened.__wrapped__)  # type: ignore[attr-defined]


def test_a_thrown_exception_is_not_kept_alive() -> None:
    class BigError(KeyError):
        pass

    def alive() -> list[object]:
        return [thing for thing in gc.get_objects() if isinstance(thing, BigError)]

    steps = track(user_id="u1")(body)([])
    next(steps)
    gc.collect()
    gc.disable()
    try:
        assert steps.throw(BigError("k")) == "caught 'k'"
        assert alive() == []
    finally:
        gc.enable()
