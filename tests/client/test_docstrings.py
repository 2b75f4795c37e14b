"""What `help()` says of the client: the error codes of each method, and where each method and model comes from."""

from __future__ import annotations

import inspect
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from payi_instrument import AsyncPayi, Payi, types
from payi_instrument.wire.operations import CAPABILITIES, CREATE_HOLD, OPERATIONS, RELEASE_HOLD, RENEW_HOLD

if TYPE_CHECKING:
    from payi_instrument.wire.message import Operation

METHODS = [each for each in OPERATIONS if each not in {CAPABILITIES, CREATE_HOLD, RENEW_HOLD, RELEASE_HOLD}]
PUBLIC: dict[str, object] = {name: getattr(types, name) for name in types.__all__}
MODELS = [each for each in PUBLIC.values() if isinstance(each, type) and issubclass(each, BaseModel)]


@pytest.fixture(scope="module", params=[Payi, AsyncPayi])
def client(request: pytest.FixtureRequest) -> Payi | AsyncPayi:
    made: Payi | AsyncPayi = request.param(base_url="sqlite://")
    return made


@pytest.mark.parametrize("operation", METHODS, ids=lambda operation: operation.name)
def test_a_method_says_what_it_raises_and_where_it_comes_from(
    operation: Operation[Any], client: Payi | AsyncPayi
) -> None:
    path = operation.name.split(".")
    said = shown(reduce(getattr, path, client))
    assert [code for code in operation.errors if f"`{code}`" not in said] == []
    assert "Raises `" in said
    assert "Source: " in said
    assert shown(reduce(getattr, path, client.with_raw_response)) == said


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_says_where_it_comes_from(model: type[BaseModel]) -> None:
    assert "Source: " in shown(model)


def shown(value: object) -> str:
    return " ".join((inspect.getdoc(value) or "").split())
