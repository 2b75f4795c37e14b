"""What a server says: one JSON object a line, on standard error, without prompts, keys or header values."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """Write a record as one JSON object: time, level, logger, process, message, and what was passed in `extra`.

    Of an exception it has the type and the places, not the text, which may quote what a client sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON text."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = [
                {"type": type(link).__qualname__, "at": [f"{at.filename}:{at.lineno} {at.name}" for at in places]}
                for link, places in _chain(record.exc_info[1])
            ]
        return json.dumps(line, default=str)


def _chain(error: BaseException) -> Iterator[tuple[BaseException, traceback.StackSummary]]:
    """Walk from an exception to what it came of."""
    link: BaseException | None = error
    while link is not None:
        yield link, traceback.extract_tb(link.__traceback__)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def log_json_lines(level: str) -> None:
    """Let every logger of this process write JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
