"""What each kind of unit costs with models that do more than text."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from payi_instrument.engine.catalogue import system_catalogue
from payi_instrument.engine.pricing import ResourceVersion, price

NOW = datetime(2026, 11, 21, tzinfo=UTC)

TOKENS: dict[str, dict[str, tuple[float, float]]] = {
    # USD for a million tokens, on the input side and the output side
    "gpt-image-1": {"text": (5, 40), "image": (10, 40), "vision": (10, 0)},
    "gpt-image-1-mini": {"text": (2, 8), "image": (2.5, 8), "vision": (2.5, 0)},
    "gpt-image-1.5": {"text": (5, 10), "image": (8, 32), "vision": (8, 0), "vision_cache_read": (2, 0)},
    "gpt-image-2": {"text": (5, 30), "image": (8, 30), "vision_cache_read": (2, 0), "text_cache_read": (1.25, 0)},
    "chatgpt-image-latest": {"text": (5, 10), "image": (8, 32), "vision": (8, 0)},
    "gpt-audio": {"text": (2.5, 10), "audio": (32, 64), "audio_cache_read": (32, 0)},
    "gpt-audio-mini": {"text": (0.6, 2.4), "audio": (10, 20)},
    "gpt-4o-audio-preview-2025-06-03": {"text": (2.5, 10), "audio": (40, 80)},
    "gpt-4o-mini-audio-preview": {"text": (0.15, 0.6), "audio": (10, 20)},
    "gpt-realtime": {
        "text": (4, 16),
        "audio": (32, 64),
        "vision": (5, 0),
        "text_cache_read": (0.4, 0),
        "audio_cache_read": (0.4, 0),
        "vision_cache_read": (0.5, 0),
    },
    "gpt-realtime-mini": {"audio": (10, 20), "audio_cache_read": (0.3, 0), "text_cache_read": (0.06, 0)},
    "gpt-4o-realtime-preview": {"text": (5, 20), "audio": (40, 80), "audio_cache_read": (2.5, 0)},
    "gpt-4o-transcribe": {"text": (2.5, 10), "audio": (6, 10)},
    "gpt-4o-transcribe-diarize": {"text": (2.5, 10), "audio": (6, 10)},
    "gpt-4o-mini-transcribe": {"text": (1.25, 5), "audio": (3, 5)},
    "gpt-4o-mini-tts": {"text": (0.6, 12), "audio": (0.6, 12)},
    "gpt-4o-mini": {"text": (0.15, 0.6), "vision": (0.15, 0), "text_cache_read": (0.075, 0)},
    "text-embedding-3-large": {"text": (0.13, 0)},
}


def found(category: str, resource: str) -> ResourceVersion:
    version = system_catalogue().resolve(category, resource, NOW)
    assert version is not None
    return version


@pytest.mark.parametrize("model", TOKENS)
def test_tokens_of_openai(model: str) -> None:
    version = found("system.openai", model)
    asked = TOKENS[model]
    got = {unit: (version.units[unit].input * 1_000_000, version.units[unit].output * 1_000_000) for unit in asked}

    assert got == {unit: (Decimal(str(sides[0])), Decimal(str(sides[1]))) for unit, sides in asked.items()}
    assert found("system.azureopenai", model).units == version.units


@pytest.mark.parametrize(
    ("category", "model", "unit", "count", "cost"),
    [
        ("system.openai", "whisper-1", "audio_seconds", 3600, "0.36"),
        ("system.openai", "gpt-transcribe", "audio_seconds", 3600, "0.27"),
        ("system.openai", "gpt-realtime-whisper", "audio_seconds", 3600, "1.02"),
        ("system.openai", "gpt-live-1", "audio_seconds", 3600, "3"),
        ("system.openai", "tts-1", "characters", 1_000_000, "15"),
        ("system.openai", "tts-1-hd", "characters", 1_000_000, "30"),
        ("system.groq", "whisper-large-v3-turbo", "audio_seconds", 3600, "0.04"),
        ("system.groq", "whisper-large-v3", "audio_seconds", 3600, "0.111"),
        ("system.groq", "canopylabs/orpheus-v1-english", "characters", 1_000_000, "22"),
        ("system.mistral", "voxtral-mini-latest", "audio_seconds", 3600, "0.18"),
        ("system.xai", "grok-voice-latest", "audio_seconds", 3600, "4.8"),
    ],
)
def test_time_and_characters(category: str, model: str, unit: str, count: int, cost: str) -> None:
    priced = price(found(category, model), {unit: (count, 0)})

    assert (priced.input, priced.output, priced.unknown_units) == (Decimal(cost), Decimal(0), {})
    assert price(found(category, model), {"text": (1, 1)}).warnings == ("unknown_unit: text",)


SEARCHES = {
    ("system.openai", "gpt-4.1"): ("10", "2.5"),
    ("system.openai", "gpt-5-mini"): ("10", "2.5"),
    ("system.openai", "o3-deep-research"): ("10", "2.5"),
    ("system.azureopenai", "gpt-4.1"): ("10", "2.5"),
    ("system.anthropic", "claude-sonnet-4-5"): ("10", None),
    ("system.google.vertex", "gemini-2.5-flash"): ("35", None),
    ("system.openrouter", "openai/gpt-6-sol"): ("10", None),
    ("system.perplexity", "sonar-deep-research"): ("5", None),
    ("system.openai", "gpt-4o-search-preview"): (None, None),
    ("system.openai", "gpt-5-search-api"): (None, None),
    ("system.openrouter", "openai/gpt-4o"): (None, None),
    ("system.groq", "openai/gpt-oss-120b"): (None, None),
    ("system.mistral", "mistral-medium-latest"): (None, None),
    ("system.xai", "grok-4"): ("5", "2.5"),
    ("system.xai", "grok-3"): (None, None),
}


@pytest.mark.parametrize(("category", "model"), SEARCHES)
def test_a_thousand_searches(category: str, model: str) -> None:
    """Where the source states no price, a search is an unknown unit and says so."""
    units = ("web_search_request", "file_search_request")
    for unit, cost in zip(units, SEARCHES[category, model], strict=True):
        priced = price(found(category, model), {unit: (0, 1000)})
        assert (priced.output, list(priced.unknown_units)) == (Decimal(cost or 0), [] if cost else [unit])
