"""What the meter answers to an event as JSON text, written in one go: a server does little else.

It says what the models of `results` say, every digit of every amount included; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from payi_instrument.engine.ledger import amount_text, from_micros
from payi_instrument.engine.pricing import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.engine.ledger import EventRow
    from payi_instrument.engine.results import Booked


def response_text(booked: Booked) -> str:
    """Return the answer to a single ingest."""
    row = booked.row
    return (
        f'{{"request_id":"{row.request_id}","event_timestamp":"{_moment(row.event_timestamp)}",'
        f'"ingest_timestamp":"{_moment(row.ingest_timestamp)}","xproxy_result":{result_text(booked)}}}'
    )


def result_text(booked: Booked) -> str:
    """Return cost and limits of an event."""
    row, cost = booked.row, booked.cost
    return (
        f'{{"request_id":"{row.request_id}",{_limits(booked)},'
        f'"cost":{{"currency":"usd","input":{{"base":{amount_text(cost.input)}}},'
        f'"output":{{"base":{amount_text(cost.output)}}},"total":{{"base":{amount_text(cost.total)},"overrun_base":null}}}},'
        f"{_attribution(row)}{_notes(booked)}}}"
    )


def _limits(booked: Booked) -> str:
    """Return how every limit stood, and which of them block."""
    shown: list[str] = []
    blocked: list[str] = []
    for limit_id, state, limit_type, maximum, spend in booked.standings:
        shown.append(
            f'{_name(limit_id)}:{{"state":"{state}","limit_type":"{limit_type}","max":{amount_text(maximum)},'
            f'"spent":{amount_text(spend)},"held":0,"remaining":{amount_text(EXACT.subtract(maximum, spend))},'
            f'"ratio":{float(spend) / float(maximum)!r}}}'
        )
        if state == "blocked":
            blocked.append(limit_id)
    limits = f'"limits":{{{",".join(shown)}}}'
    return f'{limits},"blocked_limit_ids":{_text(blocked)}' if blocked else limits


def _attribution(row: EventRow) -> str:
    return (
        f'"use_case_name":{_text(row.use_case_name)},"use_case_id":{_text(row.use_case_id)},'
        f'"use_case_step":{_text(row.use_case_step)},"user_id":{_text(row.user_id)},'
        f'"account_name":{_text(row.account_name)},"resource_id":{_text(row.resource_id)}'
    )


def _notes(booked: Booked) -> str:
    if not booked.notes:
        return ""
    notes = dict(booked.notes)
    unknown = cast("Mapping[str, tuple[int, int]] | None", notes.get("unknown_units"))
    if unknown:
        notes["unknown_units"] = {unit: {"input": counts[0], "output": counts[1]} for unit, counts in unknown.items()}
    return "," + _text(notes)[1:-1]


@lru_cache(1024)  # a group of events has one time of its ingest
def _moment(micros: int) -> str:
    return from_micros(micros).isoformat().replace("+00:00", "Z")


@lru_cache(1024)  # the same limits again and again
def _name(limit_id: str) -> str:
    return _text(limit_id)


def _text(value: object) -> str:
    return "null" if value is None else to_json(value).decode()
