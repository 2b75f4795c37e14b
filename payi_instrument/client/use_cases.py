"""`client.use_cases`: runs of a use case, their properties and their KPI scores.

Source: wire-api section 6, client.md section 6.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Unpack

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.definitions import Definitions
from payi_instrument.client.method import M, Resource, method, page_method, raw_view, streaming_view
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.message import Page, Request
    from payi_instrument.wire.use_cases import KpiScore, UseCaseInstance


def _create(use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseInstance]:
    """Begin a run of a use case, under an id that the meter makes; it gets the definition's limit, if there is one.

    Raises `NotFoundError` `use_case_not_found`. Source: wire-api section 6, limits-semantics section 6.4.
    """
    return build(table.CREATE_INSTANCE, options, path={"use_case_name": use_case_name})


def _retrieve(use_case_id: str, *, use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseInstance]:
    """Return a run of a use case.

    Raises `NotFoundError` `use_case_instance_not_found`. Source: wire-api section 6.
    """
    return build(table.RETRIEVE_INSTANCE, options, path=_run(use_case_name, use_case_id))


def _delete(use_case_id: str, *, use_case_name: str, **options: Unpack[Options]) -> Request[UseCaseInstance]:
    """Delete a run and return it; its limit and what it spent stay.

    Raises `NotFoundError` `use_case_instance_not_found`. Source: wire-api section 6, limits-semantics section 6.4.
    """
    return build(table.DELETE_INSTANCE, options, path=_run(use_case_name, use_case_id))


def _update_properties(
    use_case_id: str, *, use_case_name: str, properties: Mapping[str, str | None], **options: Unpack[Options]
) -> Request[UseCaseInstance]:
    """Merge properties into a run's, None removes a key, and return the run.

    Raises `NotFoundError` `use_case_instance_not_found`, `BadRequestError` with `required_field_missing`, or
    `request_processing_error` for a blank key. Source: wire-api sections 6 and 7.
    """
    body = {"properties": properties}
    return build(table.UPDATE_INSTANCE_PROPERTIES, options, path=_run(use_case_name, use_case_id), body=body)


def _update_score(
    kpi_name: str,
    *,
    use_case_name: str,
    use_case_id: str,
    score: bool | float | Unset | None = UNSET,
    **options: Unpack[Options],
) -> Request[None]:
    """Set the score of a KPI for a run; None clears it.

    A `boolean` KPI takes a bool, 0 or 1, `percentage` 0 to 100, `likert5`, `likert7` and `likert10` a whole number from
    1 to 5, 7 and 10, `number` any within 1e300.

    Raises `NotFoundError` with `use_case_not_found`, `use_case_instance_not_found` or `kpi_not_found`,
    `BadRequestError` with `required_field_missing` or `invalid_kpi_score`. Source: wire-api section 6.
    """
    path = {**_run(use_case_name, use_case_id), "kpi_name": kpi_name}
    return build(table.UPDATE_SCORE, options, path=path, body=given(score=score))


def _list_scores(
    use_case_id: str,
    *,
    use_case_name: str,
    kpi_name: str | Unset = UNSET,
    cursor: str | Unset | None = UNSET,
    limit: int | Unset = UNSET,
    sort_ascending: bool | Unset = UNSET,
    **options: Unpack[Options],
) -> Request[Page[KpiScore]]:
    """List the KPI scores of a run, newest first unless `sort_ascending`.

    `kpi_name` is the whole name, `limit` the page size, 1 to 1000 (100 unless given).

    Raises `NotFoundError` `use_case_instance_not_found`, `BadRequestError` with `invalid_cursor` or
    `request_processing_error`. Source: wire-api sections 1.6 and 6.
    """
    query = given(kpi_name=kpi_name, cursor=cursor, limit=limit, sort_ascending=sort_ascending)
    return build(table.LIST_SCORES, options, path=_run(use_case_name, use_case_id), query=query)


def _run(use_case_name: str, use_case_id: str) -> dict[str, str]:
    return {"use_case_name": use_case_name, "use_case_id": use_case_id}


class UseCaseProperties(Resource[M]):
    """Properties of a run."""

    with_raw_response: raw_view[UseCaseProperties[Raw], UseCaseProperties[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[UseCaseProperties[Streaming], UseCaseProperties[AsyncStreaming]] = (
        streaming_view()
    )

    update = method(_update_properties)


class Scores(Resource[M]):
    """KPI scores of a run."""

    with_raw_response: raw_view[Scores[Raw], Scores[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Scores[Streaming], Scores[AsyncStreaming]] = streaming_view()

    update = method(_update_score)
    list = page_method(_list_scores)


class UseCases(Resource[M]):
    """Runs of use cases; a use case itself is a definition."""

    with_raw_response: raw_view[UseCases[Raw], UseCases[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[UseCases[Streaming], UseCases[AsyncStreaming]] = streaming_view()

    create = method(_create)
    retrieve = method(_retrieve)
    delete = method(_delete)

    @cached_property
    def properties(self) -> UseCaseProperties[M]:
        """Return the methods for a run's properties."""
        return UseCaseProperties(self._mode)

    @cached_property
    def kpis(self) -> Scores[M]:
        """Return the methods for a run's KPI scores."""
        return Scores(self._mode)

    @cached_property
    def definitions(self) -> Definitions[M]:
        """Return the methods for use cases themselves."""
        return Definitions(self._mode)
