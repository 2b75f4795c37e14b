"""Answers that have a usage and nothing else to them: embeddings, decisions, and whatever the wire grows next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from payi_instrument.event import Usage
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, units_of

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts


def read(_facts: CallFacts, answer: Any) -> Usage:
    """Return what an answer says it used, nothing when it says nothing."""
    usage = getattr(answer, "usage", None)
    return Usage(
        units=units_of(usage, getattr(answer, "service_tier", None)) if is_reported(usage) else {},
        resource=getattr(answer, "model", None),
        response_id=getattr(answer, "id", None),
    )


def read_embeddings(facts: CallFacts, answer: Any) -> Usage:
    """Return what embeddings took, which have no output; an estimate when they come without a usage."""
    usage = getattr(answer, "usage", None)
    found = Usage(resource=getattr(answer, "model", None), response_id=getattr(answer, "id", None))
    if is_reported(usage):
        found.units = units_of(usage, made=None)
    elif getattr(answer, "data", None):
        found.units = {"text": (_estimated(facts.body.get("input")), 0)}
        found.estimated = True
    return found


def _estimated(given: Any) -> int:
    """Estimate the texts of a request, or of a part of it; a number in a list is a token."""
    if isinstance(given, str):
        return estimate_tokens([given])
    if isinstance(given, dict):
        return sum(_estimated(part) for part in cast("dict[str, Any]", given).values() if not isinstance(part, int))
    if isinstance(given, (list, tuple)):
        return sum(1 if isinstance(part, int) else _estimated(part) for part in cast("list[Any]", given))
    return 0


class PlainReader:
    """Gather the usage of a stream of any kind: the last event that bears one, itself or in the answer that it holds."""

    __slots__ = ("_facts", "_last", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._last: Any = None
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        self.has_text = True
        for holder in (event, getattr(event, "response", None), getattr(event, "data", None)):
            if is_reported(getattr(holder, "usage", None)):
                self._last = holder
        return False

    def usage(self) -> Usage:
        """Return what was used: as an event reported it, else an estimate of what was sent."""
        if self._last is not None:
            return read(self._facts, self._last)
        return Usage(units={"text": (_estimated(self._facts.body), 0)}, estimated=True)
