"""One operation being answered: what a handler works on, how handlers are found, how what was sent is checked.

Source: wire-api section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from payi_instrument.engine.intake import code_of, described
from payi_instrument.engine.ledger import unfit
from payi_instrument.engine.shown import shown
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Operation, Reply

if TYPE_CHECKING:
    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.store_core.store import Ledger

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """Hold what a handler works on: application, a transaction of the ledger, the system prices, the checked request."""

    operation: str
    application: str
    ledger: Ledger
    catalogue: Catalogue
    path: Mapping[str, str]
    query: Any
    body: Any


Handler = Callable[[Call], Reply]
HANDLERS: dict[str, Handler] = {}


def answers(operation: Operation[Any]) -> Callable[[Handler], Handler]:
    """Register the handler of an operation."""

    def register(handler: Handler) -> Handler:
        HANDLERS[operation.name] = handler
        return handler

    return register


def checked(model: type[ModelT], value: object, operation: Operation[Any]) -> ModelT:
    """Validate a body or a query; raises `ContractError` naming every bad member, or the first that no ledger keeps."""
    code = _OWN_CODES.get(operation.name, "request_processing_error")
    try:
        body = model.model_validate(value)
    except ValidationError as error:
        if operation.name not in _OWN_CODES:
            code = code_of(error)
        raise ContractError(code, described(error)) from None
    for name, member in body.model_dump().items():
        if (held := unfit(member)) is not None:
            raise ContractError(code, f"{name}: {shown(member)} holds {held}; leave it out")
    return body


def checked_path(path: Mapping[str, str], operation: Operation[Any]) -> Mapping[str, str]:
    """Return what a path names; raises `ContractError` for what no name holds."""
    for name, value in path.items():
        if (held := unfit(value)) is not None:
            code = _OWN_CODES.get(operation.name, "request_processing_error")
            raise ContractError(code, f"{name}: {shown(value)} holds {held}; no name does")
    return path


def check_same(existing: Mapping[str, Any], wanted: Mapping[str, object], named: str, code: str) -> None:
    """Let a create repeat what exists; raises `ContractError` naming the members that it wants otherwise."""
    different = [name for name, value in wanted.items() if existing[name] != value]
    if different:
        raise ContractError(code, f"{named} exists with another {', '.join(different)}; update or delete it")


_OWN_CODES = {
    table.CREATE_LIMIT.name: "create_limit_validation_failed",
    table.CREATE_LIMIT_CONFIG.name: "create_limit_validation_failed",
    table.UPDATE_LIMIT.name: "update_limit_validation_failed",
    table.RESET_LIMIT.name: "update_limit_validation_failed",
}
"""The operations whose validation failures have a code of their own (wire-api section 1.5)."""
