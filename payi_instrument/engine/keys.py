"""API keys, pure: whose they are, how one is made and read, what is kept of it, and which operations its scope may call.

A key is `payi_<key id>_<secret>`. The ledger keeps the id and the SHA-256 of the secret: 160 random bits are not guessed
from it, so nothing slower is needed. What the scopes may call:

======== =============================================================================================================
`admin`  everything
`read`   every GET
`ingest` what an instrumented program does: ingest and bulk ingest, holds, capabilities, how a limit stands, the result of
         a request, beginning a run of a use case, scoring it, and properties of a request that it knows the id of
======== =============================================================================================================

A program can say more of what it did; it can't change what it spent, nor its limits, prices and definitions: replacing
events, properties of limits and of runs, and requests by the provider's id, which others may know, are an admin's.

Source: wire-api section 1.2, decision 16.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.ledger import is_name
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from payi_instrument.wire.message import Operation

SCOPES = ("admin", "ingest", "read")
MAX_LIVE = 2
"""Most keys of an application and scope that are live at a time: the one in use, and the one that replaces it."""

_MAX_APPLICATION = 256
_ID_BYTES = 6
_SECRET_BYTES = 20
_KEY = re.compile(f"payi_([0-9a-f]{{{2 * _ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})")

_INGEST = frozenset(
    operation.name
    for operation in (
        table.INGEST,
        table.INGEST_BULK,
        table.CREATE_HOLD,
        table.RENEW_HOLD,
        table.RELEASE_HOLD,
        table.CAPABILITIES,
        table.RETRIEVE_LIMIT,
        table.RETRIEVE_REQUEST_RESULT,
        table.UPDATE_REQUEST_PROPERTIES,
        table.CREATE_INSTANCE,
        table.UPDATE_SCORE,
    )
)


def application_problem(name: str) -> str | None:
    """Say why a text can be no application's name, None when it can."""
    if is_name(name, _MAX_APPLICATION):
        return None
    return f"{name!r} is not 1 to {_MAX_APPLICATION} characters without control characters or outer blanks"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner holds it: `str()` is its text, which :func:`repr` does not show."""

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> Key:
        """Make a key that nobody has."""
        return cls(secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Key | None:
        """Read the text of a key, None for what can be none."""
        found = _KEY.fullmatch(text)
        return None if found is None else cls(found[1], found[2])

    def __str__(self) -> str:
        """Return the text of the key."""
        return f"payi_{self.key_id}_{self.secret}"

    def hashed(self) -> str:
        """Return what is kept of the secret."""
        return sha256(self.secret.encode()).hexdigest()

    def matches(self, secret_hash: str) -> bool:
        """Say whether a hash is that of the secret, in a time that does not tell how much of it is."""
        return secrets.compare_digest(self.hashed(), secret_hash)


def may_call(scope: str, operation: Operation[Any]) -> bool:
    """Say whether a key of this scope may call an operation; one that may not is refused `insufficient_key_scope`."""
    if scope == "admin":
        return True
    return operation.method == "GET" if scope == "read" else scope == "ingest" and operation.name in _INGEST
