"""`client.categories`: custom resources and their prices. Source: wire-api section 5, resources-semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.method import AsyncResource, AsyncSender, Resource, Sender, async_method, method
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from payi_instrument.wire.categories import CategoryResourceResponse
    from payi_instrument.wire.message import Request


class UnitPrice(TypedDict, total=False):
    """What one unit costs, in USD; a side that is absent is 0."""

    input_price: float
    output_price: float


def _create(
    resource: str,
    *,
    category: str,
    units: Mapping[str, UnitPrice],
    max_input_units: int | Unset | None = UNSET,
    max_output_units: int | Unset | None = UNSET,
    max_total_units: int | Unset | None = UNSET,
    start_timestamp: datetime | str | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[CategoryResourceResponse]:
    """Add a version of a custom resource, valid from `start_timestamp` (now unless given) until the next one's start.

    Prices are in USD per unit, 0 or more; caps are informational. The same content again returns the version there is.
    Raises `BadRequestError` `resource_already_exists` for other content at the same start, `PermissionDeniedError` for a
    `system.` category.
    """
    body = given(
        units=units,
        max_input_units=max_input_units,
        max_output_units=max_output_units,
        max_total_units=max_total_units,
        start_timestamp=start_timestamp,
    )
    return build(table.CREATE_RESOURCE, options, path={"category": category, "resource": resource}, body=body)


class Resources(Resource):
    """Versions of custom resources."""

    create = method(_create)


class AsyncResources(AsyncResource):
    """Versions of custom resources."""

    create = async_method(_create)


class Categories(Resource):
    """Categories and what they price."""

    def __init__(self, client: Sender) -> None:
        """Take the client that sends."""
        super().__init__(client)
        self.resources = Resources(client)


class AsyncCategories(AsyncResource):
    """Categories and what they price."""

    def __init__(self, client: AsyncSender) -> None:
        """Take the client that sends."""
        super().__init__(client)
        self.resources = AsyncResources(client)
