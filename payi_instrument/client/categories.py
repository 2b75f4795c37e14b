"""`client.categories`: what is priced, and custom resources with their prices.

Source: wire-api section 5, resources-semantics.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypedDict, Unpack

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.method import M, Resource, method, page_method, raw_view, streaming_view
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.categories import CategoryResourceResponse, CategoryResponse
    from payi_instrument.wire.message import Page, Request


class UnitPrice(TypedDict, total=False):
    """What one unit costs, in USD; a side that is absent is 0."""

    input_price: float | Decimal
    output_price: float | Decimal


def _create(
    resource: str,
    *,
    category: str,
    units: Mapping[str, UnitPrice | Mapping[str, float | Decimal]],
    max_input_units: int | Unset | None = UNSET,
    max_output_units: int | Unset | None = UNSET,
    max_total_units: int | Unset | None = UNSET,
    start_timestamp: datetime | str | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[CategoryResourceResponse]:
    """Add a version of a custom resource, or return the one that is the same in prices and caps.

    `category` and `resource` are names of 1 to 256 characters, `category` not `system` nor below it. `units` has at
    least one unit of `a-z 0-9 _ . -` (at most 64), its prices in USD per unit, 0 or more, of at most 12 digits and 18
    places. Caps are 0 to 2 147 483 647 units or None, and inform only. The version is valid from `start_timestamp` (now
    unless given, a naive time is UTC) until the next one's start.

    Raises `BadRequestError` with `resource_already_exists` for other content at the same start,
    `required_field_missing` or `request_processing_error`, `PermissionDeniedError` `system_category_forbidden`. Source:
    wire-api section 5, resources-semantics section 3.
    """
    body = given(
        units=units,
        max_input_units=max_input_units,
        max_output_units=max_output_units,
        max_total_units=max_total_units,
        start_timestamp=start_timestamp,
    )
    return build(table.CREATE_RESOURCE, options, path={"category": category, "resource": resource}, body=body)


def _retrieve_version(
    resource_id: str, *, category: str, resource: str, **options: Unpack[Options]
) -> Request[CategoryResourceResponse]:
    """Return one version of a resource, a deleted one too; prices are in USD per unit.

    Raises `NotFoundError` `category_resource_not_found`. Source: wire-api section 5.
    """
    path = {"category": category, "resource": resource, "resource_id": resource_id}
    return build(table.RETRIEVE_RESOURCE_VERSION, options, path=path)


def _list_versions(
    resource: str,
    *,
    category: str,
    active: bool | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[CategoryResourceResponse]]:
    """List the versions of a resource by start, newest first unless `sort_ascending`.

    `active=False` lists the deleted ones; `limit` is the page size, 1 to 1000 (100 unless given).

    Raises `NotFoundError` `category_resource_not_found`, `BadRequestError` with `invalid_cursor` or
    `request_processing_error`. Source: wire-api sections 1.6 and 5.
    """
    query = given(Active=active, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    path = {"category": category, "resource": resource}
    return build(table.LIST_RESOURCE_VERSIONS, options, path=path, query=query)


def _delete_version(
    resource_id: str, *, category: str, resource: str, **options: Unpack[Options]
) -> Request[CategoryResourceResponse]:
    """Delete one version of a custom resource and return it; what it priced keeps its cost.

    Raises `NotFoundError` `category_resource_not_found`, `PermissionDeniedError` `system_category_forbidden`. Source:
    wire-api section 5, resources-semantics section 5.
    """
    path = {"category": category, "resource": resource, "resource_id": resource_id}
    return build(table.DELETE_RESOURCE_VERSION, options, path=path)


def _list(
    *,
    active: bool | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[CategoryResponse]]:
    """List categories by name, ascending unless `sort_ascending=False`.

    `active=False` lists those of which everything is deleted; `limit` is the page size, 1 to 1000 (100 unless given).

    Raises `BadRequestError` with `invalid_cursor` or `request_processing_error`. Source: wire-api sections 1.6 and 5.
    """
    query = given(Active=active, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIST_CATEGORIES, options, query=query)


def _list_resources(
    category: str,
    *,
    active: bool | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[CategoryResourceResponse]]:
    """List the resources of a category by name, each as the version valid now, else the next to be.

    `active=False` lists the deleted ones; `limit` is the page size, 1 to 1000 (100 unless given).

    Raises `NotFoundError` `category_not_found`, `BadRequestError` with `invalid_cursor` or `request_processing_error`.
    Source: wire-api sections 1.6 and 5.
    """
    query = given(Active=active, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIST_CATEGORY_RESOURCES, options, path={"category": category}, query=query)


def _delete(category: str, **options: Unpack[Options]) -> Request[list[CategoryResourceResponse]]:
    """Delete a custom category with all its resources and return every version deleted; what they priced keeps its cost.

    Raises `NotFoundError` `category_not_found`, `PermissionDeniedError` `system_category_forbidden`. Source: wire-api
    section 5, resources-semantics section 5.
    """
    return build(table.DELETE_CATEGORY, options, path={"category": category})


def _delete_resource(
    resource: str, *, category: str, **options: Unpack[Options]
) -> Request[list[CategoryResourceResponse]]:
    """Delete a custom resource and return every version deleted; what they priced keeps its cost.

    Raises `NotFoundError` `category_resource_not_found`, `PermissionDeniedError` `system_category_forbidden`. Source:
    wire-api section 5, resources-semantics section 5.
    """
    return build(table.DELETE_RESOURCE, options, path={"category": category, "resource": resource})


class Resources(Resource[M]):
    """Versions of resources and their prices."""

    with_raw_response: raw_view[Resources[Raw], Resources[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Resources[Streaming], Resources[AsyncStreaming]] = streaming_view()

    create = method(_create)
    retrieve = method(_retrieve_version)
    list = page_method(_list_versions)
    delete = method(_delete_version)


class Categories(Resource[M]):
    """Categories and what they price."""

    with_raw_response: raw_view[Categories[Raw], Categories[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Categories[Streaming], Categories[AsyncStreaming]] = streaming_view()

    list = page_method(_list)
    list_resources = page_method(_list_resources)
    delete = method(_delete)
    delete_resource = method(_delete_resource)

    @cached_property
    def resources(self) -> Resources[M]:
        """Return the methods for versions of resources."""
        return Resources(self._mode)
