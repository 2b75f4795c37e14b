"""The answer to a bulk call: what became of each item. Source: wire-api section 3.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payi_instrument.engine.result_text import result_text
from payi_instrument.ids import new_id
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.ingest import APIErrorBody, BulkIngestResponse, BulkItemError
from payi_instrument.wire.model import reply_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payi_instrument.engine.results import Booked


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """Hold the outcome of every item, in order, and whether each item's own result is wanted."""

    outcomes: Sequence[Booked | ContractError]
    with_results: bool

    @property
    def refusals(self) -> list[ContractError]:
        """Return why items were refused."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, ContractError)]

    @property
    def status(self) -> int:
        """Return 400 when every item was refused, else 200."""
        return 400 if self.outcomes and len(self.refusals) == len(self.outcomes) else 200

    def model(self) -> BulkIngestResponse:
        """Return the answer as a model."""
        results = [None if isinstance(outcome, ContractError) else outcome.result() for outcome in self.outcomes]
        return self._counted().model_copy(update={"results": results} if self.with_results else None)

    def text(self) -> bytes:
        """Return the answer as JSON text."""
        text = reply_text(self._counted())
        if not self.with_results:
            return text
        results = ",".join(
            "null" if isinstance(outcome, ContractError) else result_text(outcome) for outcome in self.outcomes
        )
        return text[:-1] + f',"results":[{results}]}}'.encode()

    def _counted(self) -> BulkIngestResponse:
        errors = [
            BulkItemError(item_index=index, xproxy_result=APIErrorBody.model_validate(envelope(outcome)))
            for index, outcome in enumerate(self.outcomes)
            if isinstance(outcome, ContractError)
        ]
        return BulkIngestResponse(
            request_id=new_id(),
            ingest_timestamp=datetime.now(UTC),
            ingest_count=len(self.outcomes) - len(errors),
            error_count=len(errors),
            item_error_count=len(errors),
            total_count=len(self.outcomes),
            errors=errors or None,
        )
