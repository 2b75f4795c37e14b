"""Any history of limits, resets and events against a plain model of limits-semantics sections 2 to 7. Row L-45."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from meters import Place

from payi_instrument.client.arguments import UNSET
from payi_instrument.errors import APIStatusError

PRICE_IN, PRICE_OUT = Decimal("0.01"), Decimal("0.03")
STATES = ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
IDS = st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["one", "two", "three"])
AMOUNTS = st.sampled_from([Decimal(text) for text in ("0", "0.04", "0.05", "0.10", "0.25", "1")])
THRESHOLDS = st.sampled_from([None, Decimal("0.8"), Decimal(1), Decimal("0.5")])
CREATED = {
    "limit_name": NAMES,
    "limit_id": st.none() | IDS,
    "max": AMOUNTS,
    "limit_type": st.sampled_from(["allow", "block"]),
    "threshold": THRESHOLDS,
}
ACCEPTED = {
    "max": AMOUNTS.filter(bool),
    "limit_type": CREATED["limit_type"],
    "threshold": THRESHOLDS.filter(lambda threshold: threshold != Decimal("0.5")),
}
UNITS: Any = {"text": {"input_price": PRICE_IN, "output_price": PRICE_OUT}}
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 240)
"""When something happens, after the machine's start: no event may be more than five minutes ahead."""
EVENTS = {
    "second": SECONDS,
    "counts": st.tuples(st.integers(0, 10), st.sampled_from([0, 0, 1, 3])),
    "limit_ids": st.lists(IDS, unique=True),
    "status": st.sampled_from([None, 200, 299, 424, 500]),
    "refused_by": st.sampled_from([(), (), ("a",), ("b", "c"), ("nobody",)]),
    "event_id": st.none() | st.sampled_from(["e1", "e2"]),
}
REFUSED = {**EVENTS, "counts": st.just((0, 0)), "status": st.just(424), "refused_by": st.sampled_from(["a", "ab", "c"])}
PROPERTIES = st.dictionaries(st.sampled_from("kl"), st.sampled_from(["v", "w", None]), max_size=2)
UPSERTED = {**EVENTS, "event_id": st.none(), "provider_response_id": st.sampled_from(["r1", "r2"])}


@dataclass
class Booked:
    """One event as it counted on a limit."""

    moment: datetime
    cost: Cost
    state: str


class Cost(NamedTuple):
    """What an event cost on each side."""

    input: Decimal
    output: Decimal

    @property
    def total(self) -> Decimal:
        return self.input + self.output


class Asked(NamedTuple):
    """What of an event decides how it counts: its cost, whether the call failed, and who stopped it before it was made."""

    cost: Cost
    failed: bool
    refused_by: frozenset[str]

    @classmethod
    def by(cls, event: dict[str, Any]) -> Asked:
        count_in, count_out = event["counts"]
        was_refused = event["status"] == 424 and not any(event["counts"])
        return cls(
            Cost(count_in * PRICE_IN, count_out * PRICE_OUT),
            failed=event["status"] in {299, 424, 500},
            refused_by=frozenset(event["refused_by"] if was_refused else ()),
        )


