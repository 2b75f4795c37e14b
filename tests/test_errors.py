"""Errors travel between processes and threads, and still say what they said."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from payi_instrument import APIConnectionError, APITimeoutError, LimitBlockedError, NotFoundError
from payi_instrument.errors import APIResponseValidationError

if TYPE_CHECKING:
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
