"""One operation being answered: what a handler works on, how handlers are found, how what was sent is checked.

Source: wire-api section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from payi_instrument.engine.intake import described
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
    """Validate a body or a query; raises `ContractError` naming every bad member, or the first with a NUL in it."""
    code = _OWN_CODES.get(operation.name, "request_processing_error")
    try:
        body = model.model_validate(value)
    except ValidationError as error:
        raise ContractError(code, described(error)) from None
    for name, member in body.model_dump().items():
        if _holds_nul(member):
            raise ContractError(code, f"{name}: it holds a NUL character; leave it out")
    return body


def _holds_nul(value: object) -> bool:
    """Say whether a NUL is in it, which PostgreSQL can't keep: every ledger refuses it alike."""
    if isinstance(value, Mapping):
        return any(map(_holds_nul, (part for pair in cast("Mapping[object, object]", value).items() for part in pair)))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_nul, cast("list[object]", value)))
    return isinstance(value, str) and "\0" in value


def checked_path(path: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a path names; raises `ContractError` for a NUL."""
    for name, value in path.items():
        if _holds_nul(value):
            raise ContractError(
                "request_processing_error", f"{name}: {value[:80]!r} holds a NUL character; no name does"
            )
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