@dataclass
class Modelled:
    """One limit as the specification has it: its terms, when it began, its resets, and every event it counted.

    `closed` are the terms that each closed period had, `updated` when the limit was last changed; what changes it sets
    `changed` to a moment before.
    """

    id: str
    name: str
    max: Decimal
    kind: str
    threshold: Decimal
    began: datetime = LATEST
    updated: datetime = LATEST
    changed: datetime | None = None
    properties: dict[str, str] = field(default_factory=dict[str, str])
    resets: list[datetime] = field(default_factory=list[datetime])
    closed: list[tuple[str, str, Decimal]] = field(default_factory=list[tuple[str, str, Decimal]])
    events: list[Booked] = field(default_factory=list[Booked])

    def terms(self) -> tuple[str, Decimal, str, Decimal]:
        return (self.name, self.max, self.kind, self.threshold)

    def period(self, number: int) -> list[Booked]:
        """Return the events of a period; the running one follows the last reset."""
        since = self.resets[number - 1] if number else EARLIEST
        until = self.resets[number] if number < len(self.resets) else LATEST
        return [event for event in self.events if since <= event.moment < until]

    @property
    def spent(self) -> Decimal:
        return sum((event.cost.total for event in self.period(len(self.resets))), Decimal(0))

    def state(self, spent: Decimal) -> str:
        if self.kind == "block" and spent >= self.max:
            return "blocked"
        if spent > self.max:
            return "overrun"
        return "exceeded" if spent >= self.max * self.threshold else "ok"

    def book(self, moment: datetime, asked: Asked) -> str:
        is_late = bool(self.resets) and moment < self.resets[-1]
        state = self.state(self.spent if is_late else self.spent + asked.cost.total)
        if asked.refused_by:
            state = "blocked" if self.id in asked.refused_by else "blocked_external"
        elif asked.failed and asked.cost.total == 0 and state != "blocked":
            state = "failed"
        self.events.append(Booked(moment, asked.cost, state))
        return state

    def replace(self, event: Booked, asked: Asked) -> str:
        """Let an event that was counted be another; it stays in its period, in the state that it now has."""
        self.events.remove(event)
        return self.book(event.moment, asked)


Totals = tuple[Decimal, Decimal, Decimal, Decimal | None, dict[str, int]]


def totals(events: list[Booked], maximum: Decimal) -> Totals:
    """Return spend on each side, what of it is over the max, and counters of events, as the wire shows them."""
    counted = Counter(event.state for event in events)
    counts = {state: counted[state] for state in STATES}
    spent = [sum((event.cost[side] for event in events), Decimal(0)) for side in (0, 1)]
    over = sum(spent) - maximum
    return spent[0], spent[1], spent[0] + spent[1], over if over > 0 else None, {**counts, "total": len(events)}


def code_of(call: Any, **arguments: Any) -> str | None:
    """Return the code that a call is refused with, None when it is done."""
    try:
        call(**arguments)
    except APIStatusError as error:
        return error.code
    return None


