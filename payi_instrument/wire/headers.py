"""The headers that carry attribution, and the names that the capture layer puts into events.

Source: wire-api section 1.3, instrumentation-semantics section 1. Standard library only: scopes read this file.
"""

from __future__ import annotations

from typing import Final


class PayiHeaderNames:
    """Name the headers that `extra_headers` may carry to override a scope for one call."""

    limit_ids: Final = "xProxy-Limit-IDs"
    request_properties: Final = "xProxy-Request-Properties"
    use_case_id: Final = "xProxy-UseCase-ID"
    use_case_name: Final = "xProxy-UseCase-Name"
    use_case_version: Final = "xProxy-UseCase-Version"
    use_case_step: Final = "xProxy-UseCase-Step"
    use_case_properties: Final = "xProxy-UseCase-Properties"
    user_id: Final = "xProxy-User-ID"
    account_name: Final = "xProxy-Account-Name"
    price_as_category: Final = "xProxy-PriceAs-Category"
    price_as_resource: Final = "xProxy-PriceAs-Resource"
    provider_base_uri: Final = "xProxy-Provider-BaseUri"
    resource_scope: Final = "xProxy-Resource-Scope"
    api_key: Final = "xProxy-api-key"
    logging_disable: Final = "xProxy-Logging-Disable"


class PayiCategories:
    """Name the system categories that the capture layer reports.

    Those down to `databricks_google` are the official client's. The others are ours: hosts that speak OpenAI's wire, at
    prices of their own.
    """

    anthropic: Final = "system.anthropic"
    openai: Final = "system.openai"
    azure_openai: Final = "system.azureopenai"
    azure: Final = "system.azure"
    aws_bedrock: Final = "system.aws.bedrock"
    google_vertex: Final = "system.google.vertex"
    databricks_azure: Final = "system.databricks.azure"
    databricks_aws: Final = "system.databricks.aws"
    databricks_google: Final = "system.databricks.google"
    cerebras: Final = "system.cerebras"
    deepseek: Final = "system.deepseek"
    fireworks: Final = "system.fireworks"
    groq: Final = "system.groq"
    mistral: Final = "system.mistral"
    moonshot: Final = "system.moonshot"
    openrouter: Final = "system.openrouter"
    perplexity: Final = "system.perplexity"
    together: Final = "system.together"
    xai: Final = "system.xai"
    zai: Final = "system.zai"


class PayiPropertyNames:
    """Name the request properties that the capture layer sets."""

    failure: Final = "system.failure"
    failure_description: Final = "system.failure.description"
    account_name: Final = "system.account_name"
    use_case_step: Final = "system.use_case_step"
    user_id: Final = "system.user_id"
    aws_bedrock_guardrail_id: Final = "system.aws.bedrock.guardrail.id"
    aws_bedrock_guardrail_version: Final = "system.aws.bedrock.guardrail.version"
    aws_bedrock_guardrail_action: Final = "system.aws.bedrock.guardrail.action"


class PayiResourceScopes:
    """Name the scopes that a resource may be priced for; the last two take a `.<name>` behind them."""

    global_scope: Final = "global"
    datazone_scope: Final = "datazone"
    region_scope: Final = "region"


BLOCKED = "system.blocked"
"""Property of a refused call: the ids that blocked it, joined by commas (limits-semantics section 6.3)."""
ESTIMATED = "system.estimated"
"""Property of an event whose units the provider did not report (instrumentation-semantics section 6.9)."""
CAPTURE_ERROR = "system.capture_error"
"""Property of an event whose answer could not be read: the kind of our own error."""
STACK_TRACE = "system.stack_trace"
TRACE_ID = "system.trace_id"
SPAN_ID = "system.span_id"

PREFIX = "xproxy-"
"""Every header of ours begins so, in lower case; none may reach a provider."""
EVENT_ID = "xProxy-Event-ID"
HOLD_ID = "xProxy-Hold-ID"
UNPRICED = "xProxy-Unpriced"
ENCODING = "xProxy-Encoding"
REQUEST_TAGS = "xProxy-Request-Tags"
INSTRUMENTED_MODULE = "xProxy-Instrumented-Module"
IDEMPOTENCY_KEY = "Idempotency-Key"
REFUSED = 424
"""Status of the event that records a refused call."""
CLIENT_FAILURE = 299
"""Status of an event whose call failed without an HTTP status."""
