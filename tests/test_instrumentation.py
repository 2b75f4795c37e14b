"""Switching metering on and off: clients, categories, what is put back, and what the handle does."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import Offline

import payi_instrument.instrumentation as composition
from payi_instrument import AsyncPayi, Instrumentation, Payi, PayiError, get_context, payi_instrument, track_context
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves the process instrumented, or was given one that is."""
    before = state_of_the_process()
    yield
    assert state_of_the_process() == before
    assert composition._active is None


def state_of_the_process() -> list[object]:
    """Return what instrumentation changes: attributes of classes, by identity, and the global values."""
    attributes = [
        vars(openai.OpenAI).get("request"),
        vars(openai.AsyncOpenAI).get("request"),
        inspect.getattr_static(openai.OpenAI, "request"),
        inspect.getattr_static(openai.AsyncOpenAI, "request"),
        vars(ThreadPoolExecutor)["submit"],
        vars(threading.Thread)["start"],
    ]
    return [*(id(attribute) for attribute in attributes), get_context()]  # a wrapper equals what it wraps


def test_c19_a_second_call_changes_nothing_and_returns_the_same_handle() -> None:
    first, second = MemoryMeter(), MemoryMeter()
    handle = payi_instrument(first.client, config={"user_id": "first"})
    once = state_of_the_process()
    assert payi_instrument(second.client, config={"user_id": "second"}) is handle
    assert state_of_the_process() == once
    assert handle.serves(first.client)
    assert not handle.serves(second.client)
    Offline().ask()
    handle.shutdown()
    assert [event.attribution.user_id for event in first.events] == ["first"]
    assert second.events == []


