"""The rules of limits, pure: states, counters, and what a create or an update may say.

Source: limits-semantics sections 2 to 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from payi_instrument.engine.ledger import DOTS, plain_amount
from payi_instrument.engine.pricing import EXACT
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.engine.ledger import LimitRow
    from payi_instrument.wire.limits import CreateLimitBase

NO_THRESHOLD = Decimal(1)
_MIN_THRESHOLD = Decimal("0.75")
_MAX_THRESHOLD = Decimal("0.99")
_MAX_NAME = 256
_MAX_ID = 128
_MAX_WHOLE_DIGITS = 20
_MAX_PLACES = 12
_CREATE = "create_limit_validation_failed"


def state_at(limit_type: str, maximum: Decimal, soft: Decimal, spend: Decimal) -> str:
    """Return the state of a limit at a spend: `ok`, `exceeded`, `overrun` or `blocked`; `soft` is its max times threshold.

    Source: limits-semantics section 4.
    """
    if spend < soft:
        return "ok"
    if limit_type == "block":
        return "blocked" if spend >= maximum else "exceeded"
    return "overrun" if spend > maximum else "exceeded"


def event_state(limit: LimitRow, spend: Decimal, *, failed: bool, refused_by: frozenset[str]) -> str:
    """Return the state that an event reports for a limit whose spend after it is `spend`.

    `failed` says that the call failed and cost nothing; `refused_by` names the limits that stopped it, empty when it ran.
    """
    if refused_by:
        return "blocked" if limit.limit_id in refused_by else "blocked_external"
    state = state_at(limit.limit_type, limit.max, limit.soft, spend)
    return "failed" if failed and state != "blocked" else state


def book(limit: LimitRow, cost_input: Decimal, cost_output: Decimal, state: str, more: int = 1) -> None:
    """Add one event's cost to a limit and count its state; take it back with `more` of -1."""
    limit.spent_input = EXACT.add(limit.spent_input, cost_input)
    limit.spent_output = EXACT.add(limit.spent_output, cost_output)
    limit.spend = EXACT.add(limit.spent_input, limit.spent_output)
    setattr(limit, state, getattr(limit, state) + more)
    limit.changed = True


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold the checked terms of a limit: `max` in USD, and the share of it from which the state is `exceeded`."""

    max: Decimal
    limit_type: str
    threshold: Decimal
    properties: Mapping[str, str] | None

    @classmethod
    def of(cls, body: CreateLimitBase) -> Terms:
        """Check what a create says; raise `ContractError` with the code of what is wrong."""
        properties = None if body.properties is None else merge_properties({}, body.properties, _CREATE)
        return cls(check_max(body.max), body.limit_type or "allow", check_threshold(body.threshold), properties)


def check_name(name: str, code: str = _CREATE) -> str:
    """Return a limit name if it is 1 to 256 characters after trimming; raise `ContractError` with `code` otherwise."""
    if not len(name.strip()) >= 1 or len(name) > _MAX_NAME:
        message = f"limit_name: {name[:40]!r} has {len(name)} characters, expected 1 to {_MAX_NAME}, not only blanks"
        raise ContractError(code, message)
    return name


def check_id(limit_id: str) -> str:
    """Return a limit id if it can travel in a comma-separated header; raise `ContractError` otherwise."""
    printable = all(" " <= char <= "~" for char in limit_id)
    if not 1 <= len(limit_id) <= _MAX_ID or not printable or "," in limit_id or limit_id != limit_id.strip():
        raise ContractError(
            _CREATE,
            f"limit_id: {limit_id[:40]!r} is not 1 to {_MAX_ID} printable ASCII characters without comma or outer blanks",
        )
    if limit_id in DOTS:
        raise ContractError(_CREATE, f"limit_id: {limit_id!r} is none that a URL can name; choose another")
    return limit_id


def check_max(value: Decimal) -> Decimal:
    """Return a `max` in canonical form if it is finite, above 0 and exact in the ledger; raise `ContractError` otherwise."""
    if not value.is_finite() or value <= 0:
        raise ContractError("invalid_max_limit", f"max: {value!s:.40} is not an amount greater than 0")
    return _canonical("max", value, "invalid_max_limit")


def check_threshold(value: Decimal | None) -> Decimal:
    """Return the effective threshold: 0.75 to 0.99, or 1 for none; raise `ContractError` for anything else."""
    if value is None:
        return NO_THRESHOLD
    if not value.is_finite() or (value != NO_THRESHOLD and not _MIN_THRESHOLD <= value <= _MAX_THRESHOLD):
        raise ContractError(
            _CREATE, f"threshold: {value!s:.40} is not {_MIN_THRESHOLD} to {_MAX_THRESHOLD}, 1.0 or absent"
        )
    return _canonical("threshold", value, _CREATE)


def merge_properties(
    before: Mapping[str, str], changes: Mapping[str, str | None], code: str = "request_processing_error"
) -> dict[str, str]:
    """Return properties with changes merged in, None removing a key; raise `ContractError` for what can't be one."""
    for key in changes:
        if not key.strip():
            raise ContractError(code, "properties: a key is blank, expected non-empty keys")
    return {key: value for key, value in {**before, **changes}.items() if value is not None}


def _canonical(name: str, value: Decimal, code: str) -> Decimal:
    """Drop trailing zeros, and refuse what the ledger could not hold exactly."""
    plain = plain_amount(value, _MAX_WHOLE_DIGITS, _MAX_PLACES)
    if plain is None:
        message = f"{name}: {value!s:.40} needs more than {_MAX_WHOLE_DIGITS} digits or {_MAX_PLACES} places"
        raise ContractError(code, message)
    return plain
