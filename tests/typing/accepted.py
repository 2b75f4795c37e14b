"""What a type checker sees of the public face: decorated functions keep their types. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import TypeVar, assert_type

import httpx
import httpx2

from payi_instrument import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT,
    NOT_GIVEN,
    AsyncPayi,
    BaseModel,
    Instrumentation,
    NotGiven,
    Payi,
    RateLimitError,
    RequestOptions,
    Timeout,
    create_headers,
    create_limit_header_from_ids,
    get_context,
    increment_kpi_score,
    increment_kpi_score_async,
    omit,
    payi_instrument,
    track,
    track_context,
)
from payi_instrument.testing import MemoryMeter, metered
from payi_instrument.types import (
    APIResponse,
    AsyncAPIResponse,
    AsyncCursorPage,
    AsyncPaginator,
    BulkIngestResponse,
    CategoryDeleteResponse,
    CategoryResourceResponse,
    Limit,
    LimitResponse,
    Money,
    SyncCursorPage,
)

T = TypeVar("T")


@track
def bare(a: int, b: str = "b") -> float:
    return a + len(b)


@track()
def empty(a: int, *rest: str, key: bool = False) -> list[str]:
    return [*rest, str(a), str(key)]


@track(
    limit_ids=["a"],
    use_case_name="x",
    use_case_id="1",
    use_case_version=1,
    use_case_step="s",
    use_case_properties={"p": "1", "gone": None},
    user_id="u",
    account_name="acc",
    request_properties={"n": 1, "f": 1.5, "b": True},
    price_as_category="c",
    price_as_resource="r",
    resource_scope="global",
    log_prompt_and_response=False,
    proxy=False,
)
async def coroutine(a: int) -> str:
    return str(a)


@track(limit_ids=("a",))
def generator(a: int) -> Iterator[int]:
    yield a


@track(limit_ids={"a"})
async def async_generator(a: int) -> AsyncIterator[int]:
    yield a


@track(user_id="u")
def generic(value: T, make: Callable[[T], T]) -> T:
    return make(value)


@contextmanager
@track(user_id="u")
def opened(a: int) -> Generator[str, None, None]:
    yield str(a)


@asynccontextmanager
@track(user_id="u")
async def opened_later(a: int) -> AsyncGenerator[str, None]:
    yield str(a)


class Agent:
    @track(user_id="u")
    def method(self, a: int) -> str:
        return str(a)

    @track
    async def later(self, a: int) -> str:
        return str(a)

    @classmethod
    @track(user_id="u")
    def class_inside(cls, a: int) -> str:
        return cls.__name__ * a

    @staticmethod
    @track(user_id="u")
    def static_inside(a: int) -> str:
        return str(a)

    @track(user_id="u")
    @staticmethod
    def static_outside(a: int) -> str:
        return str(a)

    @property
    @track(user_id="u")
    def shown(self) -> int:
        return 1


@track(user_id="u")
class Callee:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, a: int) -> str:
        return self.name * a


def plain() -> None:
    assert_type(bare(1, b="c"), float)
    assert_type(empty(1, "r", key=True), list[str])
    assert_type(generator(1), Iterator[int])
    assert_type(generic(1, abs), int)
    assert_type(Agent().method(1), str)
    assert_type(Agent.class_inside(1), str)
    assert_type(Agent.static_inside(1), str)
    assert_type(Agent.static_outside(1), str)
    assert_type(Agent().shown, int)
    assert_type(Callee("n"), Callee)
    assert_type(Callee("n")(1), str)
    assert_type(track(user_id="u")(len)([1]), int)
    assert_type(track(str.upper)("a"), str)
    with opened(1) as text:
        assert_type(text, str)
    takes: Callable[[int, str], float] = bare
    assert_type(takes(1, "b"), float)


async def awaited() -> None:
    assert_type(await coroutine(1), str)
    assert_type(await Agent().later(1), str)
    assert_type(async_generator(1), AsyncIterator[int])
    async with opened_later(1) as text:
        assert_type(text, str)
    takes: Callable[[int], Awaitable[str]] = coroutine
    assert_type(await takes(1), str)


async def blocks() -> None:
    block = track_context(limit_ids=frozenset({"a"}), request_properties=None, use_case_version=None)
    with block as ctx:
        assert_type(ctx.limit_ids, tuple[str, ...])
        assert_type(ctx.use_case_name, str | None)
        assert_type(ctx.use_case_id, str | None)
        assert_type(ctx.use_case_version, int | None)
        assert_type(ctx.user_id, str | None)
        result = ctx.last_result
        if result is not None and result.cost is not None:
            assert_type(result.cost.total.base, float)
            assert_type([(name, limit.state) for name, limit in result.limits.items()], list[tuple[str, str | None]])
    async with block as ctx:
        assert_type(get_context(), dict[str, object])
    assert_type(create_headers(limit_ids=["a"], user_id="u"), dict[str, str])
    assert_type(create_limit_header_from_ids(limit_ids=["a"]), dict[str, str])


def metering(client: Payi, async_client: AsyncPayi) -> None:
    handle = payi_instrument()
    assert_type(handle, Instrumentation)
    payi_instrument(client, instruments={"system.openai"}, config={"limit_ids": ["a"], "threads": "inherit"})
    payi_instrument(async_client, log_prompt_and_response=None)
    payi_instrument([client, async_client])
    assert_type(handle.flush(), bool)
    assert_type(handle.shutdown(timeout=1.0), bool)
    with metered(config={"user_id": "u"}) as meter:
        assert_type(meter, MemoryMeter)
        assert_type([event.attribution.user_id for event in meter.events], list[str | None])


def client_methods(client: Payi) -> None:
    assert_type(client.limits.create(limit_name="n", max=1), LimitResponse)
    assert_type(client.limits.create(limit_name="n", max=Decimal(1), threshold=Decimal("0.8")), LimitResponse)
    assert_type(client.limits.update("a", max=Decimal(1)), LimitResponse)
    assert_type(client.limits.retrieve("a"), LimitResponse)
    assert_type(client.limits.retrieve(limit_id="a", timeout=None, extra_headers={"X": None}), LimitResponse)
    assert_type(client.limits.properties.update("a", properties={"b": None}), list[LimitResponse])
    assert_type(client.limits.list(limit=1), SyncCursorPage[Limit])
    assert_type(client.limits.list(properties={"team": "x"}), SyncCursorPage[Limit])
    assert_type([limit.max for limit in client.limits.list()], list[Money])
    assert_type(client.use_cases.kpis.update("k", use_case_name="u", use_case_id="i", score=True), None)
    assert_type(client.ingest.bulk(events=[{"category": "c", "units": {"text": {"input": 1}}}]), BulkIngestResponse)
    units = {"text": {"input": 1, "output": 2}}
    client.ingest.units(category="c", units=units)
    client.ingest.units(category="c", units={"text": {"input": 1}})
    client.ingest.bulk(events=[{"category": "c", "units": units}])
    prices = {"text": {"input_price": Decimal("0.1"), "output_price": Decimal(1)}}
    client.categories.resources.create("r", category="c", units=prices)
    client.categories.resources.create("r", category="c", units={"text": {"input_price": Decimal(1)}})
    client.categories.resources.create("r", category="c", units={"text": {"input_price": 0.1}})
    client.use_cases.definitions.limit_config.create("u", max=Decimal(1), threshold=Decimal("0.8"))
    client.use_cases.definitions.create(
        name="u", description="d", limit_config={"max": Decimal(1), "threshold": Decimal("0.8")}
    )
    assert_type(client.ingest.replay_file("events.jsonl"), BulkIngestResponse)
    assert_type(client.limits.with_raw_response.create(limit_name="n", max=1), APIResponse[LimitResponse])
    assert_type(client.limits.with_raw_response.list().parse(), SyncCursorPage[Limit])
    assert_type(client.with_raw_response.limits.properties.update("a", properties={}).parse(), list[LimitResponse])
    with client.limits.with_streaming_response.retrieve("a") as response:
        assert_type(response, APIResponse[LimitResponse])
        assert_type(response.parse(to=dict[str, int]), dict[str, int])
    assert_type(client.get("/x", cast_to=LimitResponse), LimitResponse)
    assert_type(client.with_options(timeout=httpx.Timeout(5), max_retries=0), Payi)
    assert_type(increment_kpi_score(client, "k", "u", "i"), bool)
    Payi(http_client=httpx.Client(), timeout=None)
    Payi(http_client=httpx2.Client(), timeout=httpx2.Timeout(5))
    AsyncPayi(http_client=httpx.AsyncClient(), max_retries=0)
    AsyncPayi(http_client=httpx2.AsyncClient())


def official_names(client: Payi, given: str | NotGiven = NOT_GIVEN) -> None:
    made = client.limits.create(limit_name="n", max=1, limit_id=given, threshold=omit, timeout=DEFAULT_TIMEOUT)
    shown: list[BaseModel] = [made]
    assert_type([model.to_json(indent=None, exclude_none=True) for model in shown], list[str])
    made.to_dict(mode="json", use_api_names=False)
    deleted: CategoryDeleteResponse = client.categories.delete("c")
    assert_type(deleted, list[CategoryResourceResponse])
    options: RequestOptions = {"max_retries": DEFAULT_MAX_RETRIES}
    Payi(timeout=Timeout(60, connect=5)).get("/x", cast_to=LimitResponse, options=options)
    page = client.limits.list()
    info = page.next_page_info()
    assert_type(None if info is None else info.params["cursor"], str | None)
    page.to_json(indent=2, exclude_none=True)
    for response in (httpx.Response(429), httpx2.Response(429)):
        assert_type(RateLimitError("m", response=response, body=None).status_code, int)


async def async_client_methods(client: AsyncPayi) -> None:
    assert_type(await client.limits.create(limit_name="n", max=1), LimitResponse)
    assert_type(client.limits.list(), AsyncPaginator[Limit])
    assert_type(await client.limits.list(), AsyncCursorPage[Limit])
    assert_type([limit.max async for limit in client.limits.list()], list[Money])
    raw = await client.with_raw_response.limits.create(limit_name="n", max=1)
    assert_type(raw, AsyncAPIResponse[LimitResponse])
    assert_type(await raw.parse(), LimitResponse)
    page = await client.limits.with_raw_response.list()
    assert_type(await page.parse(), AsyncCursorPage[Limit])
    async with client.limits.with_streaming_response.retrieve("a") as response:
        assert_type(await response.parse(), LimitResponse)
    assert_type(await client.post("/x", cast_to=dict[str, str], body={}), dict[str, str])
    assert_type(await client.ingest.replay_file("events.jsonl"), BulkIngestResponse)
    assert_type(await increment_kpi_score_async(client, "k", "u", "i"), bool)
    assert_type(await increment_kpi_score_async(client, "k", "u", "i"), bool)
