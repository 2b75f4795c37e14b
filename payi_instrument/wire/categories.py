"""Bodies and answers of categories and resources. Source: wire-api section 5, resources-semantics sections 1 to 5."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from payi_instrument.wire.ingest import Count
from payi_instrument.wire.limits import Amount
from payi_instrument.wire.model import Body, Model, Money, Timestamp


class UnitPriceRequest(Body):
    """Hold what one unit costs, in USD; a side that is absent is 0."""

    input_price: Amount | None = None
    output_price: Amount | None = None


class ResourceRequest(Body):
    """Hold a new version of a resource: at least one unit, caps of 0 or more, valid from `start_timestamp` or now."""

    units: dict[str, UnitPriceRequest] = Field(min_length=1)
    max_input_units: Count | None = None
    max_output_units: Count | None = None
    max_total_units: Count | None = None
    start_timestamp: Timestamp | None = None


class UnitPriceData(Model):
    """Hold what one unit costs, in USD, 0 or more: floats with an exact twin. Source: wire-api section 5."""

    input_price: Money | None = None
    output_price: Money | None = None

    @property
    def input_price_exact(self) -> Decimal | None:
        """Return `input_price` as the meter multiplies it."""
        return None if self.input_price is None else self.input_price.exact

    @property
    def output_price_exact(self) -> Decimal | None:
        """Return `output_price` as the meter multiplies it."""
        return None if self.output_price is None else self.output_price.exact


class CategoryResponse(Model):
    """Name a category. Source: wire-api section 5."""

    category: str


class MappedResource(Model):
    """Say which resource another name stands for.

    `scope` is `global`, `datazone` or `region`, `sub_scope` the zone or region. Source: wire-api section 5.
    """

    category: str
    resource: str
    scope: str | None = None
    sub_scope: str | None = None
    host_name: str | None = None
    mapping_name: str | None = None


class AzureResource(Model):
    """Hold reserved Azure capacity, in provisioned throughput units. Source: wire-api section 5."""

    ptus: int | None = None


class AwsBedrockResource(Model):
    """Hold reserved Bedrock capacity, in model units. Source: wire-api section 5."""

    model_units: int | None = None


class GoogleVertexResource(Model):
    """Hold reserved Vertex capacity, in generative AI scale units. Source: wire-api section 5."""

    gsus: int | None = None


class CategoryResourceResponse(Model):
    """Describe one version of a resource.

    `units` has its prices in USD per unit, by name of the unit. It is valid from `start_timestamp` until
    `end_timestamp`, the next version's start, None for the newest; both in UTC. `active` means not deleted. Caps
    (`max_..._units`) are in units, 0 to 2 147 483 647, and inform only; `cost_per_hour` is in USD and prices nothing.
    Above `large_context_threshold` input units the `_large_context` prices hold. Source: wire-api section 5,
    resources-semantics sections 4 to 6.
    """

    category: str
    resource: str
    resource_id: str
    start_timestamp: Timestamp
    units: dict[str, UnitPriceData]
    active: bool = True
    proxy_allowed: bool = False
    end_timestamp: Timestamp | None = None
    deprecated_timestamp: Timestamp | None = None
    description: str | None = None
    max_input_units: int | None = None
    max_output_units: int | None = None
    max_total_units: int | None = None
    aliased_resource: str | None = None
    large_context_threshold: int | None = None
    character_billing: bool | None = None
    cost_per_hour: Money | None = None
    reservation_id: str | None = None
    mapped_resource: MappedResource | None = None
    azure_resource: AzureResource | None = None
    aws_bedrock_resource: AwsBedrockResource | None = None
    google_vertex_resource: GoogleVertexResource | None = None
