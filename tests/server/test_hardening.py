"""What a hostile client sends: after each the server answers on, and nothing is stored but what it said it stored."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from running import Running, ledger_of
from wired import KEY, Answer, request

from payi_instrument.engine.schema import metadata
from payi_instrument.errors import BadRequestError, NotFoundError
from payi_instrument.server.protocol import MAX_HEAD

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

EVENT: dict[str, Any] = {"category": "system.openai", "resource": None, "units": {}}
BODY = json.dumps(EVENT).encode()
JSON = ("content-type", "application/json")
LIMITS = "/api/v1/limits"
INGEST = "/api/v1/ingest"

INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE limits; --",
    '"; DELETE FROM events; --',
    "x') ON CONFLICT DO NOTHING; UPDATE limits SET max = 1; --",
    "'||(SELECT secret_hash FROM api_keys LIMIT 1)||'",
    "1; SELECT pg_sleep(30); --",
    "%' OR 1=1 --",
    "%",
    "_____",
    "\\",
    "\\'; --",
    "$1 %s %(x)s :x ? {0} {application}",
    "$$; DROP TABLE events; $$",
    "/* x */ -- #",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "\u202etxt.\u00e4\u6f22\U0001f600",
    "NULL",
]


def census(server: Running) -> dict[str, int]:
    """Count what is stored, but for replies, which are kept of refusals too; fails when a table is gone."""
    counts = (
        f"SELECT '{table}', count(*) FROM {table} WHERE '{table}' <> 'idempotency_keys'" for table in metadata.tables
    )
    return dict(server.rows(" UNION ALL ".join(counts)))


@contextmanager
def nothing_stored(server: Running) -> Generator[None]:
    before = census(server)
    yield
    assert census(server) == before


@pytest.fixture(autouse=True)
def answers_on(server: Running) -> Iterator[None]:
    """Whatever a test did, the server takes an event and every table is there."""
    yield
    before = census(server)["events"]
    assert server.ask("POST", INGEST, BODY).status == 200
    assert census(server)["events"] == before + 1


def ended(server: Running, data: bytes) -> Answer:
    """Send something that is to be refused, and expect that the connection ends there."""
    with server.wire() as wire:
        answer = wire.ask(data)
        assert answer.headers["connection"] == "close"
        assert wire.is_closed()
    return answer


# --- SQL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_in_a_limit_is_a_text(server: Running, text: str) -> None:
    client = server.client("injected")
    made = client.limits.create(limit_name=text, max=1, properties={text: text}).limit

    assert [limit.limit_id for limit in client.limits.list(limit_name=text)] == [made.limit_id]
    found = client.limits.retrieve(made.limit_id).limit
    assert (found.limit_name, found.properties) == (text, {text: text})
    if ":" not in text:
        assert [limit.limit_id for limit in client.limits.list(extra_query={"property": f"{text}:{text}"})] == [
            made.limit_id
        ]
    assert client.limits.update(made.limit_id, limit_name=f"{text}.").limit.limit_name == f"{text}."
    client.limits.delete(made.limit_id)
    assert list(client.limits.list(limit_name=f"{text}.")) == []


@pytest.mark.parametrize("text", [text for text in INJECTIONS if text.isascii() and "," not in text])
def test_a_text_as_the_id_of_a_limit_is_a_text(server: Running, text: str) -> None:
    client = server.client("injected")
    client.limits.create(limit_name=f"id {text}", limit_id=text, max=1)
    result = client.ingest.units(**EVENT, limit_ids=[text]).xproxy_result

    assert result.limits is not None
    assert result.limits.keys() == {text}
    assert client.limits.retrieve(text).limit.totals.requests.total == 1
    client.limits.reset(text)
    assert client.limits.retrieve(text).limit.totals.requests.total == 0
    client.limits.delete(text)


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_in_a_price_is_a_text(server: Running, text: str) -> None:
    client = server.client("injected")
    price = {"text": {"input_price": 1}}
    version = client.categories.resources.create(
        text, category=text, units=price, start_timestamp="2024-01-01T00:00:00Z"
    )

    assert text in {item.category for item in client.categories.list()}
    assert [item.resource for item in client.categories.list_resources(text)] == [text]
    assert client.categories.resources.retrieve(version.resource_id, category=text, resource=text) == version
    event = client.ingest.units(category=text, resource=text, units={"text": {"input": 2}})
    assert event.xproxy_result.cost is not None
    assert event.xproxy_result.cost.total.base == 2
    assert [item.resource_id for item in client.categories.delete(text)] == [version.resource_id]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_in_a_kpi_is_a_text(server: Running, text: str) -> None:
    client = server.client("injected")
    client.use_cases.definitions.create(name="injected", description="d")
    kpis = client.use_cases.definitions.kpis
    kpis.create("injected", name=text, description=text, kpi_type="number", goal=1)
    run = client.use_cases.create("injected").use_case_id
    client.use_cases.kpis.update(text, use_case_name="injected", use_case_id=run, score=3)

    assert kpis.retrieve(text, use_case_name="injected").description == text
    assert [kpi.name for kpi in kpis.list("injected", kpi_name=text)] == [text]
    [score] = client.use_cases.kpis.list(run, use_case_name="injected", kpi_name=text)
    assert (score.kpi_name, score.score) == (text, 3)
    kpis.delete(text, use_case_name="injected")


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_in_an_event_is_a_text(server: Running, text: str) -> None:
    client = server.client("injected")
    attribution: dict[str, Any] = {
        "use_case_name": "texts",
        "use_case_id": text,
        "use_case_step": text,
        "user_id": text,
        "account_name": text,
    }
    event = client.ingest.units(
        **{**EVENT, "category": text, "units": {text: {"input": 1}}},
        **attribution,
        provider_response_id=text,
        properties={text: text},
        use_case_properties={text: text},
    )

    answered = event.xproxy_result.model_dump()
    assert {name: answered[name] for name in attribution} == attribution
    found = client.requests.response_id.result.retrieve(text, category=text).xproxy_result
    assert (found.request_id, found.user_id) == (event.request_id, text)
    [row] = [row for row in server.rows("SELECT request_id, properties FROM events") if row[0] == event.request_id]
    assert json.loads(row[1]) == {text: text}
    assert client.use_cases.retrieve(text, use_case_name="texts").use_case_id == text
    client.requests.request_id.properties.update(event.request_id, properties={text: None})
    client.use_cases.delete(text, use_case_name="texts")


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_that_names_nothing_finds_nothing(server: Running, text: str) -> None:
    client = server.client("empty")
    with nothing_stored(server):
        for call in (
            lambda: client.limits.retrieve(text),
            lambda: client.limits.update(text, max=2),
            lambda: client.limits.delete(text),
            lambda: client.limits.reset(text),
            lambda: client.categories.delete(text),
            lambda: client.categories.delete_resource(text, category=text),
            lambda: client.categories.resources.retrieve(text, category=text, resource=text),
            lambda: client.use_cases.definitions.retrieve(text),
            lambda: client.use_cases.definitions.delete(text),
            lambda: client.use_cases.retrieve(text, use_case_name=text),
            lambda: client.requests.request_id.result.retrieve(text),
            lambda: client.requests.response_id.result.retrieve(text, category=text),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert list(client.limits.list(limit_name=text)) == []
        assert list(client.use_cases.definitions.list(use_case_name=text)) == []


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_where_none_belongs_is_refused(server: Running, text: str) -> None:
    client = server.client("injected")
    with nothing_stored(server):
        for call in (
            lambda: client.limits.list(cursor=text),
            lambda: client.categories.list(cursor=text),
            lambda: client.limits.list(extra_query={"limit": text}),
            lambda: client.limits.list(extra_query={"sort_ascending": text}),
            lambda: client.categories.list(extra_query={"Active": text}),
            lambda: client.limits.list(extra_query={text: "1"}),
            lambda: client.limits.reset("a", reset_date=text),
            lambda: client.use_cases.definitions.create(name=f"{text} ", description="d"),
            lambda: client.ingest.units(**EVENT, use_case_name=f"{text} "),
            lambda: client.ingest.units(**EVENT, event_timestamp=text),
            lambda: client.limits.create(limit_name="n", max=1, limit_type=text),  # type: ignore[arg-type]
        ):
            with pytest.raises(BadRequestError):
                call()


# --- paths ---------------------------------------------------------------------------------------------------------

TRAVERSALS = [
    *("/../../etc/passwd", "/api/../../etc/passwd", "/api/v1/../../../etc/passwd", "/docs/../../etc/passwd"),
    *("/%2e%2e/%2e%2e/etc/passwd", "/api/v1/limits/..", "/api/v1/limits/../../..", "/api/v1/%2e%2e/%2e%2e/etc/passwd"),
    *(
        "/api/v1/limits/..%2f..%2fetc%2fpasswd",
        "/api/v1/limits/%2e%2e%2f%2e%2e",
        "/api/v1/limits/..%5c..%5c",
        "//etc/passwd",
    ),
    *(
        "/api/v1/limits/....//....//etc/passwd",
        "/api/v1/limits/%252e%252e%252f",
        "/openapi.json/../docs",
        "/docs%00.html",
    ),
    *("/api/v1/limits/file:%2f%2f%2fetc%2fpasswd", "/api/v1/limits/%c0%ae%c0%ae%c0%af", "/static/..", "/.git/config"),
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_path_leads_nowhere_but_where_the_table_says(server: Running, path: str) -> None:
    with nothing_stored(server):
        for method in ("GET", "DELETE", "PUT"):
            answer = server.ask(method, path)
            assert answer.status in {400, 404, 405}
            assert b"root:" not in answer.body


def test_a_path_is_not_redirected_to_where_a_header_says(server: Running) -> None:
    for path in ("/healthz/", "/docs/", "/api/v1/limits/", "//evil.example/%2e%2e", "/metrics/"):
        answer = server.ask("GET", path, host="evil.example", x_forwarded_host="evil.example")
        assert answer.status == 404
        assert "location" not in answer.headers


# --- heads ---------------------------------------------------------------------------------------------------------


def smuggled(server: Running) -> bytes:
    """A request that must not be taken for one: it hides in another's body."""
    return request("POST", LIMITS, b'{"limit_name":"smuggled","max":1}', [(KEY, server.key())])


