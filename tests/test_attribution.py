"""Group C of the conformance list, end to end: scopes, calls through the openai SDK, events at the meter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from offline_openai import Offline

from payi_instrument import create_headers, get_context, payi_instrument, track, track_context
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payi_instrument.event import Attribution


@pytest.fixture
def openai() -> Offline:
    return Offline()


@pytest.fixture
def meter() -> Iterator[MemoryMeter]:
    with metered() as memory:
        yield memory


def last(meter: MemoryMeter) -> Attribution:
    """Return who the last event is for."""
    return meter.events[-1].attribution


def test_c1_limits_unite_from_the_outside_in(openai: Offline) -> None:
    @track(limit_ids=["b"])
    def run() -> None:
        with track_context(limit_ids=["a", " b ", "g", "", "a"]):
            openai.ask()

    with metered(config={"limit_ids": ["g"]}) as meter:
        run()
        assert last(meter).limit_ids == ("g", "b", "a")


def test_c2_an_empty_list_cuts_the_limits_and_a_deeper_list_starts_anew(openai: Offline) -> None:
    with metered(config={"limit_ids": ["g"]}) as meter, track_context(limit_ids=["b"]):
        with track_context(limit_ids=[]):
            openai.ask()
            assert last(meter).limit_ids == ()
            with track_context(limit_ids=["c"]):
                openai.ask()
                assert last(meter).limit_ids == ("c",)
        openai.ask()
        assert last(meter).limit_ids == ("g", "b")


@pytest.mark.parametrize("field", ["user_id", "account_name", "price_as_resource", "resource_scope"])
@pytest.mark.parametrize(("inner", "wanted"), [(None, "u1"), ("u2", "u2"), ("", None)])
def test_c3_a_text_is_inherited_replaced_or_cleared(
    openai: Offline, meter: MemoryMeter, field: str, inner: str | None, wanted: str | None
) -> None:
    outer: dict[str, Any] = {field: "u1"}
    nested: dict[str, Any] = {field: inner}
    with track_context(**outer), track_context(**nested):
        openai.ask()
    assert getattr(last(meter), field) == wanted


def test_c4_properties_merge_key_by_key(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(request_properties={"a": "1", "b": "2", "c": "3"}):
        with track_context(request_properties={"b": "3", "c": None}):
            openai.ask()
            assert last(meter).request_properties == {"a": "1", "b": "3"}
        with track_context(request_properties={}):
            openai.ask()
            assert last(meter).request_properties == {}


def test_c5_the_same_use_case_is_the_same_instance_and_another_is_another(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(use_case_name="x"):
        for nested in ("x", "y", None):
            with track_context(use_case_name=nested):
                openai.ask()
        openai.ask()
    same, other, inherited, outside = (event.attribution for event in meter.events)
    assert [who.use_case_name for who in (same, other, inherited, outside)] == ["x", "y", "x", "x"]
    assert same.use_case_id == inherited.use_case_id == outside.use_case_id
    assert other.use_case_id not in {None, same.use_case_id}


def test_c5_going_back_to_a_use_case_by_way_of_another_is_a_new_instance(openai: Offline) -> None:
    with metered(config={"use_case_name": "x", "use_case_version": 7}) as meter:
        openai.ask()
        with track_context(use_case_name="y"), track_context(use_case_name="x"):
            openai.ask()
        first, second = (event.attribution for event in meter.events)
        assert (first.use_case_version, second.use_case_version) == (7, None)
        assert first.use_case_id != second.use_case_id


def test_c6_nothing_of_one_use_case_passes_to_another(openai: Offline, meter: MemoryMeter) -> None:
    outer = track_context(
        use_case_name="x", use_case_version=7, use_case_step="s", use_case_properties={"p": "1"}, user_id="u1"
    )
    with outer, track_context(use_case_name="y"):
        openai.ask()
    who = last(meter)
    assert (who.use_case_name, who.user_id) == ("y", "u1")
    assert (who.use_case_version, who.use_case_step, who.use_case_properties) == (None, None, {})


def test_c7_an_empty_name_clears_the_use_case(openai: Offline) -> None:
    config = {"use_case_name": "x", "use_case_version": 7, "use_case_properties": {"p": "1"}}
    with metered(config=config) as meter, track_context(use_case_name=""):
        openai.ask()
        who = last(meter)
    assert (who.use_case_name, who.use_case_id, who.use_case_version) == (None, None, None)
    assert (who.use_case_step, who.use_case_properties) == (None, {})


def test_c8_every_run_of_a_tracked_function_is_an_instance(openai: Offline, meter: MemoryMeter) -> None:
    @track(use_case_name="x")
    def run() -> None:
        openai.ask()
        with track_context(user_id="u1"):
            openai.ask()

    run()
    run()
    ids = [event.attribution.use_case_id for event in meter.events]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert None not in ids


def test_c9_an_explicit_use_case_id_is_used_everywhere_inside(openai: Offline, meter: MemoryMeter) -> None:
    @track(use_case_name="x")
    def nested() -> None:
        openai.ask()

    with track_context(use_case_name="x", use_case_id="mine"):
        openai.ask()
        nested()
        with track_context(use_case_step="s"):
            openai.ask()
    assert [event.attribution.use_case_id for event in meter.events] == ["mine"] * 3


def test_c10_a_header_of_the_call_wins_and_is_not_forwarded(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(user_id="u1"):
        openai.ask(extra_headers={"xProxy-User-ID": "u9", "x-mine": "kept"})
    assert last(meter).user_id == "u9"
    assert openai.last_headers["x-mine"] == "kept"
    assert not [name for name in openai.last_headers if name.startswith("xproxy")]


@pytest.mark.parametrize(("header", "wanted"), [("z", ("z",)), ("", ())])
def test_c11_a_limit_header_replaces_the_limits(
    openai: Offline, meter: MemoryMeter, header: str, wanted: tuple[str, ...]
) -> None:
    with track_context(limit_ids=["a"]):
        openai.ask(extra_headers={"xProxy-Limit-IDs": header})
    assert last(meter).limit_ids == wanted


async def test_c12_an_id_header_in_any_case_wins_over_the_use_case(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(use_case_name="x", use_case_version=7):
        await openai.aask(extra_headers={"xproxy-usecase-id": "mine"})
    who = last(meter)
    assert (who.use_case_name, who.use_case_id, who.use_case_version) == ("x", "mine", 7)
    assert not [name for name in openai.last_headers if name.startswith("xproxy")]


def test_c12_an_id_header_where_no_use_case_is_in_effect_counts_for_nothing(
    openai: Offline, meter: MemoryMeter
) -> None:
    openai.ask(extra_headers={"xProxy-UseCase-ID": "mine"})
    assert last(meter).use_case_id is None


def test_create_headers_override_for_one_call_and_leave_the_callers_dict_alone(
    openai: Offline, meter: MemoryMeter
) -> None:
    headers = create_headers(limit_ids=["z"], use_case_name="y", request_properties={"h": "1"})
    before = dict(headers)
    with track_context(limit_ids=["a"], use_case_name="x", use_case_step="s", request_properties={"r": "1"}):
        openai.ask(extra_headers=headers)
        openai.ask()
    first, second = (event.attribution for event in meter.events)
    assert (first.limit_ids, first.use_case_name, first.use_case_step) == (("z",), "y", None)
    assert first.request_properties == {"h": "1"}
    assert (second.limit_ids, second.use_case_name, second.use_case_step) == (("a",), "x", "s")
    assert headers == before


async def test_c17_a_call_in_any_tracked_callable_is_billed_to_its_scope(openai: Offline, meter: MemoryMeter) -> None:
    @track(user_id="sync")
    def plain() -> None:
        openai.ask()

    @track(user_id="async")
    async def coroutine() -> None:
        await openai.aask()

    @track(user_id="generator")
    def generator() -> Iterator[object]:
        yield openai.ask()

    @track(user_id="async generator")
    async def async_generator() -> Any:
        yield await openai.aask()

    class Agent:
        @track(user_id="method")
        def method(self) -> None:
            openai.ask()

        @classmethod
        @track(user_id="class method")
        def class_method(cls) -> None:
            openai.ask()

    plain()
    await coroutine()
    for _ in generator():
        openai.ask()
    async for _ in async_generator():
        await openai.aask()
    Agent().method()
    Agent.class_method()
    assert [event.attribution.user_id for event in meter.events] == [
        "sync", "async", "generator", None, "async generator", None, "method", "class method",
    ]  # fmt: skip


def test_a_stream_is_billed_to_the_scope_it_was_asked_in(openai: Offline, meter: MemoryMeter) -> None:
    with track_context(user_id="asker"):
        stream: Any = openai.ask("streamed", stream=True)
    with track_context(user_id="reader"):
        assert len(list(stream)) == 3
    assert [event.attribution.user_id for event in meter.events] == ["asker"]
    assert meter.events[0].units == {"text": (1000, 100)}


def test_a_scope_opened_before_instrumentation_takes_effect_from_then_on(openai: Offline) -> None:
    with track_context(user_id="u1", use_case_step="s"):
        openai.ask()
        with metered(config={"use_case_name": "x", "use_case_version": 7, "account_name": "acc"}) as meter:
            openai.ask()
            [event] = meter.events
        openai.ask()
    who = event.attribution
    assert (who.user_id, who.account_name, who.use_case_name, who.use_case_version) == ("u1", "acc", "x", 7)
    assert who.use_case_step == "s"
    assert event.provider_response_id == "hello"
    assert len(openai.requests) == 3


def test_c18_without_instrumentation_calls_are_untouched(openai: Offline) -> None:
    @track(user_id="u1")
    def run() -> object:
        return openai.ask()

    assert not hasattr(run(), "xproxy_result")


def test_c20_the_calling_file_names_the_use_case(openai: Offline) -> None:
    meter = MemoryMeter()
    handle = payi_instrument(meter.client)
    openai.ask()
    handle.shutdown()
    assert last(meter).use_case_name == "test_attribution"
    assert last(meter).use_case_id is not None


@pytest.mark.parametrize("name", ["", None])
def test_c20_no_global_use_case_when_that_is_said(openai: Offline, name: str | None) -> None:
    with metered(config={"use_case_name": name}) as meter:
        openai.ask()
        assert last(meter).use_case_name is None


def test_c21_without_global_instrumentation_only_scopes_are_metered(openai: Offline) -> None:
    with metered(config={"global_instrumentation": False}) as meter:
        answer = openai.ask("outside")
        with track_context():
            openai.ask("inside")
        assert [event.provider_response_id for event in meter.events] == ["inside"]
        assert not hasattr(answer, "xproxy_result")


def test_the_last_result_is_the_last_calls_and_the_block_has_it_too(openai: Offline, meter: MemoryMeter) -> None:
    assert "last_result" not in get_context()
    with track_context(user_id="outer") as outer, track_context(use_case_name="x") as inner:
        first: Any = openai.ask("first")
        assert get_context()["last_result"] is inner.last_result is outer.last_result is first.xproxy_result
        second: Any = openai.ask("second")
        assert get_context()["last_result"] is inner.last_result is outer.last_result is second.xproxy_result
    assert len(meter.events) == 2


async def test_c22_every_task_sees_its_own_last_result(openai: Offline, meter: MemoryMeter) -> None:
    async def run(name: str) -> bool:
        with track_context(user_id=name) as ctx:
            answer: Any = await openai.aask(name)
            await asyncio.sleep(0.001)
            return get_context()["last_result"] is ctx.last_result is answer.xproxy_result

    assert all(await asyncio.gather(*(run(f"u{number}") for number in range(50))))
    assert len(meter.events) == 50
    assert "last_result" not in get_context()


async def test_c22_a_parent_sees_the_results_of_what_it_awaits(openai: Offline, meter: MemoryMeter) -> None:
    async def child() -> object:
        answer: Any = await openai.aask()
        return answer.xproxy_result

    with track_context(user_id="u1") as ctx:
        awaited = await child()
        assert get_context()["last_result"] is awaited
        in_a_task = await asyncio.create_task(child())
        assert get_context()["last_result"] is awaited
        assert ctx.last_result is in_a_task  # the block was around both
    assert len(meter.events) == 2
