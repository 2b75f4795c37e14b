"""Answer a request that comes again as it was answered the first time. Source: wire-api section 1.7."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.store_core.replies import KeptReply
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.model import answer_text, reply_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.engine.store_core.store import Ledger

_HEADER = "idempotency-key"
_MAX_LENGTH = 255
_KEPT_FOR = timedelta(hours=24)


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
        query = json.dumps(dict(request.query), sort_keys=True, default=str)
        target = f"{request.operation.method} {request.url_path()} {query}"
        body = json.dumps(json.loads(answer_text(request.body)), sort_keys=True)
        return cls(application, key, sha256(target.encode()).hexdigest(), sha256(body.encode()).hexdigest())

    def once(self, ledger: Ledger, handle: Callable[[Ledger], Reply]) -> Reply:
        """Return the kept reply to the same request, or handle it and keep the reply with what it changed.

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
