"""Ids: unique, well formed, and ordered where they have to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from payi_instrument.ids import first_id, new_id, ordered_id


def test_ids_are_uuids_that_nobody_else_has() -> None:
    for make, version in ((new_id, 4), (ordered_id, 7)):
        ids = [make() for _ in range(10_000)]
        assert len(set(ids)) == len(ids)
        assert {(UUID(text).version, UUID(text).variant, str(UUID(text)) == text) for text in ids} == {
            (version, "specified in RFC 4122", True)
        }


def test_ordered_ids_come_in_the_order_they_were_made() -> None:
    ids = [ordered_id() for _ in range(10_000)]

    assert ids == sorted(ids)


def test_the_first_id_of_a_moment_is_before_all_that_follow() -> None:
    now = datetime.now(UTC)

    assert first_id(now) <= ordered_id() < first_id(now + timedelta(minutes=1))
    assert first_id(datetime(1900, 1, 1, tzinfo=UTC)) < ordered_id()
