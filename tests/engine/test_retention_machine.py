"""Any history of limits and events, pruned at any moment: totals stay what they were, and can be worked out again."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import postgres
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import update

from payi_instrument.cli.ledger import open_ledger
from payi_instrument.client.arguments import UNSET
from payi_instrument.client.client import Payi
from payi_instrument.engine import schema
from payi_instrument.engine.audit import verify
from payi_instrument.engine.periods import FIGURES, Place
from payi_instrument.engine.retention import prune
from payi_instrument.errors import BadRequestError

if TYPE_CHECKING:
    from payi_instrument.engine.audit import Findings

IDS = st.sampled_from(["a", "b"])
WHICH = st.integers(0, 9)
SECONDS = st.sampled_from([-240, -60, -1, 0, 1, 30, 60, 61, 120, 240])
"""When something happens, after the machine's start: before the limits were made, at the moment of a reset, ahead."""
EVENTS = st.fixed_dictionaries(
    {
        "second": SECONDS,
        "count": st.integers(0, 40),
        "limit_ids": st.lists(IDS, unique=True, min_size=1),
        "status": st.sampled_from([None, 200, 424, 500]),
        "names": st.sampled_from(
            [{}, {"event_id": "e"}, {"provider_response_id": "r"}, {"use_case_name": "run", "use_case_id": "1"}]
        ),
    }
)
BLOCK = {"limit_type": "block", "max": 1}
ALLOW = {"limit_type": "allow", "max": Decimal("0.5"), "threshold": Decimal("0.8")}


def code_of(call: Any, **arguments: Any) -> str | None:
    """Return the code that a call is refused with, None when it is done."""
    try:
        call(**arguments)
    except BadRequestError as error:
        return error.code
    return None


class RetentionMachine(RuleBasedStateMachine):
    """Do what any application may do, prune meanwhile, and verify."""

    def ledger_url(self) -> str:
        """Return the URL of an empty ledger."""
        folder = tempfile.mkdtemp()
        self.opened.callback(shutil.rmtree, folder)
        return f"sqlite:///{folder}/l.db"

    @initialize()
    def open(self) -> None:
        self.opened = ExitStack()
        url = self.ledger_url()
        self.client = self.opened.enter_context(Payi(base_url=url))
        self.client.categories.resources.create(
            "model", category="demo", units={"text": {"input_price": 0.01}}, start_timestamp="2024-01-01T00:00:00Z"
        )
        self.client.use_cases.definitions.create(name="run", description="it", limit_config=BLOCK)
        for limit_id in ("a", "b"):
            self.client.limits.create(limit_name=limit_id, limit_id=limit_id, **ALLOW)
        self.store = self.opened.enter_context(open_ledger(url))
        self.start = datetime.now(UTC)
        self.moments = [self.start]

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.opened.close()

    @rule(limit_id=IDS, terms=st.sampled_from([BLOCK, ALLOW]))
    def make_anew(self, limit_id: str, terms: dict[str, Any]) -> None:
        self.client.limits.delete(limit_id)
        self.client.limits.create(limit_name=limit_id, limit_id=limit_id, **terms)

    @rule(limit_id=IDS, when=st.none() | SECONDS | WHICH.map(str))
    def reset(self, limit_id: str, when: int | str | None) -> None:
        at = self._moment(int(when)) if isinstance(when, str) else when
        if isinstance(at, int):
            at = self.start + timedelta(seconds=at)
        code = code_of(self.client.limits.reset, limit_id=limit_id, reset_date=UNSET if at is None else at)
        assert code in {None, "update_limit_validation_failed"}

    @rule(events=st.lists(EVENTS, min_size=1, max_size=5), replaces=st.booleans())
    def ingest(self, events: list[dict[str, Any]], *, replaces: bool) -> None:
        self.moments.append(datetime.now(UTC))
        bodies = [self._body(event) for event in events]
        if replaces:
            self.client.ingest.bulk_upsert(events=[body | {"provider_response_id": "r"} for body in bodies])
        else:
            self.client.ingest.bulk(events=bodies)

    def _body(self, event: dict[str, Any]) -> dict[str, Any]:
        refused = event["status"] == 424
        return {
            "category": "demo",
            "resource": "model",
            "units": {} if refused else {"text": {"input": event["count"]}},
            "properties": {"system.blocked": "a,b"} if refused else {"team": "x"},
            "http_status_code": event["status"],
            "event_timestamp": (self.start + timedelta(seconds=event["second"])).isoformat(),
            "limit_ids": event["limit_ids"],
            **event["names"],
        }

    def _moment(self, which: int) -> datetime:
        """Return a moment between two steps so far."""
        return [*self.moments, datetime.now(UTC)][-1 - which % (len(self.moments) + 1)]

    @rule(which=WHICH)
    def prune(self, which: int) -> None:
        before = self._shown()
        prune(self.store, self._moment(which))

        assert self._shown() == before

    def _shown(self) -> list[Any]:
        limits = list(self.client.limits.list())
        return [(limit, list(self.client.limits.history(limit.limit_id))) for limit in limits]

    @rule(which=WHICH, figure=st.sampled_from(FIGURES))
    def corrupt(self, which: int, figure: str) -> None:
        """Change one stored figure, see it named, and put it right."""
        with self.store.reading() as ledger:
            books = ledger.audit.limits(None, 10)
            closed = ledger.audit.closed(("", ""), ("~", "~"))
        stored = {Place(*book.key, 0): book.totals for book in books} | closed
        if stored:
            place = sorted(stored)[which % len(stored)]
            right = getattr(stored[place], figure)
            self._write(place, figure, right + 1)
            found = self._verified().differences
            self._write(place, figure, right)
            assert found == [(place, figure, right + 1, right)]

    def _write(self, place: Place, figure: str, value: object) -> None:
        table = schema.limit_periods if place.until else schema.limits
        named = [table.c.application == place.application, table.c.limit_id == place.limit_id]
        if place.until:
            named.append(table.c.until == schema.from_micros(place.until))
        with self.store.transaction("test") as ledger:
            ledger.audit._connection.execute(update(table).where(*named).values({figure: value}))

    def _verified(self) -> Findings:
        with self.store.reading() as ledger:
            return verify(ledger, at_a_time=2)

    @invariant()
    def totals_can_be_worked_out_again(self) -> None:
        if hasattr(self, "store"):
            assert self._verified().differences == []


class RetentionMachineOnPostgres(RetentionMachine):
    """The same on the other database."""

    def ledger_url(self) -> str:
        return postgres.empty_ledger()


often = settings(max_examples=30, stateful_step_count=30, deadline=None)
RetentionMachine.TestCase.settings = RetentionMachineOnPostgres.TestCase.settings = often
test_any_history_of_limits_events_and_prunings = RetentionMachine.TestCase
test_any_history_of_limits_events_and_prunings_on_postgres = RetentionMachineOnPostgres.TestCase
