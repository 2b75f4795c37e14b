"""`client.limits`: create, find, change and delete limits. Source: wire-api section 4, limits-semantics."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, Unpack, cast

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given, mapping
from payi_instrument.client.method import M, Resource, method, page_method, raw_view, streaming_view
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.limits import DefaultResponse, Limit, LimitHistory, LimitHistoryResponse, LimitResponse
    from payi_instrument.wire.message import Page, Request


def _create(
    *,
    limit_name: str,
    max: float | Decimal,  # noqa: A002  # the published name
    limit_id: str | Unset | None = UNSET,
    limit_type: Literal["allow", "block"] | Unset = UNSET,
    properties: Mapping[str, str | None] | Unset | None = UNSET,
    threshold: float | Decimal | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[LimitResponse]:
    """Create a limit, or return the one that is the same in everything.

    `limit_name` is 1 to 256 characters, one per application; `max` is in USD, above 0, of at most 20 digits and 12
    places. `threshold` is the share of `max`, 0.75 to 0.99, from where the state is `exceeded`; 1.0 and None mean none.
    `limit_type` is `allow` unless given. A `limit_id` is 1 to 128 printable ASCII characters without comma or outer
    blanks, made by the meter when absent. Keys of `properties` are not blank.

    Raises `BadRequestError` with `create_limit_validation_failed`, `invalid_max_limit` or `limit_name_already_exist`.
    Source: wire-api section 4, limits-semantics section 2.
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
    """Return a limit with its totals in USD.

    Raises `NotFoundError` `limit_not_found`. Source: wire-api section 4.
    """
    return build(table.RETRIEVE_LIMIT, options, path={"limit_id": limit_id})


def _update(
    limit_id: str,
    *,
    limit_name: str | Unset | None = UNSET,
    max: float | Decimal | Unset | None = UNSET,  # noqa: A002  # the published name
    **options: Unpack[Options],
) -> Request[LimitResponse]:
    """Change name or `max` of a limit; what is absent or None stays, and so do its totals.

    `limit_name` is 1 to 256 characters; `max` is in USD, above 0 and not below what is spent. Type, threshold and id
    never change: delete the limit and create it anew.

    Raises `NotFoundError` `limit_not_found`, `BadRequestError` with `update_limit_validation_failed`,
    `invalid_max_limit`, `invalid_max_limit_update` or `limit_name_already_exist`. Source: wire-api section 4,
    limits-semantics section 5.
    """
    body = given(limit_name=limit_name, max=max)
    return build(table.UPDATE_LIMIT, options, path={"limit_id": limit_id}, body=body)


def _list(
    *,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    limit_name: str | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    properties: Mapping[str, str] | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[Limit]]:
    """List limits, newest first unless `sort_ascending`.

    `limit_name` is the whole name, `limit` the page size, 1 to 1000 (100 unless given). `properties` are those that a
    limit must have, all of them: an extension of our meter.

    Raises `BadRequestError` with `invalid_cursor` or `request_processing_error`, `ValueError` for a key that holds a
    colon. Source: wire-api sections 1.6 and 4.
    """
    query = given(cursor=cursor, limit=limit, limit_name=limit_name, sort_ascending=sort_ascending)
    if properties:
        query["property"] = [_pair(key, value) for key, value in mapping("properties", properties).items()]
    return build(table.LIST_LIMITS, options, query=query)


def _pair(key: str, value: str) -> str:
    if not isinstance(cast("object", key), str) or not isinstance(cast("object", value), str):  # no checker's callers
        msg = f"properties: {key!r}: {value!r} are not both str"
        raise TypeError(msg)
    if ":" in key:
        msg = f"properties: the key {key!r} holds a colon, which ends a key in a filter; filter by another property"
        raise ValueError(msg)
    return f"{key}:{value}"


def _delete(limit_id: str, **options: Unpack[Options]) -> Request[DefaultResponse]:
    """Delete a limit; its name and id are free at once, and what was stored under it stays.

    Raises `NotFoundError` `limit_not_found`. Source: wire-api section 4, limits-semantics section 5.
    """
    return build(table.DELETE_LIMIT, options, path={"limit_id": limit_id})


def _reset(
    limit_id: str, *, reset_date: datetime | str | Unset | None = UNSET, **options: Unpack[Options]
) -> Request[LimitHistoryResponse]:
    """Begin a new period of a limit and return the one that it closes, with its totals in USD.

    `reset_date` says when the new period begins: now unless given, after the last reset, at most 5 minutes ahead; a
    naive time is UTC. Events from that time on count in the new period.

    Raises `NotFoundError` `limit_not_found`, `BadRequestError` `update_limit_validation_failed` for a date that can't
    be. Source: wire-api section 4, limits-semantics section 7.
    """
    query = given(resetDate=reset_date)
    return build(table.RESET_LIMIT, options, path={"limit_id": limit_id}, query=query)


def _history(
    limit_id: str,
    *,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[LimitHistory]]:
    """List the closed periods of a limit, newest first unless `sort_ascending`: an extension of our meter.

    `limit` is the page size, 1 to 1000 (100 unless given).

    Raises `NotFoundError` `limit_not_found`, `BadRequestError` with `invalid_cursor` or `request_processing_error`.
    Source: limits-semantics section 7.
    """
    query = given(cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIMIT_HISTORY, options, path={"limit_id": limit_id}, query=query)


def _update_properties(
    limit_id: str, *, properties: Mapping[str, str | None], **options: Unpack[Options]
) -> Request[list[LimitResponse]]:
    """Merge properties into a limit's, None removes a key, and return the limit in a list of one.

    Raises `NotFoundError` `limit_not_found`, `BadRequestError` with `required_field_missing`, or
    `request_processing_error` for a blank key. Source: wire-api sections 4 and 7.
    """
    body = {"properties": properties}
    return build(table.UPDATE_LIMIT_PROPERTIES, options, path={"limit_id": limit_id}, body=body)


class LimitProperties(Resource[M]):
    """Properties of a limit, to find it again by."""

    with_raw_response: raw_view[LimitProperties[Raw], LimitProperties[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[LimitProperties[Streaming], LimitProperties[AsyncStreaming]] = (
        streaming_view()
    )

    update = method(_update_properties)


class Limits(Resource[M]):
    """Spending caps in USD that requests name by id."""

    with_raw_response: raw_view[Limits[Raw], Limits[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Limits[Streaming], Limits[AsyncStreaming]] = streaming_view()

    create = method(_create)
    retrieve = method(_retrieve)
    update = method(_update)
    list = page_method(_list)
    delete = method(_delete)
    reset = method(_reset)
    history = page_method(_history)

    @cached_property
    def properties(self) -> LimitProperties[M]:
        """Return the methods for a limit's properties."""
        return LimitProperties(self._mode)
