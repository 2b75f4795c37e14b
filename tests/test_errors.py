"""Errors travel between processes and threads, and still say what they said."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import httpx
import httpx2
import pytest

from payi_instrument import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    LimitBlockedError,
    NotFoundError,
    RateLimitError,
)

if TYPE_CHECKING:
    from types import ModuleType

    from payi_instrument.client.client import Payi

ERRORS = [
    APIConnectionError("no way there"),
    APITimeoutError(),
    APIResponseValidationError("odd", status_code=200, response=None, body={"a": 1}),
    LimitBlockedError(["a", "b"]),
]


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_an_error_is_the_same_after_a_journey(error: Exception) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), str(twin)) == (type(error), str(error))
    assert getattr(pickle.loads(pickle.dumps(error)), "limit_ids", None) == getattr(error, "limit_ids", None)


def test_a_refusal_keeps_its_code(client: Payi) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.limits.retrieve("nobody")
    twin = pickle.loads(pickle.dumps(caught.value))

    assert (type(twin), str(twin), twin.code, twin.status_code) == (
        NotFoundError, str(caught.value), "limit_not_found", 404,
    )  # fmt: skip


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
def test_an_error_is_made_as_the_official_sdks_is(library: ModuleType) -> None:
    """Users' own tests make the errors that their code should stand."""
    request = library.Request("GET", "http://meter.example.com/x")
    response = library.Response(429, request=request)

    limited = RateLimitError("slow down", response=response, body=None)
    assert (limited.status_code, limited.response, limited.request) == (429, response, request)
    assert (str(limited), limited.body, limited.code) == ("slow down", None, None)
    odd = APIResponseValidationError(response=response, body={"a": 1})
    assert (odd.status_code, odd.response, odd.request, odd.body) == (429, response, request, {"a": 1})
    assert "shape" in odd.message
    assert APIResponseValidationError(response=response, body=None, message="odd").message == "odd"
    lost = APIConnectionError(request=request)
    assert (lost.message, lost.request, lost.body) == ("Connection error.", request, None)
    assert APIConnectionError(message="lost", request=request).message == "lost"
    assert APITimeoutError(request).request is APITimeoutError(request=request).request is request
    for error in (limited, odd):
        assert pickle.loads(pickle.dumps(error)).status_code == 429


def test_an_error_of_a_status_needs_one() -> None:
    assert APIStatusError("no", response=None, body=None, status_code=418).status_code == 418
    with pytest.raises(TypeError, match="give a response or status_code"):
        APIStatusError("no", response=None, body=None)
