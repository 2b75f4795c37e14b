"""What a type checker sees of every method of the client, and of its errors. Checked, never run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

from payi_instrument import APIConnectionError, APIStatusError, AsyncPayi, LimitBlockedError, Payi
from payi_instrument.types import (
    AsyncCursorPage,
    AsyncPaginator,
    BulkIngestResponse,
    CategoryResourceResponse,
    CategoryResponse,
    DefaultResponse,
    IngestResponse,
    Kpi,
    KpiScore,
    Limit,
    LimitHistory,
    LimitHistoryResponse,
    LimitResponse,
    PropertiesResponse,
    RequestResult,
    SyncCursorPage,
    UseCaseDefinition,
    UseCaseInstance,
    XproxyResult,
)


def limits(client: Payi) -> None:
    assert_type(client.limits.delete("a"), DefaultResponse)
    assert_type(client.limits.reset("a", reset_date=datetime.now(UTC)), LimitHistoryResponse)
    assert_type(client.limits.reset("a", reset_date="2026-01-01").limit_history, LimitHistory)
    assert_type(client.limits.history("a", limit=5), SyncCursorPage[LimitHistory])
    page = client.limits.list(limit=5)
    assert_type(client.limits.list(cursor=page.cursor), SyncCursorPage[Limit])
    assert_type(page.get_next_page(), SyncCursorPage[Limit])
    assert_type([len(each.items) for each in page.iter_pages()], list[int])
    assert_type(page.has_next_page(), bool)


def categories(client: Payi) -> None:
    assert_type(client.categories.list(active=True), SyncCursorPage[CategoryResponse])
    assert_type(client.categories.list_resources(category="c"), SyncCursorPage[CategoryResourceResponse])
    assert_type(client.categories.delete("c"), list[CategoryResourceResponse])
    assert_type(client.categories.delete_resource("r", category="c"), list[CategoryResourceResponse])
    resources = client.categories.resources
    version = resources.create("r", category="c", units={"text": {"input_price": 1}}, start_timestamp=datetime.now(UTC))
    assert_type(version, CategoryResourceResponse)
    assert_type(version.end_timestamp, datetime | None)
    assert_type(resources.list("r", category="c"), SyncCursorPage[CategoryResourceResponse])
    assert_type(resources.retrieve("i", category="c", resource="r"), CategoryResourceResponse)
    assert_type(resources.delete("i", category="c", resource="r"), CategoryResourceResponse)


def use_cases(client: Payi) -> None:
    assert_type(client.use_cases.create("u"), UseCaseInstance)
    assert_type(client.use_cases.retrieve("i", use_case_name="u").limit_id, str | None)
    assert_type(client.use_cases.delete("i", use_case_name="u"), UseCaseInstance)
    assert_type(client.use_cases.properties.update("i", use_case_name="u", properties={"a": None}), UseCaseInstance)
    assert_type(client.use_cases.kpis.list("i", use_case_name="u", kpi_name="k"), SyncCursorPage[KpiScore])
    definitions = client.use_cases.definitions
    assert_type(definitions.create(name="u", description="d", logging_enabled=True), UseCaseDefinition)
    assert_type(definitions.retrieve("u"), UseCaseDefinition)
    assert_type(definitions.update("u", description="d"), UseCaseDefinition)
    assert_type(definitions.list(use_case_name="u"), SyncCursorPage[UseCaseDefinition])
    assert_type(definitions.delete("u"), UseCaseDefinition)
    assert_type(definitions.version.increment("u"), UseCaseDefinition)
    assert_type(definitions.limit_config.create("u", max=1, limit_type="block"), UseCaseDefinition)
    assert_type(definitions.limit_config.delete("u"), UseCaseDefinition)
    kpis = definitions.kpis
    assert_type(kpis.create("u", name="k", description="d", kpi_type="likert5", goal=4), Kpi)
    assert_type(kpis.retrieve("k", use_case_name="u"), Kpi)
    assert_type(kpis.update("k", use_case_name="u", goal=5), Kpi)
    assert_type(kpis.list("u"), SyncCursorPage[Kpi])
    assert_type(kpis.delete("k", use_case_name="u"), Kpi)


def events(client: Payi) -> None:
    answer = client.ingest.units(category="c", units={}, use_case_properties={"seats": 3}, limit_ids=["a"])
    assert_type(answer, IngestResponse)
    assert_type(answer.xproxy_result, XproxyResult)
    assert_type(client.ingest.bulk_upsert(events=[{"category": "c", "units": {}}]), BulkIngestResponse)
    by_id, by_response = client.requests.request_id, client.requests.response_id
    assert_type(by_id.result.retrieve("r"), RequestResult)
    assert_type(by_id.properties.update("r", properties={"a": "1"}), PropertiesResponse)
    assert_type(by_response.result.retrieve("p", category="c"), RequestResult)
    assert_type(by_response.properties.update("p", category="c", properties={"a": None}), PropertiesResponse)


async def awaited(client: AsyncPayi) -> None:
    assert_type(await client.limits.create(limit_name="n", max=1), LimitResponse)
    assert_type(client.limits.list(), AsyncPaginator[Limit])
    assert_type(await client.limits.list(), AsyncCursorPage[Limit])
    assert_type([limit.limit_id async for limit in client.limits.list()], list[str])
    assert_type(await client.use_cases.kpis.update("k", use_case_name="u", use_case_id="i", score=1), None)
    assert_type(await client.use_cases.definitions.kpis.delete("k", use_case_name="u"), Kpi)
    assert_type(await client.requests.request_id.result.retrieve("r"), RequestResult)
    assert_type(await client.ingest.replay_file("events.jsonl"), BulkIngestResponse)
    raw = await client.ingest.with_raw_response.units(category="c", units={})
    assert_type(await raw.parse(), IngestResponse)
    assert_type(raw.headers.get("x"), str | None)


def errors(client: Payi) -> str:
    try:
        client.limits.retrieve("a")
    except APIStatusError as error:
        assert_type(error.status_code, int)
        assert_type(error.response.status_code, int)
        assert_type(error.code, str | None)
        shown: Any = error.body
        return f"{error.message} {error.response.headers['content-type']} {shown}"
    except LimitBlockedError as error:
        return ",".join(error.limit_ids)
    except APIConnectionError as error:
        return f"{error.request.method} {error.request.url}" if error.request is not None else str(error)
    return ""
