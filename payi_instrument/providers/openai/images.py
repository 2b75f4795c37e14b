"""Images that are drawn, edited and varied: https://platform.openai.com/docs/api-reference/images.

What a picture's model makes are image tokens; only some answers break its output down. Models that are billed by the image
tell no usage, and streams that are left early tell none either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Units, Usage
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import billed_as, failure_of, listed, members, named, strings, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BY_TOKEN = ("gpt-image", "chatgpt-image")
_BY_IMAGE = "dall-e"
_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
"""What a square picture is drawn with, by its quality; others in proportion to their size (image generation guide)."""
_SQUARE = 1024 * 1024
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what an answer says it used; without a usage, as dall-e's, its images are counted and that is an estimate."""
    told = members(answer)
    found = _read(facts, [told], len(listed(told.get("data"))))
    found.failure = failure_of(told.get("error"))
    if not found.units and not found.beside and found.failure is None:
        raise unreadable(answer)
    return found


def drawn_by(model: str | None, usage: Any, *, made: str = "image") -> Usage:
    """Return what another model than the call's own used to draw."""
    return Usage(units=units_of(usage, made=made), resource=model)


def authored(usage: Any) -> Usage:
    """Return what a model used to write a vector drawing, by the usage that names it."""
    return drawn_by(named(members(usage).get("model")), usage, made="text")


def estimated_image(model: str, *asked: Mapping[str, Any]) -> int:
    """Return about how many units an image is, by the first of these that tells its size and quality."""
    if not model.startswith(_BY_TOKEN):
        return 1  # billed by the image
    size = _SIZE.fullmatch(_first(asked, "size"))
    pixels = int(size[1]) * int(size[2]) if size else _SQUARE
    return _TOKENS.get(_first(asked, "quality"), _TOKENS["high"]) * pixels // _SQUARE


def _first(asked: Iterable[Mapping[str, Any]], name: str) -> str:
    return next(iter(strings(part.get(name) for part in asked)), "")


def _read(facts: CallFacts, answers: list[Mapping[str, Any]], images: int) -> Usage:
    reported = [answer["usage"] for answer in answers if is_reported(answer.get("usage"))]
    vectors = [answer["svg_usage"] for answer in answers if is_reported(answer.get("svg_usage"))]
    found = Usage(beside=[authored(usage) for usage in vectors])
    if reported:
        found.units = _sum(units_of(usage, made="image") for usage in reported)
    elif images:
        found.units = _estimated(facts, images, *answers)
        found.estimated = True
    return found


def _sum(parts: Iterable[Units]) -> Units:
    total: Units = {}
    for units in parts:
        for unit, (counted_in, counted_out) in units.items():
            before_in, before_out = total.get(unit, (0, 0))
            total[unit] = (before_in + counted_in, before_out + counted_out)
    return total


def _estimated(facts: CallFacts, images: int, *answers: Mapping[str, Any]) -> Units:
    units: Units = {
        "image": (0, images * estimated_image(billed_as(facts, *_BY_TOKEN, _BY_IMAGE), *answers, facts.body))
    }
    if prompt := estimate_tokens(strings([facts.body.get("prompt")])):
        units["text"] = (prompt, 0)
    return units


class ImageReader:
    """Gather the usage of streamed images: each one that is complete says what it took."""

    __slots__ = ("_complete", "_facts", "_failure", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._failure: tuple[str, str | None] | None = None
        self._complete: list[Mapping[str, Any]] = []
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        self.has_text = True
        told = members(event)
        self._failure = failure_of(told.get("error")) or self._failure
        if str(told.get("type")).endswith(".completed"):
            self._complete.append(told)
        return False

    def usage(self) -> Usage:
        """Return what was used: as the complete images reported it, else one image is taken to be drawn."""
        found = _read(self._facts, self._complete, len(self._complete) or 1)
        found.failure = self._failure
        return found
