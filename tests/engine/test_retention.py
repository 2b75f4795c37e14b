"""Retention, erasure, and the check of totals: what goes, what stays, what is still known of it."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import postgres
import pytest
from fresh_process import run
from sqlalchemy import insert, null, select, update

from payi_instrument.cli.ledger import open_ledger
from payi_instrument.client.client import Payi
from payi_instrument.engine import retention, schema
from payi_instrument.engine.audit import verify
from payi_instrument.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payi_instrument.engine.audit import Difference
    from payi_instrument.engine.store_core.store import CoreStore

SECOND = timedelta(seconds=1)
EVENT: dict[str, Any] = {
    "category": "demo",
    "resource": "model",
    "units": {"text": {"input": 1}},
    "limit_ids": ["a"],
}
PROMPT = "a prompt of some length, so that it is found wherever it was left"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres.empty_ledger() if request.param == "postgres" else f"sqlite:///{tmp_path}/l.db"


@pytest.fixture
def payi(url: str) -> Iterator[Payi]:
    with Payi(base_url=url) as payi:
        payi.categories.resources.create(
            "model", category="demo", units={"text": {"input_price": 0.01}}, start_timestamp="2024-01-01T00:00:00Z"
        )
        payi.limits.create(limit_name="a", limit_id="a", max=10)
        yield payi


@pytest.fixture
def store(payi: Payi, url: str) -> Iterator[CoreStore]:
    with open_ledger(url) as opened:
        yield opened


def use(payi: Payi, units: int, **arguments: Any) -> str:
    """Ingest one event of so many cents and return its id."""
    return payi.ingest.units(**{**EVENT, "units": {"text": {"input": units}}, **arguments}).request_id


def differences(store: CoreStore) -> list[Difference]:
    with store.reading() as ledger:
        return verify(ledger).differences


def running(payi: Payi) -> tuple[float, int]:
    totals = payi.limits.retrieve("a").limit.totals
    return totals.cost.total.base, totals.requests.total


def is_there(payi: Payi, request_id: str) -> bool:
    try:
        return bool(payi.requests.request_id.result.retrieve(request_id))
    except NotFoundError:
        return False


def test_events_that_happened_and_were_stored_before_a_moment_go(payi: Payi, store: CoreStore) -> None:
    old = use(payi, 100)
    backfilled = use(payi, 200, event_timestamp=datetime.now(UTC) - timedelta(days=400))
    ahead = use(payi, 300, event_timestamp=datetime.now(UTC) + timedelta(seconds=30))
    before = datetime.now(UTC)
    late = use(payi, 400, event_timestamp=before - timedelta(days=400))

    assert retention.prune(store, before) == 2
    assert [is_there(payi, event) for event in (old, backfilled, ahead, late)] == [False, False, True, True]
    assert running(payi) == (10.0, 4)
    assert differences(store) == []
    assert retention.prune(store, before) == 0


def test_what_was_pruned_goes_with_its_period(payi: Payi, store: CoreStore) -> None:
    use(payi, 100)
    payi.limits.reset("a")
    use(payi, 200)
    retention.prune(store, datetime.now(UTC))
    use(payi, 300)
    payi.limits.reset("a")
    use(
        payi,
        400,
        event_timestamp=payi.limits.history("a", sort_ascending=True).items[0].limit_reset_timestamp - SECOND,
    )
    use(payi, 500)
    retention.prune(store, datetime.now(UTC))

    periods = payi.limits.history("a", sort_ascending=True).items
    assert [period.totals.cost.total.base for period in periods] == [5.0, 5.0]
    assert running(payi) == (5.0, 1)
    assert differences(store) == []


def test_a_limit_made_anew_owes_nothing_to_what_was_pruned(payi: Payi, store: CoreStore) -> None:
    use(payi, 100)
    retention.prune(store, datetime.now(UTC))
    use(payi, 200)
    payi.limits.delete("a")
    payi.limits.create(limit_name="a", limit_id="a", max=1)
    retention.prune(store, datetime.now(UTC))

    assert running(payi) == (0.0, 0)
    assert differences(store) == []


def test_a_reset_can_not_part_events_that_were_pruned(payi: Payi, store: CoreStore) -> None:
    payi.limits.create(limit_name="b", limit_id="b", max=10)
    created = payi.limits.retrieve("b").limit.limit_creation_timestamp
    use(payi, 100)
    horizon = datetime.now(UTC)
    use(payi, 200)
    retention.prune(store, horizon)
    with pytest.raises(BadRequestError, match=f"before {horizon.isoformat()}".replace("+", r"\+")) as refused:
        payi.limits.reset("a", reset_date=horizon - timedelta(microseconds=1))

    assert refused.value.code == "update_limit_validation_failed"
    assert running(payi) == (3.0, 2)
    payi.limits.reset("b", reset_date=created + timedelta(microseconds=1))  # it lost no event
    payi.limits.reset("a", reset_date=horizon)
    assert running(payi) == (2.0, 1)
    payi.limits.reset("a")
    assert [period.totals.cost.total.base for period in payi.limits.history("a")] == [2.0, 1.0]
    assert differences(store) == []


def test_an_earlier_pruning_does_not_move_the_horizon_back(payi: Payi, store: CoreStore) -> None:
    began = datetime.now(UTC)
    use(payi, 100)
    horizon = datetime.now(UTC)
    retention.prune(store, horizon)
    use(payi, 100, event_timestamp=began)
    retention.prune(store, began)

    with store.reading() as ledger:
        assert ledger.retention.pruned_before("default", "a") == horizon
        assert ledger.retention.pruned_before("default", "b") is None


def test_many_events_go_window_by_window(payi: Payi, store: CoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_WINDOW", 7)
    limit_ids = [f"limit-{number}" for number in range(600)]
    for limit_id in limit_ids:
        payi.limits.create(limit_name=limit_id, limit_id=limit_id, max=1)
    payi.ingest.bulk(events=[EVENT] * 50 + [{**EVENT, "limit_ids": limit_ids}] * 3)

    assert retention.prune(store, datetime.now(UTC)) == 53
    assert running(payi) == (0.5, 50)
    assert differences(store) == []
    with store.reading() as ledger:
        assert len(ledger.audit.pruned(("", ""), ("~", "~"))) == 601


def test_a_users_events_no_longer_say_who_and_count_as_before(payi: Payi, store: CoreStore, tmp_path: Path) -> None:
    payi.ingest.bulk(
        events=[
            {
                **EVENT,
                "user_id": user_id,
                "account_name": f"account of {user_id}",
                "properties": {"mail": f"{user_id}@example.org"},
                "provider_request_json": f'{{"prompt": "{PROMPT}", "by": "{user_id}"}}',
                "provider_request_headers": [{"name": "x-user", "value": user_id}],
                "event_id": f"{user_id}-{number}",
            }
            for number in range(3)
            for user_id in ("somebody", "everybody")
        ]
    )
    assert retention.erase_user(store, "somebody") == 3
    assert retention.erase_user(store, "somebody") == 0
    assert running(payi) == (0.06, 6)
    assert differences(store) == []
    with store.reading() as ledger:
        columns = [schema.events.c[name] for name in ("user_id", "account_name", "properties", "detail")]
        rows = list(ledger.audit._connection.execute(select(*columns).order_by(schema.events.c.request_id)))
    assert [tuple(row) for row in rows[::2]] == [(None,) * 4] * 3
    assert all(row.user_id == "everybody" and PROMPT in row.detail for row in rows[1::2])


def test_erasure_may_be_for_one_application(payi: Payi, store: CoreStore, url: str) -> None:
    with Payi(base_url=f"{url}{'&' if '?' in url else '?'}application=other") as other:
        use(payi, 1, user_id="somebody")
        use(other, 1, user_id="somebody")

    assert retention.erase_user(store, "somebody", "nobody's") == 0
    assert retention.erase_user(store, "somebody", "other") == 1
    assert retention.erase_user(store, "somebody") == 1


TELLING = """
import sys
from payi_instrument import Payi
with Payi(base_url=sys.argv[1]) as client:
    for number in range(20):
        words = {"user_id": f"user {number}", "provider_request_json": '{"prompt": "%s"}' % (sys.argv[2] * 50 * number)}
        client.ingest.units(category="demo", units={}, **words)
