"""Count what a usage says: units that never overlap, and sum on each side to the provider's own total.

One reading for every shape that the wire knows: `prompt_tokens` or `input_tokens`, details under three names, seconds
of audio, and what hosts add of their own. Source: instrumentation-semantics section 6.3, provider shapes 2 to 5.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from payi_instrument.providers.openai.wire import count, members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import Units

TIERS = {"priority": "_priority", "fast": "_priority", "flex": "_flex"}
"""Served tiers with prices of their own; `fast` costs what `priority` does."""
UNTIERED = frozenset({"audio_seconds", "characters", "web_search_request", "file_search_request"})
_INPUT, _OUTPUT = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
_MODALITIES = {"audio_tokens": "audio", "image_tokens": "vision", "video_tokens": "video"}
_MADE = {"audio_tokens": "audio", "image_tokens": "image", "video_tokens": "video"}
"""The counts that a usage's details take out of a side, and the units that they are: of the input, of the output."""
_COUNTED = (*_INPUT, *_OUTPUT, "total_tokens", "seconds")


def is_reported(usage: Any) -> bool:
    """Say whether a usage counts anything: some hosts send an empty one."""
    counts = members(usage)
    return any(counts.get(name) for name in _COUNTED)


def units_of(usage: Any, tier: str | None = None, *, read: str = "text", made: str | None = "text") -> Units:
    """Return the units of a usage; the parts of a side never overlap, and sum to the provider's own count of it.

    `tier` is the served service tier, which has prices of its own. `read` and `made` are the units of an input and an
    output that come without details; nothing is made (None) where an answer has no output, as an embedding.
    """
    usage = members(usage)
    if usage.get("type") == "duration" or ("seconds" in usage and not count(usage, *_INPUT, *_OUTPUT)):
        return {"audio_seconds": (ceil(float(usage.get("seconds") or 0)), 0)}
    inputs, outputs = count(usage, *_INPUT), count(usage, *_OUTPUT)
    unaccounted = max(count(usage, "total_tokens") - inputs - outputs, 0)
    if made is None:
        inputs, unaccounted = inputs + unaccounted, 0
    units: Units = {"text": (0, 0)}
    for unit, tokens in _input(inputs, usage, read).items():
        units[unit] = (tokens, 0)
    for unit, tokens in _output(outputs, unaccounted, usage, made or read).items():
        units[unit] = (units.get(unit, (0, 0))[0], tokens)
    if units["text"] == (0, 0) and len(units) > 1:
        del units["text"]
    if searches := count(members(usage.get("server_tool_use")), "web_search_requests"):
        units["web_search_request"] = (0, searches)
    return on_tier(units, tier)


def on_tier(units: Units, tier: str | None) -> Units:
    """Return units as those of a served tier, where it has prices of its own."""
    suffix = TIERS.get(tier or "")
    if not suffix:
        return units
    return {unit if unit in UNTIERED else unit + suffix: counts for unit, counts in units.items()}


class _Side:
    """Take parts out of a side's total, never more than is left."""

    __slots__ = ("left", "parts")

    def __init__(self, total: int) -> None:
        self.left = total
        self.parts: dict[str, int] = {}

    def take(self, unit: str, tokens: int) -> None:
        share = min(tokens, self.left)
        if share > 0:
            self.parts[unit] = self.parts.get(unit, 0) + share
            self.left -= share

    def rest(self, unit: str) -> dict[str, int]:
        self.take(unit, self.left)
        return self.parts


def _input(total: int, usage: Mapping[str, Any], rest: str) -> dict[str, int]:
    details = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    side = _Side(total)
    cached = count(details, "cached_tokens") or count(
        usage, "num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens"
    )
    if not cached and not details:
        return side.rest(rest)
    shares = members(details.get("cached_tokens_details") or usage.get("cached_tokens_details"))
    read_before = _Side(min(cached, total))
    for name, unit in _MODALITIES.items():
        read_before.take(unit, count(shares, name, f"cached_{name}"))
    for unit, tokens in read_before.rest("text").items():
        side.take(f"{unit}_cache_read", tokens)
    side.take("text_cache_write", count(details, "cache_write_tokens", "cache_creation_tokens"))
    for name, unit in _MODALITIES.items():
        side.take(unit, count(details, name) - read_before.parts.get(unit, 0))
    return side.rest("text" if _tells_modalities(details) else rest)


def _output(total: int, unaccounted: int, usage: Mapping[str, Any], rest: str) -> dict[str, int]:
    """Split an output; what a total has beyond both sides is thinking that the host counts outside of its output."""
    details = _details(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    side = _Side(total + unaccounted)
    if details or unaccounted:
        side.take("reasoning", max(count(details, "reasoning_tokens"), unaccounted))
        for name, unit in _MADE.items():
            side.take(unit, count(details, name))
    return side.rest("text" if _tells_modalities(details) else rest)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return members(next((found for name in names if (found := usage.get(name))), None))


def _tells_modalities(details: Mapping[str, Any]) -> bool:
    return any(details.get(name) for name in ("text_tokens", *_MODALITIES))
