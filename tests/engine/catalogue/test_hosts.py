"""Names as callers send them to each host, and what they cost there."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from payi_instrument.engine.catalogue import system_catalogue

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

TEXT = [
    ("system.groq", "llama-3.3-70b-versatile", "0.59", "0.79"),
    ("system.groq", "llama-3.1-8b-instant", "0.05", "0.08"),
    ("system.groq", "openai/gpt-oss-120b", "0.15", "0.6"),
    ("system.groq", "moonshotai/kimi-k2-instruct-0905", "1", "3"),
    ("system.mistral", "mistral-large-latest", "0.5", "1.5"),
    ("system.mistral", "mistral-large-2411", "2", "6"),
    ("system.mistral", "mistral-medium-latest", "1.5", "7.5"),
    ("system.mistral", "mistral-small-latest", "0.15", "0.6"),
    ("system.mistral", "mistral-small-2506", "0.1", "0.3"),
    ("system.mistral", "magistral-medium-2509", "2", "5"),
    ("system.mistral", "codestral-latest", "0.3", "0.9"),
    ("system.mistral", "ministral-3b-latest", "0.1", "0.1"),
    ("system.mistral", "ministral-14b-latest", "0.2", "0.2"),
    ("system.mistral", "open-mistral-nemo-2407", "0.15", "0.15"),
    ("system.mistral", "pixtral-12b-2409", "0.15", "0.15"),
    ("system.together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88", "0.88"),
    ("system.together", "meta-llama/llama-3.3-70b-instruct-turbo", "0.88", "0.88"),
    ("system.together", "openai/gpt-oss-120b", "0.15", "0.6"),
    ("system.together", "zai-org/GLM-5.3", "1.4", "4.4"),
    ("system.deepseek", "deepseek-chat", "0.27", "1.1"),
    ("system.deepseek", "deepseek-reasoner", "0.55", "2.19"),
    ("system.deepseek", "deepseek-flash", "0.15", "0.6"),
    ("system.deepseek", "deepseek-v4-pro-0813", "0.66", "1.98"),
    ("system.openrouter", "openai/gpt-4o-mini", "0.15", "0.6"),
    ("system.openrouter", "openai/gpt-4o-mini-2024-07-18", "0.15", "0.6"),
    ("system.openrouter", "openai/gpt-4o-mini:online", "0.15", "0.6"),
    ("system.openrouter", "openai/gpt-4o-mini:batch", "0.075", "0.3"),
    ("system.openrouter", "openai/gpt-4o:extended", "6", "18"),
    ("system.openrouter", "google/gemini-2.5-flash:nitro", "0.3", "2.5"),
    ("system.openrouter", "google/gemini-2.5-flash-preview:thinking", "0.15", "3.5"),
    ("system.openrouter", "anthropic/claude-3.7-sonnet:thinking", "3", "15"),
    ("system.openrouter", "anthropic/claude-4.5-sonnet-20250929", "3", "15"),
    ("system.openrouter", "moonshotai/kimi-k2-0905:exacto", "0.6", "2.5"),
    ("system.openrouter", "z-ai/glm-4.6:floor", "0.6", "2.2"),
    ("system.openrouter", "meta-llama/llama-3.3-70b-instruct:free", "0", "0"),
    ("system.openrouter", "openrouter/free", "0", "0"),
    ("system.openrouter", "~openai/gpt-mini-latest", "0.75", "4.5"),
    ("system.xai", "grok-4", "3", "15"),
    ("system.xai", "grok-4-latest", "3", "15"),
    ("system.xai", "grok-3-mini-beta", "0.3", "0.5"),
    ("system.xai", "grok-4-fast-reasoning", "0.2", "0.5"),
    ("system.xai", "grok-code-fast-1", "0.2", "1.5"),
    ("system.xai", "grok-4.20-0309-reasoning", "1.25", "2.5"),
    ("system.zai", "glm-4.6", "0.6", "2.2"),
    ("system.zai", "GLM-4.5-Air", "0.2", "1.1"),
    ("system.zai", "glm-4.6v", "0.3", "0.9"),
    ("system.fireworks", "accounts/fireworks/models/gpt-oss-120b", "0.15", "0.6"),
    ("system.fireworks", "accounts/fireworks/models/deepseek-v3p2", "0.56", "1.68"),
    ("system.fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "0.2", "0.2"),
    ("system.fireworks", "accounts/fireworks/routers/kimi-k2p6-fast", "2", "8"),
    ("system.cerebras", "gpt-oss-120b", "0.35", "0.75"),
    ("system.cerebras", "llama-3.3-70b", "0.85", "1.2"),
    ("system.perplexity", "sonar-pro", "3", "15"),
    ("system.perplexity", "sonar-deep-research", "2", "8"),
    ("system.moonshot", "kimi-k2-0905-preview", "0.6", "2.5"),
    ("system.moonshot", "kimi-k2-turbo-preview", "1.15", "8"),
    ("system.moonshot", "moonshot-v1-8k-vision-preview", "0.2", "2"),
    ("system.databricks.azure", "databricks-meta-llama-3-3-70b-instruct", "0.5", "1.5"),
    ("system.databricks.aws", "system.ai.llama-4-maverick", "0.5", "1.5"),
    ("system.databricks.google", "databricks-gte-large-en", "0.13", "0"),
    ("system.google.vertex", "gemini-2.5-flash", "0.3", "2.5"),
    ("system.google.vertex", "models/gemini-2.5-flash", "0.3", "2.5"),
    ("system.google.vertex", "google/gemini-2.5-flash", "0.3", "2.5"),
    ("system.aws.bedrock", "openai.gpt-oss-120b-1:0", "0.15", "0.6"),
    ("system.aws.bedrock", "openai.gpt-oss-120b", "0.15", "0.6"),
    ("system.aws.bedrock", "us.openai.gpt-oss-20b-1:0", "0.07", "0.3"),
    ("system.aws.bedrock", "openai.gpt-5.4", "2.75", "16.5"),
    ("system.aws.bedrock", "openai.gpt-6-sol", "2.2", "11"),
    ("system.aws.bedrock", "global.openai.gpt-6-sol", "2", "10"),
    ("system.azureopenai", "gpt-4o-mini", "0.15", "0.6"),
    ("system.azureopenai", "gpt-4o-2024-08-06", "2.5", "10"),
    ("system.azureopenai", "gpt-35-turbo", "0.5", "1.5"),
    ("system.azureopenai", "o4-mini", "1.1", "4.4"),
    ("system.azureopenai", "grok-3", "3", "15"),
    ("system.azure", "Kimi-K2-Thinking", "0.6", "2.5"),
    ("system.openai", "decisions/gpt-6-luna", "0.1", "0"),
]


@pytest.mark.parametrize(("category", "name", "per_input", "per_output"), TEXT)
def test_a_million_tokens_of_text(category: str, name: str, per_input: str, per_output: str) -> None:
    version = system_catalogue().resolve(category, name, NOON)

    assert version is not None
    assert version.resource == name
    price = version.units["text"]
    assert (price.input * 1_000_000, price.output * 1_000_000) == (Decimal(per_input), Decimal(per_output))


@pytest.mark.parametrize(
    ("category", "name"),
    [
        ("system.fireworks", "accounts/acme/models/llama-v3p1-8b-instruct"),  # one's own, billed otherwise
        ("system.fireworks", "accounts/fireworks/models/gpt-oss-120b#accounts/acme/deployments/a1b2c3"),
        ("system.openrouter", "openrouter/auto"),
        ("system.openrouter", "openai/gpt-4o-mini:extended"),  # a variant is sold only where it is listed
        ("system.together", "acme/Llama-3.3-70B-Instruct-Turbo-7f3a"),
        ("system.azureopenai", "our-deployment"),
        ("system.groq", "gpt-4o-mini"),
        ("system.mistral", "mistral-ocr-latest"),  # by the page
    ],
)
def test_what_has_no_price_there_takes_no_other_models(category: str, name: str) -> None:
    assert system_catalogue().resolve(category, name, NOON) is None


def test_the_latest_mistral_models_move_to_the_next_at_midnight_utc() -> None:
    release = datetime(2025, 12, 2, tzinfo=UTC)
    for name, before, after in (
        ("mistral-large-latest", "mistral-large", "mistral-large-2512"),
        ("ministral-3b-latest", "ministral-3b", "ministral-3b-2512"),
    ):
        old, new = system_catalogue().versions("system.mistral", name)
        assert (old.aliased_resource, old.end) == (before, release)
        assert (new.aliased_resource, new.start) == (after, release)


def test_deepseek_costs_twice_as_much_at_its_busy_hours() -> None:
    prices = {}
    for hour in (0, 1, 4, 6, 10):
        version = system_catalogue().resolve("system.deepseek", "deepseek-v4-pro", NOON.replace(hour=hour))
        assert version is not None
        prices[hour] = version.units["text"].output * 1_000_000
    cheap, dear = Decimal("1.98"), Decimal("3.96")
    assert prices == {0: cheap, 1: dear, 4: cheap, 6: dear, 10: cheap}
