"""`client.limits`: create, find, change and delete limits. Source: wire-api section 4, limits-semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.method import AsyncResource, Resource, async_method, method
from payi_instrument.client.pages import async_page_method, page_method
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.wire.limits import DefaultResponse, Limit, LimitResponse
    from payi_instrument.wire.message import Page, Request


def _create(
    *,
    limit_name: str,
    max: float,  # noqa: A002  # the published name
    limit_id: str | Unset | None = UNSET,
    limit_type: Literal["allow", "block"] | Unset = UNSET,
    properties: Mapping[str, str | None] | Unset | None = UNSET,
    threshold: float | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[LimitResponse]:
    """Create a limit, or return the one that is the same in everything.

    `max` is in USD and above 0; `threshold` is 0.75 to 0.99 of it, from where the state is `exceeded` (none: 1.0);
    `limit_type` is `allow` unless given; a `limit_id` is 1 to 128 printable ASCII characters without comma, made by the
    meter when absent. Raises `BadRequestError` with `create_limit_validation_failed`, `invalid_max_limit` or
    `limit_name_already_exist`.
    """
    body = given(
        limit_name=limit_name,
        max=max,
        limit_id=limit_id,
        limit_type=limit_type,
        properties=properties,
        threshold=threshold,
    )
    return build(table.CREATE_LIMIT, options, body=body)


def _retrieve(limit_id: str, **options: Unpack[Options]) -> Request[LimitResponse]:
    """Return a limit with its totals; raises `NotFoundError` `limit_not_found`."""
    return build(table.RETRIEVE_LIMIT, options, path={"limit_id": limit_id})


def _update(
    limit_id: str,
    *,
    limit_name: str | Unset | None = UNSET,
    max: float | Unset | None = UNSET,  # noqa: A002  # the published name
    **options: Unpack[Options],
) -> Request[LimitResponse]:
    """Change name or `max` (USD, not below what is spent) of a limit; what is absent or None stays.

    Raises `NotFoundError`, or `BadRequestError` with `invalid_max_limit`, `invalid_max_limit_update` or
    `limit_name_already_exist`.
    """
    body = given(limit_name=limit_name, max=max)
    return build(table.UPDATE_LIMIT, options, path={"limit_id": limit_id}, body=body)


def _list(
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    limit_name: str | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[Limit]]:
    """List limits, newest first unless `sort_ascending`; `limit` is the page size, 1 to 1000, `limit_name` is exact."""
    query = given(cursor=cursor, limit=limit, limit_name=limit_name, sort_ascending=sort_ascending)
    return build(table.LIST_LIMITS, options, query=query)


def _delete(limit_id: str, **options: Unpack[Options]) -> Request[DefaultResponse]:
    """Delete a limit; its name and id are free at once. Raises `NotFoundError` `limit_not_found`."""
    return build(table.DELETE_LIMIT, options, path={"limit_id": limit_id})


class Limits(Resource):
    """Spending caps in USD that requests name by id."""

    create = method(_create)
    retrieve = method(_retrieve)
    update = method(_update)
    list = page_method(_list)
    delete = method(_delete)


class AsyncLimits(AsyncResource):
    """Spending caps in USD that requests name by id."""

    create = async_method(_create)
    retrieve = async_method(_retrieve)
    update = async_method(_update)
    list = async_page_method(_list)
    delete = async_method(_delete)
