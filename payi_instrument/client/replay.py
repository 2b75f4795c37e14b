"""A file of events as bulk calls, and their answers as one. Source: client.md section 6."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from payi_instrument.client.answers import read_as
from payi_instrument.wire.ingest import MAX_BULK, BulkIngestResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from payi_instrument.errors import BadRequestError
    from payi_instrument.wire.ingest import BulkItemError


def batched_events(path: str | PathLike[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of a JSON-lines file in lists of as many as one call takes."""
    events = _events(Path(path))
    while batch := list(islice(events, MAX_BULK)):
        yield batch


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _event(line, f"{path}, line {number}")


def _event(line: bytes, where: str) -> dict[str, Any]:
    try:
        event: object = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        msg = f"{where}: {error}; expected one JSON object a line"
        raise ValueError(msg) from None
    if not isinstance(event, dict):
        msg = f"{where}: {line.decode().strip()[:40]!r} is no JSON object"
        raise ValueError(msg)  # noqa: TRY004  # what a file holds is a value
    return cast("dict[str, Any]", event)


class Totals:
    """What the bulk calls of one replay came to."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sum = BulkIngestResponse(request_id="", ingest_timestamp=datetime.now(UTC), ingest_count=0, errors=None)
        self._errors: list[BulkItemError] = []

    def add(self, answer: BulkIngestResponse) -> None:
        """Count the answer to one call; the errors' indexes go on from the call before."""
        before, total = self._sum.total_count, self._sum
        for error in answer.errors or []:
            self._errors.append(error.model_copy(update={"item_index": error.item_index + before}))
        total.request_id, total.ingest_timestamp = answer.request_id, answer.ingest_timestamp
        total.ingest_count += answer.ingest_count
        total.error_count += answer.error_count
        total.item_error_count += answer.item_error_count
        total.total_count += answer.total_count

    def add_refusal(self, refusal: BadRequestError) -> None:
        """Count a call all of whose items were refused; raises what was refused as a whole."""
        try:
            answer = read_as(BulkIngestResponse, refusal.body)
        except ValueError:
            raise refusal from None
        self.add(answer)

    def answer(self) -> BulkIngestResponse:
        """Return the totals."""
        self._sum.errors = self._errors or None
        return self._sum
