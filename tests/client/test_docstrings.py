"""What `help()` says of the client: the error codes of each method, and where each method and model comes from."""

from __future__ import annotations

import inspect
from functools import reduce
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, create_autospec

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


@pytest.mark.parametrize(
    ("kind", "path", "answer", "is_awaited"),
    [
        (Payi, "limits.create", "LimitResponse", False),
        (AsyncPayi, "limits.create", "LimitResponse", True),
        (Payi, "limits.list", "SyncCursorPage[Limit]", False),
        (AsyncPayi, "limits.list", "AsyncPaginator[Limit]", False),
        (Payi, "ingest.replay_file", "BulkIngestResponse", False),
        (AsyncPayi, "ingest.replay_file", "BulkIngestResponse", True),
        (Payi, "limits.with_raw_response.retrieve", "APIResponse[LimitResponse]", False),
        (AsyncPayi, "limits.with_raw_response.list", "AsyncAPIResponse[AsyncCursorPage[Limit]]", True),
        (
            Payi,
            "limits.with_streaming_response.delete",
            "AbstractContextManager[APIResponse[DefaultResponse]]",
            False,
        ),
    ],
)
def test_a_signature_shows_what_comes_back_and_whether_it_is_awaited(
    *, kind: type[Payi | AsyncPayi], path: str, answer: str, is_awaited: bool
) -> None:
    found: Any = attrgetter(path)(kind(base_url="sqlite://"))
    shown = inspect.signature(found)
    assert (shown.return_annotation, inspect.iscoroutinefunction(found)) == (answer, is_awaited)
    assert "Unset" not in " ".join(repr(each.default) for each in shown.parameters.values())
    assert found.__qualname__.partition(".")[2] == path.rpartition(".")[2]


def test_a_mock_of_an_async_client_is_awaited() -> None:
    limits: Any = create_autospec(AsyncPayi(base_url="sqlite://").limits)
    assert isinstance(limits.create, AsyncMock)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_says_where_it_comes_from(model: type[BaseModel]) -> None:
    assert "Source: " in shown(model)


def shown(value: object) -> str:
    return " ".join((inspect.getdoc(value) or "").split())
