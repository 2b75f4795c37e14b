"""Events in their wire form: what the meter reads is what was sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import localcontext
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_instrument.client.encoding import encoded_headers, event_request, laid_over, state_of
from payi_instrument.engine.intake import single
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire.headers import ENCODING
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import RETRIEVE_LIMIT

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from tests.conftest import Use

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1, max_size=20)
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20).map(str.strip)
COUNT = st.integers(0, 2**31 - 1)
PROPERTIES = st.dictionaries(TEXT, TEXT, max_size=3)
ATTRIBUTIONS = st.builds(
    Attribution,
    limit_ids=st.lists(IDS.filter(bool), unique=True, max_size=3).map(tuple),
    use_case_name=st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    use_case_id=st.none() | TEXT,
    use_case_version=st.none() | COUNT,
    use_case_step=st.none() | TEXT,
    use_case_properties=PROPERTIES,
    user_id=st.none() | TEXT,
    account_name=st.none() | TEXT,
    resource_scope=st.none() | TEXT,
)
EVENTS = st.builds(
    UsageEvent,
    event_id=st.none() | st.from_regex(r"[!-~]{1,64}", fullmatch=True),
    category=TEXT,
    resource=st.none() | TEXT,
    units=st.dictionaries(TEXT, st.tuples(COUNT, COUNT), max_size=3),
    attribution=ATTRIBUTIONS,
    event_timestamp=st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    end_to_end_latency_ms=st.none() | COUNT,
    time_to_first_token_ms=st.none() | COUNT,
    time_to_first_completion_token_ms=st.none() | COUNT,
    http_status_code=st.none() | COUNT,
    provider_uri=st.none() | TEXT,
    provider_response_id=st.none() | TEXT,
    provider_request_json=st.none() | TEXT,
    provider_request_reasoning_json=st.none() | TEXT,
    provider_request_headers=st.none() | st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
    provider_response_headers=st.none() | st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
    provider_response_json=st.none() | TEXT | st.lists(TEXT, max_size=3),
    function_calls=st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=3),
    properties=PROPERTIES,
    request_tags=st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True), max_size=3).map(tuple),
    module=st.none() | TEXT,
    hold_id=st.none() | TEXT,
    record_unpriced=st.booleans(),
)


def received(event: UsageEvent) -> UsageEvent:
    """Return the event that the meter reads from the wire form of another."""
    request = event_request(event)
    assert all(text.isascii() and text.isprintable() and text == text.strip() for text in request.headers.values())
    return single(replace(request, body=json.loads(json.dumps(request.body))))


@given(EVENTS)
def test_an_event_arrives_as_it_was_sent(event: UsageEvent) -> None:
    assert received(event) == event


@given(PROPERTIES, PROPERTIES)
def test_request_properties_go_with_the_events_own(of_scope: dict[str, str], of_event: dict[str, str]) -> None:
    event = UsageEvent(None, "c", None, {}, Attribution(request_properties=of_scope), properties=of_event)

    assert received(event).properties == {**of_event, **of_scope}


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\0b", "a\ud800b"])
def test_what_no_header_can_carry_never_costs_an_event(text: str) -> None:
    who = Attribution(user_id=text, limit_ids=(text,), use_case_name="chat", use_case_step=text)
    arrived = received(UsageEvent("e", "c", None, {}, who))

    shown = "a  b" if "\r\n" in text else "a b"
    assert arrived.attribution == replace(who, user_id=shown, limit_ids=(shown,), use_case_step=shown)


def test_plain_text_travels_as_it_is() -> None:
    headers = encoded_headers(["a", "b c"], {"X": "50%", "Y": None, "Z": ""})

    assert headers == {"X": "50%", "xProxy-Limit-IDs": "a,b c"}


def test_what_is_not_plain_marks_the_whole_request() -> None:
    assert encoded_headers(["a"], {"X": "50%", "Y": "ä"}) == {
        "X": "50%25",
        "Y": "%C3%A4",
        "xProxy-Limit-IDs": "a",
        ENCODING: "percent",
    }


@pytest.mark.parametrize(
    ("text", "sent"), [(" a b ", "%20a b%20"), ("  ", "%20%20"), ("a\t", "a%09"), ("~\x7f", "~%7F")]
)
def test_what_http_would_drop_or_refuse_is_encoded(text: str, sent: str) -> None:
    assert encoded_headers([], {"X": text}) == {"X": sent, ENCODING: "percent"}


def test_headers_of_several_layers_are_encoded_as_one() -> None:
    marked = {"xproxy-encoding": "percent", "xProxy-Account-Name": "50%25", "xProxy-Limit-IDs": "x%2Cy, z"}
    assert laid_over({"xProxy-User-ID": "ä"}, {"xProxy-UseCase-Step": "50%", "X-Own": "50%"}) == {
        "X-Own": "50%",
        "xProxy-User-ID": "%C3%A4",
        "xProxy-UseCase-Step": "50%25",
        ENCODING: "percent",
    }
    assert laid_over(marked, {"xProxy-Limit-IDs": "a, b"}) == {"xProxy-Account-Name": "50%", "xProxy-Limit-IDs": "a,b"}
    assert laid_over({"XPROXY-USER-ID": "ä", "xProxy-api-key": "50%"}, {"xProxy-User-ID": None}) == {
        "xProxy-api-key": "50%"
    }
    assert laid_over(
        {"xProxy-Limit-IDs": "a", "xProxy-User-ID": "u"}, {"xProxy-Limit-IDs": "", "xProxy-User-ID": ""}
    ) == {
        "xProxy-Limit-IDs": "",
        "xProxy-User-ID": "",
    }
    once = laid_over(marked, {"xProxy-User-ID": "ü"})
    assert laid_over(once) == once == laid_over({}, once, {})


def test_a_hint_that_no_url_can_carry_never_costs_an_event() -> None:
    event = UsageEvent("e", "c", None, {}, Attribution(), provider_response_id="p\ud800")

    assert event_request(event).query == {"id": "p "}


def test_a_retrieved_limit_stands_as_a_result_says(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=10, threshold=0.8, limit_type="block")
    for units in (799, 1, 200, 123_456_789):
        standing = use(units, limit_ids=["a"]).limits["a"]
        with localcontext(prec=2):
            retrieved = state_of(client.transport.send(Request(RETRIEVE_LIMIT, path={"limit_id": "a"})))
        assert retrieved == standing
        assert retrieved.remaining_exact == standing.remaining_exact
