"""Operations found by URL path: what lives there, what its segments say, and what does not live there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from payi_instrument.wire import routes
from payi_instrument.wire.message import Operation, Request
from payi_instrument.wire.operations import OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("text", ["a", "a/b c:1?#%2F", "ä🙂", "result", "provider", "bulk"])
def test_every_operation_is_found_by_the_path_of_its_request(operation: Operation[Any], text: str) -> None:
    values = {name: f"{text}{place or ''}" for place, name in enumerate(re.findall(r"{(\w+)}", operation.path))}
    route = routes.at(Request(operation, path=values).url_path())

    assert route is not None
    assert route.operations[operation.method] is operation
    assert route.values == values


def test_a_path_says_which_methods_it_takes() -> None:
    route = routes.at("/api/v1/limits/a")

    assert route is not None
    assert {method: operation.name for method, operation in route.operations.items()} == {
        "GET": "limits.retrieve",
        "PUT": "limits.update",
        "DELETE": "limits.delete",
    }


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/api/v1", "/api/v1/", "/api/v2/limits", "/api/v1/Limits", "//api/v1/limits", "api/v1/limits"),
        *("/api/v1/limits/", "/api/v1/limits/a/", "/api/v1/limits/a/b", "/api/v1/limits//reset"),
        *("/api/v1/limits/%ff", "/api/v1/limits/%ED%A0%80", "/api/v1/requests/a", "/api/v1/limits{limit_id}"),
    ],
)
def test_nothing_lives_elsewhere(path: str) -> None:
    assert routes.at(path) is None


def test_a_path_that_could_be_two_is_the_one_that_it_is() -> None:
    by_request = routes.at("/api/v1/requests/provider/result")
    by_response = routes.at("/api/v1/requests/provider/c/r/result")

    assert by_request is not None
    assert by_request.values == {"request_id": "provider"}
    assert by_response is not None
    assert by_response.values == {"category": "c", "provider_response_id": "r"}
