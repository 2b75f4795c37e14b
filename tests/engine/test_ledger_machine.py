"""Any history of limits, resets and events against a plain model of limits-semantics sections 2 to 7. Row L-45."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from meters import Place

from payi_instrument.client.arguments import UNSET
from payi_instrument.errors import APIStatusError

CENT = Decimal("0.01")
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
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 240)
"""When something happens, after the machine's start: no event may be more than five minutes ahead."""
EVENTS = {
    "second": SECONDS,
    "count": st.integers(0, 10),
    "limit_ids": st.lists(IDS, unique=True),
    "status": st.sampled_from([None, 200, 299, 500]),
    "event_id": st.none() | st.sampled_from(["e1", "e2"]),
}
UPSERTED = {**EVENTS, "event_id": st.none(), "provider_response_id": st.sampled_from(["r1", "r2"])}


@dataclass
class Booked:
    """One event as it counted on a limit."""

    moment: datetime
    cost: Decimal
    state: str


@dataclass
class Modelled:
    """One limit as the specification has it: its terms, when it began, its resets, and every event it counted."""

    name: str
    max: Decimal
    kind: str
    threshold: Decimal
    began: datetime = LATEST
    resets: list[datetime] = field(default_factory=list[datetime])
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
        return sum((event.cost for event in self.period(len(self.resets))), Decimal(0))

    def state(self, spent: Decimal) -> str:
        if self.kind == "block" and spent >= self.max:
            return "blocked"
        if spent > self.max:
            return "overrun"
        return "exceeded" if spent >= self.max * self.threshold else "ok"

    def book(self, moment: datetime, cost: Decimal, *, failed: bool) -> str:
        is_late = bool(self.resets) and moment < self.resets[-1]
        state = self.state(self.spent if is_late else self.spent + cost)
        if failed and cost == 0 and state != "blocked":
            state = "failed"
        self.events.append(Booked(moment, cost, state))
        return state

    def replace(self, event: Booked, cost: Decimal, *, failed: bool) -> str:
        """Let an event that was counted cost something else; it stays in its period, in the state that it now has."""
        self.events.remove(event)
        return self.book(event.moment, cost, failed=failed)


def totals(events: list[Booked]) -> tuple[Decimal, dict[str, int]]:
    """Return spend and counters of events, as the wire shows them."""
    counted = Counter(event.state for event in events)
    counts = {state: counted[state] for state in STATES}
    return sum((event.cost for event in events), Decimal(0)), {**counts, "total": len(events)}


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
            "model", category="demo", units={"text": {"input_price": 0.01}}, start_timestamp="2024-01-01T00:00:00Z"
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
        wanted = Modelled(
            arguments["limit_name"], arguments["max"], arguments["limit_type"], arguments["threshold"] or Decimal(1)
        )
        limit_id = arguments["limit_id"]
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
            limit.name, limit.max = name or limit.name, limit.max if maximum is None else maximum

        assert code_of(self.client.limits.update, limit_id=limit_id, limit_name=name, max=maximum) == expected

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
        assert self._shown(closed.totals) == totals(limit.period(len(limit.resets) - 1))

    @staticmethod
    def _shown(shown: Any) -> tuple[Decimal, dict[str, int]]:
        return shown.cost.total.base_exact, shown.requests.model_dump()

    @rule(events=st.lists(st.fixed_dictionaries(EVENTS), min_size=1, max_size=4), in_bulk=st.booleans())
    def ingest(self, events: list[dict[str, Any]], *, in_bulk: bool) -> None:
        expected = [self._booked(event) for event in events]
        bodies = [self._body(event) for event in events]
        if in_bulk:
            results = self.client.ingest.bulk(events=bodies, extra_query={"results": True}).results or []
        else:
            results = [self.client.ingest.units(**body).xproxy_result for body in bodies]

        assert [{key: at.state for key, at in result.limits.items()} for result in results if result] == expected

    @rule(events=st.lists(st.fixed_dictionaries(UPSERTED), min_size=1, max_size=4))
    def upsert(self, events: list[dict[str, Any]]) -> None:
        expected = [self._replaced(event) for event in events]
        bodies = [{**self._body(event), "provider_response_id": event["provider_response_id"]} for event in events]
        results = self.client.ingest.bulk_upsert(events=bodies, extra_query={"results": True}).results or []

        assert [{key: at.state for key, at in result.limits.items()} for result in results if result] == expected

    def _replaced(self, event: dict[str, Any]) -> dict[str, str]:
        """Return the states that an upserted event answers: those of its response's first limits, as far as they live."""
        response = event["provider_response_id"]
        if response not in self.responses:
            states = self._booked(event)
        else:
            counted = self.responses[response].items()
            states = {
                key: limit.replace(before, event["count"] * CENT, failed=event["status"] in {299, 500})
                for key, (limit, before) in counted
                if self.limits.get(key) is limit
            }
        self.responses[response] = {key: (self.limits[key], self.limits[key].events[-1]) for key in states}
        return states

    def _booked(self, event: dict[str, Any]) -> dict[str, str]:
        """Return the states that an event answers, as it was booked first when its id is known."""
        if event["event_id"] in self.known:
            return self.known[event["event_id"]]
        failed = event["status"] in {299, 500}
        cost = event["count"] * CENT
        moment = self.start + timedelta(seconds=event["second"])
        states = {
            key: self.limits[key].book(moment, cost, failed=failed) for key in event["limit_ids"] if key in self.limits
        }
        if event["event_id"] is not None:
            self.known[event["event_id"]] = states
        return states

    def _body(self, event: dict[str, Any]) -> dict[str, Any]:
        units = {"text": {"input": event["count"]}}
        moment = (self.start + timedelta(seconds=event["second"])).isoformat()
        named = {name: event[name] for name in ("limit_ids", "event_id") if event[name] is not None}
        return {
            "category": "demo",
            "resource": "model",
            "units": units,
            "http_status_code": event["status"],
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
            over = shown.totals.cost.total.overrun_base_exact
            assert self._shown(shown.totals) == totals(limit.period(len(limit.resets)))
            assert over == (limit.spent - limit.max if limit.spent > limit.max else None)
            history = list(self.client.limits.history(key, sort_ascending=True))
            assert [period.limit_reset_timestamp for period in history] == limit.resets
            periods = [totals(limit.period(number)) for number in range(len(limit.resets))]
            assert [self._shown(period.totals) for period in history] == periods

    @invariant()
    def nothing_is_negative(self) -> None:
        if not hasattr(self, "client"):
            return
        stored = list(self.client.limits.list())
        periods = [period for limit in stored for period in self.client.limits.history(limit.limit_id)]
        for shown in [*stored, *periods]:
            cost = shown.totals.cost
            assert min(cost.input.base_exact, cost.output.base_exact, cost.total.base_exact) >= 0
            assert min(shown.totals.requests.model_dump().values()) >= 0


LimitsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_any_history_of_limits_and_events = LimitsMachine.TestCase


class LimitsMachineOnPostgres(LimitsMachine):
    """The same where transactions go over a connection."""

    meter = "postgres"


LimitsMachineOnPostgres.TestCase.settings = settings(max_examples=5, stateful_step_count=30)
test_any_history_of_limits_and_events_on_postgres = LimitsMachineOnPostgres.TestCase
