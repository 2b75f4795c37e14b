"""What a caller gets wrong is named by us, the same over HTTP and embedded: no error of a library, nothing done silently."""

from __future__ import annotations

import importlib
import socket
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import APIConnectionError, APIResponseValidationError, APITimeoutError, BadRequestError, PayiError

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT: dict[str, Any] = {"category": "c", "units": {"text": {"input": 1}}}


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else "sqlite://"


BAD_URLS = [
    *("localhost:8000", "ftp://meter.example.com", "meter.example.com", "https://", "//meter", "https://[::1"),
    *("https://host:port", "http://host:99999", "https://\ud800", "https://host\n", "https://a..b", "https:///x"),
    *("https://host?key=1", "https://host#x", "https://" + "a" * 64, "https://host/" + "a" * 70_000),
]


@pytest.mark.parametrize("bad", BAD_URLS, ids=range(len(BAD_URLS)))
def test_a_base_url_that_leads_nowhere_is_named_at_once(caller: Caller, bad: str) -> None:
    with pytest.raises(ValueError, match=r"^base_url: "):
        caller.open(bad)
    client = caller.open("sqlite://")
    with pytest.raises(ValueError, match=r"^base_url: "):
        client.copy(base_url=bad)


@pytest.mark.parametrize("good", ["http://127.0.0.1:1", "https://ä.example.com/x/", "http://[::1]:80", "HTTPS://h."])
def test_a_base_url_may_be_any_that_http_has(caller: Caller, good: str) -> None:
    assert caller.open(good).base_url.startswith(good[:8])


@pytest.mark.parametrize("bad", ["schlüssel", "key\n", " key", "a\0b", "\ud800"])
def test_a_key_that_no_header_carries_is_named_and_not_shown(
    caller: Caller, server: LoopbackMeter, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in ({"api_key": bad}, {"api_key": None}):
        if "\0" not in bad and "\ud800" not in bad:
            monkeypatch.setenv("PAYI_API_KEY", bad)
        elif options["api_key"] is None:
            continue
        with pytest.raises(ValueError, match=r"^api_key") as caught:
            caller.open(server.url, **options)
        assert bad not in str(caught.value)
        assert repr(bad) not in str(caught.value)
    assert caller.open("sqlite://", api_key=bad).is_closed() is False


BAD_HEADERS: list[tuple[dict[Any, Any], type[Exception], str]] = [
    ({"X-A": 5}, TypeError, "X-A: 5 is a int"),
    ({"xProxy-User-ID": b"u"}, TypeError, "xProxy-User-ID: b'u' is a bytes"),
    ({"xProxy-Limit-IDs": ["a"]}, TypeError, "xProxy-Limit-IDs: .* is a list"),
    ({"xProxy-User-ID": "a\r\nX: y"}, ValueError, "xProxy-User-ID: .* holds a line break"),
    ({"xProxy-Limit-IDs": "a\nb"}, ValueError, "xProxy-Limit-IDs: .* holds a line break"),
    ({"xProxy-User-ID": "\ud800"}, ValueError, "xProxy-User-ID: .* half a character"),
    ({"X-A": "a\nb"}, ValueError, "X-A: 'a.*nb' is not printable ASCII"),
    ({"X-A": "ä"}, ValueError, "X-A: 'ä' is not printable ASCII"),
    ({"X-A": " a"}, ValueError, "X-A: "),
    ({"Authorization": "geheim-ä"}, ValueError, "Authorization: <redacted> is not printable ASCII"),
    ({"X A": "a"}, ValueError, "'X A' is no name for a header"),
    ({5: "a"}, ValueError, "5 is no name for a header"),
]


@pytest.mark.parametrize(("headers", "kind", "text"), BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_a_header_that_can_not_be_sent_is_named(
    caller: Caller, url: str, server: LoopbackMeter, *, headers: dict[Any, Any], kind: type[Exception], text: str
) -> None:
    caller.open(url)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("ingest.units", (), {**EVENT, "extra_headers": headers}),
        ("limits.list", (), {"extra_headers": headers}),
        ("get", ("/api/v1/limits",), {"cast_to": object, "options": {"headers": headers}}),
    ]
    for name, arguments, more in calls:
        with pytest.raises(kind, match=text):
            caller(name, *arguments, **more)
    assert server.asked == []
    if 5 not in headers:
        with pytest.raises(kind, match=text):
            caller.open(url, default_headers=headers)
        with pytest.raises(kind, match=text):
            caller.client.copy(default_headers=headers)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("-Infinity"), Decimal("NaN"), Decimal("sNaN")])
