"""`client.requests`: events that were ingested, found by our id or by the provider's. Source: wire-api section 7."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Unpack

from payi_instrument.client.arguments import Options, build
from payi_instrument.client.method import M, Resource, method, raw_view, streaming_view
from payi_instrument.wire import operations as table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.limits import PropertiesResponse
    from payi_instrument.wire.message import Request
    from payi_instrument.wire.meter import RequestResult


def _retrieve_by_request(request_id: str, **options: Unpack[Options]) -> Request[RequestResult]:
    """Return the result that an event had when it was ingested: its cost in USD, and its limits as they stood then.

    Raises `NotFoundError` `request_not_found`. Source: wire-api section 7.
    """
    return build(table.RETRIEVE_REQUEST_RESULT, options, path={"request_id": request_id})


def _update_by_request(
    request_id: str, *, properties: Mapping[str, str | None], **options: Unpack[Options]
) -> Request[PropertiesResponse]:
    """Merge properties into an event's, None removes a key.

    Raises `NotFoundError` `request_not_found`, `BadRequestError` with `required_field_missing`, or
    `request_processing_error` for a blank key. Source: wire-api section 7.
    """
    body = {"properties": properties}
    return build(table.UPDATE_REQUEST_PROPERTIES, options, path={"request_id": request_id}, body=body)


def _retrieve_by_response(
    provider_response_id: str, *, category: str, **options: Unpack[Options]
) -> Request[RequestResult]:
    """Return the result that the latest event of a provider's response had when it was ingested.

    Raises `NotFoundError` `request_not_found`. Source: wire-api section 7.
    """
    return build(table.RETRIEVE_RESPONSE_RESULT, options, path=_response(category, provider_response_id))


def _update_by_response(
    provider_response_id: str, *, category: str, properties: Mapping[str, str | None], **options: Unpack[Options]
) -> Request[PropertiesResponse]:
    """Merge properties into those of the latest event of a provider's response, None removes a key.

    Raises `NotFoundError` `request_not_found`, `BadRequestError` with `required_field_missing`, or
    `request_processing_error` for a blank key. Source: wire-api section 7.
    """
    path = _response(category, provider_response_id)
    return build(table.UPDATE_RESPONSE_PROPERTIES, options, path=path, body={"properties": properties})


def _response(category: str, provider_response_id: str) -> dict[str, str]:
    return {"category": category, "provider_response_id": provider_response_id}


class RequestResults(Resource[M]):
    """Results of events, by our id."""

    with_raw_response: raw_view[RequestResults[Raw], RequestResults[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[RequestResults[Streaming], RequestResults[AsyncStreaming]] = (
        streaming_view()
    )

    retrieve = method(_retrieve_by_request)


class RequestProperties(Resource[M]):
    """Properties of events, by our id."""

    with_raw_response: raw_view[RequestProperties[Raw], RequestProperties[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[RequestProperties[Streaming], RequestProperties[AsyncStreaming]] = (
        streaming_view()
    )

    update = method(_update_by_request)


class ResponseResults(Resource[M]):
    """Results of events, by the provider's response id."""

    with_raw_response: raw_view[ResponseResults[Raw], ResponseResults[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[ResponseResults[Streaming], ResponseResults[AsyncStreaming]] = (
        streaming_view()
    )

    retrieve = method(_retrieve_by_response)


class ResponseProperties(Resource[M]):
    """Properties of events, by the provider's response id."""

    with_raw_response: raw_view[ResponseProperties[Raw], ResponseProperties[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[ResponseProperties[Streaming], ResponseProperties[AsyncStreaming]] = (
        streaming_view()
    )

    update = method(_update_by_response)


class ByRequest(Resource[M]):
    """Events by our id."""

    with_raw_response: raw_view[ByRequest[Raw], ByRequest[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[ByRequest[Streaming], ByRequest[AsyncStreaming]] = streaming_view()

    @cached_property
    def result(self) -> RequestResults[M]:
        """Return the methods for results."""
        return RequestResults(self._mode)

    @cached_property
    def properties(self) -> RequestProperties[M]:
        """Return the methods for properties."""
        return RequestProperties(self._mode)


class ByResponse(Resource[M]):
    """Events by the provider's response id."""

    with_raw_response: raw_view[ByResponse[Raw], ByResponse[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[ByResponse[Streaming], ByResponse[AsyncStreaming]] = streaming_view()

    @cached_property
    def result(self) -> ResponseResults[M]:
        """Return the methods for results."""
        return ResponseResults(self._mode)

    @cached_property
    def properties(self) -> ResponseProperties[M]:
        """Return the methods for properties."""
        return ResponseProperties(self._mode)


class Requests(Resource[M]):
    """Events that were ingested."""

    with_raw_response: raw_view[Requests[Raw], Requests[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Requests[Streaming], Requests[AsyncStreaming]] = streaming_view()

    @cached_property
    def request_id(self) -> ByRequest[M]:
        """Return the methods for events by our id."""
        return ByRequest(self._mode)

    @cached_property
    def response_id(self) -> ByResponse[M]:
        """Return the methods for events by the provider's response id."""
        return ByResponse(self._mode)
