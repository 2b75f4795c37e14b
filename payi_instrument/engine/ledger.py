"""The rows of the ledger, and what the meter needs of a store.

Rows are plain slots objects and tuples: they are made for every event, and both databases' drivers take them as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, Inexact
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from payi_instrument.engine.pricing import EXACT
from payi_instrument.engine.shown import shown
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.ingest import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from payi_instrument.engine.pricing import ResourceVersion
    from payi_instrument.event import Attribution, UsageEvent


REVISION = "0003"
"""The schema's newest revision; a test holds it against the migrations."""


class RacedError(Exception):
    """Say that another process stored a part of what a transaction was about to store; nothing was stored, do it again."""


class UnstorableError(ValueError):
    """Say that a value is none that the database can hold; nothing was stored."""


class TooMuchError(ValueError):
    """Say that a total becomes more than a ledger keeps; what was written with it has to be undone."""


class LedgerBusyError(APIConnectionError):
    """Say that the ledger is being written to and not to be waited for: the store does not wait, or would for itself.

    Nothing was stored.
    """


AHEAD = timedelta(minutes=5)
"""How far a sender's clock may run ahead of the meter's (wire-api section 3.1)."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return a moment as whole microseconds since 1970 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment that is `micros` microseconds after 1970 UTC."""
    return EPOCH + micros * _MICROSECOND


def plain_amount(value: Decimal, whole_digits: int, places: int) -> Decimal | None:
    """Return a finite amount in plain notation without trailing zeros, None when it needs more digits or places.

    Independent of the caller's decimal context, and of how large an exponent the amount was written with.
    """
    if value.adjusted() >= whole_digits:
        return None
    try:
        shortest = value.normalize(EXACT)
    except Inexact:
        return None
    exponent = shortest.as_tuple().exponent
    return Decimal(f"{shortest:f}") if isinstance(exponent, int) and exponent >= -places else None


def amount_text(amount: Decimal) -> str:
    """Return an amount in plain notation, every digit of it."""
    text = str(amount)  # takes a third of the time of a format, which only very large and very small ones need
    return text if "E" not in text else f"{amount:f}"


def plain(amount: Decimal) -> Decimal:
    """Return an amount in plain notation, without the zeros that a column's scale adds."""
    return Decimal(f"{amount.normalize(EXACT):f}")


_MOST = {"category": 256, "provider_response_id": 512}
"""Characters of the texts that PostgreSQL keeps in an index, which takes no long ones."""
_COLUMNS = frozenset(
    (*_MOST, "resource", "limit_ids", "user_id", "account_name", "use_case_name", "use_case_id", "use_case_step")
)
"""Texts of an event that are stored, or looked for, as they are; the others are JSON in the ledger."""
UNFIT = (
    f"half a character, a NUL, a number past 32 bits, or a text past {' or '.join(map(str, _MOST.values()))} characters"
)
"""What not every database can keep; all refuse it alike."""
UNSTORABLE = f"unstorable: the event held {UNFIT}"
"""Warning of an event that had to be changed before it could be stored."""


def is_fit(event: UsageEvent) -> bool:
    """Say whether an event holds neither a NUL nor too much in a text that has a column: one step, for every event."""
    category, response, who = event.category, event.provider_response_id, event.attribution
    of_call = (category, event.resource, response, *who.limit_ids, who.user_id, who.account_name)
    of_use_case = (who.use_case_name, who.use_case_id, who.use_case_step)
    return (
        "\0" not in "".join(filter(None, (*of_call, *of_use_case)))
        and len(category) <= _MOST["category"]
        and (response is None or len(response) <= _MOST["provider_response_id"])
    )


def storable(event: UsageEvent) -> tuple[UsageEvent, list[str]]:
    """Return an event without what not every database can keep, and what is wrong with each member that held it.

    Half characters and NULs become `?`, texts that are too long end early, numbers past 32 bits are dropped.
    """
    of_attribution, of_event = _storable(event.attribution), _storable(event)
    problems = [_problem(name, getattr(event.attribution, name)) for name in of_attribution]
    problems += [_problem(name, getattr(event, name)) for name in of_event]
    if "limit_ids" in of_attribution:
        of_attribution["limit_ids"] = tuple(dict.fromkeys(of_attribution["limit_ids"]))
    attribution = replace(event.attribution, **of_attribution)
    warnings = (*of_event.pop("warnings", event.warnings), UNSTORABLE)
    return replace(event, **{**of_event, "attribution": attribution, "warnings": warnings}), problems