def test_a_number_that_json_has_none_for_is_refused(
    caller: Caller, url: str, server: LoopbackMeter, number: float
) -> None:
    caller.open(url)
    with pytest.raises((ValueError, BadRequestError), match=r"body\.max is |max: "):
        caller("limits.create", limit_name="n", max=number)
    units = {"text": {"input_price": number}}
    with pytest.raises((ValueError, BadRequestError), match="input_price"):
        caller("categories.resources.create", "m", category="c", units=units)
    wrong = {"event_id": "e", "units": {"text": {"input": number}}}
    with pytest.raises((ValueError, BadRequestError), match=r"body\[0\]\.units\.text\.input is |units\.text\.input: "):
        caller("ingest.bulk", events=[EVENT | wrong])
    assert [asked for asked in server.asked if b"NaN" in asked.content or b"Infinity" in asked.content] == []


def test_half_a_character_is_named_where_a_url_would_have_to_carry_it(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    with pytest.raises(ValueError, match=r"^limit_id: .* half a character"):
        caller("limits.retrieve", "a\ud800")
    with pytest.raises(ValueError, match=r"^cursor: .* half a character"):
        caller("limits.list", cursor="\udfff")
    with pytest.raises(ValueError, match=r"^id: .* half a character"):
        caller("ingest.units", **EVENT, provider_response_id="\ud800")
    with pytest.raises(ValueError, match=r"limits\.retrieve: .* make no URL"):
        caller("limits.retrieve", "a" * 70_000)
    assert server.asked == []


def test_half_a_character_in_a_body_goes_out_as_json_has_it(caller: Caller, url: str) -> None:
    caller.open(url)
    with pytest.raises(BadRequestError) as caught:
        caller("limits.create", limit_name="\ud800", max=1)
    assert caught.value.code is not None


@pytest.mark.parametrize("path", ["/api/v1/\ud800", "/api/v1/a\nb", "/api/v1/\x7f"])
def test_a_path_that_no_url_carries_is_named(caller: Caller, url: str, path: str) -> None:
    caller.open(url)
    with pytest.raises(ValueError, match=r"^path: "):
        caller("get", path, cast_to=object)


def test_an_embedded_meter_has_no_use_for_an_http_client(caller: Caller, server: LoopbackMeter) -> None:
    http = importlib.import_module(caller.library)
    own = (http.AsyncClient if caller.awaited else http.Client)()
    with pytest.raises(ValueError, match="http_client: base_url='sqlite://' is an embedded meter"):
        caller.open("sqlite://", http_client=own)
    client = caller.open("sqlite://")
    with pytest.raises(ValueError, match="http_client: "):
        client.copy(http_client=own)
    remote = caller.open(server.url, http_client=own)
    with pytest.raises(ValueError, match="http_client: "):
        remote.copy(base_url="sqlite://", http_client=own)
    caller.wait(own.aclose if caller.awaited else own.close)


@pytest.mark.parametrize(
    ("tags", "kind", "text"),
    [
        ("abc", TypeError, "request_tags: 'abc' is a str, expected a list of str"),
        ([5], TypeError, "request_tags: 5 is a int, expected a list of str"),
        (["a,b"], ValueError, "request_tags: 'a,b' holds a comma"),
    ],
)
def test_tags_are_a_list(caller: Caller, url: str, tags: Any, kind: type[Exception], text: str) -> None:
    caller.open(url)
    with pytest.raises(kind, match=text):
        caller("ingest.units", **EVENT, request_tags=tags)
    with pytest.raises(kind, match=text):
        caller("ingest.bulk", events=[EVENT | {"request_tags": tags}])


@pytest.mark.parametrize("moment", ["1700000000", "20240101", 5, 1.5])
def test_a_time_is_no_number(caller: Caller, url: str, moment: Any) -> None:
    caller.open(url)
    units = {"text": {"input_price": 1}}
    with pytest.raises(BadRequestError, match=r"event_timestamp: .* ISO 8601"):
        caller("ingest.units", **EVENT, event_timestamp=moment)
    with pytest.raises(BadRequestError, match=r"start_timestamp: .* ISO 8601"):
        caller("categories.resources.create", "m", category="c", units=units, start_timestamp=moment)
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    with pytest.raises(BadRequestError, match=r"resetDate: .* ISO 8601"):
        caller("limits.reset", "a", reset_date=moment)


@pytest.mark.parametrize("results", [True, "true", [True]])
def test_the_results_of_a_bulk_call_are_asked_for_in_any_spelling(caller: Caller, url: str, results: Any) -> None:
    caller.open(url)
    answer = caller("ingest.bulk", events=[EVENT | {"event_id": "e"}], extra_query={"results": results})
    assert answer.results is not None


@pytest.mark.parametrize("results", [["a", "b"], "maybe"])
def test_a_query_that_is_neither_true_nor_false_is_refused(caller: Caller, url: str, results: Any) -> None:
    caller.open(url)
    with pytest.raises(BadRequestError, match="results: "):
        caller("ingest.bulk", events=[EVENT], extra_query={"results": results})


def test_an_empty_answer_where_nothing_changed_is_none(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(204, content=b"")
    for name in ("use_cases.definitions.update", "limits.retrieve"):
        caller.open(server.url)
        assert caller(name, "u") is None
    caller.open(server.url, _strict_response_validation=True)
    with pytest.raises(APIResponseValidationError):
        caller("use_cases.definitions.update", "u", description="d")
    assert caller("use_cases.kpis.update", "k", use_case_name="u", use_case_id="i", score=1) is None


@pytest.fixture(params=["stalls", "breaks"])
def broken(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str]]:
    """A server that promises a body and does not send it whole: it says nothing more, or hangs up."""
    done = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            asked = connection.recv(65_536)
            status = b"503 Busy" if b"failing" in asked else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\ncontent-length: 100\r\n\r\n{")
            if request.param == "stalls":
                done.wait(10)
            connection.close()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", request.param, ""
    done.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("read", ["parse", "read", "text", "json", "iter_bytes", "iter_text", "iter_lines"])
def test_a_body_that_breaks_off_is_an_error_of_ours(caller: Caller, broken: tuple[str, str, str], read: str) -> None:
    base_url, how, _ = broken
    client = caller.open(base_url, timeout=0.2, max_retries=0)

    async def walked(response: Any) -> list[Any]:
        return [piece async for piece in getattr(response, read)()]

    def used(response: Any) -> Any:
        if not read.startswith("iter"):
            return getattr(response, read)()
        return walked(response) if caller.awaited else list(getattr(response, read)())

    for call in (client.limits.with_streaming_response.list, lambda: _failing(client)):
        with pytest.raises(APIConnectionError) as caught:
            caller.inside(call(), used)
        assert isinstance(caught.value, APITimeoutError) is (how == "stalls")
        assert type(caught.value.__cause__).__module__.partition(".")[0] == caller.library
        assert caught.value.request is not None
    with pytest.raises(APIConnectionError):
        caller("limits.list")


def _failing(client: Any) -> Any:
    return client.limits.with_streaming_response.retrieve("failing")


def test_a_body_is_read_once_inside_its_block(caller: Caller, server: LoopbackMeter) -> None:
    client = caller.open(server.url)
    late = caller.inside(client.limits.with_streaming_response.list(), lambda response: response)
    with pytest.raises(PayiError, match="its block has ended"):
        caller.wait(late.read)
