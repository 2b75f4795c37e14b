"""Answer one operation in one transaction, whichever noun it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from payi_instrument.engine.ledger import RacedError, UnstorableError
from payi_instrument.engine.operations import kpis, limits, requests, resources, use_cases
from payi_instrument.engine.operations.call import HANDLERS, Call, checked, checked_path
from payi_instrument.engine.operations.repeated import Repeatable
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Reply, Request

if TYPE_CHECKING:
    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.store_core.store import CoreStore, Ledger

NOUNS = (kpis, limits, requests, resources, use_cases)
"""The files whose handlers are found by their operation's name."""
_ATTEMPTS = 8
"""Times that a transaction is done again because the ingest or another process was first; once is enough, nearly always."""


def answer(request: Request[Any], application: str, store: CoreStore, catalogue: Catalogue) -> Reply:
    """Answer one operation; a refusal is a reply with the error envelope."""
    operation = request.operation
    handler = HANDLERS.get(operation.name)
    if handler is None:
        return _refusal("not_implemented", f"{operation.name}: this meter does not answer it yet")
    try:
        query = checked(operation.query, dict(request.query), operation) if operation.query is not None else None
        model = operation.body  # never an event's: those are read by `intake`
        body = checked(model, request.body, operation) if model and issubclass(model, BaseModel) else None
        path = checked_path(request.path, operation)

        def handle(ledger: Ledger) -> Reply:
            return handler(Call(operation.name, application, ledger, catalogue, path, query, body))

        if operation.method == "GET":
            with store.reading() as ledger:
                return handle(ledger)
        repeatable = Repeatable.of(request, application)
        for _ in range(_ATTEMPTS):
            try:
                with store.transaction(_turn(request, application)) as ledger:
                    return handle(ledger) if repeatable is None else repeatable.once(ledger, handle)
            except RacedError:
                continue
    except ContractError as error:
        return Reply(error.status, envelope(error))
    except UnstorableError as error:
        return _refusal("request_processing_error", f"body: {error}")
    except UnicodeEncodeError as error:
        return _refusal("request_processing_error", f"{error.object[:40]!r} holds half a character ({error.reason})")
    raise APIConnectionError(f"the ledger can't be used: others were first {_ATTEMPTS} times in a row")


def _turn(request: Request[Any], application: str) -> str:
    """Return what writers take turns at: the prices, which all applications share, or all else of one application."""
    return "prices" if request.operation.name.startswith("categories.") else f"application {application}"


def _refusal(code: str, message: str) -> Reply:
    error = ContractError(code, message)
    return Reply(error.status, envelope(error))
