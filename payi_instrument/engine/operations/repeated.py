"""Answer a request that comes again as it was answered the first time. Source: wire-api section 1.7."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from payi_instrument.engine.ledger import unfit
from payi_instrument.engine.shown import shown
from payi_instrument.engine.store_core.replies import KeptReply
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.model import Money, reply_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.engine.store_core.store import Ledger

_HEADER = "idempotency-key"
_MAX_LENGTH = 255
_KEPT_FOR = timedelta(hours=24)
_KEPT = range(200, 500)
_NOT_KEPT = frozenset({401, 403, 413, 429})
"""Statuses of refusals that are about who asks, and how much, not about what: they may be asked again."""
_EVERY_DIGIT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])


def is_kept(status: int) -> bool:
    """Say whether a reply with this status is the answer to the same request when it comes again."""
    return status in _KEPT and status not in _NOT_KEPT


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request that changes something, under a key that its sender keeps for every attempt."""

    application: str
    key: str
    target: str
    body: str

    @classmethod
    def of(cls, request: Request[Any], application: str) -> Repeatable | None:
        """Return the request as one that may come again, None without a key; raises `ContractError` for a bad key."""
        key = next((value for name, value in request.headers.items() if name.lower() == _HEADER), None)
        if not key:
            return None
        if len(key) > _MAX_LENGTH:
            message = f"Idempotency-Key: {key[:40]!r} has {len(key)} characters, at most {_MAX_LENGTH} are kept"
            raise ContractError("request_processing_error", message)
        if (held := unfit(key)) is not None:
            raise ContractError("request_processing_error", f"Idempotency-Key: {shown(key)} holds {held}; leave it out")
        operation = request.operation
        target = _digest([operation.method, operation.path, dict(request.path), dict(request.query)])
        try:
            return cls(application, key, target, _digest(request.body))
        except RecursionError:
            raise ContractError("request_processing_error", "body: it is nested too deeply") from None

    def once(self, ledger: Ledger, handle: Callable[[Ledger], Reply]) -> Reply:
        """Return the kept reply to the same request, or handle it and keep the reply with what it changed.

        A refusal that is raised is not kept: the transaction is undone with it.

        Raises `ContractError` when the key was used for another request.
        """
        now = datetime.now(UTC)
        kept = ledger.replies.find(self.application, self.key, now - _KEPT_FOR)
        if kept is None:
            reply = handle(ledger)
            text = reply_text(reply.body).decode()
            new = KeptReply(self.target, self.body, reply.status, text)
            ledger.replies.keep(self.application, self.key, new, now, now - _KEPT_FOR)
            return reply
        if (kept.target_digest, kept.body_digest) != (self.target, self.body):
            message = f"Idempotency-Key: {self.key!r} was used for another request; use a new one for each"
            raise ContractError("request_processing_error", message)
        return Reply(kept.status, json.loads(kept.reply, parse_float=Decimal) if kept.reply else None)


def _digest(value: object) -> str:
    """Return a digest of what JSON says, however it is written."""
    return sha256(json.dumps(_canonical(value), sort_keys=True).encode()).hexdigest()


def _canonical(value: object) -> object:
    """Return a value so that the same is written the same, numbers with every digit: 1.50 is 1.5."""
    if isinstance(value, Mapping):
        return {str(name): _canonical(member) for name, member in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Money):
        value = value.exact
    if isinstance(value, (int, float, Decimal)):
        number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
        return f"\0{number.normalize(_EVERY_DIGIT)}"  # no text that is taken holds a NUL
    return value.isoformat() if isinstance(value, date) else type(value).__name__  # else no body that is taken
