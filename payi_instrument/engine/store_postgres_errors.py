"""What PostgreSQL's errors mean to those who use the ledger."""

from __future__ import annotations

import psycopg
from psycopg import errors

from payi_instrument.engine.ledger import RacedError, UnstorableError
from payi_instrument.errors import APIConnectionError

RACED = (RacedError, errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)
_UNSTORABLE = (psycopg.DataError, errors.ProgramLimitExceeded, UnicodeEncodeError)
"""Among them a text that is too long for an index."""


def translated(error: BaseException | None) -> Exception:
    """Return an error of the driver as the ledger's own; the transaction that met it has stored nothing."""
    if isinstance(error, RACED):
        return RacedError(str(error))
    if isinstance(error, _UNSTORABLE):
        return UnstorableError(str(error))
    return APIConnectionError(f"the ledger on PostgreSQL can't be used: {error}")
