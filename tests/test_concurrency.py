"""Many callers at once, each billed for its own calls: tasks, threads, pools, processes (group C, rows 13 to 15a)."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from offline_openai import Offline

from payi_instrument import get_context, track, track_context
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

COST = Decimal("0.00021")
"""What one call of the offline provider costs."""
CHANCE = random.Random(7)


@pytest.fixture
def openai() -> Offline:
    return Offline()


@pytest.fixture
def meter() -> Iterator[MemoryMeter]:
    with metered(config={"account_name": "global"}) as memory:
        yield memory


def user() -> object:
    return get_context().get("user_id")


def check_events(meter: MemoryMeter, users: list[str], calls: int) -> None:
    """Check that everyone has their own events, and that the ledger adds up to the last digit."""
    events = meter.events
    assert len(events) == len(users) * calls
    wrong = [
        event
        for event in events
        if event.attribution.user_id != (event.provider_response_id or "").partition("/")[0]
        or event.attribution.limit_ids != (event.attribution.user_id,)
    ]
    assert wrong == []
    for name in users:
        totals = meter.client.limits.retrieve(name).limit.totals
        assert totals.cost.total.base_exact == COST * calls
        assert totals.requests.total == calls


def make_limits(meter: MemoryMeter, users: list[str]) -> None:
    for name in users:
        meter.client.limits.create(limit_name=name, limit_id=name, max=100)


async def task_of(openai: Offline, me: str) -> bool:
    """Make two calls as this user; say whether each saw its own result."""
    with track_context(user_id=me, limit_ids=[me]) as ctx:
        own = []
        for number in range(2):
            await asyncio.sleep(CHANCE.random() / 100)
            answer: Any = await openai.aask(f"{me}/{number}")
            await asyncio.sleep(CHANCE.random() / 100)
            own.append(get_context()["last_result"] is ctx.last_result is answer.xproxy_result)
            own.append(set(answer.xproxy_result.limits) == {me})
        return all(own)


async def by_gather(works: list[Coroutine[Any, Any, bool]]) -> list[bool]:
    return await asyncio.gather(*works)


async def by_task_group(works: list[Coroutine[Any, Any, bool]]) -> list[bool]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]


async def by_ensure_future(works: list[Coroutine[Any, Any, bool]]) -> list[bool]:
    futures = [asyncio.ensure_future(work) for work in works]
    return [await future for future in futures]


async def by_create_task(works: list[Coroutine[Any, Any, bool]]) -> list[bool]:
    tasks = [asyncio.get_running_loop().create_task(work) for work in works]
    done, _ = await asyncio.wait(tasks)
    return [task.result() for task in done]


@pytest.mark.parametrize("spawn", [by_gather, by_task_group, by_ensure_future, by_create_task])
async def test_c13_concurrent_tasks_are_billed_to_their_own_user(
    openai: Offline, meter: MemoryMeter, spawn: Callable[[list[Coroutine[Any, Any, bool]]], Awaitable[list[bool]]]
) -> None:
    users = [f"u{number}" for number in range(50)]
    make_limits(meter, users)
    assert all(await spawn([task_of(openai, me) for me in users]))
    check_events(meter, users, calls=2)


async def test_c13_tasks_inherit_the_scope_they_were_made_in_and_change_nobody_elses(
    openai: Offline, meter: MemoryMeter
) -> None:
    async def child(name: str) -> None:
        await openai.aask(f"{name} before")
        with track_context(user_id=name):
            await asyncio.sleep(0.001)
            await openai.aask(f"{name} inside")

    with track_context(user_id="parent"):
        children = [asyncio.create_task(child(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        with track_context(user_id="later"):
            await asyncio.gather(*children)
        await openai.aask("parent")
    billed = {event.provider_response_id: event.attribution.user_id for event in meter.events}
    assert billed == {"a before": "parent", "b before": "parent", "a inside": "a", "b inside": "b", "parent": "parent"}


async def test_c13_a_thousand_tasks_and_64_threads_at_once(openai: Offline, meter: MemoryMeter) -> None:
    tasks = [f"t{number}" for number in range(1000)]
    threads = [f"h{number}" for number in range(64)]
    make_limits(meter, tasks + threads)
    start = threading.Barrier(len(threads))
    seen: dict[str, bool] = {}

    @track(request_properties={"of": "a thread"})
    def tracked_call(me: str, number: int) -> Any:
        return openai.ask(f"{me}/{number}")

    def thread_of(me: str) -> None:
        start.wait()
        own = []
        with track_context(user_id=me, limit_ids=[me]) as ctx:
            for number in range(2):
                answer = tracked_call(me, number)
                own.append(get_context()["last_result"] is ctx.last_result is answer.xproxy_result)
        seen[me] = all(own)

    started = [threading.Thread(target=thread_of, args=(me,)) for me in threads]
    for thread in started:
        thread.start()
    assert all(await asyncio.gather(*(task_of(openai, me) for me in tasks)))
    for thread in started:
        await asyncio.to_thread(thread.join)
    assert seen == dict.fromkeys(threads, True)
    check_events(meter, tasks + threads, calls=2)


def test_c14_a_plain_thread_has_the_global_values(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(user_id="starter"):
        thread = threading.Thread(target=openai.ask)
        thread.start()
        thread.join()
    [event] = meter.events
    assert (event.attribution.user_id, event.attribution.account_name) == (None, "global")


def submit(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Future[Any]:
    return pool.submit(function)


def map_(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Future[Any]:
    return pool.submit(list, pool.map(lambda _: function(), [1]))


async def in_executor(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function)


@pytest.mark.parametrize("hand_over", [submit, map_])
def test_c15_a_pool_carries_the_scope_of_each_item(
    openai: Offline, meter: MemoryMeter, hand_over: Callable[[ThreadPoolExecutor, Callable[[], Any]], Future[Any]]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        for me in ("u1", "u2", None, "u3", None):
            with track_context(user_id=me, limit_ids=[me] if me else None):
                hand_over(pool, partial(openai.ask, str(me))).result()
    billed = [(event.provider_response_id, event.attribution.user_id) for event in meter.events]
    assert billed == [("u1", "u1"), ("u2", "u2"), ("None", None), ("u3", "u3"), ("None", None)]


@pytest.mark.usefixtures("meter")
def test_c15_a_scope_is_cleared_after_each_item_also_when_it_is_empty() -> None:
    with ThreadPoolExecutor(1) as pool:
        with track_context(user_id="u1"):
            assert pool.submit(user).result() == "u1"
        assert pool.submit(user).result() is None
        leave_open = track_context(user_id="left open in the item")
        pool.submit(leave_open.__enter__).result()
        assert pool.submit(user).result() is None
        assert "last_result" not in pool.submit(get_context).result()


def test_c15_the_result_of_one_item_is_not_the_next_ones(openai: Offline, meter: MemoryMeter) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(openai.ask).result().xproxy_result is not None
        assert "last_result" not in pool.submit(get_context).result()
    assert len(meter.events) == 1


async def test_c15_run_in_executor_and_to_thread_carry_the_scope(openai: Offline, meter: MemoryMeter) -> None:
    with ThreadPoolExecutor(4) as pool:

        async def run(me: str) -> None:
            with track_context(user_id=me):
                await in_executor(pool, partial(openai.ask, me))
                await asyncio.get_running_loop().run_in_executor(None, openai.ask, me)
                await asyncio.to_thread(openai.ask, me)

        await asyncio.gather(*(run(f"u{number}") for number in range(40)))
        assert await in_executor(pool, user) is None
    assert len(meter.events) == 120
    assert all(event.attribution.user_id == event.provider_response_id for event in meter.events)


def test_c15_an_item_runs_in_the_scope_of_its_submitter_not_of_the_pools_maker(
    openai: Offline, meter: MemoryMeter
) -> None:
    with track_context(user_id="maker"):
        pool = ThreadPoolExecutor(1)
        pool.submit(openai.ask).result()
    with pool, track_context(user_id="submitter"):
        pool.submit(openai.ask).result()
    assert [event.attribution.user_id for event in meter.events] == ["maker", "submitter"]


@pytest.mark.usefixtures("meter")
def test_c15_an_exception_of_an_item_arrives_unchanged_and_the_scope_is_cleared() -> None:
    error = KeyError("mine")

    def fails() -> None:
        raise error

    with ThreadPoolExecutor(1) as pool:
        with track_context(user_id="u1"), pytest.raises(KeyError) as caught:
            pool.submit(fails).result()
        assert pool.submit(user).result() is None
    assert caught.value is error


class Service:
    """A thread that works for whoever asks, for as long as the process lives."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], Any]] = []
        self._turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def do(self, *functions: Callable[[], Any]) -> None:
        self._asked += functions
        self._turn.release()
        self._thread.join()

    def _run(self) -> None:
        self._turn.acquire()
        for function in self._asked:
            function()