def _problem(name: str, value: object) -> str:
    """Name a member that not every database can keep, its value, and why."""
    part = value
    if isinstance(value, tuple):  # of several the one that is wrong
        part = next(filter(unfit, cast("tuple[object, ...]", value)), part)
    if isinstance(part, int):
        why = f"is not a number of {-MAX_COUNT} to {MAX_COUNT}"
    elif whole(part) != part:
        why = "holds half a character"
    elif unfit(part) is not None:
        why = "holds a NUL character"
    else:
        why = f"has {len(str(part))} characters, at most {_MOST[name]} are kept"
    return f"{name}: {shown(part)} {why}"


def _storable(part: UsageEvent | Attribution) -> dict[str, Any]:
    """Return the members that have to change, as they can be stored."""
    changes: dict[str, Any] = {}
    for name in part.__slots__:
        value: object = getattr(part, name)
        changed = whole(value)
        if isinstance(value, int) and abs(value) > MAX_COUNT:
            changed = None
        elif name in _COLUMNS:
            changed = _without_nul(changed)
        if isinstance(changed, str) and name in _MOST:
            changed = changed[: _MOST[name]]
        if changed != value:
            changes[name] = changed
    return changes


def _without_nul(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_without_nul, cast("tuple[object, ...]", value)))
    return value.replace("\0", "?") if isinstance(value, str) else value


def whole(value: object) -> object:
    """Return a text, or whatever holds texts, without half characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {whole(key): whole(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        items = map(whole, cast("Sequence[object]", value))
        return tuple(items) if isinstance(value, tuple) else list(items)
    return value


def unfit(value: object) -> str | None:
    """Say what a text, or whatever holds texts, has in it that not every database can keep; None for nothing."""
    if isinstance(value, Mapping):
        inside: Iterable[object] = chain.from_iterable(cast("Mapping[object, object]", value).items())
        return next(filter(None, map(unfit, inside)), None)
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(unfit, cast("Sequence[object]", value))), None)
    if not isinstance(value, str):
        return None
    if "\0" in value:
        return "a NUL character"
    return "half a character" if _HALF.search(value) else None


_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character (a lone surrogate), which no JSON can carry."""
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")
DOTS = frozenset({".", ".."})
"""What no URL can name: as a part of a path they mean another path."""


def is_name(text: str, most: int) -> bool:
    """Say whether a text may be a name: 1 to `most` characters, no control characters, no outer blanks, not `DOTS`."""
    return 1 <= len(text) <= most and text == text.strip() and text not in DOTS and not _CONTROL.search(text)


STATES = ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
"""The states that an event reports for a limit, each with a counter of its own."""


class Ingest(NamedTuple):
    """One event for one application; with `replaces` it takes the place of the response's stored event."""

    application: str
    event: UsageEvent
    replaces: bool = False


class EventRow(NamedTuple):
    """One stored event, in the order of the table's columns; times in microseconds, money as text, the rest JSON text."""

    request_id: str
    application: str
    event_id: str | None
    category: str
    resource: str | None
    resource_id: str | None
    provider_response_id: str | None
    event_timestamp: int
    ingest_timestamp: int
    units: str
    cost_input: str
    cost_output: str
    limits: str
    user_id: str | None
    account_name: str | None
    use_case_name: str | None
    use_case_id: str | None
    use_case_version: int | None
    use_case_step: str | None
    http_status_code: int | None
    end_to_end_latency_ms: int | None
    time_to_first_token_ms: int | None
    properties: str | None
    notes: str | None
    detail: str | None


