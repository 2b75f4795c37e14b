"""Read a price file without trusting it: every value knows its place, every complaint names it.

Places are written as JSON pointers behind the file's name, `prices.json#/providers/openai/gpt-4o/versions/0/start`,
since names of models hold dots.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, NoReturn, cast

if TYPE_CHECKING:
    from pathlib import Path

_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,24})?")
"""Times a count of ten digits it stays within the fifty digits that `pricing.EXACT` has."""
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Field:
    """Hold one value of a price file together with its place in it.

    Every reader below returns the value in its Python type or refuses it.
    """

    place: str
    value: object

    def refuse(self, expected: str) -> NoReturn:
        """Raise the `ValueError` that names the place, the value (its first 80 characters) and what belongs there."""
        shown = repr(self.value)
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        message = f"{self.place} is {shown}, expected {expected}"
        raise ValueError(message)

    def members(self) -> dict[str, Field]:
        """Read an object, in the order of the file."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        members = cast("dict[str, object]", self.value)
        return {name: Field(f"{self.place}/{name}", value) for name, value in members.items()}

    def member(self, name: str) -> Field:
        """Read a member that has to be there."""
        found = self.members().get(name)
        if found is None:
            self.refuse(f"an object with the member {name!r}")
        return found

    def items(self) -> list[Field]:
        """Read a list that holds at least one item."""
        values = cast("list[object]", self.value) if isinstance(self.value, list) else []
        if not values:
            self.refuse("a list with at least one item")
        return [Field(f"{self.place}/{index}", value) for index, value in enumerate(values)]

    def text(self) -> str:
        """Read a text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse("a text that is not empty")
        return self.value

    def count(self) -> int:
        """Read a whole number, zero or more."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < 0:
            self.refuse("a whole number, zero or more")
        return self.value

    def price(self) -> Decimal:
        """Read a price: USD for one unit, zero or more, below a thousand million, as text with at most 24 places."""
        if not isinstance(self.value, str) or not _PRICE.fullmatch(self.value):
            self.refuse('a price for one unit as text, such as "0.0000025"')
        return Decimal(self.value)

    def moment(self) -> datetime:
        """Read a time with its zone, as UTC."""
        try:
            moment = datetime.fromisoformat(self.text())
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.refuse('a time with its zone, such as "2024-05-13T00:00:00Z"')
        return moment.astimezone(UTC)

    def hour(self) -> time:
        """Read a time of day, which is meant in UTC."""
        try:
            hour = time.fromisoformat(self.text())
        except ValueError:
            hour = None
        if hour is None or hour.tzinfo is not None:
            self.refuse('a time of day in UTC, such as "16:30"')
        return hour

    def pattern(self) -> re.Pattern[str]:
        """Read a regular expression."""
        try:
            return re.compile(self.text())
        except re.error as error:
            self.refuse(f"a regular expression ({error})")


def read_document(path: Path) -> Field:
    """Parse the JSON file at `path`; `OSError` if it can't be read, `ValueError` if it is no JSON."""
    try:
        return Field(f"{path}#", json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        message = f"{path} is no price file: {error}"
        raise ValueError(message) from error