@pytest.mark.parametrize(("mode", "wanted"), [("executors", None), ("inherit", "first request")])
def test_c15a_a_service_thread_has_the_global_values_unless_threads_inherit(
    openai: Offline, mode: str, wanted: str | None
) -> None:
    with metered(config={"threads": mode, "account_name": "global"}) as meter:
        with track_context(user_id="first request"):
            service = Service()
        with track_context(user_id="second request"):
            service.do(openai.ask, openai.ask)
        assert [event.attribution.user_id for event in meter.events] == [wanted, wanted]
        assert {event.attribution.account_name for event in meter.events} == {"global"}


def test_c15a_threads_that_inherit_still_carry_items_of_a_pool(openai: Offline) -> None:
    with metered(config={"threads": "inherit"}) as meter, ThreadPoolExecutor(1) as pool:
        for me in ("u1", "u2", None):
            with track_context(user_id=me):
                pool.submit(openai.ask).result()
        assert [event.attribution.user_id for event in meter.events] == ["u1", "u2", None]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_has_the_global_values_of_the_child_only(meter: MemoryMeter, method: str) -> None:
    with (
        track_context(user_id="u1", limit_ids=["a"]),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool,
    ):
        in_child = pool.submit(get_context).result()
        assert user() == "u1"
    assert in_child == ({"account_name": "global"} if method == "fork" else {})