@dataclass(slots=True)
class LimitRow:
    """What the meter reads and writes of one limit: its terms, what was spent on each side, the counters.

    `since` is when these totals began (µs), None before the first reset; `created` when the limit was made. `spend` is
    both sides together: the usage figure. `soft` is the spend from which on the state is `exceeded`, and `told` what every
    event stores of it: these two stay as they are.
    """

    limit_id: str
    limit_type: str
    max: Decimal
    threshold: Decimal
    spent_input: Decimal
    spent_output: Decimal
    ok: int = 0
    exceeded: int = 0
    overrun: int = 0
    blocked: int = 0
    blocked_external: int = 0
    failed: int = 0
    since: int | None = None
    created: int = 0
    changed: bool = False
    spend: Decimal = field(init=False)
    soft: Decimal = field(init=False)
    told: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what the columns imply."""
        self.spend = EXACT.add(self.spent_input, self.spent_output)
        self.soft = EXACT.multiply(self.max, self.threshold)
        self.told = (f'[{json.dumps(self.limit_id)},"', f'","{self.limit_type}","{self.max:f}","')


@dataclass(slots=True)
class PeriodRow:
    """What was spent on each side in a closed period of a limit, which ended at `until` (µs, exclusive)."""

    until: int
    spent_input: Decimal
    spent_output: Decimal


class InstanceRow(NamedTuple):
    """One stored run of a use case; properties are JSON text."""

    application: str
    use_case_id: str
    use_case_name: str
    version: int
    limit_id: str | None
    properties: str | None


class Found(NamedTuple):
    """What the ledger knows of a definition (latest version, its limits' terms) and of one instance of it."""

    latest: int | None
    limit_config: str | None
    version: int | None
    limit_id: str | None


class InstanceStore(Protocol):
    """What use cases need of a database inside the ingest's transaction."""

    def find(self, application: str, name: str, use_case_id: str) -> Found:
        """Find a definition and an instance in one step; None where there is none."""
        ...

    def names(self, application: str, use_case_id: str) -> list[str]:
        """Return the names of the use cases that have an instance with this id, at most two."""
        ...

    def has_limit(self, application: str, limit_id: str) -> bool:
        """Say whether there is a limit with this id."""
        ...

    def has_limit_name(self, application: str, limit_name: str) -> bool:
        """Say whether there is a limit with this name."""
        ...

    def add_definition(self, application: str, name: str, description: str, now: int) -> None:
        """Store a definition at version 1, unless there is one."""
        ...

    def add(self, row: InstanceRow) -> None:
        """Store an instance, unless there is one."""
        ...

    def add_limit(self, application: str, row: LimitRow, limit_name: str, properties: str, now: int) -> None:
        """Store a limit that nothing was spent on."""
        ...

    def properties(self, application: str, name: str, use_case_id: str) -> str | None:
        """Return the properties of an instance as JSON text."""
        ...

    def save_properties(self, application: str, name: str, use_case_id: str, properties: str) -> None:
        """Write the properties of an instance."""
        ...


class Books(Protocol):
    """What the ingest path reads and writes inside one transaction."""

    @property
    def instances(self) -> InstanceStore:
        """Return what knows of use cases."""
        ...

    def lock_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist, in id order, each locked before the next."""
        ...

    def insert_event(self, row: EventRow) -> bool:
        """Store an event; False when its event id is known already."""
        ...

    def save_limits(self, application: str, rows: Sequence[LimitRow]) -> None:
        """Write back what changed of the limits."""
        ...

    def find_event(self, application: str, event_id: str) -> EventRow | None:
        """Find an event by its event id."""
        ...

    def find_responses(self, application: str, category: str, provider_response_id: str) -> list[EventRow]:
        """Find the events of a provider's response, the latest first, at most two."""
        ...

    def replace_event(self, row: EventRow) -> None:
        """Store an event in the place of the one with its request id."""
        ...

    def find_period(self, application: str, limit_id: str, moment: int) -> PeriodRow | None:
        """Find the closed period of a limit that a moment (µs) belongs to."""
        ...

    def save_period(self, application: str, limit_id: str, period: PeriodRow, state: str, more: int = 1) -> None:
        """Write back what was spent in a closed period, and count `more` events in a state."""
        ...

    def custom_versions(self, category: str, resource: str) -> list[ResourceVersion]:
        """Read the versions of a custom resource that are not deleted, oldest first, `end` filled in."""
        ...

    def has_custom_category(self, category: str) -> bool:
        """Say whether a category has a custom resource that is not deleted."""
        ...


class IngestStore(Protocol):
    """What the ingest path needs of a database."""

    def transaction(self, batch: Sequence[Ingest]) -> AbstractContextManager[Books]:
        """Hold the writer's lock until the block ends, then commit what a batch of events wrote; an exception rolls back."""
        ...
