"""Count what a usage says: units that never overlap, and sum on each side to the provider's own total.

One reading for every shape that the wire knows: `prompt_tokens` or `input_tokens`, details under four names, seconds
of audio, and what hosts add of their own. Source: instrumentation-semantics section 6.3, provider shapes 2 to 5.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from payi_instrument.providers.openai.wire import MOST, count, members, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.event import Units

TIERS = {"priority": "_priority", "fast": "_priority", "flex": "_flex"}
"""Served tiers with prices of their own; `fast` costs what `priority` does."""
UNTIERED = frozenset({"audio_seconds", "characters", "web_search_request", "file_search_request"})
_INPUT, _OUTPUT = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
_SECONDS = ("seconds", "prompt_audio_seconds")
"""How long a sound is that was sent: OpenAI's name, and Mistral's, whose total counts the sound's tokens too."""
_MODALITIES = {"audio_tokens": "audio", "image_tokens": "vision", "video_tokens": "video"}
_MADE = {"audio_tokens": "audio", "image_tokens": "image", "video_tokens": "video"}
"""The counts that a usage's details take out of a side, and the units that they are: of the input, of the output."""
_TOLD = frozenset({"text_tokens", *_MODALITIES})
_CACHED = ("num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens")
"""Where hosts count what came from the cache, if not in the details."""
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
"""Where the details count what was written to the cache."""
_COUNTED = (*_INPUT, *_OUTPUT, *_SECONDS, "total_tokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_SEARCHED_IN = ("server_tool_use", "server_side_tool_usage_details", "tool_calls_details")
"""Where OpenRouter, xAI and Perplexity count the searches that are billed each."""
_NOTHING: Mapping[str, Any] = {}


def is_reported(usage: Any) -> bool:
    """Say whether a usage counts anything: some hosts send an empty one. Never raises, whatever it holds."""
    if usage is None:
        return False
    told = members(usage)
    for name in _COUNTED:
        value = told.get(name)
        if value and isinstance(value, (int, float)) and not value < 0:
            return True
    return False


def units_of(usage: Any, tier: str | None = None, *, read: str = "text", made: str | None = "text") -> Units:
    """Return the units of a usage; the parts of a side never overlap, and sum to the provider's own count of it.

    `tier` is the served service tier, which has prices of its own. `read` and `made` are the units of an input and an
    output that come without details; nothing is made (None) where an answer has no output, as an embedding.
    """
    usage = members(usage)
    seconds = ceil(number(usage, *_SECONDS))
    if usage.get("type") == "duration" or (seconds and not number(usage, *_INPUT, *_OUTPUT)):
        return {"audio_seconds": (seconds, 0)}
    inputs, outputs, beyond = _sides(usage, 0 if seconds else count(usage, "total_tokens"))
    if made is None:
        inputs, outputs, beyond = min(inputs + outputs + beyond, MOST), 0, 0
    if seconds:
        read = "text"
    units: Units = {"text": (0, 0)}
    for unit, tokens in _input(inputs, usage, read).items():
        units[unit] = (tokens, 0)
    for unit, tokens in _output(outputs, beyond, usage, made or read).items():
        units[unit] = (units.get(unit, (0, 0))[0], tokens)
    if seconds:
        units["audio_seconds"] = (seconds, 0)
    if counts_searches(usage):
        units |= _searched(usage)
    if units["text"] == (0, 0) and len(units) > 1:
        del units["text"]
    return on_tier(units, tier)


def counts_searches(usage: Any) -> bool:
    """Say whether a usage counts searches, so that no other place is to be looked at: some that were made are not billed."""
    told = members(usage)
    return any(name in told and members(told[name]) for name in _SEARCHED_IN)


def _searched(usage: Mapping[str, Any]) -> Units:
    used, calls, tools = (members(usage.get(name)) for name in _SEARCHED_IN)
    web = count(used, "web_search_requests") + count(calls, "web_search_calls") + count(calls, "x_search_calls")
    web += count(members(tools.get("search_web")), "invocation")
    found = {"web_search_request": (0, min(web, MOST)), "file_search_request": (0, count(calls, "file_search_calls"))}
    return {unit: counts for unit, counts in found.items() if counts != (0, 0)}


def on_tier(units: Units, tier: Any) -> Units:
    """Return units as those of a served tier, where it has prices of its own."""
    suffix = TIERS.get(tier) if isinstance(tier, str) else None
    if not suffix:
        return units
    return {unit if unit in UNTIERED else unit + suffix: counts for unit, counts in units.items()}


def _sides(usage: Mapping[str, Any], total: int) -> tuple[int, int, int]:
    """Return the counts of input and output, and what the total has beyond both; a side not told is what is left of it."""
    inputs, outputs = count(usage, *_INPUT), count(usage, *_OUTPUT)
    beyond = max(total - inputs - outputs, 0)
    if not _tells(usage, _INPUT):
        return inputs + beyond, outputs, 0
    if not _tells(usage, _OUTPUT):
        return inputs, outputs + beyond, 0
    return inputs, outputs, beyond


def _tells(usage: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    for name in names:
        told = usage.get(name)
        if isinstance(told, (int, float)) and told >= 0:
            return True
    return False


class _Side:
    """Take parts out of a side's total, never more than is left."""

    __slots__ = ("left", "parts")

    def __init__(self, total: int) -> None:
        self.left = total
        self.parts: dict[str, int] = {}

    def take(self, unit: str, tokens: int) -> None:
        if tokens > 0 and self.left:
            share = min(tokens, self.left)
            self.parts[unit] = self.parts.get(unit, 0) + share
            self.left -= share

    def rest(self, unit: str) -> dict[str, int]:
        self.take(unit, self.left)
        return self.parts


def _input(total: int, usage: Mapping[str, Any], rest: str) -> dict[str, int]:
    details = _first_telling(*map(usage.get, _INPUT_DETAILS))
    side = _Side(total)
    cached = count(details, "cached_tokens", "cache_read_input_tokens") or count(usage, *_CACHED)
    if not cached and not details:
        return side.rest(rest)
    read_before = _read_before(min(cached, total), details, usage) if cached else {}
    for unit, tokens in read_before.items():
        side.take(f"{unit}_cache_read", tokens)
    side.take("text_cache_write", count(details, *_WRITTEN))
    for name, unit in _MODALITIES.items():
        if name in details:
            side.take(unit, count(details, name) - read_before.get(unit, 0))
    return side.rest("text" if _tells_modalities(details) else rest)


def _read_before(cached: int, details: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, int]:
    """Split what came from the cache, where its modalities are told."""
    shares = _first_telling(details.get("cached_tokens_details"), usage.get("cached_tokens_details"))
    side = _Side(cached)
    if shares:
        for name, unit in _MODALITIES.items():
            side.take(unit, count(shares, name, f"cached_{name}"))
    return side.rest("text")


def _output(total: int, beyond: int, usage: Mapping[str, Any], rest: str) -> dict[str, int]:
    """Split an output; what a total has beyond both sides is thinking that the host counts outside of its output."""
    details = _first_telling(*map(usage.get, _OUTPUT_DETAILS))
    side = _Side(total + beyond)
    thought = count(details, "reasoning_tokens") or count(usage, "reasoning_tokens")
    side.take("reasoning", max(thought, beyond))
    for name, unit in _MADE.items():
        if name in details:
            side.take(unit, count(details, name))
    return side.rest("text" if _tells_modalities(details) else rest)


def _first_telling(*details: Any) -> Mapping[str, Any]:
    """Return what the first details that tell anything tell, without nulls and zeros."""
    for found in details:
        if found is not None and (told := {name: value for name, value in members(found).items() if value}):
            return told
    return _NOTHING


def _tells_modalities(details: Mapping[str, Any]) -> bool:
    return not details.keys().isdisjoint(_TOLD)
