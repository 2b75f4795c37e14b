"""API keys over HTTP: who may call, what each scope opens, what is remembered of keys. Row E-6."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from meters import http
from wired import KEY, Answer, request

from payi_instrument.cli.ledger import open_ledger
from payi_instrument.client.client import Payi
from payi_instrument.engine.address import Address
from payi_instrument.engine.keys import SCOPES, Key, may_call
from payi_instrument.errors import (
    APIStatusError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
)
from payi_instrument.server import callers
from payi_instrument.server.service import Service
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from running import Running

EVENT: dict[str, Any] = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 10}}}
PRICE = {"text": {"input_price": 1}}

CALLS: dict[str, Callable[[Payi], object]] = {
    "ingest": lambda client: client.ingest.units(**EVENT),
    "bulk": lambda client: client.ingest.bulk(events=[EVENT]),
    "limits": lambda client: client.limits.list(),
    "limit": lambda client: client.limits.retrieve("nobody"),
    "create": lambda client: client.limits.create(limit_name="e6", max=1),
    "categories": lambda client: client.categories.list(),
    "use cases": lambda client: client.use_cases.definitions.list(),
    "request": lambda client: client.requests.request_id.result.retrieve("nobody"),
}


def wrong_keys(server: Running) -> list[str]:
    key = Key.parse(server.key())
    assert key is not None
    return ["k", str(Key.new()), str(Key(key.key_id, "0" * 40)), f"{key}0", str(key).upper(), str(key)[:-1]]


@pytest.mark.parametrize("call", CALLS)
def test_e6_a_wrong_key_is_refused(server: Running, call: str) -> None:
    for wrong in wrong_keys(server):
        client = Payi(base_url=server.url, api_key=wrong, http_client=http())
        with pytest.raises(AuthenticationError) as caught:
            CALLS[call](client)
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")


def test_e6_no_key_is_refused(server: Running) -> None:
    for headers in ([], [(KEY, "")], [(KEY, " ")], [("authorization", f"Bearer {server.key()}")]):
        with server.wire() as wire:
            answer = wire.ask(request("GET", "/api/v1/limits", headers=headers))
        assert (answer.status, answer.code) == (401, "invalid_api_key")


# --- scopes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", table.OPERATIONS, ids=lambda operation: operation.name)
def test_a_scope_opens_what_it_says_and_nothing_else(server: Running, operation: Operation[Any]) -> None:
    path = re.sub(r"{\w+}", "nobody", operation.path)
    for scope in SCOPES:
        answer = _as(server, scope, operation.method, path)
        refused = answer.status == 403 and answer.code == "insufficient_key_scope"
        assert refused != may_call(scope, operation), answer


def _as(server: Running, scope: str, method: str, path: str, body: bytes | None = None) -> Answer:
    with server.wire() as wire:
        return wire.ask(request(method, path, body, [(KEY, server.key("scopes", scope))]))


def test_a_key_for_ingest_changes_no_limit_and_reads_no_others_usage(server: Running) -> None:
    admin, program = server.client("scopes"), server.client("scopes", "ingest")
    admin.limits.create(limit_name="capped", limit_id="capped", max=1, limit_type="block")
    spent = program.ingest.units(**EVENT, limit_ids=["capped"]).xproxy_result
    before = admin.limits.retrieve("capped").limit
    other = server.client("elsewhere").ingest.units(**EVENT)

    for call in (
        lambda: program.limits.update("capped", max=100),
        lambda: program.limits.update("capped", limit_name="mine"),
        lambda: program.limits.reset("capped"),
        lambda: program.limits.delete("capped"),
        lambda: program.limits.create(limit_name="mine", max=1),
        lambda: program.limits.properties.update("capped", properties={"a": "b"}),
        program.limits.list,
        lambda: program.categories.resources.create("model", category="cheap", units=PRICE),
        program.use_cases.definitions.list,
        lambda: program.requests.response_id.result.retrieve("r", category="system.openai"),
    ):
        with pytest.raises(PermissionDeniedError) as caught:
            call()
        assert caught.value.code == "insufficient_key_scope"
    with pytest.raises(NotFoundError):
        program.requests.request_id.result.retrieve(other.request_id)
    assert program.limits.retrieve("capped").limit == before == admin.limits.retrieve("capped").limit
    assert program.requests.request_id.result.retrieve(str(spent.request_id)).xproxy_result.cost == spent.cost


def test_a_key_for_reading_stores_nothing(server: Running) -> None:
    reader = server.client("readers", "read")
    for name in ("ingest", "bulk", "create"):
        with pytest.raises(PermissionDeniedError):
            CALLS[name](reader)

    assert list(reader.limits.list()) == []
    assert server.rows("SELECT 1 FROM events WHERE application = 'readers'") == []


def test_what_a_scope_may_not_do_is_refused_before_the_body_is_read(server: Running) -> None:
    head = [(KEY, server.key("scopes", "read")), ("content-length", "100000000")]
    with server.wire() as wire:
        assert wire.ask(request("POST", "/api/v1/limits", headers=head)).code == "insufficient_key_scope"


# --- without a key -------------------------------------------------------------------------------------------------

PATHS = [
    *(re.sub(r"{\w+}", "known", operation.path) for operation in table.OPERATIONS),
    *(
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/limits",
        "/api/v1/nothing",
        "/api/v1/limits/",
        "/api/v1/limits/a/b",
    ),
    *("/api/v1/limits/%0a", "/api/v1/limits/%00", "/api/v1/limits/%ff", "/api//v1/limits", "/api/../healthz"),
    *("/api%2fv1%2flimits", "/%61pi/v1/limits", "/api/v1/limits?limit=0", "/api/v1/limits?cursor=x", "/api/healthz"),
]


def test_without_a_key_every_path_answers_alike_whether_it_exists_or_not(server: Running) -> None:
    server.client().limits.create(limit_name="known", limit_id="known", max=1)
    answers: set[tuple[object, ...]] = set()
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in dict.fromkeys(PATHS):
            for body in (None, b"{}", b"no JSON"):
                with server.wire() as wire:
                    answer = wire.ask(request(method, path, body, [(KEY, str(Key.new()))]))
                headers = {name: value for name, value in answer.headers.items() if name != "date"}
                answers.add((answer.status, answer.body, *sorted(headers.items())))

    [(status, *_)] = answers
    assert status == 401


def test_what_is_known_is_told_to_keys_only(server: Running) -> None:
    for path in ("/api/v1/nothing", "/api", "/api/v1/limits/%ff", "/api%2fv1%2flimits"):
        assert server.ask("GET", path).status == 404
    refused = server.ask("PATCH", "/api/v1/limits")
    assert (refused.status, refused.headers["allow"]) == (405, "POST, GET")
    assert refused.json == {"statusCode": 405, "message": "PATCH: this path takes POST, GET"}


# --- codes that only a server has ----------------------------------------------------------------------------------

LIMIT = b'{"limit_name": "typed", "max": 1}'


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', "application/x.y+json"],
)
def test_a_body_says_that_it_is_json(server: Running, kind: str) -> None:
    assert server.ask("POST", "/api/v1/limits", LIMIT, content_type=kind).status in {200, 201}


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/xml",
        "",
        "json",
    ],
)
def test_a_body_that_says_it_is_something_else_is_refused(server: Running, kind: str) -> None:
    refused = server.ask("POST", "/api/v1/limits", LIMIT, content_type=kind)

    assert refused.status == 415
    assert "content-type" in refused.json["message"]


def test_a_body_without_a_type_misses_a_header(server: Running) -> None:
    head = [(KEY, server.key()), ("content-length", str(len(LIMIT)))]
    with server.wire() as wire:
        refused = wire.ask(request("POST", "/api/v1/limits", headers=head) + LIMIT)

    assert (refused.status, refused.code) == (400, "header_is_missing")


@pytest.mark.parametrize("path", ["limits", "ingest", "ingest/bulk", "ingest/bulk-upsert"])
@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b"\xff", b'{"max": NaN}', b'{"a": 1}}', b"[1,]"])
def test_a_body_that_is_no_json_is_refused_as_such(server: Running, path: str, body: bytes) -> None:
    refused = server.ask("POST", f"/api/v1/{path}", body)

    assert (refused.status, refused.code) == (400, "invalid_json")


# --- what is remembered of keys ------------------------------------------------------------------------------------


def revoke(server: Running, key: str) -> None:
    """Revoke a key as the command line does, past the server."""
    found = Key.parse(key)
    assert found is not None
    with open_ledger(server.ledger, make=False) as store, store.transaction("keys") as ledger:
        ledger.keys.revoke(found.key_id, datetime.now(UTC))


def test_a_revoked_key_is_soon_refused_and_its_sibling_is_not(server: Running) -> None:
    key, other = server.new_key("rotated"), server.new_key("rotated")
    client = Payi(base_url=server.url, api_key=key, http_client=http())
    client.limits.list()
    revoke(server, key)
    code = None
    while code is None:  # it is taken at its word for a while
        try:
            client.limits.list()
        except AuthenticationError as error:
            code = error.code

    assert code == "invalid_api_key"
    assert list(Payi(base_url=server.url, api_key=other, http_client=http()).limits.list()) == []


async def test_unknown_keys_are_remembered_in_a_bounded_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST_UNKNOWN", 10)
    engine = Address.of("sqlite://").open()
    service = Service(engine)
    known = callers.Callers(service.caller)
    key = str(engine.new_key("default", "read"))
    assert await known.of(key) == ("default", "read")
    for _ in range(50):
        with suppress(ContractError):
            await known.of(str(Key.new()))

    assert len(known._unknown) == 10
    assert await known.of(key) == ("default", "read")
    asked = [asyncio.ensure_future(known.of(str(Key.new()))) for _ in range(50)]
    assert all(isinstance(answer, ContractError) for answer in await asyncio.gather(*asked, return_exceptions=True))
    assert known._asking == {}
    service.close()


def test_a_refused_call_has_the_status_of_its_code(server: Running) -> None:
    with pytest.raises(APIStatusError) as caught:
        server.client("scopes", "ingest").limits.list()
    assert caught.value.body == {
        "statusCode": 403,
        "message": caught.value.body["message"],  # type: ignore[index]
        "xproxy_error": {"code": "insufficient_key_scope", "message": caught.value.body["message"]},  # type: ignore[index]
    }
