"""Listings: lazy, repeatable, stable while rows come and go. Rows E-19 to E-24, S-A12 in part."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.errors import BadRequestError, PayiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from calling import Caller
    from loopback_meter import LoopbackMeter

    from tests.client.conftest import Loopback
    from tests.conftest import Refused

ALL = [f"limit-{number:02}" for number in range(25)]


def fill(client: Payi, names: list[str] = ALL) -> None:
    for name in names:
        client.limits.create(limit_name=name, limit_id=name, max=1)


@pytest.fixture
def filled(client: Payi) -> Payi:
    fill(client)
    return client


@pytest.fixture
async def awaited(tmp_path: Path) -> AsyncIterator[AsyncPayi]:
    url = f"sqlite:///{tmp_path}/l.db"
    with Payi(base_url=url) as client:
        fill(client)
    async with AsyncPayi(base_url=url) as payi:
        yield payi


def test_e19_a_page_knows_its_items_and_the_next_page(filled: Payi) -> None:
    page = filled.limits.list(limit=10, sort_ascending=True)
    assert [limit.limit_id for limit in page.items] == ALL[:10]
    assert page.has_next_page()
    assert page.next_page_info() == {"cursor": page.cursor}

    second = page.get_next_page()
    assert [limit.limit_id for limit in second.items] == ALL[10:20]
    third = second.get_next_page()
    assert [limit.limit_id for limit in third.items] == ALL[20:]
    assert (third.has_next_page(), third.next_page_info(), third.cursor) == (False, None, None)
    with pytest.raises(PayiError, match="last page"):
        third.get_next_page()
    assert [len(each.items) for each in page.iter_pages()] == [10, 10, 5]


def test_e19_iterating_a_page_walks_all_pages_as_often_as_asked(filled: Payi) -> None:
    page = filled.limits.list(limit=10)
    for _ in range(2):
        assert [limit.limit_id for limit in page] == ALL[::-1]
    assert [limit.limit_id for limit in page.items] == ALL[:14:-1]


async def test_e20_an_async_listing_is_awaited_or_iterated(awaited: AsyncPayi) -> None:
    listing = awaited.limits.list(limit=10, sort_ascending=True)
    for _ in range(2):
        assert [limit.limit_id async for limit in listing] == ALL
    page = await listing
    assert [limit.limit_id for limit in page.items] == ALL[:10]
    assert page.has_next_page()
    for _ in range(2):
        assert [limit.limit_id async for limit in page] == ALL
    second = await page.get_next_page()
    assert [limit.limit_id for limit in second.items] == ALL[10:20]
    assert [len(each.items) async for each in page.iter_pages()] == [10, 10, 5]
    last = await second.get_next_page()
    with pytest.raises(PayiError, match="last page"):
        await last.get_next_page()


@pytest.mark.parametrize("size", [1, 24, 25, 26, 1000])
def test_no_page_is_empty_whatever_its_size(filled: Payi, size: int) -> None:
    pages = list(filled.limits.list(limit=size).iter_pages())

    assert [limit.limit_id for page in pages for limit in page.items] == ALL[::-1]
    assert all(page.items for page in pages)


@pytest.mark.parametrize("embedded", [False, True])
def test_e19_e20_listings_walk_over_http_too(caller: Caller, server: LoopbackMeter, *, embedded: bool) -> None:
    caller.open("sqlite://" if embedded else server.url)
    for name in ALL:
        caller("limits.create", limit_name=name, limit_id=name, max=1)
    server.asked.clear()
    page = caller("limits.list", limit=10, sort_ascending=True, extra_query={"property": []})

    assert [limit.limit_id for limit in page.items] == ALL[:10]
    assert page.has_next_page()
    second = caller.wait(page.get_next_page)
    assert [limit.limit_id for limit in second.items] == ALL[10:20]
    for _ in range(2):
        assert [limit.limit_id for limit in caller.items(page)] == ALL
    if not embedded:
        assert len(server.asked) == 2 + 2 * 2
        assert all(asked.query["sort_ascending"] == ["true"] for asked in server.asked)
    with pytest.raises(BadRequestError) as caught:
        caller("limits.list", cursor=page.cursor, limit_name="other")
    assert caught.value.code == "invalid_cursor"


def test_the_default_page_holds_100(client: Payi) -> None:
    assert client.limits.list().items == []
    assert not client.limits.list().has_next_page()
    fill(client, [f"n{number}" for number in range(101)])

    assert len(client.limits.list().items) == 100
    assert len(list(client.limits.list())) == 101


def test_e22_rows_that_come_and_go_repeat_nothing_and_hide_nothing(filled: Payi) -> None:
    for ascending in (True, False):
        seen: list[str] = []
        for number, limit in enumerate(filled.limits.list(limit=3, sort_ascending=ascending)):
            seen.append(limit.limit_id)
            if number < 20:
                filled.limits.create(limit_name=f"new-{ascending}-{number}", max=1)
            if limit.limit_id in ALL[5:8]:
                filled.limits.update(limit.limit_id, limit_name=f"renamed {limit.limit_id} {ascending}")
        assert len(seen) == len(set(seen))
        assert set(ALL) <= set(seen)


def test_a_cursor_stays_valid_when_its_row_is_deleted(filled: Payi) -> None:
    page = filled.limits.list(limit=10, sort_ascending=True)
    for limit_id in ALL[5:12]:
        filled.limits.delete(limit_id)

    assert [limit.limit_id for limit in page.get_next_page().items] == ALL[12:22]


def test_e23_a_cursor_belongs_to_its_listing(filled: Payi, refused: Refused) -> None:
    cursor = filled.limits.list(limit=5).cursor
    assert cursor is not None
    for size in (1, 5, 100):
        assert filled.limits.list(cursor=cursor, limit=size).items[0].limit_id == ALL[19]
    with refused("invalid_cursor"):
        filled.limits.list(cursor=cursor, limit_name="limit-01")
    with refused("invalid_cursor"):
        filled.limits.list(cursor=cursor, sort_ascending=True)


def forged(filled: Payi, *tail: object) -> str:
    """Return a cursor with the listing's own digest and another position."""
    cursor = filled.limits.list(limit=1).cursor or ""
    digest = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([digest, *tail]).encode()).decode()


