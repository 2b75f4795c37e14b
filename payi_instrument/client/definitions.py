"""`client.use_cases.definitions`: use cases, their versions, KPIs and the limit that every run gets.

Source: wire-api section 6, client.md section 6.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, Required, TypedDict, Unpack

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.method import M, Resource, method, page_method, raw_view, streaming_view
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.message import Page, Request
    from payi_instrument.wire.use_cases import Kpi, KpiType, UseCaseDefinition


class LimitConfigParam(TypedDict, total=False):
    """The limit that every run of a use case gets: `max` in USD and above 0, `threshold` 0.75 to 0.99 of it."""

    max: Required[float | Decimal]
    limit_type: Literal["allow", "block"]
    threshold: float | Decimal | None
    properties: Mapping[str, str | None] | None


def _create(
    *,
    name: str,
    description: str,
    limit_config: LimitConfigParam | Unset | None = UNSET,
    logging_enabled: bool | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[UseCaseDefinition]:
    """Create a use case at version 1, or return the one that is the same in everything.

    `name` is 1 to 64 of letters, digits, `.`, `_` and `-`; `description` is 1 to 2048 characters, not only blanks;
    `limit_config` is the limit that every run gets: `max` in USD and above 0, `threshold` 0.75 to 0.99 of it.

    Raises `BadRequestError` with `required_field_missing`, `invalid_use_case_name`, `invalid_use_case_description`,
    `use_case_already_exists`, `create_limit_validation_failed` or `invalid_max_limit`. Source: wire-api section 6.
    """
    body = given(name=name, description=description, limit_config=limit_config, logging_enabled=logging_enabled)
    return build(table.CREATE_DEFINITION, options, body=body)


def _retrieve(use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseDefinition]:
    """Return a use case at its latest version.

    Raises `NotFoundError` `use_case_not_found`. Source: wire-api section 6.
    """
    return build(table.RETRIEVE_DEFINITION, options, path={"use_case_name": use_case_name})


def _update(
    use_case_name: str,
    *,
    description: str | Unset | None = UNSET,
    logging_enabled: bool | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[UseCaseDefinition]:
    """Change description or logging of a use case; its version stays, and so does what is absent or None.

    `description` is 1 to 2048 characters, not only blanks. A plain service may answer a change that changes nothing
    with 204, which is None here.

    Raises `NotFoundError` `use_case_not_found`, `BadRequestError` `invalid_use_case_description`. Source: wire-api
    section 6.
    """
    body = given(description=description, logging_enabled=logging_enabled)
    return build(table.UPDATE_DEFINITION, options, path={"use_case_name": use_case_name}, body=body)


def _list(
    *,
    use_case_name: str | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[UseCaseDefinition]]:
    """List use cases, newest first unless `sort_ascending`.

    `use_case_name` is the whole name, `limit` the page size, 1 to 1000 (100 unless given).

    Raises `BadRequestError` with `invalid_cursor` or `request_processing_error`. Source: wire-api sections 1.6 and 6.
    """
    query = given(use_case_name=use_case_name, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIST_DEFINITIONS, options, query=query)


def _delete(use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseDefinition]:
    """Delete a use case and return it; what was recorded under it stays.

    Raises `NotFoundError` `use_case_not_found`. Source: wire-api section 6.
    """
    return build(table.DELETE_DEFINITION, options, path={"use_case_name": use_case_name})


def _increment(use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseDefinition]:
    """Begin the next version of a use case, one above the last, which new runs take from now on.

    Raises `NotFoundError` `use_case_not_found`. Source: wire-api section 6.
    """
    return build(table.INCREMENT_VERSION, options, path={"use_case_name": use_case_name})


def _create_limit_config(
    use_case_name: str,
    *,
    max: float | Decimal,  # noqa: A002  # the published name
    limit_type: Literal["allow", "block"] | Unset = UNSET,
    threshold: float | Decimal | Unset | None = UNSET,
    properties: Mapping[str, str | None] | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[UseCaseDefinition]:
    """Set the limit that every new run of a use case gets, in place of any before; runs that began keep theirs.

    `max` is in USD, above 0; `threshold` is 0.75 to 0.99 of it, 1.0 or None for none; `limit_type` is `allow` unless
    given.

    Raises `NotFoundError` `use_case_not_found`, `BadRequestError` with `create_limit_validation_failed` or
    `invalid_max_limit`. Source: wire-api section 6, limits-semantics sections 2 and 6.4.
    """
    body = given(max=max, limit_type=limit_type, threshold=threshold, properties=properties)
    return build(table.CREATE_LIMIT_CONFIG, options, path={"use_case_name": use_case_name}, body=body)


def _delete_limit_config(use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseDefinition]:
    """Give new runs of a use case no limit of their own any more; it need not have had one.

    Raises `NotFoundError` `use_case_not_found`. Source: wire-api section 6.
    """
    return build(table.DELETE_LIMIT_CONFIG, options, path={"use_case_name": use_case_name})


def _create_kpi(
    use_case_name: str,
    *,
    name: str,
    description: str,
    kpi_type: KpiType,
    goal: float,
    **options: Unpack[Options],
) -> Request[Kpi]:
    """Add a KPI to a use case, or return the one that is the same in everything.

    `name` is 1 to 128 characters, `description` 1 to 2048, `goal` any finite number.

    Raises `NotFoundError` `use_case_not_found`, `BadRequestError` with `kpi_already_exists`, `required_field_missing`,
    `invalid_use_case_description` or `request_processing_error`. Source: wire-api section 6.
    """
    body = {"name": name, "description": description, "kpi_type": kpi_type, "goal": goal}
    return build(table.CREATE_KPI, options, path={"use_case_name": use_case_name}, body=body)


def _retrieve_kpi(kpi_name: str, *, use_case_name: str, **options: Unpack[Options]) -> Request[Kpi]:
    """Return a KPI of a use case.

    Raises `NotFoundError` with `use_case_not_found` or `kpi_not_found`. Source: wire-api section 6.
    """
    return build(table.RETRIEVE_KPI, options, path={"use_case_name": use_case_name, "kpi_name": kpi_name})


def _update_kpi(
    kpi_name: str,
    *,
    use_case_name: str,
    description: str | Unset | None = UNSET,
    goal: float | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[Kpi]:
    """Change description or goal of a KPI; what is absent or None stays.

    `description` is 1 to 2048 characters, `goal` any finite number.

    Raises `NotFoundError` with `use_case_not_found` or `kpi_not_found`, `BadRequestError` with
    `invalid_use_case_description` or `request_processing_error`. Source: wire-api section 6.
    """
    path = {"use_case_name": use_case_name, "kpi_name": kpi_name}
    return build(table.UPDATE_KPI, options, path=path, body=given(description=description, goal=goal))


def _list_kpis(
    use_case_name: str,
    *,
    kpi_name: str | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[Kpi]]:
    """List the KPIs of a use case, newest first unless `sort_ascending`.

    `kpi_name` is the whole name, `limit` the page size, 1 to 1000 (100 unless given).

    Raises `NotFoundError` `use_case_not_found`, `BadRequestError` with `invalid_cursor` or `request_processing_error`.
    Source: wire-api sections 1.6 and 6.
    """
    query = given(kpi_name=kpi_name, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIST_KPIS, options, path={"use_case_name": use_case_name}, query=query)


def _delete_kpi(kpi_name: str, *, use_case_name: str, **options: Unpack[Options]) -> Request[Kpi]:
    """Delete a KPI of a use case and return it.

    Raises `NotFoundError` with `use_case_not_found` or `kpi_not_found`. Source: wire-api section 6.
    """
    return build(table.DELETE_KPI, options, path={"use_case_name": use_case_name, "kpi_name": kpi_name})


class Kpis(Resource[M]):
    """What the runs of a use case are scored by."""

    with_raw_response: raw_view[Kpis[Raw], Kpis[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Kpis[Streaming], Kpis[AsyncStreaming]] = streaming_view()

    create = method(_create_kpi)
    retrieve = method(_retrieve_kpi)
    update = method(_update_kpi)
    list = page_method(_list_kpis)
    delete = method(_delete_kpi)


class LimitConfigs(Resource[M]):
    """The limit that every run of a use case gets."""

    with_raw_response: raw_view[LimitConfigs[Raw], LimitConfigs[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[LimitConfigs[Streaming], LimitConfigs[AsyncStreaming]] = streaming_view()

    create = method(_create_limit_config)
    delete = method(_delete_limit_config)


class Versions(Resource[M]):
    """Versions of a use case."""

    with_raw_response: raw_view[Versions[Raw], Versions[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Versions[Streaming], Versions[AsyncStreaming]] = streaming_view()

    increment = method(_increment)


class Definitions(Resource[M]):
    """Use cases."""

    with_raw_response: raw_view[Definitions[Raw], Definitions[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Definitions[Streaming], Definitions[AsyncStreaming]] = streaming_view()

    create = method(_create)
    retrieve = method(_retrieve)
    update = method(_update)
    list = page_method(_list)
    delete = method(_delete)

    @cached_property
    def kpis(self) -> Kpis[M]:
        """Return the methods for KPIs."""
        return Kpis(self._mode)

    @cached_property
    def limit_config(self) -> LimitConfigs[M]:
        """Return the methods for the limit that every run gets."""
        return LimitConfigs(self._mode)

    @cached_property
    def version(self) -> Versions[M]:
        """Return the methods for versions."""
        return Versions(self._mode)
