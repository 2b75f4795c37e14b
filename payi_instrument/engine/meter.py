"""Ingest: a batch of events becomes stored events, limit totals and results, in one transaction.

Source: wire-api section 3, decision 8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from payi_instrument.engine.appraise import Appraiser, Options
from payi_instrument.engine.bookkeeper import Bookkeeper
from payi_instrument.engine.ledger import RacedError, TooMuchError, UnstorableError, is_fit, storable
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from payi_instrument.engine.bookkeeper import Outcome
    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.ledger import Ingest, IngestStore

_ATTEMPTS = 8
"""Times that a transaction is done again because another process stored a part of it first; once is enough as a rule."""


class Meter:
    """Price events and book them on their limits."""

    def __init__(self, store: IngestStore, catalogue: Catalogue, options: Options) -> None:
        """Take the ledger, the system prices and how strict to be."""
        self._store = store
        self._appraiser = Appraiser(catalogue, options)

    def ingest(self, batch: list[Ingest]) -> list[Outcome]:
        """Book events in order, in one transaction; an event that is refused does not stop the others.

        Raises `APIConnectionError` when the database fails; nothing is stored then, but for what was booked apart because
        an event of the batch could not be.
        """
        try:
            return self._ingest(batch)
        except APIConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  # one bad event must not take along those that share its transaction
            if len(batch) > 1:
                middle = len(batch) // 2
                return self.ingest(batch[:middle]) + self.ingest(batch[middle:])
            return [self._refuse_or_repair(batch[0], error)]

    def _refuse_or_repair(self, item: Ingest, error: Exception) -> Outcome:
        """Answer an event that can't be stored as it is; one of an instrumented call is repaired (decision 8)."""
        event = item.event
        if isinstance(error, TooMuchError):
            if not event.record_unpriced:
                return ContractError("request_processing_error", str(error))
            warnings = (*event.warnings, f"request_processing_error: {error}")
            return self.ingest([item._replace(event=replace(event, resource=None, warnings=warnings))])[0]
        repaired, problems = storable(event)
        if not isinstance(error, (ValueError, OverflowError)) or not problems:
            return ContractError("unexpected_error", f"{type(error).__name__}: {error}")
        if not event.record_unpriced:
            return ContractError("request_processing_error", "; ".join(problems))
        return self.ingest([item._replace(event=repaired)])[0]

    def _ingest(self, batch: list[Ingest]) -> list[Outcome]:
        for item in batch:
            if not is_fit(item.event):
                raise UnstorableError
        for _ in range(_ATTEMPTS):
            try:
                with self._store.transaction(batch) as books:
                    return Bookkeeper(books, self._appraiser).book(batch)
            except RacedError:
                continue
        raise APIConnectionError(f"the ledger can't be used: others were first {_ATTEMPTS} times in a row")
