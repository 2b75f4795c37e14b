"""Whatever is asked, a meter answers the same over HTTP and in process."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback_meter import LoopbackMeter
from pydantic import BaseModel

from payi_instrument.client.client import Payi
from payi_instrument.client.pages import SyncCursorPage
from payi_instrument.errors import APIStatusError

if TYPE_CHECKING:
    from collections.abc import Sequence

Step = tuple[str, dict[str, Any]]

IDS = st.sampled_from([*"aaaaabbb", "ä🙂", "a b", "a/b", "%2F", "x" * 200, "\\", '"'])
NAMES = st.sampled_from(["one", "two", " ", "ä🙂\n"])
TEXTS = ("100", "2.5", "7", "0", "-1", "0.1", "0.29", "12.500", "1E-12", "99999999999999999999.000000000001", "1E+30")
AMOUNTS = st.sampled_from([Decimal(text) for text in TEXTS])
TIMES = st.sampled_from(
    [
        "2024-02-01T00:00:00Z",
        "2025-01-01",
        "2024-01-01T00:00:00Z",
        "2024-06-01T02:00:00+02:00",
        "2024-06-01",
        "soon",
        "9999-01-01T00:00:00Z",
    ]
)
PRICES = st.dictionaries(
    st.sampled_from(["text", "audio", "Bad Unit"]),
    st.fixed_dictionaries({}, optional={"input_price": AMOUNTS, "output_price": AMOUNTS}),
    max_size=2,
)
UNITS = st.dictionaries(
    st.sampled_from(["text", "audio"]),
    st.fixed_dictionaries({}, optional={"input": st.sampled_from([0, 7, 1, 12, 2**31 - 1, 2**31, -1, 1.5])}),
    max_size=2,
)
PROPERTIES = st.dictionaries(st.sampled_from(["k", "ä", ""]), st.sampled_from(["v", "", None]), max_size=2)


def steps(name: str, /, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


CATEGORIES = st.sampled_from(["demo", "demo", "demo", "c/1", "system.openai"])
RESOURCES = st.sampled_from(["m", "m", "m", "a/b c:1", "gpt-4o"])
EVENT = {
    "category": CATEGORIES,
    "resource": RESOURCES,
    "units": UNITS,
    "limit_ids": st.lists(IDS, max_size=3),
    "event_timestamp": TIMES,
    "user_id": st.none() | NAMES,
    "properties": PROPERTIES,
    "http_status_code": st.sampled_from([None, 200, 500]),
    "provider_response_id": st.none() | st.sampled_from(["r", "r/2"]),
    "event_id": st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6", "ä", "x" * 65]),
}
GOOD = EVENT | {
    "category": st.just("demo"),
    "resource": st.just("m"),
    "units": st.fixed_dictionaries({"text": st.fixed_dictionaries({"input": st.integers(0, 500)})}),
    "limit_ids": st.just(["a", "b"]),
    "event_timestamp": st.sampled_from(["2024-02-01T00:00:00Z", "2025-01-01"]),
    "event_id": st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6"]),
}
STEPS = st.one_of(
    steps("ingest.units", **GOOD),
    steps("ingest.bulk", events=st.lists(st.fixed_dictionaries(GOOD) | st.fixed_dictionaries(EVENT), max_size=4)),
    steps("limits.create", limit_name=NAMES, limit_id=IDS, max=AMOUNTS, threshold=st.none() | AMOUNTS),
    steps("limits.update", limit_id=IDS, max=st.none() | AMOUNTS, limit_name=st.none() | NAMES),
    steps("limits.retrieve", limit_id=IDS),
    steps("limits.delete", limit_id=IDS),
    steps("limits.reset", limit_id=IDS, reset_date=TIMES),
    steps("limits.properties.update", limit_id=IDS, properties=PROPERTIES),
    steps("limits.list", sort_ascending=st.booleans(), limit=st.sampled_from([1, 2, 0, 1001])),
    steps("limits.history", limit_id=IDS),
    steps("categories.resources.create", category=CATEGORIES, resource=RESOURCES, units=PRICES, start_timestamp=TIMES),
    steps("categories.resources.list", category=CATEGORIES, resource=RESOURCES),
    steps("categories.list_resources", category=st.sampled_from(["demo", "c/1", "none"])),
    steps("categories.delete_resource", category=CATEGORIES, resource=RESOURCES),
    steps("ingest.units", **EVENT),
    steps("ingest.bulk", events=st.lists(st.fixed_dictionaries(EVENT), max_size=3)),
    steps(
        "requests.response_id.result.retrieve", provider_response_id=st.sampled_from(["r", "r/2"]), category=CATEGORIES
    ),
    steps("use_cases.definitions.create", name=st.sampled_from(["rag", "a b"]), description=NAMES),
    steps("use_cases.definitions.list", use_case_name=st.sampled_from(["rag", "none"])),
    steps("use_cases.definitions.version.increment", use_case_name=st.sampled_from(["rag", "none"])),
)

BEFORE: list[Step] = [
    ("limits.create", {"limit_name": "first", "limit_id": "a", "max": 10, "threshold": 0.8}),
    ("limits.create", {"limit_name": "second", "limit_id": "b", "max": 1, "limit_type": "block"}),
    (
        "categories.resources.create",
        {
            "category": "demo",
            "resource": "m",
            "units": {"text": {"input_price": 0.01, "output_price": 0.3}, "audio": {"input_price": Decimal("1E-12")}},
            "start_timestamp": "2024-01-01T00:00:00Z",
        },
    ),
]
"""What every meter knows when it is asked."""

OF_THE_MOMENT = {
    *("request_id", "resource_id", "limit_creation_timestamp", "limit_update_timestamp", "ingest_timestamp"),
    *("message", "cursor", "limit_reset_timestamp"),
}
"""Members that two meters make for themselves."""


def shown(answer: object) -> object:
    """Return an answer without what two meters make for themselves, amounts with all their digits."""
    if isinstance(answer, SyncCursorPage):
        return [shown(item) for item in answer]
    if isinstance(answer, list):
        return [shown(item) for item in cast("list[object]", answer)]
    if isinstance(answer, dict):
        return {name: shown(value) for name, value in cast("dict[str, object]", answer).items()}
    if isinstance(answer, BaseModel):
        members = {name: shown(getattr(answer, name)) for name in answer.model_fields_set - OF_THE_MOMENT}
        return type(answer).__name__, members
    return getattr(answer, "exact", answer)


def outcome(client: Payi, step: Step) -> object:
    """Return what a client answers to a step, or how it refuses it."""
    name, arguments = step
    method: Any = reduce(getattr, name.split("."), cast("object", client))
    try:
        return shown(method(**arguments))
    except APIStatusError as error:
        return (type(error).__name__, error.code)
    except (ValueError, TypeError) as error:
        return (type(error).__name__, str(error))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_http_and_in_process_answer_the_same(asked: Sequence[Step]) -> None:
    with LoopbackMeter() as meter, Payi(base_url=meter.url, api_key="k") as far, Payi(base_url="sqlite://") as near:
        for step in [*BEFORE, *asked]:
            assert outcome(far, step) == outcome(near, step), step
