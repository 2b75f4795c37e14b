"""Whatever is asked, a meter answers the same over HTTP and in process: every operation there is, but for holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback_meter import LoopbackMeter
from meters import Place
from pydantic import BaseModel

from payi_instrument.client.client import Payi
from payi_instrument.client.pages import SyncCursorPage
from payi_instrument.errors import APIStatusError
from payi_instrument.wire.operations import OPERATIONS

Step = tuple[str, dict[str, Any]]
Far = Callable[[], AbstractContextManager[Payi]]


class Made(NamedTuple):
    """Stand for an id that each meter makes for itself: the one it made so many before its latest."""

    member: str
    back: int


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


def made(member: str) -> st.SearchStrategy[object]:
    return st.builds(Made, st.just(member), st.integers(0, 2)) | st.just("nobody")


def some(**arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments any of which may be left out."""
    return st.fixed_dictionaries({}, optional=arguments)


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
CASES = st.sampled_from(["rag", "rag", "rag", "a.b", "none", "no name"])
RUNS = st.sampled_from(["i", "i", "j", "ä"])
KPIS = st.sampled_from(["likes", "likes", "k", " "])
KPI_TYPES = st.sampled_from(["boolean", "number", "percentage", "likert5", "likert7", "likert10"])
CONFIGS = st.fixed_dictionaries(
    {"max": AMOUNTS}, optional={"limit_type": st.sampled_from(["allow", "block"]), "threshold": AMOUNTS}
)
ATTRIBUTION = {
    "use_case_name": CASES,
    "use_case_id": RUNS,
    "use_case_step": NAMES,
    "use_case_version": st.sampled_from([1, 2, 0]),
    "use_case_properties": PROPERTIES,
    "request_tags": st.lists(st.sampled_from(["one", "two-2", "a b"]), max_size=2),
    "resource_scope": st.sampled_from(["global", "region.eu", "datazone"]),
    "account_name": NAMES,
}
GOOD = EVENT | {
    "category": st.just("demo"),
    "resource": st.just("m"),
    "units": st.fixed_dictionaries({"text": st.fixed_dictionaries({"input": st.integers(0, 500)})}),
    "limit_ids": st.just(["a", "b"]),
    "event_timestamp": st.sampled_from(["2024-02-01T00:00:00Z", "2025-01-01"]),
    "event_id": st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6"]),
}
RUN = {"use_case_name": CASES, "use_case_id": RUNS | made("use_case_id")}
KPI = {"use_case_name": CASES, "kpi_name": KPIS}
RESPONSE = {"provider_response_id": st.sampled_from(["r", "r/2"]), "category": CATEGORIES}
INGESTED = (
    st.fixed_dictionaries(GOOD) | st.fixed_dictionaries(GOOD, optional=ATTRIBUTION) | st.fixed_dictionaries(EVENT)
)
LISTED = {"sort_ascending": st.booleans(), "limit": st.sampled_from([1, 2, 0, 1001])}
RESOURCE = {"category": CATEGORIES, "resource": RESOURCES}
STEPS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ingest.units": INGESTED,
    "ingest.bulk": st.fixed_dictionaries({"events": st.lists(INGESTED, max_size=4)}),
    "ingest.bulk_upsert": st.fixed_dictionaries({"events": st.lists(INGESTED, max_size=4)}),
    "limits.create": st.fixed_dictionaries(
        {"limit_name": NAMES, "limit_id": IDS, "max": AMOUNTS, "threshold": st.none() | AMOUNTS},
        optional={"limit_type": st.sampled_from(["allow", "block"]), "properties": PROPERTIES},
    ),
    "limits.update": st.fixed_dictionaries({"limit_id": IDS}, optional={"max": AMOUNTS, "limit_name": NAMES}),
    "limits.retrieve": st.fixed_dictionaries({"limit_id": IDS}),
    "limits.delete": st.fixed_dictionaries({"limit_id": IDS}),
    "limits.reset": st.fixed_dictionaries({"limit_id": IDS}, optional={"reset_date": TIMES}),
    "limits.properties.update": st.fixed_dictionaries({"limit_id": IDS, "properties": PROPERTIES}),
    "limits.list": some(**LISTED, limit_name=NAMES),
    "limits.history": st.fixed_dictionaries({"limit_id": IDS}, optional=LISTED),
    "categories.list": some(**LISTED, active=st.booleans()),
    "categories.delete": st.fixed_dictionaries({"category": CATEGORIES}),
    "categories.list_resources": st.fixed_dictionaries(
        {"category": st.sampled_from(["demo", "c/1", "none"])}, optional={**LISTED, "active": st.booleans()}
    ),
    "categories.delete_resource": st.fixed_dictionaries(RESOURCE),
    "categories.resources.create": st.fixed_dictionaries({**RESOURCE, "units": PRICES, "start_timestamp": TIMES}),
    "categories.resources.list": st.fixed_dictionaries(RESOURCE, optional={**LISTED, "active": st.booleans()}),
    "categories.resources.retrieve": st.fixed_dictionaries({**RESOURCE, "resource_id": made("resource_id")}),
    "categories.resources.delete": st.fixed_dictionaries({**RESOURCE, "resource_id": made("resource_id")}),
    "requests.request_id.result.retrieve": st.fixed_dictionaries({"request_id": made("request_id")}),
    "requests.request_id.properties.update": st.fixed_dictionaries(
        {"request_id": made("request_id"), "properties": PROPERTIES}
    ),
    "requests.response_id.result.retrieve": st.fixed_dictionaries(RESPONSE),
    "requests.response_id.properties.update": st.fixed_dictionaries({**RESPONSE, "properties": PROPERTIES}),
    "use_cases.create": st.fixed_dictionaries({"use_case_name": CASES}),
    "use_cases.retrieve": st.fixed_dictionaries(RUN),
    "use_cases.delete": st.fixed_dictionaries(RUN),
    "use_cases.properties.update": st.fixed_dictionaries({**RUN, "properties": PROPERTIES}),
    "use_cases.kpis.update": st.fixed_dictionaries(
        {**RUN, "kpi_name": KPIS, "score": st.sampled_from([True, 1, 2.5, 0, 101, None])}
    ),
    "use_cases.kpis.list": st.fixed_dictionaries(RUN, optional={**LISTED, "kpi_name": KPIS}),
    "use_cases.definitions.create": st.fixed_dictionaries(
        {"name": CASES, "description": NAMES}, optional={"limit_config": CONFIGS, "logging_enabled": st.booleans()}
    ),
    "use_cases.definitions.list": some(**LISTED, use_case_name=CASES),
    "use_cases.definitions.retrieve": st.fixed_dictionaries({"use_case_name": CASES}),
    "use_cases.definitions.update": st.fixed_dictionaries(
        {"use_case_name": CASES}, optional={"description": NAMES, "logging_enabled": st.booleans()}
    ),
    "use_cases.definitions.delete": st.fixed_dictionaries({"use_case_name": CASES}),
    "use_cases.definitions.version.increment": st.fixed_dictionaries({"use_case_name": CASES}),
    "use_cases.definitions.limit_config.create": st.builds(
        lambda name, config: {"use_case_name": name, **config}, CASES, CONFIGS
    ),
    "use_cases.definitions.limit_config.delete": st.fixed_dictionaries({"use_case_name": CASES}),
    "use_cases.definitions.kpis.create": st.fixed_dictionaries(
        {
            "use_case_name": CASES,
            "name": KPIS,
            "description": NAMES,
            "kpi_type": KPI_TYPES,
            "goal": st.sampled_from([0, 2.5, -1]),
        }
    ),
    "use_cases.definitions.kpis.list": st.fixed_dictionaries(
        {"use_case_name": CASES}, optional={**LISTED, "kpi_name": KPIS}
    ),
    "use_cases.definitions.kpis.retrieve": st.fixed_dictionaries(KPI),
    "use_cases.definitions.kpis.update": st.fixed_dictionaries(
        KPI, optional={"description": NAMES, "goal": st.sampled_from([0, 2.5, -1])}
    ),
    "use_cases.definitions.kpis.delete": st.fixed_dictionaries(KPI),
}
"""What every operation may be asked."""
OFTEN = ["ingest.units", "ingest.bulk", "ingest.bulk_upsert"] * 2
STEP = st.sampled_from([*OFTEN, *STEPS]).flatmap(lambda name: st.tuples(st.just(name), STEPS[name]))

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
    ("use_cases.definitions.create", {"name": "rag", "description": "d", "limit_config": {"max": 1, "threshold": 0.8}}),
    (
        "use_cases.definitions.kpis.create",
        {"use_case_name": "rag", "name": "likes", "description": "d", "kpi_type": "number", "goal": 3},
    ),
    (
        "ingest.units",
        {
            "category": "demo",
            "resource": "m",
            "units": {"text": {"input": 7, "output": 1}, "audio": {"input": 1}, "video": {"output": 2}},
            "limit_ids": ["b", "a", "nobody"],
            "use_case_name": "rag",
            "use_case_id": "i",
            "use_case_step": "ä🙂",
            "use_case_properties": {"k": "v"},
            "request_tags": ["one", "two-2"],
            "resource_scope": "region.eu",
            "user_id": "u",
            "account_name": "acme",
            "event_timestamp": "2025-01-01",
            "provider_response_id": "r",
            "event_id": "e0",
        },
    ),
]
"""What every meter knows when it is asked."""

