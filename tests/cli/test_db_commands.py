"""`payi-instrument db`."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import typer
from command import payi

from payi_instrument.cli.db import past_moment
from payi_instrument.client.client import Payi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


@pytest.fixture
def client(url: str) -> Iterator[Payi]:
    with Payi(base_url=url) as payi:
        payi.limits.create(limit_name="a", limit_id="a", max=10)
        for user_id in ("one", "two", "two"):
            payi.ingest.units(
                category="system.openai",
                resource="gpt-4o-2024-08-06",
                units={"text": {"input": 1000}},
                limit_ids=["a"],
                user_id=user_id,
            )
        yield payi


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        return connection.execute(statement).fetchall()


def test_upgrade_makes_a_ledger_and_leaves_a_new_one_alone(url: str) -> None:
    for _ in range(2):
        assert payi("db", "upgrade", "--database-url", url) == [
            "The ledger is at revision 0003 of its schema, the newest."
        ]


def test_a_ledger_of_a_later_release_is_left_alone(url: str) -> None:
    payi("db", "upgrade", "--database-url", url)
    execute(url, "UPDATE alembic_version SET version_num = '0999'")
    [line] = payi("db", "upgrade", "--database-url", url, returns=2)

    assert "schema revision 0999" in line
    assert line.endswith("upgrade payi-instrument")


def test_verify_says_that_all_is_well_while_others_write(client: Payi, url: str) -> None:
    client.limits.reset("a")

    assert payi("db", "verify", "--database-url", url) == [
        "All totals agree: 1 limits and 1 closed periods against 3 events."
    ]


def test_verify_names_the_limit_whose_total_is_wrong(client: Payi, url: str) -> None:
    client.limits.create(limit_name="b", limit_id="b", max=10)
    execute(url, "UPDATE limits SET spent_input = '0.0074' WHERE limit_id = 'a'")

    assert [line.split("\t") for line in payi("db", "verify", "--database-url", url, returns=1)] == [
        ["application", "limit_id", "period_until", "figure", "stored", "from_events"],
        ["default", "a", "running", "spent_input", "0.0074", "0.0075"],
    ]


def test_prune_removes_what_is_old_and_totals_stay(client: Payi, url: str) -> None:
    """Two of the events are a hundred days old."""
    past = "event_timestamp - 100 * 24 * 3600 * 1000000"
    columns = f"event_timestamp = {past}, ingest_timestamp = {past}, request_id = '00' || substr(request_id, 3)"
    execute(url, f"UPDATE events SET {columns} WHERE user_id = 'two'")
    execute(url, "UPDATE limits SET created = 0")
    [kept] = payi("db", "prune", "--older-than", "101d", "--database-url", url)
    [gone] = payi("db", "prune", "--older-than", "90d", "--database-url", url)

    assert kept.startswith("0 events from before ")
    assert gone.startswith("2 events from before ")
    assert execute(url, "SELECT user_id FROM events") == [("one",)]
    assert client.limits.retrieve("a").limit.totals.requests.total == 3
    payi("db", "verify", "--database-url", url)


def test_prune_takes_an_age_or_a_date() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert past_moment("0d", now) == now
    assert past_moment("90d", now) == datetime(2025, 12, 1, 12, tzinfo=UTC)
    assert past_moment("2026-01-31", now) == datetime(2026, 1, 31, tzinfo=UTC)
    assert past_moment("2026-01-31T02:00+02:00", now) == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "age",
    [
        "90",
        "d",
        "-1d",
        "90x",
        "1e9d",
        "9999999d",
        "99999999999d",
        "yesterday",
        "0001-01-01T00:00+05:00",
        "",
        "2026-03-02",
    ],
)
def test_prune_refuses_what_is_no_past_moment(age: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(repr(age))):
        past_moment(age, datetime(2026, 3, 1, tzinfo=UTC))


def test_prune_says_what_it_takes(url: str) -> None:
    last = payi("db", "prune", "--older-than", "90x", "--database-url", url, returns=2)[-1]

    assert last.endswith("--older-than: '90x' is neither a number of days such as 90d nor a date such as 2026-01-31")


def test_erase_says_how_many_events_were_a_users(client: Payi, url: str) -> None:
    erase = ("db", "erase", "--database-url", url)

    assert payi(*erase, "--user-id", "two", "--application", "other") == [
        "0 events no longer say that they were of user two."
    ]
    assert payi(*erase, "--user-id", "two") == ["2 events no longer say that they were of user two."]
    assert execute(url, "SELECT user_id FROM events ORDER BY request_id") == [("one",), (None,), (None,)]
    payi("db", "verify", "--database-url", url)
