"""Any history of limits and events against a plain model of limits-semantics sections 2 to 6. Row L-45."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from payi_instrument.client.client import Payi
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
EVENTS = {
    "count": st.integers(0, 10),
    "limit_ids": st.lists(IDS, unique=True),
    "status": st.sampled_from([None, 200, 299, 500]),
    "event_id": st.none() | st.sampled_from(["e1", "e2"]),
}


@dataclass
class Modelled:
    """One limit as the specification has it."""

    name: str
    max: Decimal
    kind: str
    threshold: Decimal
    spent: Decimal = Decimal(0)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))

    def terms(self) -> tuple[str, Decimal, str, Decimal]:
        return (self.name, self.max, self.kind, self.threshold)

    def state(self) -> str:
        if self.kind == "block" and self.spent >= self.max:
            return "blocked"
        if self.spent > self.max:
            return "overrun"
        return "exceeded" if self.spent >= self.max * self.threshold else "ok"

    def book(self, cost: Decimal, *, failed: bool) -> str:
        self.spent += cost
        state = "failed" if failed and cost == 0 and self.state() != "blocked" else self.state()
        self.counts[state] += 1
        return state


def code_of(call: Any, **arguments: Any) -> str | None:
    """Return the code that a call is refused with, None when it is done."""
    try:
        call(**arguments)
    except APIStatusError as error:
        return error.code
    return None


class LimitsMachine(RuleBasedStateMachine):
    """Do what any application may do, and compare."""

    @initialize()
    def open(self) -> None:
        self.client = Payi(base_url="sqlite://")
        self.client.categories.resources.create("model", category="demo", units={"text": {"input_price": 0.01}})
        self.limits: dict[str, Modelled] = {}
        self.known: dict[str, dict[str, str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

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

    @rule(events=st.lists(st.fixed_dictionaries(EVENTS), min_size=1, max_size=4), in_bulk=st.booleans())
    def ingest(self, events: list[dict[str, Any]], *, in_bulk: bool) -> None:
        expected = [self._booked(event) for event in events]
        bodies = [self._body(event) for event in events]
        if in_bulk:
            results = self.client.ingest.bulk(events=bodies, extra_query={"results": True}).results or []
        else:
            results = [self.client.ingest.units(**body).xproxy_result for body in bodies]

        assert [{key: at.state for key, at in result.limits.items()} for result in results if result] == expected

    def _booked(self, event: dict[str, Any]) -> dict[str, str]:
        """Return the states that an event answers, as it was booked first when its id is known."""
        if event["event_id"] in self.known:
            return self.known[event["event_id"]]
        failed = event["status"] in {299, 500}
        cost = event["count"] * CENT
        states = {key: self.limits[key].book(cost, failed=failed) for key in event["limit_ids"] if key in self.limits}
        if event["event_id"] is not None:
            self.known[event["event_id"]] = states
        return states

    @staticmethod
    def _body(event: dict[str, Any]) -> dict[str, Any]:
        units = {"text": {"input": event["count"]}}
        named = {name: event[name] for name in ("limit_ids", "event_id") if event[name] is not None}
        return {"category": "demo", "resource": "model", "units": units, "http_status_code": event["status"], **named}

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        if not hasattr(self, "client"):
            return
        stored = {limit.limit_id: limit for limit in self.client.limits.list()}
        assert stored.keys() == self.limits.keys()
        for key, limit in self.limits.items():
            shown = stored[key]
            assert (shown.limit_name, shown.max_exact, shown.limit_type, shown.threshold_exact) == limit.terms()
            total = shown.totals.cost.total
            assert total.base_exact == limit.spent
            assert total.overrun_base_exact == (limit.spent - limit.max if limit.spent > limit.max else None)
            assert shown.totals.requests.model_dump() == {**limit.counts, "total": sum(limit.counts.values())}


LimitsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_any_history_of_limits_and_events = LimitsMachine.TestCase
