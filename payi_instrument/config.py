"""Settings: one frozen object made from arguments and the environment, which no other file reads.

Source: instrumentation-semantics section 2.1, client.md section 1, decisions 12 and 13.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

LimitStateListener = Callable[..., None]
"""Takes limit id (str), old state (str, None when never seen), new state (str) and the `XproxyResult` that showed it."""

_LATER: Mapping[str, object] = {
    "proxy": False,
    "anthropic_config": None,
    "aws_config": None,
    "offline_instrumentation": None,
    "ingest_retry": None,
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
"""Keys whose feature is not built yet, with the only value that is taken for each (decision 12)."""


@dataclass(frozen=True, slots=True)
class Config:
    """Hold the validated settings of one `payi_instrument()`.

    Times are in seconds unless the name says `_ms`; `use_case_name` of None means no global use case.
    """

    global_instrumentation: bool = True
    instrument_inline_data: bool = False
    connection_error_logging_window: int = 60
    limit_ids: list[str] | None = None
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_properties: dict[str, str | None] | None = None
    user_id: str | None = None
    account_name: str | None = None
    request_properties: dict[str, str | None] | None = None
    host_mappings: Mapping[str, object] | None = None
    openai_config: Mapping[str, object] | None = None
    azure_openai_config: Mapping[str, object] | None = None
    on_limit_state: LimitStateListener | None = None
    enforce_block_limits: bool = True
    on_meter_down: str = "allow"
    block_state_ttl: float = 30
    gate_budget_ms: int = 250
    queue_max_events: int = 10_000
    exit_timeout: float = 2.0
    threads: str = "executors"
    capture_stack_trace: bool = True
    redact: Callable[[dict[str, object]], dict[str, object]] | None = None
    log_prompt_and_response: bool = False


_TYPES: Mapping[str, tuple[Any, ...]] = {  # what isinstance takes, which is more than types
    "global_instrumentation": (bool,),
    "instrument_inline_data": (bool,),
    "connection_error_logging_window": (int,),
    "limit_ids": (list, tuple, set, type(None)),
    "use_case_name": (str, type(None)),
    "use_case_id": (str, type(None)),
    "use_case_version": (int, type(None)),
    "use_case_properties": (Mapping, type(None)),
    "user_id": (str, type(None)),
    "account_name": (str, type(None)),
    "request_properties": (Mapping, type(None)),
    "host_mappings": (Mapping, type(None)),
    "openai_config": (Mapping, type(None)),
    "azure_openai_config": (Mapping, type(None)),
    "on_limit_state": (Callable, type(None)),
    "enforce_block_limits": (bool,),
    "on_meter_down": (str,),
    "block_state_ttl": (int, float),
    "gate_budget_ms": (int,),
    "queue_max_events": (int,),
    "exit_timeout": (int, float),
    "threads": (str,),
    "capture_stack_trace": (bool,),
    "redact": (Callable, type(None)),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {"on_meter_down": ("allow", "block"), "threads": ("executors", "inherit")}


def instrument_config(
    settings: Mapping[str, object] | None, *, log_prompt_and_response: bool | None, caller: FrameType
) -> Config:
    """Validate the `config` mapping of `payi_instrument()` without touching it.

    `caller` is the frame whose file names the default use case. Raises `ValueError` naming an unknown key, a value out
    of bounds or a feature that is not built yet, `TypeError` naming a value of the wrong type.
    """
    given: dict[str, Any] = dict(settings or {})
    for key in [key for key in given if key in _LATER]:
        if given.pop(key) != _LATER[key]:
            msg = f"config[{key!r}]: this feature is not built yet; leave it out or set it to {_LATER[key]!r}"
            raise ValueError(msg)
    for key, value in given.items():
        _check(key, value)
    if given.get("azure_openai_config") is not None:
        msg = "config['azure_openai_config'] is deprecated; say the same in config['openai_config']['azure']"
        warnings.warn(msg, DeprecationWarning, stacklevel=3)  # who called payi_instrument()
    if "use_case_name" not in given:
        given["use_case_name"] = default_use_case(caller)
    given["use_case_name"] = given["use_case_name"] or None
    given["log_prompt_and_response"] = _logging(log_prompt_and_response)
    return Config(**given)


def _check(key: str, value: object) -> None:
    types = _TYPES.get(key)
    if types is None:
        known = ", ".join(sorted([*_TYPES, *_LATER]))
        msg = f"config[{key!r}]: unknown key; known keys are {known}"
        raise ValueError(msg)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join(kind.__name__ for kind in types)
        msg = f"config[{key!r}]: {value!r} is a {type(value).__name__}, expected {names}"
        raise TypeError(msg)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        msg = f"config[{key!r}]: {value!r} is negative, expected 0 or more"
        raise ValueError(msg)
    if key in _CHOICES and value not in _CHOICES[key]:
        msg = f"config[{key!r}]: {value!r} is not one of {', '.join(map(repr, _CHOICES[key]))}"
        raise ValueError(msg)


def default_use_case(caller: FrameType) -> str | None:
    """Name a use case after the calling file: lower case, `.py` dropped, other characters `_`, at most 64."""
    name = os.path.basename(caller.f_code.co_filename).lower().removesuffix(".py")  # noqa: PTH119  # pathlib costs 10 ms
    return "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)[:64] or None


def _logging(argument: object) -> bool:
    """Take the nearest explicit value: argument, then environment, then off (decision 13)."""
    if argument is not None:
        if not isinstance(argument, bool):
            msg = f"log_prompt_and_response: {argument!r} is a {type(argument).__name__}, expected bool or None"
            raise TypeError(msg)
        return argument
    return (_variable("PAYI_LOG_PROMPT_AND_RESPONSE") or "").lower() in {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """Hold where the meter is and the key for it: what the environment adds to a client's arguments."""

    base_url: str
    api_key: str | None
    headers: dict[str, str]
    http_library: str | None
    log_level: str | None