class LimitsMachine(RuleBasedStateMachine):
    """Do what any application may do, and compare."""

    meter = "sqlite"

    @initialize(first=st.fixed_dictionaries(ACCEPTED), second=st.fixed_dictionaries(ACCEPTED))
    def open(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.place = Place(self.meter)
        self.client = self.place.open()
        self.client.categories.resources.create(
            "model", category="demo", units=UNITS, start_timestamp="2024-01-01T00:00:00Z"
        )
        self.limits: dict[str, Modelled] = {}
        self.known: dict[str, dict[str, str]] = {}
        self.responses: dict[str, dict[str, tuple[Modelled, Booked]]] = {}
        self.start = datetime.now(UTC)
        self.create({"limit_name": "one", "limit_id": "a", **first})
        self.create({"limit_name": "two", "limit_id": "b", **second})

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.place.close()

    @rule(arguments=st.fixed_dictionaries(CREATED))
    def create(self, arguments: dict[str, Any]) -> None:
        limit_id, threshold = arguments["limit_id"], arguments["threshold"] or Decimal(1)
        wanted = Modelled(limit_id, arguments["limit_name"], arguments["max"], arguments["limit_type"], threshold)
        named = next((key for key, limit in self.limits.items() if limit.name == wanted.name), None)
        expected = None
        if wanted.max <= 0:
            expected = "invalid_max_limit"
        elif wanted.threshold == Decimal("0.5"):
            expected = "create_limit_validation_failed"
        elif limit_id in self.limits:
            same = self.limits[limit_id].terms() == wanted.terms()
            expected = None if same else "create_limit_validation_failed"
        elif named is not None:
            same = limit_id is None and self.limits[named].terms() == wanted.terms()
            expected = None if same else "limit_name_already_exist"
        elif limit_id is None:
            return  # a made id is no use to the other rules
        else:
            self.limits[limit_id] = wanted

        assert code_of(self.client.limits.create, **arguments) == expected
        if limit_id in self.limits and self.limits[limit_id] is wanted:
            wanted.began = self.client.limits.retrieve(limit_id).limit.limit_creation_timestamp
            wanted.updated = wanted.began

    @rule(limit_id=IDS, name=st.none() | NAMES, maximum=st.none() | AMOUNTS)
    def update(self, limit_id: str, name: str | None, maximum: Decimal | None) -> None:
        limit = self.limits.get(limit_id)
        taken = {other.name for key, other in self.limits.items() if key != limit_id}
        expected = None
        if limit is None:
            expected = "limit_not_found"
        elif name is not None and name in taken:
            expected = "limit_name_already_exist"
        elif maximum is not None and maximum <= 0:
            expected = "invalid_max_limit"
        elif maximum is not None and maximum < limit.spent:
            expected = "invalid_max_limit_update"
        else:
            before = limit.terms()
            limit.name, limit.max = name or limit.name, limit.max if maximum is None else maximum
            if limit.terms() != before:
                limit.changed = datetime.now(UTC)

        assert code_of(self.client.limits.update, limit_id=limit_id, limit_name=name, max=maximum) == expected

    @rule(limit_id=IDS, changes=PROPERTIES)
    def update_properties(self, limit_id: str, changes: dict[str, str | None]) -> None:
        limit = self.limits.get(limit_id)
        if limit is None:
            refusal = code_of(self.client.limits.properties.update, limit_id=limit_id, properties=changes)
            assert refusal == "limit_not_found"
            return
        merged = {key: value for key, value in {**limit.properties, **changes}.items() if value is not None}
        if merged != limit.properties:
            limit.properties, limit.changed = merged, datetime.now(UTC)
        [answer] = self.client.limits.properties.update(limit_id, properties=changes)
        assert answer.limit.properties == merged

    @rule(limit_id=IDS)
    def delete(self, limit_id: str) -> None:
        expected = None if self.limits.pop(limit_id, None) else "limit_not_found"

        assert code_of(self.client.limits.delete, limit_id=limit_id) == expected

    @rule(limit_id=IDS, second=st.none() | SECONDS)
    def reset(self, limit_id: str, second: int | None) -> None:
        limit = self.limits.get(limit_id)
        asked = None if second is None else self.start + timedelta(seconds=second)
        if limit is None:
            assert code_of(self.client.limits.reset, limit_id=limit_id, reset_date=asked) == "limit_not_found"
            return
        before = limit.resets[-1] if limit.resets else limit.began
        if asked is not None and asked <= before:
            refusal = code_of(self.client.limits.reset, limit_id=limit_id, reset_date=asked)
            assert refusal == "update_limit_validation_failed"
            return
        now = datetime.now(UTC)
        closed = self.client.limits.reset(limit_id, reset_date=UNSET if asked is None else asked).limit_history
        at = closed.limit_reset_timestamp
        assert at is not None
        if asked is not None:
            assert at == asked
        else:
            assert at > before
            assert at >= now
        limit.resets.append(at)
        limit.closed.append((limit.name, limit.kind, limit.max))
        limit.changed = now
        assert self._period(closed) == (limit.closed[-1], totals(limit.period(len(limit.resets) - 1), limit.max))

    @classmethod
    def _period(cls, closed: Any) -> tuple[tuple[str, str, Decimal], Totals]:
        return (closed.limit_name, closed.limit_type, closed.max_exact), cls._shown(closed.totals)

    @staticmethod
    def _shown(shown: Any) -> Totals:
        cost = shown.cost
        spent = (cost.input.base_exact, cost.output.base_exact, cost.total.base_exact)
        return *spent, cost.total.overrun_base_exact, shown.requests.model_dump()

    @rule(events=st.lists(st.fixed_dictionaries(EVENTS), min_size=1, max_size=4), in_bulk=st.booleans())
    def ingest(self, events: list[dict[str, Any]], *, in_bulk: bool) -> None:
        expected = [self._booked(event) for event in events]
        bodies = [self._body(event) for event in events]
        if in_bulk:
            results = self.client.ingest.bulk(events=bodies, extra_query={"results": True}).results or []
        else:
            results = [self.client.ingest.units(**body).xproxy_result for body in bodies]

        self._compare(results, expected)

    @rule(event=st.fixed_dictionaries(REFUSED))
    def refuse(self, event: dict[str, Any]) -> None:
        """Report a call that a block limit stopped before it was made."""
        self._compare([self.client.ingest.units(**self._body(event)).xproxy_result], [self._booked(event)])

    @staticmethod
    def _compare(results: list[Any], expected: list[dict[str, str]]) -> None:
        assert [{key: at.state for key, at in result.limits.items()} for result in results] == expected
        blocked = [[key for key, at in result.limits.items() if at.state == "blocked"] for result in results]
        assert [result.blocked_limit_ids for result in results] == [ids or None for ids in blocked]

    @rule(events=st.lists(st.fixed_dictionaries(UPSERTED), min_size=1, max_size=4))
    def upsert(self, events: list[dict[str, Any]]) -> None:
        expected = [self._replaced(event) for event in events]
        bodies = [{**self._body(event), "provider_response_id": event["provider_response_id"]} for event in events]
        results = self.client.ingest.bulk_upsert(events=bodies, extra_query={"results": True}).results or []

        self._compare(results, expected)

    def _replaced(self, event: dict[str, Any]) -> dict[str, str]:
        """Return the states that an upserted event answers: those of its response's first limits, as far as they live."""
        response = event["provider_response_id"]
        if response not in self.responses:
            states = self._booked(event)
        else:
            counted = self.responses[response].items()
            states = {
                key: limit.replace(before, Asked.by(event))
                for key, (limit, before) in counted
                if self.limits.get(key) is limit
            }
        self.responses[response] = {key: (self.limits[key], self.limits[key].events[-1]) for key in states}
        return states

    def _booked(self, event: dict[str, Any]) -> dict[str, str]:
        """Return the states that an event answers, as it was booked first when its id is known."""
        if event["event_id"] in self.known:
            return self.known[event["event_id"]]
        asked = Asked.by(event)
        moment = self.start + timedelta(seconds=event["second"])
        states = {key: self.limits[key].book(moment, asked) for key in event["limit_ids"] if key in self.limits}
        if event["event_id"] is not None:
            self.known[event["event_id"]] = states
        return states

    def _body(self, event: dict[str, Any]) -> dict[str, Any]:
        count_in, count_out = event["counts"]
        units = {"text": {"input": count_in, "output": count_out}} if count_in or count_out else {}
        moment = (self.start + timedelta(seconds=event["second"])).isoformat()
        named = {name: event[name] for name in ("limit_ids", "event_id") if event[name] is not None}
        return {
            "category": "demo",
            "resource": "model",
            "units": units,
            "http_status_code": event["status"],
            "properties": {"system.blocked": ",".join(event["refused_by"])} if event["refused_by"] else None,
            "event_timestamp": moment,
            **named,
        }

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        if not hasattr(self, "client"):
            return
        stored = {limit.limit_id: limit for limit in self.client.limits.list()}
        assert stored.keys() == self.limits.keys()
        for key, limit in self.limits.items():
            shown = stored[key]
            assert (shown.limit_name, shown.max_exact, shown.limit_type, shown.threshold_exact) == limit.terms()
            assert self._shown(shown.totals) == totals(limit.period(len(limit.resets)), limit.max)
            assert shown.properties == limit.properties
            assert shown.limit_creation_timestamp == limit.began
            if limit.changed is None:
                assert shown.limit_update_timestamp == limit.updated
            else:
                assert limit.changed <= shown.limit_update_timestamp
                limit.updated, limit.changed = shown.limit_update_timestamp, None
            history = list(self.client.limits.history(key, sort_ascending=True))
            assert [period.limit_reset_timestamp for period in history] == limit.resets
            periods = [(terms, totals(limit.period(number), terms[2])) for number, terms in enumerate(limit.closed)]
            assert [self._period(period) for period in history] == periods


LimitsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_any_history_of_limits_and_events = LimitsMachine.TestCase


class LimitsMachineOnPostgres(LimitsMachine):
    """The same where transactions go over a connection."""

    meter = "postgres"


LimitsMachineOnPostgres.TestCase.settings = settings(max_examples=5, stateful_step_count=30)
test_any_history_of_limits_and_events_on_postgres = LimitsMachineOnPostgres.TestCase
