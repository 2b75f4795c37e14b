"""Resets, closed periods and late events. Rows L-16, L-35 to L-38; worked examples B and G of limits-semantics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.errors import NotFoundError

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from payi_instrument.wire.limits import TotalCostData
    from tests.conftest import Refused, Use

SOON = timedelta(seconds=60)


@pytest.fixture
def limit(client: Payi) -> str:
    return client.limits.create(limit_name="a", limit_id="a", max=10, threshold=0.8).limit.limit_id


def shown(totals: TotalCostData) -> tuple[float, int]:
    return totals.cost.total.base, totals.requests.total


def running(client: Payi, limit_id: str = "a") -> tuple[float, int]:
    return shown(client.limits.retrieve(limit_id).limit.totals)


def history(client: Payi, limit_id: str = "a", **arguments: Any) -> list[tuple[float, int]]:
    return [shown(period.totals) for period in client.limits.history(limit_id, **arguments)]


def test_l35_a_reset_archives_the_totals_and_begins_from_zero(client: Payi, limit: str, use: Use) -> None:
    use(100, 50, limit_ids=[limit])
    use(50, limit_ids=[limit])
    before = datetime.now(UTC)
    answer = client.limits.reset(limit)
    period = answer.limit_history

    assert answer.request_id
    assert (period.limit_id, period.limit_name, period.limit_type, period.max) == ("a", "a", "allow", 10.0)
    assert period.limit_tags is None
    assert period.limit_reset_timestamp is not None
    assert before <= period.limit_reset_timestamp <= datetime.now(UTC)
    cost = period.totals.cost
    assert (cost.input.base, cost.output.base, cost.total.base) == (1.5, 1.5, 3.0)
    assert period.totals.requests.ok == 2
    after = client.limits.retrieve(limit).limit
    assert shown(after.totals) == (0.0, 0)
    assert after.limit_update_timestamp > after.limit_creation_timestamp
    assert use(100, limit_ids=[limit]).limits[limit].state == "ok"


def test_an_untouched_limit_may_be_reset(client: Payi, limit: str) -> None:
    assert shown(client.limits.reset(limit).limit_history.totals) == (0.0, 0)
    assert history(client) == [(0.0, 0)]


def test_l36_a_reset_between_two_events_splits_them(client: Payi, limit: str, use: Use) -> None:
    now = datetime.now(UTC)
    use(100, limit_ids=[limit], event_timestamp=now)
    use(200, limit_ids=[limit], event_timestamp=now + 2 * SOON)
    period = client.limits.reset(limit, reset_date=now + SOON).limit_history

    assert period.limit_reset_timestamp == now + SOON
    assert shown(period.totals) == (1.0, 1)
    assert running(client) == (2.0, 1)


def test_the_first_moment_of_a_period_belongs_to_it(client: Payi, limit: str, use: Use) -> None:
    at = datetime.now(UTC) + SOON
    use(100, limit_ids=[limit], event_timestamp=at - timedelta(microseconds=1))
    use(200, limit_ids=[limit], event_timestamp=at)
    client.limits.reset(limit, reset_date=at)
    use(400, limit_ids=[limit], event_timestamp=at - timedelta(microseconds=1))
    use(800, limit_ids=[limit], event_timestamp=at)

    assert history(client) == [(5.0, 2)]
    assert running(client) == (10.0, 2)


def test_a_late_event_counts_in_its_own_period_and_reports_the_running_state(
    client: Payi, limit: str, use: Use
) -> None:
    now = datetime.now(UTC)
    client.limits.reset(limit, reset_date=now + SOON)
    client.limits.reset(limit, reset_date=now + 2 * SOON)
    results = [use(900, limit_ids=[limit], event_timestamp=now + wait) for wait in (-SOON, SOON, 3 * SOON, 0 * SOON)]

    assert [(at.state, at.spent) for at in (result.limits[limit] for result in results)] == [
        ("ok", 0.0), ("ok", 0.0), ("exceeded", 9.0), ("exceeded", 9.0),
    ]  # fmt: skip
    assert history(client) == [(9.0, 1), (18.0, 2)]
    assert running(client) == (9.0, 1)


def test_what_counted_on_an_earlier_limit_of_the_id_stays_out_of_a_reset(client: Payi, limit: str, use: Use) -> None:
    later = datetime.now(UTC) + 2 * SOON
    use(100, limit_ids=[limit], event_timestamp=later)
    client.limits.delete(limit)
    client.limits.create(limit_name="a", limit_id="a", max=10)
    use(200, limit_ids=[limit], event_timestamp=later)
    period = client.limits.reset(limit, reset_date=later - SOON).limit_history

    assert (shown(period.totals), running(client)) == ((0.0, 0), (2.0, 1))


def test_a_period_keeps_the_terms_that_it_closed_with(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="b", limit_id="b", max=1, limit_type="block", properties={"k": "v"})
    use(150, limit_ids=["b"])
    client.limits.reset("b")
    client.limits.update("b", limit_name="c", max=2)
    client.limits.reset("b")

    terms = [(period.limit_name, period.limit_type, period.max) for period in client.limits.history("b")]
    assert terms == [("c", "block", 2.0), ("b", "block", 1.0)]
    over = [period.totals.cost.total.overrun_base for period in client.limits.history("b")]
    assert over == [None, 0.5]


def test_what_changes_a_limit_is_dated_and_what_it_counts_is_not(client: Payi, limit: str, use: Use) -> None:
    made = client.limits.retrieve(limit).limit
    assert made.limit_update_timestamp == made.limit_creation_timestamp
    before = made.limit_update_timestamp
    for leaves_it in (
        lambda: use(1, limit_ids=[limit]),
        lambda: client.limits.update(limit),
        lambda: client.limits.update(limit, limit_name="a", max=10),
        lambda: client.limits.properties.update(limit, properties={"gone": None}),
        lambda: client.limits.create(limit_name="a", limit_id="a", max=10, threshold=0.8),
    ):
        leaves_it()
        assert client.limits.retrieve(limit).limit.limit_update_timestamp == before
    for changes_it in (
        lambda: client.limits.update(limit, max=11),
        lambda: client.limits.update(limit, limit_name="b"),
        lambda: client.limits.properties.update(limit, properties={"k": "v"}),
        lambda: client.limits.reset(limit),
    ):
        asked = datetime.now(UTC)
        changes_it()
        changed = client.limits.retrieve(limit).limit
        assert before < changed.limit_update_timestamp
        assert asked <= changed.limit_update_timestamp <= datetime.now(UTC)
        assert changed.limit_creation_timestamp == made.limit_creation_timestamp
        before = changed.limit_update_timestamp


def test_l37_the_history_lists_every_period_newest_first(client: Payi, limit: str, use: Use) -> None:
    for units in (100, 200, 300):
        use(units, limit_ids=[limit])
        client.limits.reset(limit)

    assert history(client) == [(3.0, 1), (2.0, 1), (1.0, 1)]
    assert history(client, sort_ascending=True) == [(1.0, 1), (2.0, 1), (3.0, 1)]
    page = client.limits.history(limit, limit=2)
    assert [shown(period.totals)[0] for period in page.items] == [3.0, 2.0]
    assert [shown(period.totals)[0] for period in page.get_next_page().items] == [1.0]


def test_l38_a_blocked_limit_opens_again(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="b", limit_id="b", max=1, limit_type="block")
    assert use(99, limit_ids=["b"]).limits["b"].state == "ok"
    assert use(1, limit_ids=["b"]).blocked_limit_ids == ["b"]
    period = client.limits.reset("b").limit_history

    assert (shown(period.totals), period.totals.requests.ok, period.totals.requests.blocked) == ((1.0, 2), 1, 1)
    again = use(99, limit_ids=["b"])
    assert (again.limits["b"].state, again.blocked_limit_ids) == ("ok", None)


def test_a_reset_may_be_five_minutes_ahead(client: Payi, limit: str) -> None:
    date = datetime.now(UTC) + timedelta(minutes=4, seconds=59)
    assert client.limits.reset(limit, reset_date=date).limit_history.limit_reset_timestamp == date


@pytest.mark.parametrize("wait", [timedelta(minutes=5, seconds=20), timedelta(days=-1), timedelta(0)])
def test_a_reset_before_the_last_one_or_far_ahead_is_refused(
    client: Payi, limit: str, refused: Refused, wait: timedelta
) -> None:
    created = client.limits.retrieve(limit).limit.limit_creation_timestamp
    with refused("update_limit_validation_failed"):
        client.limits.reset(limit, reset_date=(datetime.now(UTC) if wait > SOON else created) + wait)

    assert history(client) == []


@pytest.mark.parametrize("date", ["yesterday", "2024-13-01", ""])
def test_a_reset_date_that_is_none_is_refused(client: Payi, limit: str, refused: Refused, date: str) -> None:
    with refused("update_limit_validation_failed"):
        client.limits.reset(limit, reset_date=date)


def test_a_limit_that_is_made_anew_has_no_history(client: Payi, limit: str, use: Use) -> None:
    use(100, limit_ids=[limit])
    client.limits.reset(limit)
    client.limits.delete(limit)
    client.limits.create(limit_name="a", limit_id="a", max=1)
    assert history(client) == []
    client.limits.reset(limit, reset_date=datetime.now(UTC) + SOON)

    assert history(client) == [(0.0, 0)]


def test_l16_an_unknown_limit_has_neither_reset_nor_history_nor_properties(client: Payi, refused: Refused) -> None:
    for call in (
        client.limits.reset,
        lambda name: client.limits.history(name).items,
        lambda name: client.limits.properties.update(name, properties={}),
    ):
        with refused("limit_not_found", NotFoundError):
            call("nobody")


def test_l42_properties_are_merged_and_found(client: Payi, refused: Refused) -> None:
    client.limits.create(limit_name="p", limit_id="p", max=1, properties={"team": "x"})
    client.limits.create(limit_name="q", limit_id="q", max=1, properties={"env": "p", "team": "y"})
    [answer] = client.limits.properties.update("p", properties={"team": None, "env": "p"})

    assert answer.limit.properties == {"env": "p"}
    assert client.limits.retrieve("p").limit == answer.limit
    assert [limit.limit_id for limit in client.limits.list(extra_query={"property": ["env:p"]})] == ["q", "p"]
    assert [limit.limit_id for limit in client.limits.list(extra_query={"property": ["env:p", "team:y"]})] == ["q"]
    assert [limit.limit_id for limit in client.limits.list(extra_query={"property": "team:y"})] == ["q"]
    assert client.limits.list(extra_query={"property": ["env:"]}).items == []
    for bad in ("env", ":p"):
        with refused("request_processing_error"):
            client.limits.list(extra_query={"property": [bad]})
    with refused("request_processing_error"):
        client.limits.properties.update("p", properties={" ": "x"})


def test_pages_of_found_properties_hold_every_limit_once(client: Payi) -> None:
    for number in range(60):
        properties = {"third": "yes"} if number % 3 == 0 else {}
        client.limits.create(limit_name=str(number), max=1, properties=properties)
    found = client.limits.list(limit=7, sort_ascending=True, extra_query={"property": ["third:yes"]})

    assert [int(limit.limit_name) for limit in found] == list(range(0, 60, 3))
    assert [len(page.items) for page in found.iter_pages()] == [7, 7, 6]