def framings() -> dict[str, list[tuple[str, str]]]:
    """Headers that leave open where a body ends."""
    return {
        "two lengths": [("content-length", "0"), ("content-length", "{size}")],
        "one length twice": [("content-length", "{size}"), ("content-length", "{size}")],
        "a list of lengths": [("content-length", "{size}, {size}")],
        "length and chunks": [("content-length", "{size}"), ("transfer-encoding", "chunked")],
        "chunks and length": [("transfer-encoding", "chunked"), ("content-length", "{size}")],
        "chunks twice": [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        "chunks not last": [("transfer-encoding", "chunked, identity")],
        "half chunked": [("transfer-encoding", "xchunked")],
        "identity": [("transfer-encoding", "identity")],
        "space before the colon": [("content-length ", "0")],
        "tab before chunked": [("transfer-encoding", "\x0bchunked")],
        "a sign": [("content-length", "+0")],
        "a negative length": [("content-length", "-1")],
        "a hexadecimal length": [("content-length", "0x0")],
        "an endless length": [("content-length", "9" * 40)],
    }


@pytest.mark.parametrize("framing", framings())
def test_a_body_whose_end_is_in_doubt_is_refused(server: Running, framing: str) -> None:
    hidden = b"0\r\n\r\n" + smuggled(server)
    headers = [(name, value.format(size=len(hidden))) for name, value in framings()[framing]]
    with nothing_stored(server):
        answer = ended(server, request("POST", INGEST, hidden, [(KEY, server.key()), *headers]))
    assert answer.status == 400


@pytest.mark.parametrize("size", ["-1", "0x5", "5 5", "fffffffffffffffff", "", "+5"])
def test_a_chunk_of_a_doubtful_size_is_refused(server: Running, size: str) -> None:
    body = f"{size}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"
    with nothing_stored(server):
        ended(server, request("POST", INGEST, body, [(KEY, server.key()), ("transfer-encoding", "chunked")]))


@pytest.mark.parametrize(
    "value",
    ["a\r\n b", "a\r\n\tb", "a\rb", "a\nb", "a\0b", "a\x01b", "a\x7fb", "a\nxProxy-Account-Name: eve", "a\r\rb"],
    ids=repr,
)
def test_a_header_of_more_than_one_line_is_refused(server: Running, value: str) -> None:
    with nothing_stored(server):
        answer = ended(server, request("POST", INGEST, BODY, [(KEY, server.key()), ("xProxy-User-ID", value)]))
    assert answer.status == 400


@pytest.mark.parametrize("name", ["", " ", "x y", "x\0", "(x)", "x\t", "ä"], ids=repr)
def test_a_header_without_a_proper_name_is_refused(server: Running, name: str) -> None:
    with nothing_stored(server):
        ended(server, request("POST", INGEST, BODY, [(KEY, server.key()), (name, "x")]))


@pytest.mark.parametrize("name", ["xProxy-Limit-IDs", "xProxy-User-ID", "xProxy-Event-ID", "Idempotency-Key"])
def test_a_header_of_ours_is_there_once(server: Running, name: str) -> None:
    twice = [(KEY, server.key()), (name.upper(), "a"), (name.lower(), "b")]
    with nothing_stored(server), server.wire() as wire:
        answer = wire.ask(request("POST", INGEST, BODY, twice))
    assert (answer.status, answer.code) == (400, "request_processing_error")


def test_of_two_keys_none_is_taken(server: Running) -> None:
    for keys in ([server.key(), "other"], ["other", server.key()], [server.key(), server.key()]):
        with nothing_stored(server), server.wire() as wire:
            assert wire.ask(request("POST", INGEST, BODY, [(KEY, key) for key in keys])).status == 400


def test_a_header_behind_the_body_is_none(server: Running) -> None:
    def chunked(trailer: str, *headers: tuple[str, str]) -> bytes:
        body = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(BODY), BODY, trailer.encode())
        return request("POST", INGEST, body, [("transfer-encoding", "chunked"), *headers])

    with server.wire() as wire:
        answer = wire.ask(chunked("xProxy-User-ID: eve", (KEY, server.key())))
        assert answer.json["xproxy_result"]["user_id"] is None
        assert wire.ask(chunked(f"{KEY}: {server.key()}")).status == 401