"""


@pytest.mark.parametrize("how", ["erased", "pruned"])
def test_what_went_is_gone_from_the_file(tmp_path: Path, how: str) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    run(TELLING, url, PROMPT)
    before = (tmp_path / "l.db").read_bytes()
    with open_ledger(url) as store:
        if how == "pruned":
            retention.prune(store, datetime.now(UTC))
        for number in range(20):
            retention.erase_user(store, f"user {number}")
    after = (tmp_path / "l.db").read_bytes()

    assert [text.encode() in before for text in (PROMPT, "user 7")] == [True, True]
    assert [text.encode() in after for text in (PROMPT, "user 7")] == [False, False]
    assert not (tmp_path / "l.db-wal").exists()


def test_the_moment_of_a_reset_belongs_to_the_next_period(payi: Payi, store: CoreStore) -> None:
    began = datetime.now(UTC)
    for wait in (1, 2):
        payi.limits.reset("a", reset_date=began + wait * SECOND)
    for wait in (1, 2):
        for microseconds in (-1, 0, 1):
            use(payi, 100, event_timestamp=began + wait * SECOND + timedelta(microseconds=microseconds))

    assert [period.totals.requests.total for period in payi.limits.history("a")] == [3, 1]
    assert differences(store) == []


def test_a_limit_made_while_an_event_waited_for_it_counts_the_event(payi: Payi, store: CoreStore) -> None:
    with store.transaction("test") as ledger:
        later = datetime.now(UTC) + timedelta(minutes=1)
        ledger.audit._connection.execute(update(schema.limits).values(created=later))
    use(payi, 100)

    assert differences(store) == []


def test_a_replaced_event_keeps_its_block_limit_where_new_ones_are_rejected(
    payi: Payi, store: CoreStore, url: str
) -> None:
    payi.limits.create(limit_name="b", limit_id="b", max=10, limit_type="block")
    payi.use_cases.definitions.create(name="run", description="it", limit_config={"max": 5, "limit_type": "block"})
    event = {**EVENT, "provider_response_id": "r", "unpriced": "record", "use_case_name": "run", "use_case_id": "1"}
    payi.ingest.bulk_upsert(events=[{**event, "limit_ids": ["a", "b"]}])
    with Payi(base_url=f"{url}{'&' if '?' in url else '?'}block_limits_on_ingest=reject") as strict:
        strict.ingest.bulk_upsert(events=[{**event, "units": {"text": {"input": 500}}}])
        strict.ingest.bulk_upsert(events=[{**event, "units": {"text": {"input": 300}}, "unpriced": None}])

    assert [limit.totals.cost.total.base for limit in payi.limits.list()] == [3.0, 3.0, 3.0]
    assert differences(store) == []


def test_ingest_resets_and_pruning_at_once_lose_nothing(payi: Payi, store: CoreStore, url: str) -> None:
    def ingest() -> None:
        for _ in range(15):
            payi.ingest.bulk(events=[EVENT] * 10)

    def reset() -> None:
        for _ in range(15):
            payi.limits.reset("a")

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work) for work in (ingest, ingest, reset)]
        while not all(work.done() for work in working):
            assert differences(store) == []
            retention.prune(store, datetime.now(UTC))
        for work in working:
            work.result()

    counted = [period.totals.requests.total for period in payi.limits.history("a", limit=1000)]
    assert sum(counted) + running(payi)[1] == 300
    assert differences(store) == []


def test_memory_does_not_grow_with_the_events(payi: Payi, store: CoreStore) -> None:
    use(payi, 100)
    peaks: list[int] = []
    for count in (10, 4):
        for number in range(count):  # doubled each time
            with store.transaction("test") as ledger:
                columns = {column.name: column for column in schema.events.columns} | {
                    "request_id": schema.events.c.request_id + "abcdefghijklmn"[10 * len(peaks) + number],
                    "event_id": null(),
                }
                doubled = insert(schema.events).from_select(list(columns), select(*columns.values()))
                ledger.audit._connection.execute(doubled)
        tracemalloc.start()
        with store.reading() as ledger:
            findings = verify(ledger)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert {found.figure for found in findings.differences} == {"spent_input", "ok"}

    assert findings.events == 2**14
    assert peaks[1] < peaks[0] * 1.5


def test_every_figure_that_is_wrong_is_named(payi: Payi, store: CoreStore) -> None:
    use(payi, 100)
    payi.limits.reset("a")
    use(payi, 200)
    [period] = payi.limits.history("a").items
    with store.transaction("test") as ledger:
        connection = ledger.audit._connection
        connection.execute(update(schema.limits).values(spent_input=Decimal("2.000000000001"), failed=1))
        connection.execute(update(schema.limit_periods).values(ok=0))
    ended = schema.to_micros(period.limit_reset_timestamp)

    assert [(*found.place, *found[1:]) for found in differences(store)] == [
        ("default", "a", 0, "spent_input", Decimal("2.000000000001"), Decimal(2)),
        ("default", "a", 0, "failed", 1, 0),
        ("default", "a", ended, "ok", 0, 1),
    ]


def test_a_running_period_that_begins_at_no_end_is_named(payi: Payi, store: CoreStore) -> None:
    payi.limits.reset("a")
    with store.transaction("test") as ledger:
        ledger.audit._connection.execute(update(schema.limits).values(since=None))

    [found] = differences(store)
    assert (found.place[:2], found.figure, found.stored) == (("default", "a"), "since", None)
