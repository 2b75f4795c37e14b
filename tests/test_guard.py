"""Errors inside metering: logged without a word of data, raised only in our own tests; and who gets the log."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING

import pytest
from offline_openai import Offline

from payi_instrument import guard, payi_instrument, track_context
from payi_instrument.guard import Guard
from payi_instrument.providers.openai.hosts import CATEGORIES
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = Guard("do the work")


@pytest.fixture(autouse=True)
def production() -> Iterator[None]:
    own = guard.logger
    before = (own.level, own.propagate)
    guard.raise_errors(False)
    yield
    guard.raise_errors(False)
    guard.forward_to(None)
    assert (own.level, own.propagate) == before


def fail(error: BaseException) -> bool:
    with GUARD:
        raise error
    return True


def test_an_error_is_swallowed_and_logged_by_kind_and_place_never_by_text(caplog: pytest.LogCaptureFixture) -> None:
    assert fail(ValueError("sk-key and a prompt"))
    [record] = caplog.records
    assert record.name == "payi.instrument"
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("payi: could not do the work: ValueError at ")
    assert f"{__file__}:" in record.getMessage()
    assert "sk-key" not in record.getMessage()
    assert record.exc_info is None


def test_without_an_error_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with GUARD:
        pass
    assert caplog.records == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
def test_exits_and_cancellation_pass(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error
    assert caplog.records == []


def test_in_tests_errors_are_raised() -> None:
    guard.raise_errors(True)
    error = ValueError("seen")
    with pytest.raises(ValueError, match="seen") as caught:
        fail(error)
    assert caught.value is error


def listening(name: str, level: int = logging.DEBUG) -> tuple[logging.Logger, io.StringIO]:
    """Return a logger that writes to the text beside it, and nowhere else."""
    text = io.StringIO()
    logger = logging.getLogger(name)
    logger.handlers = [logging.StreamHandler(text)]
    logger.setLevel(level)
    logger.propagate = False
    return logger, text


def test_the_loggers_name_is_the_one_that_existing_configurations_know() -> None:
    assert guard.logger is logging.getLogger("payi.instrument")


def test_a_chosen_logger_gets_every_line_and_the_packages_own_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    mine, text = listening("test.mine")
    meter = MemoryMeter()
    handle = payi_instrument(meter.client, instruments={"system.openai", "no such"}, logger=mine)
    handle.shutdown()
    assert "'no such' is unknown" in text.getvalue()
    assert "payi: instrumented in" in text.getvalue()
    assert caplog.records == []


def test_the_chosen_loggers_level_decides() -> None:
    mine, text = listening("test.quiet", logging.WARNING)
    handle = payi_instrument(MemoryMeter().client, instruments={"no such"}, logger=mine)
    handle.shutdown()
    assert text.getvalue().splitlines() == ["payi: instruments: 'no such' is unknown; known are " + KNOWN]


KNOWN = ", ".join(sorted(CATEGORIES))


def test_the_next_instrumentation_without_a_logger_logs_as_it_was_configured(caplog: pytest.LogCaptureFixture) -> None:
    own = logging.getLogger("payi.instrument")
    before = (own.level, own.propagate, list(own.handlers))
    mine, text = listening("test.first")
    payi_instrument(MemoryMeter().client, logger=mine).shutdown()
    written = text.getvalue()
    with metered(instruments={"no such"}):
        assert (own.level, own.propagate, list(own.handlers)) == before
    assert text.getvalue() == written
    assert "'no such' is unknown" in caplog.text


def test_a_configuration_of_the_packages_logger_is_left_alone() -> None:
    own, text = listening("payi.instrument", logging.WARNING)
    try:
        with metered(instruments={"no such"}):
            assert (own.level, own.propagate) == (logging.WARNING, False)
        assert text.getvalue().splitlines() == ["payi: instruments: 'no such' is unknown; known are " + KNOWN]
    finally:
        own.handlers, own.propagate = [], True
        own.setLevel(logging.NOTSET)


@pytest.mark.parametrize("name", ["payi.instrument", "payi.instrument.mine", "payi"])
def test_a_logger_above_or_below_ours_is_no_circle(name: str) -> None:
    mine, text = listening(name)
    mine.propagate = True
    try:
        payi_instrument(MemoryMeter().client, instruments={"no such"}, logger=mine).shutdown()
        assert text.getvalue().count("'no such' is unknown") == 1
    finally:
        mine.handlers, mine.propagate = [], True
        mine.setLevel(logging.NOTSET)


def test_a_failed_instrumentation_leaves_the_logger_alone(caplog: pytest.LogCaptureFixture) -> None:
    mine, text = listening("test.failed")
    with pytest.raises(ValueError, match="0 sync and 0 async"):
        payi_instrument([], logger=mine)
    guard.logger.warning("after")
    assert text.getvalue() == ""
    assert "after" in caplog.text


async def test_no_prompt_no_answer_and_no_key_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Row Q-16, for a metered call, a failing one, a refusing meter and a broken listener."""

    def broken(*_: object) -> None:
        raise ValueError("listener says secret-prompt")

    with caplog.at_level(logging.DEBUG):
        config = {"on_limit_state": broken, "limit_ids": ["small", "unknown"]}
        with metered(config=config, log_prompt_and_response=True) as meter:
            meter.client.limits.create(limit_name="small", limit_id="small", max=0.0001)
            working, failing = Offline(), Offline(ConnectionError("secret-prompt was not sent with sk-secret-key"))
            working.ask("secret-prompt")
            list(working.ask("secret-prompt", stream=True))
            await working.aask("secret-prompt", extra_headers={"x-mine": "secret-header"})
            with pytest.raises(ConnectionError, match="was not sent"), track_context(use_case_name="not a good name"):
                failing.ask("secret-prompt")
            with track_context(price_as_resource="no such model"):
                working.ask("secret-prompt")
            assert len(meter.events) == 5
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("payi")]
    assert any("limit_not_found: unknown" in line for line in ours)
    assert any("could not call on_limit_state: ValueError" in line for line in ours)
    assert not [line for line in ours if "secret" in line]