def test_a_body_of_another_protocol_is_no_request(server: Running) -> None:
    hidden = smuggled(server)
    headers = [(KEY, server.key()), ("connection", "Upgrade"), ("upgrade", "h2c")]
    with nothing_stored(server):
        head = request("POST", INGEST, headers=[*headers, ("content-length", str(len(hidden)))])
        with server.wire() as wire:
            assert wire.ask(head).status == 400
            assert wire.is_closed()


def test_another_protocol_is_not_spoken(server: Running) -> None:
    for protocol in ("websocket", "h2c"):
        headers = [("connection", "Upgrade"), ("upgrade", protocol), ("sec-websocket-key", "x")]
        assert ended(server, request("GET", "/healthz", headers=headers)).status == 200
    assert ended(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 400
    assert ended(server, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n").status == 400
    assert ended(server, b"CONNECT meter:80 HTTP/1.1\r\nhost: meter\r\n\r\n").status == 400


@pytest.mark.parametrize(
    "large",
    [
        request("GET", "/healthz", headers=[("x", "y" * MAX_HEAD)]),
        request("GET", "/healthz", headers=[(f"x{number}", "y" * 1000) for number in range(70)]),
        request("GET", "/healthz", headers=[(f"x{number}", "") for number in range(20_000)]),
        request("GET", f"/healthz?{'x' * MAX_HEAD}"),
        b"GET /healthz HTTP/1.1\r\nx: " + b"y" * (4 * MAX_HEAD),
        b"GET /" + b"x" * (4 * MAX_HEAD),
        b"x" * (4 * MAX_HEAD),
    ],
    ids=["a value", "many values", "many names", "a query", "an endless value", "an endless path", "an endless method"],
)
def test_a_head_over_64_kib_is_refused(server: Running, large: bytes) -> None:
    with server.wire() as wire:
        answer = wire.ask(large)
        assert wire.is_closed()

    assert answer.status in {400, 431}
    assert answer.status == 431 or large.startswith(b"xxx")


def test_a_head_of_up_to_64_kib_is_read(server: Running) -> None:
    ids = ",".join(f"{number:0128}" for number in range(128))
    answer = server.ask("POST", INGEST, BODY, xProxy_Limit_IDs=ids, x=f"{'y' * (MAX_HEAD - len(ids) - 1000)}")

    assert answer.status == 200
    assert len(answer.json["xproxy_result"]["warnings"]) >= 1


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"x: y\r\n" * 40_000, b"0\r\nx: " + b"y" * (4 * MAX_HEAD), b"1;" + b"x" * (4 * MAX_HEAD)]
)
def test_what_goes_with_a_body_is_not_endless_either(server: Running, endless: bytes) -> None:
    head = request("POST", "/api/v1/nothing", headers=[(KEY, server.key()), ("transfer-encoding", "chunked")])
    with nothing_stored(server), server.wire() as wire:
        assert wire.ask(head).status == 404
        answer = wire.ask(endless)
        assert answer.status == 431
        assert wire.is_closed()


