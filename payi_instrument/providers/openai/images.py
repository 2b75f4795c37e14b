"""Images that are drawn, edited and varied: https://platform.openai.com/docs/api-reference/images.

What a picture's model makes are image tokens; only some answers break its output down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Units, Usage
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import listed, strings

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what an answer says it used; without a usage, as dall-e's, its images are counted and that is an estimate."""
    return _read(facts, [answer], len(listed(getattr(answer, "data", None))))


def drawn_by(model: str, usage: Any, *, made: str = "image") -> Usage:
    """Return what another model than the call's own used to draw."""
    return Usage(units=units_of(usage, made=made), resource=model)


def _read(facts: CallFacts, answers: list[Any], images: int) -> Usage:
    reported = [answer.usage for answer in answers if is_reported(getattr(answer, "usage", None))]
    vectors = [answer.svg_usage for answer in answers if is_reported(getattr(answer, "svg_usage", None))]
    found = Usage(beside=[drawn_by(usage.model, usage, made="text") for usage in vectors])
    if reported:
        found.units = _sum(units_of(usage, made="image") for usage in reported)
    elif images:
        found.units = _estimated(facts, images)
        found.estimated = True
    return found


def _sum(parts: Iterable[Units]) -> Units:
    total: Units = {}
    for units in parts:
        for unit, (counted_in, counted_out) in units.items():
            before_in, before_out = total.get(unit, (0, 0))
            total[unit] = (before_in + counted_in, before_out + counted_out)
    return total


def _estimated(facts: CallFacts, images: int) -> Units:
    """Count images where tokens are not told: models without a usage are billed by the image."""
    units: Units = {"image": (0, images)}
    if prompt := estimate_tokens(strings([facts.body.get("prompt")])):
        units["text"] = (prompt, 0)
    return units


class ImageReader:
    """Gather the usage of streamed images: each one that is complete says what it took."""

    __slots__ = ("_complete", "_facts", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._complete: list[Any] = []
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        self.has_text = True
        if str(event.type).endswith(".completed"):
            self._complete.append(event)
        return False

    def usage(self) -> Usage:
        """Return what was used: as the complete images reported it, else one image is taken to be drawn."""
        return _read(self._facts, self._complete, len(self._complete) or 1)
