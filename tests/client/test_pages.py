"""Listings: lazy, repeatable, stable while rows come and go. Rows E-19 to E-21, S-A12 in part."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from payi_instrument.client.client import Payi
from payi_instrument.errors import BadRequestError, LastPageError, PayiError

if TYPE_CHECKING:
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


@pytest.mark.parametrize("embedded", [False, True])
def test_a_page_shows_itself(caller: Caller, server: LoopbackMeter, *, embedded: bool) -> None:
    caller.open("sqlite://" if embedded else server.url)
    for name in "abc":
        caller("limits.create", limit_name=name, limit_id=name, max=Decimal("1.000000000001"))
    page = caller("limits.list", limit=2, sort_ascending=True)

    assert page.next_page_info().params == {"cursor": page.cursor}
    assert not page.next_page_info().url
    assert not page.next_page_info().json
    assert page.to_dict().keys() == {"request_id", "cursor", "items"}
    assert page.to_dict()["request_id"] == page.request_id != ""
    assert page.to_dict(mode="json")["items"] == [limit.to_dict(mode="json") for limit in page.items]
    assert [type(limit["max"]) for limit in page.to_dict(exclude_none=True)["items"]] == [float, float]
    assert json.loads(page.to_json(), parse_float=Decimal)["items"][0]["max"] == Decimal("1.000000000001")
    assert "\n" not in page.to_json(indent=None)
    assert repr(page).startswith(f"{type(page).__name__}(items=[Limit(limit_id='a', ")
    assert repr(page).endswith(f", cursor={page.cursor!r}, request_id={page.request_id!r})")
    last = caller.wait(page.get_next_page)
    assert (last.next_page_info(), last.has_next_page()) == (None, False)
    for kind in (LastPageError, PayiError, RuntimeError):
        with pytest.raises(kind, match="last page"):
            caller.wait(last.get_next_page)


def test_the_default_page_holds_100(client: Payi) -> None:
    assert client.limits.list().items == []
    assert not client.limits.list().has_next_page()
    fill(client, [f"n{number}" for number in range(101)])

    assert len(client.limits.list().items) == 100
    assert len(list(client.limits.list())) == 101


def test_a_cursor_stays_valid_when_its_row_is_deleted(filled: Payi) -> None:
    page = filled.limits.list(limit=10, sort_ascending=True)
    for limit_id in ALL[5:12]:
        filled.limits.delete(limit_id)

    assert [limit.limit_id for limit in page.get_next_page().items] == ALL[12:22]


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