# --- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "GZIP", "identity, gzip", "*"]
)
@pytest.mark.parametrize("path", [INGEST, "/api/v1/ingest/bulk", LIMITS])
def test_a_compressed_body_is_refused_unread(server: Running, coding: str, path: str) -> None:
    head = [(KEY, server.key()), JSON, ("content-encoding", coding), ("content-length", "1000")]
    with nothing_stored(server), server.wire() as wire:
        assert wire.ask(request("POST", path, headers=head)).status == 415


def test_a_bomb_is_not_unpacked(server: Running) -> None:
    zeros = b"[" + b" " * (64 << 20) + b"]"
    for coding, bomb in (("gzip", gzip.compress(zeros)), ("deflate", zlib.compress(zeros))):
        with nothing_stored(server):
            assert server.ask("POST", INGEST, bomb, content_encoding=coding).status == 415
            assert server.ask("POST", INGEST, bomb).code == "invalid_json"
            headers = [(KEY, server.key()), ("transfer-encoding", f"{coding}, chunked")]
            with server.wire() as wire:
                assert wire.ask(request("POST", INGEST, b"0\r\n\r\n", headers)).status == 415


def test_a_body_over_the_cap_is_refused_before_it_comes(server: Running) -> None:
    for size in (server.settings.max_body + 1, 1 << 40):
        for path in (INGEST, "/api/v1/ingest/bulk", LIMITS):
            head = [(KEY, server.key()), ("content-length", str(size)), ("expect", "100-continue")]
            with nothing_stored(server), server.wire() as wire:
                answer = wire.ask(request("POST", path, headers=head))
                assert (answer.status, answer.code) == (413, "payload_too_large")