M: dict[str, Any] = {"category": "demo", "resource": "m"}
R: dict[str, Any] = {"use_case_name": "rag", "use_case_id": "i"}
ITEM: dict[str, Any] = {**M, "units": {"text": {"input": 1}}, "event_timestamp": "2025-01-01"}
RESPONSE_R = {"provider_response_id": "r", "category": "demo"}
TOUR: list[Step] = [
    ("limits.list", {"limit": 1}),
    ("limits.retrieve", {"limit_id": "a"}),
    ("limits.update", {"limit_id": "a", "max": 11, "limit_name": "renamed"}),
    ("limits.properties.update", {"limit_id": "a", "properties": {"k": "v"}}),
    ("ingest.units", {**ITEM, "event_id": "e0"}),
    ("ingest.units", {**ITEM, "use_case_name": "fresh", "event_id": "e1"}),
    (
        "ingest.bulk",
        {
            "events": [
                {**ITEM, **R, "limit_ids": ["a"], "event_id": "e2"},
                {**ITEM, "resource": "none", "event_id": "e3"},
            ]
        },
    ),
    ("ingest.bulk_upsert", {"events": [{**ITEM, "units": {}, "provider_response_id": "r"}, ITEM]}),
    ("limits.reset", {"limit_id": "a"}),
    ("limits.history", {"limit_id": "a"}),
    ("limits.delete", {"limit_id": "a"}),
    ("requests.request_id.result.retrieve", {"request_id": Made("request_id", 0)}),
    ("requests.request_id.properties.update", {"request_id": Made("request_id", 1), "properties": {"a": "b"}}),
    ("requests.response_id.result.retrieve", RESPONSE_R),
    ("requests.response_id.properties.update", {**RESPONSE_R, "properties": {"a": "b"}}),
    ("use_cases.create", {"use_case_name": "rag"}),
    ("use_cases.retrieve", {"use_case_name": "rag", "use_case_id": Made("use_case_id", 0)}),
    ("use_cases.properties.update", {**R, "properties": {"k": None}}),
    ("use_cases.kpis.update", {**R, "kpi_name": "likes", "score": 2.5}),
    ("use_cases.kpis.list", R),
    ("use_cases.delete", R),
    ("use_cases.definitions.list", {"limit": 1}),
    ("use_cases.definitions.retrieve", {"use_case_name": "rag"}),
    ("use_cases.definitions.update", {"use_case_name": "rag", "description": "other", "logging_enabled": False}),
    ("use_cases.definitions.version.increment", {"use_case_name": "rag"}),
    ("use_cases.definitions.limit_config.create", {"use_case_name": "rag", "max": 2.5, "limit_type": "block"}),
    ("use_cases.definitions.limit_config.delete", {"use_case_name": "rag"}),
    ("use_cases.definitions.kpis.retrieve", {"use_case_name": "rag", "kpi_name": "likes"}),
    ("use_cases.definitions.kpis.update", {"use_case_name": "rag", "kpi_name": "likes", "goal": 4}),
    ("use_cases.definitions.kpis.list", {"use_case_name": "rag"}),
    ("use_cases.definitions.kpis.delete", {"use_case_name": "rag", "kpi_name": "likes"}),
    ("use_cases.definitions.delete", {"use_case_name": "rag"}),
    ("categories.list", {"limit": 1000}),
    ("categories.list_resources", {"category": "demo"}),
    ("categories.resources.list", M),
    ("categories.resources.retrieve", {**M, "resource_id": Made("resource_id", 0)}),
    ("categories.resources.delete", {**M, "resource_id": Made("resource_id", 0)}),
    (
        "categories.resources.create",
        {"category": "demo", "resource": "n/ä", "units": {"text": {}}, "start_timestamp": "2024-01-01"},
    ),
    ("categories.delete_resource", {"category": "demo", "resource": "n/ä"}),
    (
        "categories.resources.create",
        {"category": "demo", "resource": "o", "units": {"text": {}}, "start_timestamp": "2024-01-01"},
    ),
    ("categories.delete", {"category": "demo"}),
]
"""One step of every operation, none of which is refused."""

