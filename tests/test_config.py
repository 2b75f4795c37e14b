"""The settings of `payi_instrument()`: what is taken, what is refused, and how the refusal says so (row C-23)."""

from __future__ import annotations

import copy
from types import FunctionType
from typing import Any

import pytest
from offline_openai import Offline

from payi_instrument import payi_instrument
from payi_instrument.testing import MemoryMeter, metered


def instrument(**config: Any) -> None:
    """Instrument with these settings and take it back, which only good settings get to."""
    payi_instrument(MemoryMeter().client, config=config).shutdown()


@pytest.mark.parametrize("name", ["limit_id", "Limit_ids", "", 3])
def test_c23_an_unknown_key_is_a_value_error_that_names_it_and_the_known_ones(name: Any) -> None:
    with pytest.raises(ValueError, match="unknown key") as caught:
        payi_instrument(MemoryMeter().client, config={name: 1})
    assert repr(name) in str(caught.value)
    assert "limit_ids" in str(caught.value)
    assert "spool" in str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["connection_error_logging_window", "block_state_ttl", "gate_budget_ms", "queue_max_events", "exit_timeout"],
)
def test_c23_a_negative_number_is_a_value_error(key: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}'.*-1.*negative"):
        instrument(**{key: -1})
    if key != "exit_timeout":  # no time at exit is not enough to learn that nothing waits
        instrument(**{key: 0})


NOT_BUILT: dict[str, Any] = {
    "proxy": True,
    "anthropic_config": {},
    "aws_config": {},
    "offline_instrumentation": {},
    "ingest_retry": {"queue_enabled": False},
    "delivery": "background",
    "on_unpriced": "allow",
    "hold_ttl_s": 60,
    "hold_expiry": "charge",
    "inline_budget_ms": 1,
    "spool": "events.spool",
    "spool_max_bytes": 1,
    "spool_fsync": "always",
    "batch_max": 1,
    "batch_interval_ms": 1,
}
DEFAULTS: dict[str, Any] = {
    "proxy": False,
    "delivery": "inline",
    "on_unpriced": "fail_closed",
    "hold_ttl_s": 120,
    "hold_expiry": "release",
    "inline_budget_ms": 2000,
    "spool": None,
    "spool_max_bytes": 1 << 30,
    "spool_fsync": "interval",
    "batch_max": 500,
    "batch_interval_ms": 50,
}


@pytest.mark.parametrize("key", NOT_BUILT)
def test_a_value_of_a_feature_that_is_not_built_yet_says_so(key: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}'.*not built yet"):
        instrument(**{key: NOT_BUILT[key]})


def test_the_default_of_a_feature_that_is_not_built_yet_is_taken() -> None:
    instrument(**DEFAULTS)


WRONG: list[tuple[str, Any]] = [
    ("global_instrumentation", "yes"),
    ("instrument_inline_data", 1),
    ("connection_error_logging_window", 1.5),
    ("connection_error_logging_window", True),
    ("limit_ids", "a"),
    ("limit_ids", [1]),
    ("use_case_name", 1),
    ("use_case_version", "1"),
    ("use_case_version", True),
    ("use_case_properties", "a=b"),
    ("user_id", 1),
    ("account_name", 1),
    ("request_properties", {"a": []}),
    ("on_limit_state", "print"),
    ("enforce_block_limits", None),
    ("on_meter_down", None),
    ("block_state_ttl", "30"),
    ("threads", 1),
    ("redact", 1),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}={value!r}" for key, value in WRONG])
def test_c23_a_value_of_the_wrong_type_is_a_type_error_that_names_it(key: str, value: object) -> None:
    with pytest.raises(TypeError, match=key):
        instrument(**{key: value})


@pytest.mark.parametrize("key", ["on_meter_down", "threads"])
def test_a_value_that_is_no_choice_names_the_choices(key: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}'.*'whatever'.* is not one of '"):
        instrument(**{key: "whatever"})


def test_c23_the_callers_mapping_is_not_changed() -> None:
    config = {"limit_ids": ["a"], "user_id": "u", "request_properties": {"k": 1}, "delivery": "inline"}
    before = copy.deepcopy(config)
    instrument(**config)
    payi_instrument(MemoryMeter().client, config=config).shutdown()
    assert config == before


def test_the_settings_are_the_global_values() -> None:
    config = {
        "limit_ids": ["a"],
        "use_case_name": "x",
        "use_case_id": "id",
        "use_case_version": 2,
        "use_case_properties": {"p": 1},
        "user_id": "u",
        "account_name": "acc",
        "request_properties": {"r": True},
    }
    with metered(config=config) as meter:
        Offline().ask()
        [event] = meter.events
    who = event.attribution
    assert (who.limit_ids, who.user_id, who.account_name) == (("a",), "u", "acc")
    assert (who.use_case_name, who.use_case_id, who.use_case_version) == ("x", "id", 2)
    assert (who.use_case_properties, who.request_properties) == ({"p": "1"}, {"r": "True"})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/srv/app/My Agent.py", "my_agent"),
        ("C:\\jobs\\job.py", "c__jobs_job"),
        ("/srv/Übung (1).py", "_bung__1_"),
        ("/srv/_private.py", "_private"),
        ("/srv/a.b-c_d.py", "a.b-c_d"),
        ("<stdin>", "_stdin_"),
        ("/srv/" + "x" * 80 + ".py", "x" * 64),
        (".py", None),
        ("", None),
    ],
)
def test_c20_the_default_use_case_is_the_calling_file_in_characters_that_a_name_may_have(
    file: str, name: str | None
) -> None:
    program = "def main(instrument, client):\n    return instrument(client)\n"
    names: dict[str, Any] = {}
    exec(compile(program, file, "exec"), names)
    main: FunctionType = names["main"]
    meter = MemoryMeter()
    handle = main(payi_instrument, meter.client)
    Offline().ask()
    handle.shutdown()
    assert meter.events[-1].attribution.use_case_name == name


@pytest.mark.parametrize(
    ("variable", "argument", "logs"),
    [
        (None, None, False),
        ("1", None, True),
        ("True", None, True),
        ("on", None, True),
        ("0", None, False),
        ("", None, False),
        ("1", False, False),
        ("0", True, True),
        (None, True, True),
    ],
)
def test_prompts_are_kept_by_argument_then_environment_then_not_at_all(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, argument: bool | None, logs: bool
) -> None:
    monkeypatch.delenv("PAYI_LOG_PROMPT_AND_RESPONSE", raising=False)
    if variable is not None:
        monkeypatch.setenv("PAYI_LOG_PROMPT_AND_RESPONSE", variable)
    with metered(log_prompt_and_response=argument) as meter:
        Offline().ask("a secret plan")
        [event] = meter.events
    assert ("a secret plan" in (event.provider_request_json or "")) is logs
    assert ("answer to a secret plan" in str(event.provider_response_json)) is logs


def test_prompt_logging_of_the_wrong_type_is_a_type_error() -> None:
    wrong: Any = "yes"
    with pytest.raises(TypeError, match="log_prompt_and_response"):
        payi_instrument(MemoryMeter().client, log_prompt_and_response=wrong)
