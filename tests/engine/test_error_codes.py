"""Every error code of the contract is reached, with its status, and what was refused is not stored. wire-api section 1.5."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from meters import METERS, Place, http

from payi_instrument.client.client import Payi
from payi_instrument.errors import APIStatusError, status_error
from payi_instrument.wire.codes import STATUS
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import CREATE_HOLD, INGEST

Act = Callable[[Payi], object]

WAITING = {"limit_reached", "unbounded", "hold_not_found"}
"""Codes of holds, which are not built yet: who asks for one gets `not_implemented`."""

PRICE = {"text": {"input_price": 1, "output_price": 1}}
START = "2024-01-01T00:00:00Z"


def ingest(**changes: Any) -> Act:
    event: dict[str, Any] = {"category": "demo", "resource": "model", "units": {"text": {"input": 1}}}
    return lambda client: client.ingest.units(**event | {"limit_ids": ["a"]} | changes)


def create(**changes: Any) -> Act:
    values: dict[str, Any] = {"limit_name": "a", "limit_id": "a", "max": 10}
    return lambda client: client.limits.create(**values | changes)


def resource(**changes: Any) -> Act:
    values: dict[str, Any] = {"category": "demo", "units": PRICE, "start_timestamp": START}
    return lambda client: client.categories.resources.create("model", **values | changes)


def kpi(**changes: Any) -> Act:
    values: dict[str, Any] = {"name": "k", "description": "d", "kpi_type": "number", "goal": 1}
    return lambda client: client.use_cases.definitions.kpis.create("rag", **values | changes)


def score(client: Payi) -> None:
    instance = client.use_cases.create("rag").use_case_id
    client.use_cases.kpis.update("k", use_case_name="rag", use_case_id=instance, score=1e301)


def sent(client: Payi, request: Request[Any]) -> None:
    """Ask what the client's own methods would not."""
    reply = client.transport.send(request)  # which raises over HTTP
    raise status_error(reply.status, reply.body)


AHEAD = datetime.now(UTC) + timedelta(days=1)

REACHED: dict[str, Act] = {
    "request_processing_error": ingest(units={"text": {"input": -1}}),
    "required_field_missing": lambda client: sent(client, Request(INGEST, body={"category": "demo"})),
    "invalid_ingest_event_timestamp": ingest(event_timestamp=AHEAD),
    "blocking_limit_not_allowed": ingest(limit_ids=["b"]),
    "category_not_found": ingest(category="nothing"),
    "category_resource_not_found": ingest(resource="nothing"),
    "limit_not_found": lambda client: client.limits.retrieve("nobody"),
    "create_limit_validation_failed": create(max=11),
    "update_limit_validation_failed": lambda client: client.limits.update("a", limit_name=" "),
    "limit_name_already_exist": create(limit_id="other"),
    "invalid_max_limit": create(limit_name="n", limit_id="n", max=0),
    "invalid_max_limit_update": lambda client: client.limits.update("a", max=0.5),
    "duplicate_limit_id": ingest(limit_ids=[], extra_headers={"xProxy-Limit-IDs": "a,a"}),
    "invalid_limit_id": ingest(limit_ids=["x" * 200]),
    "invalid_limit_ids": ingest(limit_ids=["nobody"]),
    "use_case_not_found": lambda client: client.use_cases.definitions.retrieve("nobody"),
    "use_case_instance_not_found": lambda client: client.use_cases.retrieve("nobody", use_case_name="rag"),
    "use_case_already_exists": lambda client: client.use_cases.definitions.create(name="rag", description="x"),
    "invalid_use_case_name": ingest(use_case_name="no name"),
    "invalid_use_case_description": lambda client: client.use_cases.definitions.update("rag", description=" "),
    "invalid_user_id": ingest(user_id="u" * 20_000),
    "invalid_tags": ingest(request_tags=["a b"]),
    "kpi_not_found": lambda client: client.use_cases.definitions.kpis.retrieve("nobody", use_case_name="rag"),
    "kpi_already_exists": kpi(goal=2),
    "invalid_kpi_score": score,
    "request_not_found": lambda client: client.requests.request_id.result.retrieve("nobody"),
    "system_category_forbidden": resource(category="system.openai"),
    "resource_already_exists": resource(units={"text": {"input_price": 2}}),
    "invalid_cursor": lambda client: client.limits.list(cursor="x"),
    "payload_too_large": lambda client: client.ingest.bulk(events=[{}] * 1001),
    "not_implemented": lambda client: sent(client, Request(CREATE_HOLD, body={})),
}


JSON = {"content-type": "application/json"}
REACHED_OVER_HTTP: dict[str, tuple[dict[str, str], bytes]] = {
    "invalid_api_key": ({**JSON, "xProxy-api-key": "wrong"}, b"{}"),
    "insufficient_key_scope": (JSON, b'{"limit_name": "n", "max": 1}'),
    "header_is_missing": ({}, b'{"limit_name": "n", "max": 1}'),
    "invalid_json": (JSON, b"{"),
}
"""Codes that only a server has, and what of a request to create a limit it refuses with them."""


@pytest.fixture
def strict(place: Place) -> Payi:
    """A client of a strict meter that knows one of everything."""
    client = place.open(strict_limits="true", block_limits_on_ingest="reject")
    create()(client)
    create(limit_name="b", limit_id="b", limit_type="block")(client)
    resource()(client)
    ingest()(client)
    client.use_cases.definitions.create(name="rag", description="d")
    kpi()(client)
    return client


def stored(client: Payi) -> list[object]:
    limits = [limit.model_dump() for limit in client.limits.list()]
    definitions = [found.model_dump(exclude={"request_id"}) for found in client.use_cases.definitions.list()]
    return [limits, definitions, client.categories.resources.list("model", category="demo").items]


@pytest.mark.parametrize("code", REACHED)
def test_a_code_is_reached_with_its_status_and_nothing_is_stored(strict: Payi, code: str) -> None:
    before = stored(strict)
    with pytest.raises(APIStatusError) as caught:
        REACHED[code](strict)

    assert caught.value.code == code
    assert caught.value.status_code == STATUS[code]
    assert stored(strict) == before


@pytest.mark.parametrize("place", METERS[2:], indirect=True)
@pytest.mark.parametrize("code", REACHED_OVER_HTTP)
def test_a_code_of_the_server_is_reached_with_its_status_and_nothing_is_stored(place: Place, code: str) -> None:
    changes, content = REACHED_OVER_HTTP[code]
    where = place.address(scope="ingest" if code == "insufficient_key_scope" else "admin")
    headers = {"xProxy-api-key": where["api_key"], **changes}
    sender: Any = http()
    answer = sender.post(f"{where['base_url']}/api/v1/limits", headers=headers, content=content)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (STATUS[code], code)
    assert answer.json()["statusCode"] == STATUS[code]
    assert list(place.open().limits.list()) == []


def test_every_code_of_the_contract_is_reached() -> None:
    assert REACHED.keys() | REACHED_OVER_HTTP.keys() | WAITING | {"unexpected_error"} == STATUS.keys()