OF_THE_MOMENT = {
    *("limit_creation_timestamp", "limit_update_timestamp", "limit_reset_timestamp", "ingest_timestamp"),
    *("created_timestamp", "updated_timestamp", "create_timestamp", "update_timestamp"),
}
"""Times that two meters take for themselves: only whether they are there is compared."""
MAKING = {
    ("XproxyResult", "request_id"),
    ("CategoryResourceResponse", "resource_id"),
    ("UseCaseInstance", "use_case_id"),
}
"""Where the ids are found that a later step may name."""
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")


def _said(words: object) -> object:
    """Return a message, or what holds some, without times."""
    if isinstance(words, list):
        return [_said(item) for item in cast("list[object]", words)]
    if isinstance(words, dict):
        return {name: _said(value) for name, value in cast("dict[str, object]", words).items()}
    return _TIME.sub("<time>", words) if isinstance(words, str) else words


class Refusal(NamedTuple):
    """How a step was refused: by which error, with which code and in which words."""

    error: str
    code: str | None
    words: object


@dataclass
class Side:
    """One meter, and the ids that it made: each is shown by its number, so that two meters can be compared."""

    client: Payi
    numbers: dict[str, str] = field(default_factory=dict[str, str])
    made: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))

    def outcome(self, step: Step) -> object:
        """Return what the meter answers to a step, or how it refuses it."""
        name, arguments = step
        method: Any = reduce(getattr, name.split("."), cast("object", self.client))
        try:
            return self.shown(method(**{name: self._resolved(value) for name, value in arguments.items()}))
        except APIStatusError as error:
            return Refusal(type(error).__name__, error.code, _said(self.shown(error.body)))
        except (ValueError, TypeError) as error:
            return Refusal(type(error).__name__, None, str(error))

    def _resolved(self, value: object) -> object:
        if not isinstance(value, Made):
            return value
        ids = self.made[value.member]
        return ids[-1 - value.back] if len(ids) > value.back else "nobody"

    def shown(self, answer: object) -> object:
        """Return an answer, amounts with all their digits, without what two meters make for themselves."""
        if isinstance(answer, (SyncCursorPage, list)):
            return [self.shown(item) for item in cast("Sequence[object]", answer)]
        if isinstance(answer, dict):
            return {self._text(name): self.shown(value) for name, value in cast("dict[str, object]", answer).items()}
        if isinstance(answer, BaseModel):
            return type(answer).__name__, {name: self._member(answer, name) for name in sorted(answer.model_fields_set)}
        return self._text(answer) if isinstance(answer, str) else getattr(answer, "exact", answer)

    def _member(self, answer: BaseModel, name: str) -> object:
        value = getattr(answer, name)
        if name in OF_THE_MOMENT:
            return value is not None
        if name == "message":
            return _said(self.shown(value))
        known = self.made[name]
        if (type(answer).__name__, name) in MAKING and value not in known:
            known.append(value)
        return self.shown(value)

    def _text(self, text: str) -> str:
        return _ID.sub(lambda found: self.numbers.setdefault(found[0], f"<{len(self.numbers)}>"), text)


