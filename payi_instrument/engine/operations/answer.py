"""Answer one operation, whichever noun it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.engine.operations import kpis, limits, requests, resources, use_cases
from payi_instrument.engine.operations.call import HANDLERS, Call, checked, checked_path
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Reply, Request

if TYPE_CHECKING:
    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.store_core.store import CoreStore

NOUNS = (kpis, limits, requests, resources, use_cases)
"""The files whose handlers are found by their operation's name."""


def answer(request: Request[Any], application: str, store: CoreStore, catalogue: Catalogue) -> Reply:
    """Answer one operation; a refusal is a reply with the error envelope."""
    operation = request.operation
    handler = HANDLERS.get(operation.name)
    if handler is None:
        return _refusal("not_implemented", f"{operation.name}: this meter does not answer it yet")
    try:
        query = checked(operation.query, dict(request.query), operation) if operation.query is not None else None
        body = checked(operation.body, request.body, operation) if operation.body is not None else None
        path = checked_path(request.path)
        return handler(Call(operation.name, application, store, catalogue, path, query, body))
    except ContractError as error:
        return Reply(error.status, envelope(error))
    except UnicodeEncodeError as error:
        return _refusal("request_processing_error", f"{error.object[:40]!r} holds half a character ({error.reason})")


def _refusal(code: str, message: str) -> Reply:
    error = ContractError(code, message)
    return Reply(error.status, envelope(error))
