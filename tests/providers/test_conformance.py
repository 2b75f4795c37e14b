"""Every form of a call of every SDK, sync and async, through every way it may go: one event, and nothing else changed.

Rows P-4, P-6, P-7, P-17, P-18, P-22, P-25, P-26; shapes 8, 24 and 25. A new SDK joins by its own `Sdk` in `SDKS`.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from openai_sdk import OPENAI

from examples.openai_standin import Reply
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdks import Form, Sdk

    from examples.openai_standin import Received, StandIn
    from payi_instrument.event import UsageEvent

SDKS = OPENAI


def param(sdk: Sdk, form: Form) -> Any:
    lacking = sdk.lacks(form, sdk.ask)
    marks = [pytest.mark.skip(reason=lacking)] if lacking else []
    return pytest.param(sdk, form, id=f"{sdk.name} {form.name}", marks=marks)


FORMS = [param(sdk, form) for sdk in SDKS for form in sdk.forms]
PIECES = [param for param in FORMS if param.values[1].in_pieces]

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # what the SDK says of translations

forms = pytest.mark.parametrize(("sdk", "form"), FORMS)
forms_in_pieces = pytest.mark.parametrize(("sdk", "form"), PIECES)
awaited = pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])


@dataclass
class Made:
    """What a call came to, as its caller sees it."""

    items: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    result: Any = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, item: Any) -> None:
        self.items.append(item)
        self.begun.set()


def make(sdk: Sdk, form: Form, standin: StandIn, *, awaited: bool, leave: str = "", down: bool = False) -> Made:
    """Make one call and read all of it, unless it is left `unread`, or `closed` or `dropped` after an item."""
    if awaited:
        return asyncio.run(_amake(sdk, form, standin, leave, down))
    made = Made()
    with sdk.client(standin) as client:
        try:
            _read(form, sdk.unreachable(client) if down else client, sdk.ask, leave, made)
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises
            made.error = error
        if leave == "dropped":
            gc.collect()
    return made


def _read(form: Form, client: Any, ask: dict[str, Any], leave: str, made: Made) -> None:
    with ExitStack() as stack:
        answer = form.opens(client, ask)
        if hasattr(answer, "__enter__"):
            answer = stack.enter_context(answer)
        reader = form.reads(answer)
        for item in reader if leave != "unread" else ():
            made.take(item)
            if leave:
                break
        if leave == "dropped":
            stack.pop_all()
        made.result = getattr(answer, "xproxy_result", None)


async def _amake(sdk: Sdk, form: Form, standin: StandIn, leave: str, down: bool) -> Made:
    made = Made()
    async with sdk.async_client(standin) as client:
        try:
            await _aread(form, sdk.unreachable(client) if down else client, sdk.ask, leave, made)
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises
            made.error = error
        if leave == "dropped":
            gc.collect()
            await asyncio.sleep(0)
    return made


async def _aread(form: Form, client: Any, ask: dict[str, Any], leave: str, made: Made) -> None:
    async with AsyncExitStack() as stack:
        answer = form.opens(client, ask)
        if inspect.isawaitable(answer):
            answer = await answer
        if hasattr(answer, "__aenter__"):
            answer = await stack.enter_async_context(answer)
        if leave != "unread":
            async for item in form.areads(answer):
                made.take(item)
                if leave:
                    break
        if leave == "dropped":
            stack.pop_all()
        made.result = getattr(answer, "xproxy_result", None)


def compared(
    sdk: Sdk, form: Form, standin: StandIn, *, awaited: bool, leave: str = "", down: bool = False
) -> tuple[Made, UsageEvent]:
    """Make a call bare and metered, compare all that caller and provider see, and return the one event."""
    ask = copy.deepcopy(sdk.ask)
    bare = make(sdk, form, standin, awaited=awaited, leave=leave, down=down)
    sent, standin.requests = standin.requests, []
    with metered() as meter:
        made = make(sdk, form, standin, awaited=awaited, leave=leave, down=down)
        if (leave or standin.reply.then == "error") and not meter.events:
            if made.error is not None:  # openai 1 leaves a raw stream open while the error that it ended with lives
                made.error.__traceback__ = None
            gc.collect()  # a raw response has no close of its own
        [event] = meter.events

    assert sdk.seen(made.items) == sdk.seen(bare.items)
    assert shown(made.error) == shown(bare.error)
    assert [unmarked(request) for request in standin.requests] == [unmarked(request) for request in sent]
    assert not any(name.startswith("xproxy-") for request in standin.requests for name in request.headers)
    assert sdk.ask == ask
    assert event.attribution.user_id == "ada"
    return made, event


def shown(error: BaseException | None) -> object:
    if error is None:
        return None
    return type(error), str(error), getattr(error, "status_code", None), getattr(error, "body", None)


def unmarked(request: Received) -> object:
    """Leave out what metering may change: its own headers, and the request for a stream's usage."""
    headers = {
        name: value.partition("boundary=")[0]
        for name, value in request.headers.items()
        if not name.startswith(("xproxy-", "content-len"))
    }
    options = {k: v for k, v in (request.body.get("stream_options") or {}).items() if k != "include_usage"}
    return request.path, headers, {**request.body, "stream_options": options}


