"""Answer one operation in one transaction, whichever noun it belongs to."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from payi_instrument.engine.ledger import RacedError, UnstorableError
from payi_instrument.engine.operations import kpis, limits, requests, resources, use_cases
from payi_instrument.engine.operations.call import HANDLERS, Call, checked, checked_path
from payi_instrument.engine.operations.repeated import Repeatable, is_kept
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.store_core.store import CoreStore, Ledger

    Work = Callable[[Ledger], Reply]

NOUNS = (kpis, limits, requests, resources, use_cases)
"""The files whose handlers are found by their operation's name."""
_ATTEMPTS = 8
"""Times that a transaction is done again because the ingest or another process was first; once is enough, nearly always."""


def answer(request: Request[Any], application: str, store: CoreStore, catalogue: Catalogue) -> Reply:
    """Answer one operation; a refusal is a reply with the error envelope."""
    handler = HANDLERS.get(request.operation.name)
    if handler is None:
        return _refusal("not_implemented", f"{request.operation.name}: this meter does not answer it yet")

    def handle(ledger: Ledger) -> Reply:
        return handler(Call(request.operation.name, application, ledger, catalogue, *asked()))

    asked = cache(partial(_checked, request))
    reads = request.operation.method == "GET"
    try:
        repeatable = None if reads else Repeatable.of(request, application)
        if repeatable is None:
            asked()  # what is wrong with it keeps no ledger waiting
        if reads:
            with store.reading() as ledger:
                return handle(ledger)
        write = partial(_written, store, _turn(request, application))
        return write(handle) if repeatable is None else _once(repeatable, write, handle)
    except ContractError as error:
        return Reply(error.status, envelope(error))
    except UnstorableError as error:
        return _refusal("request_processing_error", f"body: {error}")
    except UnicodeEncodeError as error:
        return _refusal("request_processing_error", f"{error.object[:40]!r} holds half a character ({error.reason})")


def _once(repeatable: Repeatable, write: Callable[[Work], Reply], handle: Work) -> Reply:
    """Answer a request that may have come before, or may come again; a refusal is an answer too."""
    try:
        return write(partial(repeatable.once, handle=handle))
    except ContractError as error:
        if not is_kept(error.status):
            raise
        refusal = Reply(error.status, envelope(error))
    return write(partial(repeatable.once, handle=lambda _: refusal))  # what the handler wrote before it is undone


def _checked(request: Request[Any]) -> tuple[Mapping[str, str], BaseModel | None, BaseModel | None]:
    """Return path, query and body of a request; raises `ContractError`."""
    operation = request.operation
    query = checked(operation.query, dict(request.query), operation) if operation.query is not None else None
    model = operation.body  # never an event's: those are read by `intake`
    body = checked(model, request.body, operation) if model and issubclass(model, BaseModel) else None
    return checked_path(request.path, operation), query, body


def _written(store: CoreStore, turn: str, work: Work) -> Reply:
    """Do work in a transaction of its own, again when somebody else was first."""
    for _ in range(_ATTEMPTS):
        try:
            with store.transaction(turn) as ledger:
                return work(ledger)
        except RacedError:
            continue
    raise APIConnectionError(f"the ledger can't be used: others were first {_ATTEMPTS} times in a row")


def _turn(request: Request[Any], application: str) -> str:
    """Return what writers take turns at: the prices, which all applications share, or all else of one application."""
    return "prices" if request.operation.name.startswith("categories.") else f"application {application}"


def _refusal(code: str, message: str) -> Reply:
    error = ContractError(code, message)
    return Reply(error.status, envelope(error))
