"""One observed call: begun before the SDK runs, ended once, however it ends, as one event.

Pure: it reads and decides, and is run by the drivers in `wrappers` and `streams` with a gate and a delivery, whose
protocols it declares. Source: instrumentation-semantics sections 4.3, 6 and 6.9.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from payi_instrument import scope as scopes
from payi_instrument.context import override
from payi_instrument.event import CallFacts, Usage, UsageEvent
from payi_instrument.guard import Guard
from payi_instrument.ids import derived_id, new_id
from payi_instrument.jobs import Jobs
from payi_instrument.stack import stack_trace
from payi_instrument.wire.headers import (
    BLOCKED,
    CAPTURE_ERROR,
    CLIENT_FAILURE,
    ESTIMATED,
    PREFIX,
    REFUSED,
    STACK_TRACE,
    PayiPropertyNames,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payi_instrument.event import Attribution, Result
    from payi_instrument.mappings import Mappings
    from payi_instrument.providers._base import Arguments, Provider, StreamReader
    from payi_instrument.scope import Scope

_MAX_DESCRIPTION = 2000
_OK = 200
_FAILED_FROM = 400
_SECRETS = ("authorization", "cookie", "set-cookie", "proxy-authorization", "x-amz-security-token")
_REDACT = Guard("redact an event; its texts are left out")
_READ = Guard("read an answer's usage")


class Gate(Protocol):
    """Decide before a call whether its limits have room; raises `LimitBlockedError` when not."""

    def limits_of(self, who: Attribution) -> Sequence[str]:
        """Return the limits that a call counts on, as far as they are known."""
        ...

    def check(self, call: Call) -> None:
        """Look at the limits of a call."""
        ...

    async def acheck(self, call: Call) -> None:
        """Look at the limits of a call without holding up the loop."""
        ...


class Delivery(Protocol):
    """Bring events to the meter; never raises."""

    def deliver(self, event: UsageEvent) -> Result:
        """Deliver an event and return its result."""
        ...

    async def adeliver(self, event: UsageEvent) -> Result:
        """Deliver an event without holding up the loop, and return its result."""
        ...

    def defer(self, event: UsageEvent | Callable[[], UsageEvent | None]) -> None:
        """Deliver an event later, made then if it is not yet: for finalisers and cancelled tasks, which may not wait."""
        ...


class Telemetry(Protocol):
    """Tie calls to the traces around them."""

    def properties(self) -> Mapping[str, str]:
        """Return the request properties that name the current span, empty without one."""
        ...

    def record(self, result: Result) -> None:
        """Put a result's cost and limit states on the current span."""
        ...