def test_c19_threads_that_instrument_at_once_get_one_handle() -> None:
    meter = MemoryMeter()
    start = threading.Barrier(8)
    handles: list[Instrumentation] = []

    def instrument() -> None:
        start.wait()
        handles.append(payi_instrument(meter.client))

    threads = [threading.Thread(target=instrument) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 8
    assert len(set(handles)) == 1
    Offline().ask()
    handles[0].shutdown()
    assert len(meter.events) == 1


@pytest.mark.parametrize("mode", ["executors", "inherit"])
def test_c24_uninstrument_puts_everything_back(mode: str) -> None:
    offline = Offline()
    before = state_of_the_process()
    with metered(config={"threads": mode}) as meter:
        assert [now != then for now, then in zip(state_of_the_process(), before, strict=True)] == [
            True, True, True, True, True, mode == "inherit", False,
        ]  # fmt: skip
        offline.ask()
        assert meter.handle is not None
        meter.handle.uninstrument()
        assert state_of_the_process() == before
        assert "request" not in vars(openai.OpenAI)
        assert "request" not in vars(openai.AsyncOpenAI)
        answer = offline.ask()
        assert not hasattr(answer, "xproxy_result")
        assert len(meter.events) == 1


def test_c24_a_pool_and_a_client_made_while_instrumented_go_on_without() -> None:
    def own_scope() -> dict[str, object]:
        with track_context(user_id="item"):
            return get_context()

    with metered() as meter:
        offline = Offline()
        create = offline.client.chat.completions.create
        pool = ThreadPoolExecutor(1)
        with track_context(user_id="instrumented"):
            pool.submit(offline.ask).result()
    with pool, track_context(user_id="u1"):
        create(model="gpt-4o-mini", messages=[{"role": "user", "content": "again"}])
        assert pool.submit(get_context).result() == {}
        assert pool.submit(own_scope).result() == {"user_id": "item"}
        pool.submit(offline.ask).result()
    assert len(meter.events) == 1


def test_uninstrument_twice_and_of_an_old_handle_does_nothing() -> None:
    old = payi_instrument(MemoryMeter().client)
    old.uninstrument()
    with metered(config={"user_id": "new"}) as meter:
        old.uninstrument()
        assert get_context() == {"user_id": "new"}
        Offline().ask()
        assert len(meter.events) == 1


def test_instrumenting_again_after_uninstrument_takes_the_new_settings() -> None:
    offline = Offline()
    for user in ("u1", "u2", "u3"):
        with metered(config={"user_id": user}) as meter:
            offline.ask()
            assert [event.attribution.user_id for event in meter.events] == [user]
    assert len(offline.requests) == 3


def test_the_client_stays_open_and_may_be_used_again() -> None:
    meter = MemoryMeter()
    for user in ("u1", "u2"):
        handle = payi_instrument(meter.client, config={"user_id": user})
        Offline().ask()
        assert handle.shutdown() is True
    assert [event.attribution.user_id for event in meter.events] == ["u1", "u2"]
    assert list(meter.client.limits.list()) == []


def test_a_stream_that_outlives_the_instrumentation_is_metered_all_the_same() -> None:
    with metered() as meter:
        stream: Any = Offline().ask(stream=True)
        assert meter.handle is not None
        meter.handle.uninstrument()
        assert len(list(stream)) == 3
        assert len(meter.events) == 1
    assert stream.xproxy_result.cost is not None


def of_both_kinds(meter: MemoryMeter) -> list[Any]:
    return [meter.client, meter.async_client, [meter.client], (meter.async_client, meter.client)]


@pytest.mark.parametrize("kind", range(4))
async def test_one_client_of_either_kind_serves_both_kinds_of_calls(kind: int) -> None:
    meter, offline = MemoryMeter(), Offline()
    handle = payi_instrument(of_both_kinds(meter)[kind])
    offline.ask()
    await offline.aask()
    await asyncio.to_thread(handle.shutdown)
    assert len(meter.events) == 2


@pytest.mark.parametrize("wrong", [3, "sqlite://", {"a": 1}, [3], [None], Payi], ids=repr)
def test_a_client_of_the_wrong_kind_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^payi: .*expected Payi, AsyncPayi or a list"):
        payi_instrument(wrong)


def test_too_many_or_no_clients_is_a_value_error() -> None:
    meter = MemoryMeter()
    for wrong in ([], [meter.client, meter.client], [meter.async_client, meter.async_client]):
        with pytest.raises(ValueError, match="expected at most one of each, and one at least"):
            payi_instrument(wrong)


def test_two_ledgers_are_a_value_error_that_names_them() -> None:
    with Payi(base_url="sqlite://") as client, pytest.raises(ValueError, match="are two meters"):
        payi_instrument([client, AsyncPayi(base_url="sqlite://")])


def test_two_clients_of_one_file_are_one_meter(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Payi(base_url=url) as client:
        handle = payi_instrument([client, AsyncPayi(base_url=url)])
        client.limits.create(limit_name="l", limit_id="l", max=1)
        with track_context(limit_ids=["l"]):
            answer: Any = Offline().ask()
        handle.shutdown()
        assert answer.xproxy_result.limits["l"].state == "ok"


def test_without_a_client_the_environment_says_where_the_meter_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PAYI_API_KEY", raising=False)
    monkeypatch.delenv("PAYI_BASE_URL", raising=False)
    with pytest.raises(PayiError, match="PAYI_BASE_URL"):
        payi_instrument()
    monkeypatch.setenv("PAYI_BASE_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    handle = payi_instrument()
    answer: Any = Offline().ask()
    handle.shutdown()
    assert answer.xproxy_result.cost is not None


FAILING: list[dict[str, Any]] = [
    {"instruments": "system.openai"},
    {"instruments": 3},
    {"instruments": {1, "system.openai"}},
    {"payi": 3},
    {"payi": []},
    {"config": {"no": "such"}},
    {"config": {"limit_ids": [1]}},
    {"log_prompt_and_response": "yes"},
]


@pytest.mark.parametrize("arguments", FAILING, ids=[f"{n}-{next(iter(each))}" for n, each in enumerate(FAILING)])
def test_an_instrumentation_that_fails_changes_nothing(arguments: dict[str, Any]) -> None:
    before = state_of_the_process()
    payi = arguments.get("payi", MemoryMeter().client)
    others = {name: value for name, value in arguments.items() if name != "payi"}
    with pytest.raises((TypeError, ValueError), match=r"instruments|payi|no|limit_ids|log_prompt"):
        payi_instrument(payi, **others)
    assert state_of_the_process() == before


@pytest.mark.parametrize(
    ("instruments", "metered_calls"),
    [
        (None, 1),
        ({"*"}, 1),
        (["*", "no such"], 1),
        ({"system.openai"}, 1),
        (("system.azureopenai",), 1),
        pytest.param(iter(["system.openai"]), 1, id="iterator"),
        ({"system.anthropic"}, 0),
        (set(), 0),
    ],
    ids=["none", "star", "star among others", "one", "azure", "an iterator", "another SDK", "nothing"],
)
def test_only_the_named_categories_are_metered(instruments: Any, metered_calls: int) -> None:
    with metered(instruments=instruments) as meter:
        Offline().ask()
        assert len(meter.events) == metered_calls


def test_an_unknown_category_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with metered(instruments={"system.openai", "system.openia"}):
        pass
    assert "'system.openia' is unknown; known are system.azure, system.azureopenai, system." in caplog.text
    assert "'system.openai' is unknown" not in caplog.text


def test_metering_inside_metering_is_an_error_that_says_what_to_do() -> None:
    with metered() as meter:
        with pytest.raises(RuntimeError, match="uninstrument"), metered():
            pass
        Offline().ask()
        assert len(meter.events) == 1


def test_flush_and_shutdown_say_that_nothing_waits() -> None:
    with metered() as meter:
        handle = meter.handle
        assert handle is not None
        assert handle.flush() is True
        assert handle.flush(0.5) is True
        Offline().ask()
        assert handle.flush(timeout=5) is True
        assert handle.shutdown(5) is True
        assert handle.shutdown() is True


def test_flush_waits_for_what_garbage_collection_ended() -> None:
    with metered() as meter:
        recorder = meter._recorder  # the property would flush
        stream: Any = Offline().ask(stream=True)
        next(iter(stream))
        del stream
        gc.collect()
        assert meter.handle is not None
        assert meter.handle.flush() is True
        assert len(recorder.events) == 1


def test_an_interrupt_in_a_call_passes_and_is_metered() -> None:
    with metered() as meter, track_context(user_id="u1"):
        interrupt = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt) as caught:
            Offline(interrupt).ask()
        assert caught.value is interrupt
        [event] = meter.events
    assert event.http_status_code == 299
    assert event.properties["system.failure"] == "KeyboardInterrupt"
    assert event.attribution.user_id == "u1"


async def test_a_cancelled_call_passes_and_is_metered() -> None:
    with metered() as meter, track_context(user_id="u1"):
        with pytest.raises(asyncio.CancelledError):
            await Offline(asyncio.CancelledError()).aask()
        [event] = meter.events
    assert event.properties["system.failure"] == "CancelledError"
    assert event.attribution.user_id == "u1"


def test_metered_takes_the_instrumentation_back_when_the_block_fails() -> None:
    with pytest.raises(KeyError), metered():
        raise KeyError
    assert composition._active is None
