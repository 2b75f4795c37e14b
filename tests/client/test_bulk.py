"""Bulk calls: event ids where the meter takes them, and files of events replayed. Decision 5."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import APIConnectionError, BadRequestError, InternalServerError, Payi
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import INGEST_BULK

if TYPE_CHECKING:
    from pathlib import Path

EVENT: dict[str, Any] = {"category": "c", "units": {"text": {"input": 1}}}
BULK = "POST /api/v1/ingest/bulk"
ASK = "GET /api/v1/capabilities"


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else "sqlite://"


def ids(server: LoopbackMeter) -> list[str | None]:
    return [item.get("event_id") for item in server.last.json]


def test_items_get_event_ids_where_the_meter_takes_them(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    for _ in range(2):
        caller("ingest.bulk", events=[EVENT, EVENT | {"event_id": "mine"}, EVENT | {"provider_response_id": "p"}])
    caller.use(caller.client.with_options(timeout=5))
    caller("ingest.bulk", events=[EVENT])

    assert server.paths == [ASK, BULK, BULK, BULK]
    first, mine, named = [item.get("event_id") for item in server.asked[1].json]
    assert (len(first), mine, named) == (36, "mine", None)
    assert server.asked[2].json[0]["event_id"] != first
    assert len(ids(server)) == 1


@pytest.mark.parametrize("capable", [None, [], ["holds"]])
def test_a_plain_service_is_sent_no_member_of_ours(
    caller: Caller, server: LoopbackMeter, capable: list[str] | None
) -> None:
    server.capable = capable
    caller.open(server.url)
    for _ in range(2):
        caller("ingest.bulk", events=[EVENT])
        assert server.last.json == [EVENT]
    assert server.paths == [ASK, BULK, BULK]


def test_the_meter_is_not_asked_when_every_item_has_an_id(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    caller("ingest.bulk", events=[EVENT | {"event_id": "e"}])
    caller("ingest.bulk", events=[])

    assert server.paths == [BULK, BULK]


def test_a_meter_that_can_not_say_is_asked_again(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.extend([Answer(503), Answer(breaks=True)])
    caller.open(server.url, max_retries=0)
    with pytest.raises(APIConnectionError):
        caller("ingest.bulk", events=[EVENT])
    assert server.paths == [ASK, BULK]
    assert server.last.json == [EVENT]
    caller("ingest.bulk", events=[EVENT])
    assert server.paths == [ASK, BULK, ASK, BULK]
    assert ids(server) != [None]


@pytest.mark.parametrize("status", [408, 429, 500])
def test_a_meter_that_is_busy_is_asked_again(caller: Caller, server: LoopbackMeter, status: int) -> None:
    server.instead.append(Answer(status))
    caller.open(server.url, max_retries=0)
    for _ in range(2):
        caller("ingest.bulk", events=[EVENT])
    assert server.paths == [ASK, BULK, ASK, BULK]
    assert ids(server) != [None]


@pytest.mark.parametrize("content", [b"<html>", b'{"extensions": null}', b"[]"])
def test_an_answer_that_is_no_list_of_extensions_is_a_plain_services(
    caller: Caller, server: LoopbackMeter, content: bytes
) -> None:
    server.instead.append(Answer(200, content=content))
    caller.open(server.url)
    caller("ingest.bulk", events=[EVENT])
    assert server.last.json == [EVENT]


def test_a_retried_bulk_counts_once(caller: Caller, server: LoopbackMeter) -> None:
    """The first attempt is stored and its answer lost: only the event ids tell the meter."""
    server.books.limits.create(limit_name="n", limit_id="a", max=1)
    caller.open(server.url)
    caller("ingest.bulk", events=[])
    lost = server.answer
    answers: list[Any] = []

    def stored_and_lost(asked: Any) -> Answer:
        answers.append(lost(asked))
        return Answer(503, {"retry-after-ms": "1"}) if len(answers) == 2 else answers[-1]

    server.answer = stored_and_lost  # type: ignore[method-assign]
    response = caller("ingest.with_raw_response.bulk", events=[EVENT | {"limit_ids": ["a"]}] * 3)

    assert (response.retries_taken, caller.wait(response.parse).ingest_count) == (1, 3)
    assert server.books.limits.retrieve("a").limit.totals.requests.total == 3


def test_an_embedded_meter_takes_ids_without_being_asked(caller: Caller) -> None:
    caller.open("sqlite://")
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    answer = caller("ingest.bulk", events=[EVENT | {"limit_ids": ["a"], "event_id": "e"}] * 2)

    assert (answer.ingest_count, answer.error_count) == (2, 0)
    assert caller("limits.retrieve", "a").limit.totals.requests.total == 1


def test_wrong_events_are_named(caller: Caller, url: str) -> None:
    caller.open(url)
    for wrong in (EVENT, "text", [EVENT, 5], 7):
        with pytest.raises(TypeError):
            caller("ingest.bulk", events=wrong)
    with pytest.raises(TypeError, match="limit_ids"):
        caller("ingest.bulk", events=[EVENT | {"limit_ids": "a"}])
    with pytest.raises(TypeError, match="extra_body: the body is a list"):
        caller("ingest.bulk", events=[EVENT], extra_body={"a": 1})


def test_an_upsert_replaces_by_response_id(caller: Caller, url: str) -> None:
    caller.open(url)
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    event = EVENT | {"provider_response_id": "p", "limit_ids": ["a"]}
    for _ in range(2):
        assert caller("ingest.bulk_upsert", events=[event]).ingest_count == 1
    assert caller("limits.retrieve", "a").limit.totals.requests.total == 1


def written(path: Path, events: list[Any]) -> Path:
    path.write_text("".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events))
    return path


def test_a_file_is_replayed_in_calls_of_a_thousand(caller: Caller, server: LoopbackMeter, tmp_path: Path) -> None:
    server.books.limits.create(limit_name="n", limit_id="a", max=1)
    events: list[Any] = [EVENT | {"limit_ids": ["a"], "event_id": f"e{number}"} for number in range(2500)]
    events[1200] = {"category": "", "units": {}}
    events[2499] = {"units": {}}
    path = written(tmp_path / "events.jsonl", [*events[:7], "", "  ", *events[7:]])
    caller.open(server.url)
    for _ in range(2):
        server.asked.clear()
        answer = caller("ingest.replay_file", path)
        assert (answer.total_count, answer.ingest_count) == (2500, 2498)
        assert (answer.error_count, answer.item_error_count) == (2, 2)
        assert [error.item_index for error in answer.errors] == [1200, 2499]
        sizes = [len(asked.json) for asked in server.asked if asked.method == "POST"]
        assert sizes == [1000, 1000, 500]
    assert server.books.limits.retrieve("a").limit.totals.requests.total == 2498


def test_a_call_whose_items_are_all_refused_does_not_end_a_replay(caller: Caller, url: str, tmp_path: Path) -> None:
    events = [{"units": {}}] * 1000 + [EVENT]
    caller.open(url)
    answer = caller("ingest.replay_file", str(written(tmp_path / "f", events)))

    assert (answer.total_count, answer.ingest_count, answer.error_count) == (1001, 1, 1000)
    assert [error.item_index for error in answer.errors[-2:]] == [998, 999]
    empty = caller("ingest.replay_file", written(tmp_path / "empty", []))
    assert (empty.total_count, empty.errors) == (0, None)


def test_what_is_no_event_ends_a_replay_and_is_named(caller: Caller, url: str, tmp_path: Path) -> None:
    caller.open(url)
    for line, text in (("{", "Expecting"), ("[1]", r"'\[1\]' is no JSON object"), ("5", "'5' is no JSON object")):
        with pytest.raises(ValueError, match=rf"f, line 2: .*{text}"):
            caller("ingest.replay_file", written(tmp_path / "f", [EVENT, line]))
    with pytest.raises(FileNotFoundError):
        caller("ingest.replay_file", tmp_path / "nowhere")


def test_a_meter_that_fails_ends_a_replay(caller: Caller, server: LoopbackMeter, tmp_path: Path) -> None:
    caller.open(server.url, max_retries=0)
    path = written(tmp_path / "f", [EVENT | {"event_id": "e"}])
    for status, error in ((503, InternalServerError), (400, BadRequestError)):
        server.instead.append(Answer(status, content=b'{"statusCode": 400, "message": "no"}'))
        with pytest.raises(error):
            caller("ingest.replay_file", path)
    assert caller("ingest.replay_file", path).ingest_count == 1


@pytest.mark.parametrize("results", ["maybe", ["true", "false"]])
def test_a_transport_refuses_a_query_that_is_neither_true_nor_false(results: object) -> None:
    with Payi(base_url="sqlite://") as client:
        reply = client.transport.send(Request(INGEST_BULK, query={"results": results}, body=[]))
    assert reply.status == 400