@dataclass(slots=True)
class Settings:
    """What every call of one instrumentation shares."""

    log_prompt_and_response: bool
    instrument_inline_data: bool
    capture_stack_trace: bool
    redact: Callable[[dict[str, object]], dict[str, object]] | None
    telemetry: Telemetry
    mappings: Mappings
    without_usage: set[str] = field(default_factory=set[str])
    """Hosts that refused our request for a stream's usage."""
    jobs: Jobs = field(default_factory=Jobs)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the drivers run a call with; `gate` is None where nothing may be stopped."""

    settings: Settings
    delivery: Delivery
    gate: Gate | None


class Call:
    """One call of a provider's SDK, from before it is made until its one event."""

    __slots__ = (
        "_ends",
        "_first_chunk",
        "_first_text",
        "_logged_chunks",
        "_moment",
        "_properties",
        "_reader",
        "_refuser",
        "_settings",
        "_started",
        "arguments",
        "attribution",
        "event_id",
        "facts",
        "logs",
        "provider",
    )

    def __init__(
        self,
        provider: Provider,
        facts: CallFacts,
        arguments: Arguments | None,
        settings: Settings,
        scope: Scope | None = None,
    ) -> None:
        """Begin a call: who it is for is settled now, the clock starts now; one of a session has no arguments.

        It is made in `scope`, None for the one that this code runs in.
        """
        self.provider = provider
        self.attribution = override(scopes.attribution(scope or scopes.current()), facts.headers)
        if facts.asked_for_usage and facts.host in settings.without_usage:
            facts = replace(facts, asked_for_usage=False)
        if (priced_as := settings.mappings.named(provider.library, facts, self.attribution)) is not None:
            facts = replace(facts, priced_as=priced_as)
        self.facts = facts
        self.arguments: Arguments = ((), {}) if arguments is None else provider.prepare(facts, arguments)
        self.event_id = new_id()
        logging = self.attribution.log_prompt_and_response
        self.logs = settings.log_prompt_and_response if logging is None else logging
        self._settings = settings
        self._properties = dict(settings.telemetry.properties())
        if settings.capture_stack_trace:
            self._properties[STACK_TRACE] = stack_trace(provider.library)
        self._ends = [True]
        self._reader: StreamReader | None = None
        self._refuser: str | None = None
        self._first_chunk: int | None = None
        self._first_text: int | None = None
        self._logged_chunks: list[str] = []
        self._moment = time.time()
        self._started = time.perf_counter()

    def without_usage(self, error: Exception, arguments: Arguments) -> bool:
        """Say whether the call may be made again without asking for its usage, and get ready for it.

        True when the provider refused what we added; nothing was billed then. The host is remembered when it takes the call
        without (section 6.5): one that quotes the request in every refusal names what we added too.
        """
        if not self.facts.asked_for_usage or not self.provider.refuses_usage(error):
            return False
        self._refuser = self.facts.host
        self.facts = replace(self.facts, asked_for_usage=False)
        self.arguments = self.provider.prepare(self.facts, arguments)
        return True

    def begin_stream(self) -> None:
        """Get ready for chunks."""
        if self._refuser is not None:
            self._settings.without_usage.add(self._refuser)
        self._reader = self.provider.reader(self.facts)

    @property
    def reader(self) -> StreamReader:
        """Return what gathers the chunks."""
        if self._reader is None:
            self._reader = self.provider.reader(self.facts)
        return self._reader

    def chunk(self, chunk: Any) -> bool:
        """Take a chunk and the times of the first ones; True when the caller must not see it."""
        if self._first_chunk is None:
            self._first_chunk = self._elapsed()
        reader = self.reader
        hidden = reader.see(chunk)
        if self._first_text is None and reader.has_text:
            self._first_text = self._elapsed()
        if self.logs and (text := self.provider.log_answer(chunk)) is not None:
            self._logged_chunks.append(text)
        return hidden

    def next_chunk(self) -> Callable[[Any], bool]:
        """Return what takes the chunks from here on: the reader alone, once the times are known and nothing is logged."""
        return self.chunk if self.logs or self._first_text is None else self.reader.see

    def settled(self, result: Result) -> None:
        """Take the meter's answer: the scopes around the call and the current span learn it."""
        scopes.remember(result)
        self._settings.telemetry.record(result)

    @property
    def open(self) -> bool:
        """Say whether the call has not ended yet."""
        return bool(self._ends)

    def finish(self, answer: Any) -> UsageEvent | None:
        """End with a whole answer."""
        return self._succeed(self.provider.read_answer, answer, answer)

    def finish_bytes(self, body: bytes, answer: Any) -> UsageEvent | None:
        """End with the bytes of a whole answer, read from a raw response."""
        return self._succeed(self.provider.read_bytes, body, answer)

    def finish_stream(self, answer: Any = None) -> UsageEvent | None:
        """End a stream, read to its end or not: what was not reported is estimated."""
        return self._succeed(_read_chunks, self, answer)

    def fail(self, error: BaseException) -> UsageEvent | None:
        """End with an exception; what a stream had used by then counts."""
        if not self._first_end():
            return None
        usage = Usage()
        if self._reader is not None:
            usage = self._known(self._read(_read_chunks, self))
            if self.facts.reports_later and not usage.units:
                self._settings.jobs.note(self.facts, usage, self.attribution)
                usage = Usage()  # this event is the failure's; that of the job is still to come, under its own id
        if not self.facts.costs and not usage.units:
            return None
        failure = None
        properties = {PayiPropertyNames.failure: type(error).__name__}
        with _READ:
            failure = self.provider.read_failure(self.facts, error)
            if failure.status < _FAILED_FROM and (
                self.logs or not self.facts.answers
            ):  # a parser's error quotes the answer
                properties[PayiPropertyNames.failure_description] = str(error)[:_MAX_DESCRIPTION]
        if failure is not None and failure.usage is not None:
            usage = failure.usage
        self.facts, self.attribution = self._settings.jobs.taken(self.facts, usage, self.attribution)
        event = self._event(usage, properties)
        event.http_status_code = failure.status if failure is not None else CLIENT_FAILURE
        if failure is not None:
            if failure.response_id is not None:
                event.provider_response_id = failure.response_id
            event.provider_response_headers = _shown(failure.headers)
            event.provider_response_json = failure.body if self.logs else None
        return self._whole(event, usage)

    def failed(self, error: BaseException, delivery: Delivery) -> UsageEvent | None:
        """End with an exception; return the event to deliver now, none of a cancelled call: it waits for nothing."""
        event = self.fail(error)
        if event is None or isinstance(error, Exception):
            return event
        delivery.defer(event)
        return None

    def refuse(self, limit_ids: list[str]) -> UsageEvent | None:
        """End before the call was made, because these limits are full (limits-semantics section 6.3)."""
        if not self._first_end():
            return None
        event = self._event(Usage(), {BLOCKED: ",".join(limit_ids)})
        event.http_status_code = REFUSED
        event.end_to_end_latency_ms = None
        return self._redacted(event)

    def leave(self) -> None:
        """Make no event: another process, which this one was forked from, makes it."""
        self._ends.clear()

    def _first_end(self) -> bool:
        """Say whether this is the first end: threads, finalisers and tasks may all see one."""
        try:
            return self._ends.pop()
        except IndexError:
            return False

    def _succeed(self, read: Callable[[CallFacts, Any], Usage], source: Any, answer: Any) -> UsageEvent | None:
        if not self._first_end():
            return None
        usage = self._known(self._read(read, source))
        if self.facts.reports_later and not usage.units:
            self._settings.jobs.note(self.facts, usage, self.attribution)
            return None
        self.facts, self.attribution = self._settings.jobs.taken(self.facts, usage, self.attribution)
        event = self._event(usage, {})
        event.http_status_code = _OK
        with _READ:
            if answer is not None:
                event.provider_response_headers = _shown(self.provider.response_headers(answer))
            if self.logs:
                event.provider_response_json = self._logged_chunks or self._text(source)
        return self._whole(event, usage)

    def _text(self, source: Any) -> str | None:
        """Return a whole answer as text; a stream's is its chunks."""
        if isinstance(source, bytes):
            return source.decode(errors="replace")
        return self.provider.log_answer(source) if source is not self else None

    def _read(self, read: Callable[[CallFacts, Any], Usage], source: Any) -> Usage:
        """Read a usage; an answer that can't be read makes an event without units that says so, never no event."""
        usage = None
        with _READ:
            usage = read(self.facts, source)
        if usage is None:
            self._properties[CAPTURE_ERROR] = "true"
        return usage or Usage()

    def _known(self, usage: Usage) -> Usage:
        """Leave out an estimate of work that goes on: whoever sees its end knows what it used."""
        if not (self.facts.reports_later and usage.estimated):
            return usage
        return Usage(resource=usage.resource, response_id=usage.response_id, job=usage.job)

    def _event(self, usage: Usage, properties: dict[str, str]) -> UsageEvent:
        category, resource, who = self._settings.mappings.price_as(
            self.provider.library, self.facts, self.attribution, usage.resource
        )
        if usage.estimated:
            properties[ESTIMATED] = "true"
        if usage.failure is not None:
            code, message = usage.failure
            properties[PayiPropertyNames.failure] = code
            properties[PayiPropertyNames.failure_description] = (message or code)[:_MAX_DESCRIPTION]
        event = UsageEvent(
            event_id=self._id_of(usage),
            category=category,
            resource=resource,
            units=usage.units,
            attribution=who,
            event_timestamp=datetime.fromtimestamp(self._moment, UTC),
            end_to_end_latency_ms=self._elapsed(),
            time_to_first_token_ms=self._first_chunk,
            time_to_first_completion_token_ms=self._first_text,
            provider_uri=self.facts.host,
            provider_response_id=usage.response_id or f"payi_{new_id()}",
            function_calls=usage.function_calls if self.logs else [(name, None) for name, _ in usage.function_calls],
            properties=self._properties | properties,
            module=self.facts.library,
            record_unpriced=True,
            warnings=_warnings(usage, resource),
        )
        own = {name: value for name, value in self.facts.headers.items() if not name.lower().startswith(PREFIX)}
        event.provider_request_headers = _shown(own)
        if self.logs:
            with _READ:
                inline = self._settings.instrument_inline_data
                event.provider_request_json = self.provider.log_request(self.facts, inline_data=inline)
        return event

    def _id_of(self, usage: Usage) -> str:
        """Return the event's id: the call's own, or the one that all who read the same answer come to."""
        if usage.once and usage.response_id is not None:
            return derived_id(self.facts.category, usage.response_id)
        return self.event_id

    def _whole(self, event: UsageEvent, usage: Usage) -> UsageEvent:
        """Return an event as it may leave, with the events of what other models used for the same answer."""
        event = self._redacted(event)
        event.beside = tuple(self._other(event, other, index) for index, other in enumerate(usage.beside, 1))
        return event

    def _other(self, event: UsageEvent, other: Usage, index: int) -> UsageEvent:
        resource = other.resource or event.resource
        properties = {name: value for name, value in event.properties.items() if name != ESTIMATED}
        return replace(
            event,
            event_id=self._id_of(other) if other.once else f"{event.event_id}.{index}",
            resource=resource,
            units=other.units,
            properties=properties | ({ESTIMATED: "true"} if other.estimated else {}),
            warnings=_warnings(other, resource),
            provider_response_id=other.response_id or f"{event.provider_response_id}.{index}",
            provider_request_json=None,
            provider_response_json=None,
            function_calls=[],
        )

    def _elapsed(self) -> int:
        return round((time.perf_counter() - self._started) * 1000)

    def _redacted(self, event: UsageEvent) -> UsageEvent:
        """Let the user's function have the last look; when it fails, the event goes without its texts."""
        redact = self._settings.redact
        if redact is None:
            return event
        kept: Mapping[str, object] = dict.fromkeys(_TEXTS)
        with _REDACT:
            seen = redact({name: getattr(event, name) for name in _TEXTS})
            kept = {name: seen.get(name) for name in _TEXTS}
        for name, value in kept.items():
            setattr(event, name, value if value is not None or name != "properties" else {})
        return event


_TEXTS = (
    "provider_request_json",
    "provider_response_json",
    "provider_request_headers",
    "provider_response_headers",
    "properties",
)
"""The members of an event that `redact` is shown and may change."""


def _read_chunks(_facts: CallFacts, call: Call) -> Usage:
    return call.reader.usage()


def _warnings(usage: Usage, resource: str | None) -> tuple[str, ...]:
    return (f"estimated_units: {resource} reported no usage",) if usage.estimated else ()


def _shown(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Leave out secrets, and what says nothing about the call."""
    shown = {
        name: value
        for name, value in headers.items()
        if (lower := name.lower()) not in _SECRETS
        and "api-key" not in lower
        and lower != "transfer-encoding"
        and not lower.startswith("content-")
    }
    return shown or None
