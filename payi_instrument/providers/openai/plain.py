"""Answers that have a usage and nothing else to them: embeddings, decisions, and whatever the wire grows next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers._estimate import estimate_given
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import failure_of, members, named, unreadable

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what an answer says it used, nothing when it says nothing and need not have cost anything."""
    told = members(answer)
    found = _found(answer)
    if is_reported(told.get("usage")):
        found.units = units_of(told["usage"], told.get("service_tier"))
    elif facts.costs and found.failure is None:
        raise unreadable(answer)
    return found


def read_embeddings(facts: CallFacts, answer: Any) -> Usage:
    """Return what embeddings took, which have no output; an estimate when they come without a usage."""
    told = members(answer)
    found = _found(answer)
    if is_reported(told.get("usage")):
        found.units = units_of(told["usage"], made=None)
    elif told.get("data"):
        found.units = {"text": (estimate_given(facts.body.get("input")), 0)}
        found.estimated = True
    elif found.failure is None:
        raise unreadable(answer)
    return found


def _found(answer: Any) -> Usage:
    told = members(answer)
    return Usage(
        resource=named(told.get("model")),
        response_id=named(told.get("id")),
        failure=failure_of(told.get("error")),
    )


class PlainReader:
    """Gather the usage of a stream of any kind: the last event that bears one, itself or in the answer that it holds."""

    __slots__ = ("_facts", "_failure", "_last", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._failure: tuple[str, str | None] | None = None
        self._last: Any = None
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        self.has_text = True
        told = members(event)
        self._failure = failure_of(told.get("error")) or self._failure
        for holder in (told, members(told.get("response")), members(told.get("data"))):
            if is_reported(holder.get("usage")):
                self._last = holder
        return False

    def usage(self) -> Usage:
        """Return what was used: as an event reported it, else an estimate of what was sent."""
        if self._last is not None:
            found = read(self._facts, self._last)
        else:
            found = Usage(units={"text": (estimate_given(self._facts.body), 0)}, estimated=True)
        found.failure = found.failure or self._failure
        return found