def is_estimated(event: UsageEvent) -> bool:
    assert sum(counted_in for counted_in, _ in event.units.values()) > 0
    return event.properties.get("system.estimated") == "true"


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Let a collection look at what a test made, not at all that was imported: most of the time went there."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _answer(standin: StandIn, sdk: Sdk) -> None:
    standin.reply = Reply(text=sdk.text, nulls=False)


@forms
@awaited
def test_p4_p22_p25_p26_a_call_that_is_read_to_its_end(sdk: Sdk, form: Form, standin: StandIn, awaited: bool) -> None:
    made, event = compared(sdk, form, standin, awaited=awaited)

    assert made.error is None
    assert made.result.cost.total.base == pytest.approx(sdk.cost)
    assert (event.units, event.http_status_code) == (sdk.units, 200)
    assert not is_estimated(event)
    assert event.provider_uri == f"{standin.url}/"
    assert event.provider_response_id is not None
    assert event.provider_response_id.startswith(sdk.id_begins)
    assert event.event_timestamp is not None
    assert (event.time_to_first_token_ms is not None) == form.in_pieces
    assert 0 <= (event.time_to_first_token_ms or 0) <= (event.end_to_end_latency_ms or 0) < 60_000
    if form.in_pieces:
        first, text = event.time_to_first_token_ms, event.time_to_first_completion_token_ms
        assert first is not None
        assert text is not None
        assert first <= text


@forms
@awaited
@pytest.mark.parametrize("leave", ["closed", "dropped", "unread"])
def test_p6_a_call_that_is_left_early_is_one_event(
    sdk: Sdk, form: Form, standin: StandIn, awaited: bool, leave: str
) -> None:
    _, event = compared(sdk, form, standin, awaited=awaited, leave=leave)

    assert event.http_status_code == 200
    left = form.in_pieces or (form.read_later and leave == "unread")
    assert is_estimated(event) == (left and not sdk.told_by_request)
    assert "system.failure" not in event.properties


@forms
@awaited
@pytest.mark.parametrize("status", [429, 500])
def test_p17_an_error_of_the_provider(sdk: Sdk, form: Form, standin: StandIn, awaited: bool, status: int) -> None:
    standin.reply.status = status
    made, event = compared(sdk, form, standin, awaited=awaited)

    assert made.error is not None
    assert (event.http_status_code, event.units) == (status, {})
    assert event.provider_response_id == "req_standin"
    assert event.properties["system.failure"] == type(made.error).__name__


@forms
@awaited
def test_p18_a_provider_that_is_not_reached(sdk: Sdk, form: Form, standin: StandIn, awaited: bool) -> None:
    made, event = compared(sdk, form, standin, awaited=awaited, down=True)

    assert standin.requests == []
    assert made.error is not None
    assert (event.http_status_code, event.units) == (299, {})
    assert event.properties["system.failure"] == type(made.error).__name__
    assert event.properties["system.failure.description"] == str(made.error)


@forms
@awaited
@pytest.mark.parametrize("after", [0, 2])
def test_p7_a_connection_that_breaks_off(sdk: Sdk, form: Form, standin: StandIn, awaited: bool, after: int) -> None:
    standin.reply.then, standin.reply.after = "drop", after
    made, event = compared(sdk, form, standin, awaited=awaited)

    assert made.error is not None
    assert event.http_status_code == 299
    seen_below = {type(made.error).__name__, type(made.error.__cause__).__name__}
    assert event.properties["system.failure"] in seen_below
    assert is_estimated(event) if form.in_pieces else event.units == {}


@forms_in_pieces
@awaited
@pytest.mark.parametrize("after", [0, 2])
def test_p7_an_error_inside_a_stream(sdk: Sdk, form: Form, standin: StandIn, awaited: bool, after: int) -> None:
    standin.reply.then, standin.reply.after = "error", after
    made, event = compared(sdk, form, standin, awaited=awaited)

    assert is_estimated(event)
    assert (made.error is None) == form.of_bytes
    if not form.of_bytes:
        assert str(made.error) == standin.reply.error


@forms
async def test_p18_a_task_that_is_cancelled(sdk: Sdk, form: Form, standin: StandIn) -> None:
    standin.reply.then, standin.reply.after = "stall", 2
    made = Made()
    with metered() as meter:
        async with sdk.async_client(standin) as client:
            task = asyncio.create_task(_aread(form, client, sdk.ask, "", made))
            assert await asyncio.to_thread(standin.stalled.wait, 10)
            if form.in_pieces:
                await made.begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        [event] = meter.events

    assert event.http_status_code == 299
    assert event.properties["system.failure"] == "CancelledError"
    assert is_estimated(event) if form.in_pieces else event.units == {}