@contextmanager
def loopback() -> Iterator[Payi]:
    with LoopbackMeter() as meter, Payi(base_url=meter.url, api_key="k") as client:
        yield client


@contextmanager
def served() -> Iterator[Payi]:
    with closing(Place("server-sqlite")) as place:
        yield place.open()


def compare(far: Far, asked: Sequence[Step]) -> list[object]:
    """Ask a meter over HTTP and one in process; return what both answered."""
    with far() as client, Payi(base_url="sqlite://") as embedded:
        over_http, in_process = Side(client), Side(embedded)
        outcomes: list[object] = []
        for step in [*BEFORE, *asked]:
            outcomes.append(in_process.outcome(step))
            assert over_http.outcome(step) == outcomes[-1], step
        return outcomes


@pytest.mark.parametrize("far", [loopback, served])
def test_every_operation_answers_the_same(far: Far) -> None:
    outcomes = compare(far, TOUR)
    assert [outcome for outcome in outcomes if isinstance(outcome, Refusal)] == []


def test_every_operation_is_asked() -> None:
    names = {made.name for made in OPERATIONS if made.name != "capabilities" and not made.name.startswith("holds.")}
    assert STEPS.keys() == names
    assert {name for name, _ in [*BEFORE, *TOUR]} == names


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=1, max_size=12))
def test_http_and_in_process_answer_the_same(asked: Sequence[Step]) -> None:
    compare(loopback, asked)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=1, max_size=12))
def test_the_server_and_in_process_answer_the_same(asked: Sequence[Step]) -> None:
    compare(served, asked)