def test_a_cursor_that_nobody_made_is_refused(filled: Payi, refused: Refused) -> None:
    cursors = ["é", "x", "AAAA", base64.urlsafe_b64encode(b"[" * 100_000).decode()]
    cursors += [forged(filled, *tail) for tail in (["yesterday", "a"], [5, 7], [], ["2024-01-01"])]
    cursors += [forged(filled, "0001-01-01T00:00:00+23:00", "a")]
    for cursor in cursors:
        with refused("invalid_cursor"):
            filled.limits.list(cursor=cursor)
    assert len(filled.limits.list(cursor="").items) == 25


@pytest.mark.parametrize("size", [0, -1, 1001, "many", 1.5])
def test_e24_a_page_holds_1_to_1000(client: Payi, refused: Refused, size: int) -> None:
    with refused("request_processing_error"):
        client.limits.list(limit=size)


def test_unknown_and_wrong_parameters_are_refused(client: Payi, refused: Refused) -> None:
    with refused("request_processing_error"):
        client.limits.list(extra_query={"name": "n"})
    with refused("request_processing_error"):
        client.limits.list(sort_ascending="maybe")  # type: ignore[arg-type]


def test_e21_filters_go_along_with_every_page_until_the_cursor_ends(loopback: Loopback) -> None:
    """A page without items ends a listing even when a cursor came with it; null items are none."""
    empty = {"cursor": "c3", "items": []}
    loopback.answer({"cursor": "c1", "items": []}, empty)
    with Payi(api_key="k", base_url=loopback.url) as client:
        assert list(client.limits.list(limit_name="n", limit=2, sort_ascending=False)) == []
        assert len(loopback.sent) == 1
        nothing: list[str] = []
        for last in ({"items": None}, {}, {"cursor": "", "items": nothing}, {"cursor": None, "items": nothing}):
            loopback.answer(last)
            page = client.limits.list()
            assert (page.items, page.has_next_page(), list(page)) == ([], False, [])

    assert loopback.sent[0].query == {"limit_name": ["n"], "limit": ["2"], "sort_ascending": ["false"]}


def test_a_listing_over_the_network_is_fetched_page_by_page(loopback: Loopback) -> None:
    with Payi(base_url="sqlite://") as source, Payi(api_key="k", base_url=loopback.url) as client:
        fill(source, ALL[:4])
        pages = [page.items for page in source.limits.list(limit=2).iter_pages()]
        bodies = [[json.loads(limit.to_json()) for limit in items] for items in pages]
        loopback.answer({"cursor": "c1", "items": bodies[0]}, {"cursor": None, "items": bodies[1]})
        listing = client.limits.list(limit=2, extra_query={"q": "x"})
        assert len(loopback.sent) == 1
        assert [limit.limit_id for limit in listing] == ALL[3::-1]

    assert [sent.query for sent in loopback.sent] == [
        {"limit": ["2"], "q": ["x"]},
        {"limit": ["2"], "q": ["x"], "cursor": ["c1"]},
    ]
