"""Say by its class and its host whose client it is: the category that its calls are priced in.

Source: instrumentation-semantics section 6.1, provider shape 7. `host_mappings` go before what is said here.
"""

from __future__ import annotations

import re
import sys
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from payi_instrument.wire.headers import PayiCategories

_CLASSES = {
    "BaseAzureClient": PayiCategories.azure_openai,
    "BedrockOpenAI": PayiCategories.aws_bedrock,
    "AsyncBedrockOpenAI": PayiCategories.aws_bedrock,
}
HOSTS = (
    (r"(?:.+\.)?openai\.azure\.(?:com|us|cn)", PayiCategories.azure_openai),
    (r".+\.(?:cognitiveservices|services\.ai)\.azure\.(?:com|us)", PayiCategories.azure_openai),
    (r".+\.azure-api\.(?:net|us)", PayiCategories.azure_openai),
    (r".+\.(?:models|inference)\.ai\.azure\.com", PayiCategories.azure),
    (r"bedrock-(?:runtime|mantle)(?:-fips)?\..+", PayiCategories.aws_bedrock),
    (r"(?:.+-)?aiplatform\.googleapis\.com|generativelanguage\.googleapis\.com", PayiCategories.google_vertex),
    (r"api\.anthropic\.com", PayiCategories.anthropic),
    (r".+\.azuredatabricks\.net", PayiCategories.databricks_azure),
    (r".+\.gcp\.databricks\.com", PayiCategories.databricks_google),
    (r".+\.databricks\.com", PayiCategories.databricks_aws),
    (r"api\.cerebras\.ai", PayiCategories.cerebras),
    (r"api\.deepseek\.com", PayiCategories.deepseek),
    (r"api\.fireworks\.ai", PayiCategories.fireworks),
    (r"api\.groq\.com", PayiCategories.groq),
    (r"(?:api|codestral)\.mistral\.ai", PayiCategories.mistral),
    (r"api\.moonshot\.(?:ai|cn)", PayiCategories.moonshot),
    (r"(?:.+\.)?openrouter\.ai", PayiCategories.openrouter),
    (r"api\.perplexity\.ai", PayiCategories.perplexity),
    (r"api\.together\.(?:xyz|ai)", PayiCategories.together),
    (r"(?:.+\.)?api\.x\.ai", PayiCategories.xai),
    (r"api\.z\.ai", PayiCategories.zai),
)
"""Hosts that are known to speak this wire; any other is taken for OpenAI's, or a proxy before it."""
_KNOWN = [(re.compile(pattern), category) for pattern, category in HOSTS]
_RUNTIMES = {"bedrock": PayiCategories.aws_bedrock, "vertex": PayiCategories.google_vertex}
"""What the SDK calls the clouds that a plain client may be configured for, wherever their host is."""
_OLLAMA, _OLLAMA_PORT = "system.ollama", 11434
_OTHER_SDKS = frozenset(
    {
        PayiCategories.anthropic,
        PayiCategories.aws_bedrock,
        PayiCategories.google_vertex,
        PayiCategories.databricks_azure,
        PayiCategories.databricks_aws,
        PayiCategories.databricks_google,
    }
)
CATEGORIES = frozenset({PayiCategories.openai, _OLLAMA, *(category for _, category in HOSTS)}) - _OTHER_SDKS
"""The categories that switch this SDK on; those that have an SDK of their own switch that one on."""
ROUTERS = frozenset({PayiCategories.openrouter})
"""Categories whose hosts choose the model: the one that served is the one that is paid."""


@lru_cache(1024)
def category_of(classes: tuple[str, ...], base_url: str, runtime: str | None = None) -> str:
    """Return the category of a client's calls, by its classes, the `runtime` it is configured for, and its host."""
    if runtime in _RUNTIMES:
        return _RUNTIMES[runtime]
    for name in classes:
        if name in _CLASSES:
            return _CLASSES[name]
    url = urlsplit(base_url)
    host = (url.hostname or "").rstrip(".")
    for pattern, category in _KNOWN:
        if pattern.fullmatch(host):
            return category
    return _OLLAMA if url.port == _OLLAMA_PORT else PayiCategories.openai


class _Identity(NamedTuple):
    url: object
    host: str
    category: str


_identities: WeakKeyDictionary[Any, _Identity] = WeakKeyDictionary()


def identity_of(client: Any) -> tuple[str, str]:
    """Return a client's base URL as text and its category, found out once for each client and URL."""
    url = client.base_url
    try:
        known = _identities.get(client)
        if known is None or known.url is not url:
            known = _identities[client] = _identify(client, url)
    except TypeError:  # a client that compares by value is no key
        known = _identify(client, url)
    return known.host, known.category


def _identify(client: Any, url: object) -> _Identity:
    runtime = getattr(getattr(client, "_provider_runtime", None), "name", None)
    classes = tuple(base.__name__ for base in type(client).__mro__)
    return _Identity(url, str(url), category_of(classes, str(url), runtime))


@cache
def sdk() -> str:
    """Return the SDK and its version, as events name it."""
    return f"openai/{sys.modules['openai'].__version__}"
