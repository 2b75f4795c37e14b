"""Whose calls they are: row P-9, shape 7, and the hosts that speak the OpenAI wire, each with a price of its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai_answers import response

from examples.openai_standin import Reply
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from payi_instrument.testing import MemoryMeter

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def answering(request: Any) -> Any:
    if str(request.url.path).endswith("/responses"):
        return httpx.Response(200, json=response(Reply(), {"model": "gpt-4o"}))
    choice = {"index": 0, "message": {"role": "assistant", "content": "Four."}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served", "choices": [choice]}
    return httpx.Response(200, json={**body, "usage": USAGE})


def http() -> Any:
    return httpx.Client(transport=httpx.MockTransport(answering))


def ask(client: Any, model: str) -> Any:
    with client:
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "How many?"}])


@pytest.mark.parametrize(
    ("base_url", "model", "category", "resource"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "system.openai", "gpt-4o"),
        ("https://eu.api.openai.com/v1", "gpt-4o", "system.openai", "gpt-4o"),
        ("https://mine.openai.azure.com/openai/v1/", "gpt-4o", "system.azureopenai", "gpt-4o"),
        ("https://mine.openai.azure.us/openai/v1/", "gpt-4o", "system.azureopenai", "gpt-4o"),
        ("https://mine.cognitiveservices.azure.com/openai/v1", "gpt-4o", "system.azureopenai", "gpt-4o"),
        ("https://mine.services.ai.azure.com/openai/v1", "gpt-4o", "system.azureopenai", "gpt-4o"),
        ("https://gateway.azure-api.net/openai/v1", "gpt-4o", "system.azureopenai", "gpt-4o"),
        ("https://phi.eastus.models.ai.azure.com/v1", "gpt-4o", "system.azure", "gpt-4o"),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
            "openai.gpt-oss-120b-1:0",
            "system.aws.bedrock",
            "openai.gpt-oss-120b-1:0",
        ),
        (
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1",
            "openai.gpt-oss-20b",
            "system.aws.bedrock",
            "openai.gpt-oss-20b",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "gemini-2.5-flash",
            "system.google.vertex",
            "gemini-2.5-flash",
        ),
        (
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi",
            "google/gemini-2.5-flash",
            "system.google.vertex",
            "google/gemini-2.5-flash",
        ),
        ("https://api.anthropic.com/v1/", "claude-opus-4-5", "system.anthropic", "claude-opus-4-5"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "system.groq", "llama-3.3-70b-versatile"),
        ("https://api.mistral.ai/v1", "mistral-large-latest", "system.mistral", "mistral-large-latest"),
        (
            "https://api.together.xyz/v1",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "system.together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ),
        ("https://api.deepseek.com", "deepseek-chat", "system.deepseek", "deepseek-chat"),
        ("https://api.x.ai/v1", "grok-4", "system.xai", "grok-4"),
        ("https://us-east-1.api.x.ai/v1", "grok-4", "system.xai", "grok-4"),
        ("https://api.z.ai/api/paas/v4/", "glm-4.6", "system.zai", "glm-4.6"),
        (
            "https://api.fireworks.ai/inference/v1",
            "accounts/fireworks/models/deepseek-v3p2",
            "system.fireworks",
            "accounts/fireworks/models/deepseek-v3p2",
        ),
        ("https://api.cerebras.ai/v1", "gpt-oss-120b", "system.cerebras", "gpt-oss-120b"),
        ("https://api.perplexity.ai", "sonar", "system.perplexity", "sonar"),
        ("https://api.moonshot.ai/v1", "kimi-k2-0905-preview", "system.moonshot", "kimi-k2-0905-preview"),
        ("https://API.OPENAI.COM./v1", "gpt-4o", "system.openai", "gpt-4o"),
        ("https://openai.azure.com.example.org/v1", "gpt-4o", "system.openai", "gpt-4o"),
        ("http://localhost:4000", "gpt-4o", "system.openai", "gpt-4o"),
    ],
)
def test_shape_7_a_plain_client_is_known_by_its_host(
    meter: MemoryMeter, base_url: str, model: str, category: str, resource: str
) -> None:
    answer = ask(openai.OpenAI(base_url=base_url, api_key="k", http_client=http()), model)

    [event] = meter.events
    assert (event.category, event.resource, event.units) == (category, resource, {"text": (1000, 100)})
    assert answer.xproxy_result.cost.total.base > 0


@pytest.mark.parametrize("base_url", ["http://localhost:11434/v1", "http://ollama:11434/v1"])
def test_what_runs_on_ones_own_machine_has_a_price_of_ones_own(base_url: str) -> None:
    mappings = {"host_mappings": {base_url: {"price_as_category": "our-llms"}}}
    for config, category in (({}, "system.ollama"), (mappings, "our-llms")):
        with metered(config=config) as meter:
            if config:
                price = {"text": {"input_price": 0.001, "output_price": 0.002}}
                meter.client.categories.resources.create("llama3.2", category="our-llms", units=price)
            answer = ask(openai.OpenAI(base_url=base_url, api_key="k", http_client=http()), "llama3.2")
        [event] = meter.events
        assert (event.category, event.resource) == (category, "llama3.2")
        assert answer.xproxy_result.cost.total.base == (1.2 if config else 0)
        assert bool(answer.xproxy_result.unpriced) == (not config)


def test_a_router_is_paid_for_the_model_that_it_chose(meter: MemoryMeter) -> None:
    def routed(request: Any) -> Any:
        answer = answering(request)
        return httpx.Response(200, json={**answer.json(), "model": "anthropic/claude-sonnet-4.5"})

    transport = httpx.MockTransport(routed)
    client = openai.OpenAI(
        base_url="https://openrouter.ai/api/v1", api_key="k", http_client=httpx.Client(transport=transport)
    )
    answer = ask(client, "openrouter/auto")

    [event] = meter.events
    assert (event.category, event.resource) == ("system.openrouter", "anthropic/claude-sonnet-4.5")
    assert answer.xproxy_result.cost.total.base == pytest.approx(0.0045)


def test_p9_the_deployment_of_a_client_stands_for_the_model(meter: MemoryMeter) -> None:
    azure = openai.AzureOpenAI(
        azure_endpoint="https://mine.openai.azure.com",
        azure_deployment="chat-prod",
        api_key="k",
        api_version="2024-10-21",
        http_client=http(),
    )
    answer = azure.post(
        "/chat/completions", cast_to=openai.types.chat.ChatCompletion, body={"messages": [{"role": "user"}]}
    )

    assert answer.usage is not None
    [event] = meter.events
    assert (event.category, event.resource) == ("system.azureopenai", "chat-prod")


@pytest.mark.parametrize("azure", [True, False], ids=["AzureOpenAI", "OpenAI on Azure"])
def test_responses_on_azure(meter: MemoryMeter, azure: bool) -> None:
    client: Any
    if azure:
        client = openai.AzureOpenAI(
            azure_endpoint="https://mine.openai.azure.com", api_key="k", api_version="preview", http_client=http()
        )
    else:
        client = openai.OpenAI(base_url="https://mine.openai.azure.com/openai/v1/", api_key="k", http_client=http())
    client.responses.create(model="gpt-4o", input="How many?")

    [event] = meter.events
    assert (event.category, event.resource, event.units) == ("system.azureopenai", "gpt-4o", {"text": (1200, 400)})


@pytest.mark.skipif(not hasattr(openai, "BedrockOpenAI"), reason="this SDK has no client for Bedrock")
@pytest.mark.parametrize("base_url", [None, "https://vpce-1.example.com/openai/v1"])
def test_the_bedrock_client(meter: MemoryMeter, base_url: str | None) -> None:
    client = openai.BedrockOpenAI(api_key="k", aws_region="us-east-1", base_url=base_url, http_client=http())
    client.responses.create(model="openai.gpt-oss-120b", input="How many?")

    [event] = meter.events
    assert (event.category, event.resource) == ("system.aws.bedrock", "openai.gpt-oss-120b")


@pytest.mark.skipif(not hasattr(openai, "providers"), reason="this SDK has no providers")
def test_a_plain_client_that_is_configured_for_bedrock(meter: MemoryMeter) -> None:
    from openai.providers import bedrock

    provider = bedrock(api_key="k", region="us-east-1", base_url="https://vpce-1.example.com/openai/v1")
    client: Any = openai.OpenAI(provider=provider, http_client=http())
    client.responses.create(model="openai.gpt-oss-120b", input="How many?")

    [event] = meter.events
    assert (event.category, event.resource) == ("system.aws.bedrock", "openai.gpt-oss-120b")


def test_a_client_whose_url_changes_changes_its_category(meter: MemoryMeter) -> None:
    client = openai.OpenAI(api_key="k", http_client=http())
    for base_url in ("https://api.openai.com/v1", "https://api.groq.com/openai/v1"):
        client.base_url = base_url
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "How many?"}])

    assert [event.category for event in meter.events] == ["system.openai", "system.groq"]
