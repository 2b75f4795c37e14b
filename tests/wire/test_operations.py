"""The one table of operations against the contract's own tables (wire-api sections 3 to 8), written out by hand."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from payi_instrument.wire.codes import STATUS
from payi_instrument.wire.message import Operation, Request
from payi_instrument.wire.operations import OPERATIONS

CONTRACT = """
POST   /api/v1/ingest
POST   /api/v1/ingest/bulk
POST   /api/v1/ingest/bulk-upsert

POST   /api/v1/limits
GET    /api/v1/limits
GET    /api/v1/limits/{limit_id}
PUT    /api/v1/limits/{limit_id}
DELETE /api/v1/limits/{limit_id}
POST   /api/v1/limits/{limit_id}/reset
GET    /api/v1/limits/{limit_id}/history
PUT    /api/v1/limits/{limit_id}/properties

GET    /api/v1/categories
DELETE /api/v1/categories/{category}
GET    /api/v1/categories/{category}/resources
GET    /api/v1/categories/{category}/resources/{resource}
POST   /api/v1/categories/{category}/resources/{resource}
DELETE /api/v1/categories/{category}/resources/{resource}
GET    /api/v1/categories/{category}/resources/{resource}/{resource_id}
DELETE /api/v1/categories/{category}/resources/{resource}/{resource_id}

GET    /api/v1/use_cases/definitions
POST   /api/v1/use_cases/definitions
GET    /api/v1/use_cases/definitions/{use_case_name}
PUT    /api/v1/use_cases/definitions/{use_case_name}
DELETE /api/v1/use_cases/definitions/{use_case_name}
POST   /api/v1/use_cases/definitions/{use_case_name}/increment_version
POST   /api/v1/use_cases/definitions/{use_case_name}/limit_config
DELETE /api/v1/use_cases/definitions/{use_case_name}/limit_config
GET    /api/v1/use_cases/definitions/{use_case_name}/kpis
POST   /api/v1/use_cases/definitions/{use_case_name}/kpis
GET    /api/v1/use_cases/definitions/{use_case_name}/kpis/{kpi_name}
PUT    /api/v1/use_cases/definitions/{use_case_name}/kpis/{kpi_name}
DELETE /api/v1/use_cases/definitions/{use_case_name}/kpis/{kpi_name}
POST   /api/v1/use_cases/instances/{use_case_name}
GET    /api/v1/use_cases/instances/{use_case_name}/{use_case_id}
DELETE /api/v1/use_cases/instances/{use_case_name}/{use_case_id}
PUT    /api/v1/use_cases/instances/{use_case_name}/{use_case_id}/properties
PUT    /api/v1/use_cases/instances/{use_case_name}/{use_case_id}/kpis/{kpi_name}
GET    /api/v1/use_cases/instances/{use_case_name}/{use_case_id}/kpis

GET    /api/v1/requests/{request_id}/result
PUT    /api/v1/requests/{request_id}/properties
GET    /api/v1/requests/provider/{category}/{provider_response_id}/result
PUT    /api/v1/requests/provider/{category}/{provider_response_id}/properties

GET    /api/v1/capabilities
POST   /api/v1/holds
POST   /api/v1/holds/{hold_id}/renew
POST   /api/v1/holds/{hold_id}/release
"""
CREATES = {
    "POST /api/v1/limits",
    "POST /api/v1/categories/{category}/resources/{resource}",
    "POST /api/v1/use_cases/definitions",
}
"""Operations that answer 201 for something new and 200 for what is there already."""
BODILESS_WRITES = {
    "POST /api/v1/limits/{limit_id}/reset",
    "POST /api/v1/use_cases/definitions/{use_case_name}/increment_version",
    "POST /api/v1/use_cases/instances/{use_case_name}",
    "POST /api/v1/holds/{hold_id}/release",
}
Any = Operation[object]


def key(operation: Any) -> str:
    return f"{operation.method} {operation.path}"


def test_every_operation_of_the_contract_is_there_and_no_other() -> None:
    expected = [" ".join(line.split()) for line in CONTRACT.splitlines() if line]

    assert sorted(map(key, OPERATIONS)) == sorted(expected)


def test_names_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=key)
def test_an_operation_is_complete(operation: Any) -> None:
    assert set(operation.errors) <= STATUS.keys()
    assert len(set(operation.errors)) == len(operation.errors)
    created = (201,) if operation.name == "holds.create" else (200,)
    assert operation.status == ((201, 200) if key(operation) in CREATES else created)
    has_body = operation.method in {"POST", "PUT"} and key(operation) not in BODILESS_WRITES
    assert (operation.body is not None) == has_body
    assert operation.body is None or is_typeddict(operation.body) or issubclass(operation.body, BaseModel)
    assert operation.query is None or issubclass(operation.query, BaseModel)
    assert TypeAdapter(operation.answer)


@pytest.mark.parametrize("operation", OPERATIONS, ids=key)
def test_a_path_is_made_of_its_parameters_each_one_segment(operation: Any) -> None:
    names = re.findall(r"{(\w+)}", operation.path)
    path = Request(operation, path=dict.fromkeys(names, "a/b {c}:ä?")).url_path()

    assert path.count("a%2Fb%20%7Bc%7D%3A%C3%A4%3F") == len(names)
    assert path.count("/") == operation.path.count("/")


def test_extensions_are_marked() -> None:
    marked = {operation.name for operation in OPERATIONS if operation.extension}

    assert marked == {"limits.history", "capabilities", "holds.create", "holds.renew", "holds.release"}
