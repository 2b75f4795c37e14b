"""Blocks that say for whom calls are made, and what is in effect in them."""

from __future__ import annotations

import asyncio
import contextvars
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument import get_context, track_context

if TYPE_CHECKING:
    from collections.abc import Iterator


def user() -> object:
    return get_context().get("user_id")


def test_a_block_is_in_effect_inside_and_gone_outside() -> None:
    assert get_context() == {}
    with track_context(user_id="u1", limit_ids=["a"]):
        with track_context(user_id="u2", limit_ids=["b"]):
            assert get_context() == {"user_id": "u2", "limit_ids": ["a", "b"]}
        assert get_context() == {"user_id": "u1", "limit_ids": ["a"]}
    assert get_context() == {}


async def test_async_with_is_the_same() -> None:
    async with track_context(user_id="u1") as ctx:
        await asyncio.sleep(0)
        assert user() == ctx.user_id == "u1"
    assert user() is None


def test_c16_an_exception_passes_unchanged_and_the_context_is_restored() -> None:
    error = KeyError("mine")
    with track_context(user_id="outer"):
        with pytest.raises(KeyError) as caught, track_context(user_id="inner"):
            raise error
        assert user() == "outer"
    assert caught.value is error
    assert error.__context__ is None


async def test_c16_an_exception_passes_an_async_block_unchanged() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with track_context(user_id="inner"):
            raise error
    assert caught.value is error
    assert user() is None


def test_the_block_variable_shows_every_value_in_effect() -> None:
    with track_context(user_id="u1", request_properties={"a": "1"}), track_context(use_case_name="x") as ctx:
        assert ctx.user_id == "u1"
        assert ctx.request_properties == {"a": "1"}
        assert ctx.use_case_name == "x"
        assert ctx.use_case_id == get_context()["use_case_id"]
        assert ctx.limit_ids == ()
        assert ctx.account_name is None
        assert ctx.last_result is None
        with pytest.raises(AttributeError, match="no_such_value"):
            ctx.no_such_value  # noqa: B018  # type: ignore[attr-defined]


def test_one_block_may_be_entered_again_and_inside_itself() -> None:
    block = track_context(user_id="u1", use_case_name="x")
    with block as outer:
        outer_id = outer.use_case_id
        with block as inner:
            assert inner.use_case_id == outer_id  # the same use case, nested
            assert user() == "u1"
        assert user() == "u1"
        assert get_context()["use_case_id"] == outer_id
    assert get_context() == {}
    with block as again:
        assert again.use_case_id != outer_id
    assert get_context() == {}


async def test_one_block_may_be_entered_by_many_tasks_at_once() -> None:
    block = track_context(use_case_name="x")
    chance = random.Random(1)

    async def run(me: str) -> object:
        with track_context(user_id=me):
            async with block as ctx:
                mine = ctx.use_case_id
                for _ in range(3):
                    await asyncio.sleep(chance.random() / 1000)
                    assert get_context() == {"user_id": me, "use_case_name": "x", "use_case_id": mine}
            assert get_context() == {"user_id": me}
        return mine

    ids = await asyncio.gather(*(run(f"u{number}") for number in range(200)))
    assert len(set(ids)) == 200
    assert get_context() == {}


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_one_block_may_be_entered_by_many_threads_at_once() -> None:
    block = track_context(account_name="shared")

    def run(me: str) -> None:
        for _ in range(500):
            with track_context(user_id=me):
                with block:
                    assert get_context() == {"user_id": me, "account_name": "shared"}
                assert get_context() == {"user_id": me}

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(run, [f"u{number}" for number in range(16)]))


@pytest.mark.usefixtures("frequent_switches")
def test_threads_that_share_a_scope_share_its_use_case_id() -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            with track_context(use_case_name="x") as ctx:
                start = threading.Barrier(16)

                def read(scope: Any = ctx, start: threading.Barrier = start) -> object:
                    start.wait()
                    return scope.use_case_id

                assert len({future.result() for future in [pool.submit(read) for _ in range(16)]}) == 1


def test_leaving_in_a_foreign_context_does_nothing() -> None:
    block = track_context(user_id="u1")
    contextvars.Context().run(block.__enter__)
    with track_context(user_id="mine"):
        block.__exit__(None, None, None)
        assert user() == "mine"
    assert user() is None


def test_leaving_in_a_copy_of_the_context_does_nothing_there_and_nothing_here() -> None:
    block = track_context(user_id="u1")
    with block:
        copy = contextvars.copy_context()
        copy.run(block.__exit__, None, None, None)
        assert copy.run(user) == "u1"
        assert user() == "u1"
    assert user() is None


def test_a_block_that_was_left_before_does_not_come_back() -> None:
    """A generator that opens a block leaves it wherever its consumer is by then."""

    def opens_a_block() -> Iterator[None]:
        with track_context(user_id="generator"):
            yield

    steps = opens_a_block()
    with track_context(user_id="consumer"):
        next(steps)
    assert user() is None
    next(steps, None)
    assert user() is None


def test_changing_what_get_context_returned_changes_nothing() -> None:
    with track_context(limit_ids=["a"], request_properties={"k": "1"}, use_case_name="x"):
        before = get_context()
        changed: Any = get_context()
        changed["limit_ids"].append("b")
        changed["request_properties"]["k"] = "2"
        changed.clear()
        assert get_context() == before