DEFAULT_BASE_URL = "https://api.pay-i.com"
_EMBEDDED_SCHEMES = ("sqlite", "postgresql", "postgres")


def meter_settings(api_key: str | None, base_url: str | None) -> MeterSettings | None:
    """Settle URL and key from arguments, then environment; None when a remote meter is meant and no key is given.

    Read when a client is built, not at import, so that a `.env` file loaded just before counts. A variable that is set
    but empty counts as unset. Source: client.md section 1.
    """
    url = base_url or _variable("PAYI_BASE_URL")
    key = api_key or _variable("PAYI_API_KEY")
    if key is None and (url is None or not is_embedded(url)):
        return None
    return MeterSettings(url or DEFAULT_BASE_URL, key, _custom_headers(), http_library(), _log_level())


def is_embedded(base_url: str) -> bool:
    """Say whether a URL names a ledger that is opened in this process; a bare `sqlite` names none."""
    scheme, parts, _ = base_url.partition("://")
    return bool(parts) and scheme in _EMBEDDED_SCHEMES


def _custom_headers() -> dict[str, str]:
    """Return `PAYI_CUSTOM_HEADERS`, one `Name: value` a line; raises `ValueError` for a line without a name."""
    headers: dict[str, str] = {}
    for line in (_variable("PAYI_CUSTOM_HEADERS") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.strip():
            msg = f"PAYI_CUSTOM_HEADERS: {line!r} names no header; write one 'Name: value' a line"
            raise ValueError(msg)
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def http_library() -> str | None:
    """Return `PAYI_HTTP`: `httpx`, `httpx2`, or None for the default. Raises `ValueError` for anything else."""
    name = _variable("PAYI_HTTP")
    if name not in {None, "httpx", "httpx2"}:
        msg = f"PAYI_HTTP={name!r}: expected 'httpx' or 'httpx2'"
        raise ValueError(msg)
    return name


def _log_level() -> str | None:
    """Return `PAYI_LOG`: `info`, `debug`, or None. Raises `ValueError` for anything else."""
    level = _variable("PAYI_LOG")
    if level is not None and level.lower() not in {"info", "debug"}:
        msg = f"PAYI_LOG={level!r}: expected 'info' or 'debug'"
        raise ValueError(msg)
    return level and level.lower()


def _variable(name: str) -> str | None:
    return os.environ.get(name) or None