def test_a_body_of_unknown_length_is_refused_when_it_passes_the_cap(server: Running) -> None:
    head = request("POST", INGEST, headers=[(KEY, server.key()), JSON, ("transfer-encoding", "chunked")])
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with nothing_stored(server), server.wire() as wire:
        wire.send(head + chunk * (server.settings.max_body // 0x10000 + 1))  # its end never comes
        answer = wire.answer()
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_a_body_at_the_cap_is_read(server: Running) -> None:
    full = BODY.ljust(server.settings.max_body)

    assert server.ask("POST", INGEST, full).status == 200
    with nothing_stored(server):
        assert server.ask("POST", INGEST, full + b" ").status == 413


def test_a_body_is_read_to_its_end_before_the_next_request(server: Running) -> None:
    hidden = smuggled(server)
    with nothing_stored(server), server.wire() as wire:
        wire.send(request("POST", "/api/v1/nothing", hidden, [(KEY, server.key())]) + request("GET", "/healthz"))
        assert [wire.answer().status, wire.answer().status] == [404, 200]


@pytest.mark.parametrize("sent", [0, 1, len(BODY) // 2, len(BODY) - 1])
def test_a_body_that_breaks_off_is_no_event(server: Running, sent: int) -> None:
    chunked, counted = ("transfer-encoding", "chunked"), ("content-length", str(len(BODY)))
    with nothing_stored(server):
        for framing, begun in ((counted, b""), (chunked, b"%x\r\n" % len(BODY))):
            head = request("POST", INGEST, headers=[(KEY, server.key()), JSON, framing])
            with server.wire() as wire:
                wire.send(head + begun + BODY[:sent])
            with server.wire() as wire:  # only half of the connection is closed
                wire.send(head + begun + BODY[:sent])
                wire.half_close()
                assert wire.is_closed()


def test_a_body_may_come_byte_by_byte(server: Running) -> None:
    data = request("POST", INGEST, BODY, [(KEY, server.key())])
    with server.wire() as wire:
        for byte in data:
            wire.send(bytes([byte]))
        assert wire.answer().status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", INGEST, BODY, 200),
        ("GET", "/healthz", None, 200),
        ("GET", "/nowhere", None, 404),
        ("GET", LIMITS, None, 401),
    ],
)
def test_a_client_that_has_said_everything_is_answered(
    server: Running, method: str, path: str, body: bytes | None, status: int
) -> None:
    key = [] if status == 401 else [(KEY, server.key())]
    for _ in range(5):  # it matters what the server hears first
        with server.wire() as wire:
            wire.send(request(method, path, body, key))
            wire.half_close()
            assert wire.answer().status == status
            assert wire.is_closed()


# --- JSON ----------------------------------------------------------------------------------------------------------

HALF = "\\ud800"
"""Half a character, as JSON text can have it."""
BODIES = {
    INGEST: '{"category":"system.openai","resource":null,"units":{"text":{"input":1}},"MEMBER":VALUE}',
    "/api/v1/ingest/bulk": '[{"category":"system.openai","resource":null,"units":{"text":{"input":1}},"MEMBER":VALUE}]',
    LIMITS: '{"limit_name":"json","max":1,"MEMBER":VALUE}',
    "/api/v1/categories/json/resources/json": '{"units":{"text":{"input_price":1}},"MEMBER":VALUE}',
    "/api/v1/use_cases/definitions": '{"name":"json","description":"d","MEMBER":VALUE}',
}
MEMBERS = {
    INGEST: ["category", "resource", "provider_response_id", "properties", "units", "event_timestamp", "unknown"],
    "/api/v1/ingest/bulk": ["user_id", "limit_ids", "use_case_name", "use_case_id", "event_id", "use_case_version"],
    LIMITS: ["limit_name", "limit_id", "max", "threshold", "limit_type", "properties"],
    "/api/v1/categories/json/resources/json": ["units", "max_input_units", "start_timestamp"],
    "/api/v1/use_cases/definitions": ["name", "description", "limit_config", "logging_enabled"],
}
PLACES = [(path, member) for path, members in MEMBERS.items() for member in members]


def with_member(path: str, member: str, value: str) -> bytes:
    return BODIES[path].replace("MEMBER", member).replace("VALUE", value).encode()


def is_sound(answer: Answer) -> bool:
    """Say whether an answer is a success or a refusal that is documented, and JSON a reader can take."""
    return answer.status < 500 and (not answer.body or json.dumps(answer.json) != "")


@pytest.mark.parametrize(("path", "member"), PLACES)
def test_texts_that_no_database_holds_are_refused_or_repaired(server: Running, path: str, member: str) -> None:
    for text in ("\\u0000", "a\\u0000b", HALF, f"a{HALF}", "\\udc00\\ud800", "\\uffff", "\\u0001", "\\u2028"):
        for value in (f'"{text}"', f'{{"{text}":"{text}"}}', f'["{text}"]'):
            assert is_sound(server.ask("POST", path, with_member(path, member, value))), value
            server.ask("DELETE", "/api/v1/categories/json")


@pytest.mark.parametrize("text", ["%00", "a%00b", "%ed%a0%80", "%ff", "%c0%80"])
def test_texts_that_no_database_holds_are_found_nowhere(server: Running, text: str) -> None:
    with nothing_stored(server):
        for path in ("limits/T", "categories/T/resources", "use_cases/definitions/T", "requests/T/result"):
            assert server.ask("GET", f"/api/v1/{path.replace('T', text)}").status in {400, 404}
        for query in ("limit_name=T", "property=T:T", "cursor=T"):
            assert server.ask("GET", f"{LIMITS}?{query.replace('T', text)}").status in {200, 400}
        assert server.ask("GET", f"/api/v1/use_cases/definitions?use_case_name={text}").status in {200, 400}


@pytest.mark.parametrize(
    "name", ["User-ID", "Account-Name", "UseCase-Step", "UseCase-ID", "Limit-IDs", "Event-ID", "Request-Tags"]
)
def test_headers_that_no_database_holds_are_refused_or_repaired(server: Running, name: str) -> None:
    for text in ("%00", "a%00b", "%ed%a0%80", "%ff"):
        headers = {f"xProxy_{name}": text, "xProxy_Encoding": "percent", "xProxy_UseCase_Name": "headers"}
        assert is_sound(server.ask("POST", INGEST, BODY, **headers)), text


@pytest.mark.parametrize("path", BODIES)
def test_json_of_any_depth_is_refused(server: Running, path: str) -> None:
    deep = 150_000  # that fits into the cap
    with nothing_stored(server):
        for opens, closes in (("[", "]"), ('{"a":', "}")):
            for text in (opens * deep, opens * (deep // 2) + "1" + closes * (deep // 2)):
                for body in (text.encode(), with_member(path, "unknown", text)):
                    assert server.ask("POST", path, body).status == 400


def test_json_a_million_deep_is_refused(server: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    ledger = ledger_of("sqlite", tmp_path_factory)
    large = Running(ledger)
    for path in BODIES:
        assert large.ask("POST", path, b"[" * 1_000_000).code == "invalid_json"
    assert large.ask("POST", INGEST, BODY).status == 200
    large.stop()


NUMBERS = [
    *("1e400", "-1e400", "1e-400", "9" * 5000, "9" * 4000, f"1.{'1' * 4000}", "0e999999999", "-0", "1E+2", "1.0"),
    *("18446744073709551616", "0.1e1"),
    *("1e1000000000", "1e-1000000000", f"-1e{10**20}"),
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24])
def test_numbers_of_any_size_are_read_or_refused(server: Running, number: str) -> None:
    for path, member in PLACES:
        assert is_sound(server.ask("POST", path, with_member(path, member, number))), member
    for path, body in (
        (INGEST, '{"category":"system.openai","resource":null,"units":{"text":{"input":N}}}'),
        ("/api/v1/ingest/bulk", '[{"category":"system.openai","resource":null,"units":{"text":{"input":N}}}]'),
        ("/api/v1/categories/json/resources/json", '{"units":{"text":{"input_price":N}}}'),
    ):
        assert is_sound(server.ask("POST", path, body.replace("N", number).encode())), path
    for query in ("limit", "sort_ascending"):
        assert server.ask("GET", f"{LIMITS}?{query}={number}").status in {200, 400}
    server.ask("DELETE", "/api/v1/categories/json")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24])
def test_scores_and_goals_of_any_size_are_read_or_refused(server: Running, number: str) -> None:
    client = server.client()
    client.use_cases.definitions.create(name="numbers", description="d")
    run = client.use_cases.create("numbers").use_case_id
    kpis = "/api/v1/use_cases/definitions/numbers/kpis"
    for kind in ("number", "boolean", "percentage", "likert5"):
        client.use_cases.definitions.kpis.create("numbers", name=kind, description="d", kpi_type=kind, goal=1)
        score = f"/api/v1/use_cases/instances/numbers/{run}/kpis/{kind}"
        assert is_sound(server.ask("PUT", score, f'{{"score":{number}}}'.encode()))
        assert is_sound(server.ask("PUT", f"{kpis}/{kind}", f'{{"goal":{number}}}'.encode()))
        client.use_cases.definitions.kpis.update(kind, use_case_name="numbers", goal=1)
    client.use_cases.delete(run, use_case_name="numbers")
    assert is_sound(server.ask("GET", kpis))


def test_of_a_member_that_is_there_twice_the_last_counts(server: Running) -> None:
    body = b'{"limit_name":"first","limit_name":"last","max":1,"max":2,"properties":{"a":"b","a":"c"}}'
    assert server.ask("POST", LIMITS, body).json["limit"]["max"] == 2
    [limit] = server.client().limits.list(limit_name="last")
    assert (limit.max, limit.properties) == (2, {"a": "c"})
    event = b'{"category":"x","category":"system.openai","units":{"a":{}},"units":{"b":{"input":1,"input":2}}}'
    assert server.ask("POST", INGEST, event).json["xproxy_result"]["unknown_units"] == {"b": {"input": 2, "output": 0}}
    [item] = server.ask("POST", "/api/v1/ingest/bulk?results=true", b"[%s]" % event).json["results"]
    assert item["unknown_units"] == {"b": {"input": 2, "output": 0}}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"true", b"1", b'"text"', b"[]", b"{}", b"[[]]", b"[null]", b"\xef\xbb\xbf{}"]
)
def test_json_of_another_shape_is_refused(server: Running, path: str, body: bytes) -> None:
    with nothing_stored(server):
        answer = server.ask("POST", path, body)
    assert answer.status == (200 if (path, body) == ("/api/v1/ingest/bulk", b"[]") else 400)
