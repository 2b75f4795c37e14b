"""A management call that comes again under its key is answered as it was at first. Source: wire-api section 1.7."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered

from payi_instrument.wire import operations as table
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from meters import Answer

    from payi_instrument.client.client import Payi


def ask(client: Payi, key: str, operation: Operation[Any], body: object = None, **path: str) -> Answer:
    return answered(client, Request(operation, path=path, body=body, headers={"Idempotency-Key": key}))


def test_a_refusal_is_kept_as_any_other_reply(client: Payi) -> None:
    first = ask(client, "f1", table.UPDATE_LIMIT, {"max": 3}, limit_id="later")
    assert (first.status, first.code) == (404, "limit_not_found")
    client.limits.create(limit_name="later", limit_id="later", max=1)

    assert ask(client, "f1", table.UPDATE_LIMIT, {"max": 3}, limit_id="later") == first
    for _ in range(2):  # another body is refused, and that is not kept in its place
        other = ask(client, "f1", table.UPDATE_LIMIT, {"max": 4}, limit_id="later")
        assert (other.status, other.code) == (400, "request_processing_error")
    assert ask(client, "f1", table.UPDATE_LIMIT, {"max": 3}, limit_id="later") == first
    assert client.limits.retrieve("later").limit.max == 1
    assert ask(client, "f2", table.UPDATE_LIMIT, {"max": 3}, limit_id="later").status == 200


@pytest.mark.parametrize("bad", [{"max": 0}, {"max": "much"}, {"unknown": 1}])
def test_a_body_that_is_refused_is_kept_too(client: Payi, bad: dict[str, Any]) -> None:
    body = {"limit_name": "n", "max": 1} | bad
    first = ask(client, "k", table.CREATE_LIMIT, body)
    assert first.status == 400
    assert ask(client, "k", table.CREATE_LIMIT, body) == first
    assert "another request" in ask(client, "k", table.CREATE_LIMIT, {"limit_name": "n", "max": 1}).body["message"]
    assert client.limits.list().items == []


def test_a_refusal_leaves_nothing_of_what_was_written_before_it(client: Payi) -> None:
    client.limits.create(limit_name="n", limit_id="a", max=1)
    refused = ask(client, "k", table.CREATE_LIMIT, {"limit_name": "n", "limit_id": "b", "max": 1})
    assert refused.code == "limit_name_already_exist"
    assert [limit.limit_id for limit in client.limits.list()] == ["a"]


MAX = Decimal("12345678901234567890.123456789012")


def test_bodies_are_the_same_only_to_the_last_digit(client: Payi) -> None:
    body = {"limit_name": "n", "max": MAX}
    first = ask(client, "k", table.CREATE_LIMIT, body)
    assert first.status == 201
    assert ask(client, "k", table.CREATE_LIMIT, body) == first
    other = ask(client, "k", table.CREATE_LIMIT, body | {"max": MAX + Decimal("0.000000000001")})
    assert (other.status, other.code) == (400, "request_processing_error")


@pytest.mark.parametrize(("one", "same"), [(1, 1.0), (1.5, Decimal("1.50")), (Decimal("1E+2"), 100)])
def test_a_number_is_the_same_however_it_is_written(client: Payi, one: object, same: object) -> None:
    first = ask(client, "k", table.CREATE_LIMIT, {"limit_name": "n", "max": one})
    assert first.status == 201
    assert ask(client, "k", table.CREATE_LIMIT, {"max": same, "limit_name": "n"}) == first


def test_what_a_path_names_is_a_part_of_the_request(client: Payi) -> None:
    for limit_id in ("a", "a/b"):
        client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1)
    assert ask(client, "k", table.DELETE_LIMIT, limit_id="a").status == 200
    assert ask(client, "k", table.DELETE_LIMIT, limit_id="a/b").code == "request_processing_error"
    assert [limit.limit_id for limit in client.limits.list()] == ["a/b"]
