"""Every operation of the REST surface, once: client, engine and server are made from this table.

Source: wire-api sections 3 to 8.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypeIs

from payi_instrument.wire import categories as cat
from payi_instrument.wire import ingest as ing
from payi_instrument.wire import limits as lim
from payi_instrument.wire import meter as met
from payi_instrument.wire import use_cases as use
from payi_instrument.wire.message import Operation, Page
from payi_instrument.wire.model import Timestamp

ROOT = "/api/v1"


class PageQuery(BaseModel):
    """Hold the parameters of every listing: page size 1 to 1000 (100 without), order, cursor of the page before."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True)

    cursor: str | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    sort_ascending: bool | None = None


def _listed(value: object) -> object:
    """Take one value for a list of it: a query that repeats nothing looks like that."""
    return [value] if isinstance(value, str) else value


class LimitsQuery(PageQuery):
    """Filter limits by exact name and by `key:value` properties, all of which must match."""

    limit_name: str | None = None
    property: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list[str])


class ActiveQuery(PageQuery):
    """Filter by `Active`: omitted or true lists what is not deleted, false only what is."""

    active: bool | None = Field(default=None, alias="Active")


class UseCaseQuery(PageQuery):
    """Filter definitions by exact name."""

    use_case_name: str | None = None


class KpiQuery(PageQuery):
    """Filter KPIs by exact name."""

    kpi_name: str | None = None


class ResetQuery(BaseModel):
    """Say when the new period of a limit begins; omitted means now."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True)

    reset_date: Timestamp | None = Field(default=None, alias="resetDate")


class IngestQuery(BaseModel):
    """Hold the vendor's duplicate hint, which our meter accepts and ignores."""

    id: str | None = None


class BulkQuery(BaseModel):
    """Say whether each item's own result is wanted."""

    results: bool = False


_CREATE = (201, 200)
_LIMITS = f"{ROOT}/limits"
_LIMIT = f"{_LIMITS}/{{limit_id}}"
_CATEGORIES = f"{ROOT}/categories"
_RESOURCE = f"{_CATEGORIES}/{{category}}/resources/{{resource}}"
_DEFINITIONS = f"{ROOT}/use_cases/definitions"
_DEFINITION = f"{_DEFINITIONS}/{{use_case_name}}"
_INSTANCES = f"{ROOT}/use_cases/instances/{{use_case_name}}"
_INSTANCE = f"{_INSTANCES}/{{use_case_id}}"
_REQUEST = f"{ROOT}/requests/{{request_id}}"
_RESPONSE = f"{ROOT}/requests/provider/{{category}}/{{provider_response_id}}"
_HOLDS = f"{ROOT}/holds"

INGEST = Operation(
    "ingest.units",
    "POST",
    f"{ROOT}/ingest",
    ing.IngestResponse,
    body=ing.IngestRequest,
    query=IngestQuery,
    errors=(
        "required_field_missing",
        "invalid_ingest_event_timestamp",
        "blocking_limit_not_allowed",
        "category_not_found",
        "category_resource_not_found",
        "duplicate_limit_id",
        "invalid_limit_id",
        "invalid_limit_ids",
        "invalid_use_case_name",
        "invalid_user_id",
        "invalid_tags",
    ),
)
INGEST_BULK = Operation(
    "ingest.bulk",
    "POST",
    f"{ROOT}/ingest/bulk",
    ing.BulkIngestResponse,
    body=ing.BulkIngestRequest,
    many=True,
    query=BulkQuery,
    errors=("payload_too_large",),
)
INGEST_BULK_UPSERT = Operation(
    "ingest.bulk_upsert",
    "POST",
    f"{ROOT}/ingest/bulk-upsert",
    ing.BulkIngestResponse,
    body=ing.BulkIngestRequest,
    many=True,
    query=BulkQuery,
    errors=("payload_too_large",),
)

CREATE_LIMIT = Operation(
    "limits.create",
    "POST",
    _LIMITS,
    lim.LimitResponse,
    body=lim.CreateLimit,
    status=_CREATE,
    errors=("create_limit_validation_failed", "invalid_max_limit", "limit_name_already_exist"),
)
LIST_LIMITS = Operation("limits.list", "GET", _LIMITS, Page[lim.Limit], query=LimitsQuery, errors=("invalid_cursor",))
RETRIEVE_LIMIT = Operation("limits.retrieve", "GET", _LIMIT, lim.LimitResponse, errors=("limit_not_found",))
UPDATE_LIMIT = Operation(
    "limits.update",
    "PUT",
    _LIMIT,
    lim.LimitResponse,
    body=lim.UpdateLimit,
    errors=(
        "limit_not_found",
        "update_limit_validation_failed",
        "invalid_max_limit",
        "invalid_max_limit_update",
        "limit_name_already_exist",
    ),
)
DELETE_LIMIT = Operation("limits.delete", "DELETE", _LIMIT, lim.DefaultResponse, errors=("limit_not_found",))
RESET_LIMIT = Operation(
    "limits.reset",
    "POST",
    f"{_LIMIT}/reset",
    lim.LimitHistoryResponse,
    query=ResetQuery,
    errors=("limit_not_found", "update_limit_validation_failed"),
)
LIMIT_HISTORY = Operation(
    "limits.history",
    "GET",
    f"{_LIMIT}/history",
    Page[lim.LimitHistory],
    query=PageQuery,
    errors=("limit_not_found", "invalid_cursor"),
    extension=True,
)
UPDATE_LIMIT_PROPERTIES = Operation(
    "limits.properties.update",
    "PUT",
    f"{_LIMIT}/properties",
    list[lim.LimitResponse],
    body=lim.PropertiesRequest,
    errors=("limit_not_found", "required_field_missing"),
)

LIST_CATEGORIES = Operation(
    "categories.list", "GET", _CATEGORIES, Page[cat.CategoryResponse], query=ActiveQuery, errors=("invalid_cursor",)
)
DELETE_CATEGORY = Operation(
    "categories.delete",
    "DELETE",
    f"{_CATEGORIES}/{{category}}",
    list[cat.CategoryResourceResponse],
    errors=("category_not_found", "system_category_forbidden"),
)
LIST_CATEGORY_RESOURCES = Operation(
    "categories.list_resources",
    "GET",
    f"{_CATEGORIES}/{{category}}/resources",
    Page[cat.CategoryResourceResponse],
    query=ActiveQuery,
    errors=("category_not_found", "invalid_cursor"),
)
LIST_RESOURCE_VERSIONS = Operation(
    "categories.resources.list",
    "GET",
    _RESOURCE,
    Page[cat.CategoryResourceResponse],
    query=ActiveQuery,
    errors=("category_resource_not_found", "invalid_cursor"),
)
CREATE_RESOURCE = Operation(
    "categories.resources.create",
    "POST",
    _RESOURCE,
    cat.CategoryResourceResponse,
    body=cat.ResourceRequest,
    status=_CREATE,
    errors=("required_field_missing", "system_category_forbidden", "resource_already_exists"),
)
DELETE_RESOURCE = Operation(
    "categories.delete_resource",
    "DELETE",
    _RESOURCE,
    list[cat.CategoryResourceResponse],
    errors=("system_category_forbidden", "category_resource_not_found"),
)
RETRIEVE_RESOURCE_VERSION = Operation(
    "categories.resources.retrieve",
    "GET",
    f"{_RESOURCE}/{{resource_id}}",
    cat.CategoryResourceResponse,
    errors=("category_resource_not_found",),
)
DELETE_RESOURCE_VERSION = Operation(
    "categories.resources.delete",
    "DELETE",
    f"{_RESOURCE}/{{resource_id}}",
    cat.CategoryResourceResponse,
    errors=("system_category_forbidden", "category_resource_not_found"),
)

LIST_DEFINITIONS = Operation(
    "use_cases.definitions.list",
    "GET",
    _DEFINITIONS,
    Page[use.UseCaseDefinition],
    query=UseCaseQuery,
    errors=("invalid_cursor",),
)
CREATE_DEFINITION = Operation(
    "use_cases.definitions.create",
    "POST",
    _DEFINITIONS,
    use.UseCaseDefinition,
    body=use.CreateDefinition,
    status=_CREATE,
    errors=(
        "required_field_missing",
        "invalid_use_case_name",
        "invalid_use_case_description",
        "use_case_already_exists",
        "create_limit_validation_failed",
        "invalid_max_limit",
    ),
)
RETRIEVE_DEFINITION = Operation(
    "use_cases.definitions.retrieve", "GET", _DEFINITION, use.UseCaseDefinition, errors=("use_case_not_found",)
)
UPDATE_DEFINITION = Operation(
    "use_cases.definitions.update",
    "PUT",
    _DEFINITION,
    use.UseCaseDefinition,
    body=use.UpdateDefinition,
    errors=("use_case_not_found", "invalid_use_case_description"),
)
DELETE_DEFINITION = Operation(
    "use_cases.definitions.delete", "DELETE", _DEFINITION, use.UseCaseDefinition, errors=("use_case_not_found",)
)
INCREMENT_VERSION = Operation(
    "use_cases.definitions.version.increment",
    "POST",
    f"{_DEFINITION}/increment_version",
    use.UseCaseDefinition,
    errors=("use_case_not_found",),
)
CREATE_LIMIT_CONFIG = Operation(
    "use_cases.definitions.limit_config.create",
    "POST",
    f"{_DEFINITION}/limit_config",
    use.UseCaseDefinition,
    body=lim.CreateLimitBase,
    errors=("use_case_not_found", "create_limit_validation_failed", "invalid_max_limit"),
)
DELETE_LIMIT_CONFIG = Operation(
    "use_cases.definitions.limit_config.delete",
    "DELETE",
    f"{_DEFINITION}/limit_config",
    use.UseCaseDefinition,
    errors=("use_case_not_found",),
)
LIST_KPIS = Operation(
    "use_cases.definitions.kpis.list",
    "GET",
    f"{_DEFINITION}/kpis",
    Page[use.Kpi],
    query=KpiQuery,
    errors=("use_case_not_found", "invalid_cursor"),
)
CREATE_KPI = Operation(
    "use_cases.definitions.kpis.create",
    "POST",
    f"{_DEFINITION}/kpis",
    use.Kpi,
    body=use.CreateKpi,
    errors=("use_case_not_found", "required_field_missing", "invalid_use_case_description", "kpi_already_exists"),
)
_KPI = f"{_DEFINITION}/kpis/{{kpi_name}}"
RETRIEVE_KPI = Operation(
    "use_cases.definitions.kpis.retrieve", "GET", _KPI, use.Kpi, errors=("use_case_not_found", "kpi_not_found")
)
UPDATE_KPI = Operation(
    "use_cases.definitions.kpis.update",
    "PUT",
    _KPI,
    use.Kpi,
    body=use.UpdateKpi,
    errors=("use_case_not_found", "kpi_not_found", "invalid_use_case_description"),
)
DELETE_KPI = Operation(
    "use_cases.definitions.kpis.delete", "DELETE", _KPI, use.Kpi, errors=("use_case_not_found", "kpi_not_found")
)

CREATE_INSTANCE = Operation("use_cases.create", "POST", _INSTANCES, use.UseCaseInstance, errors=("use_case_not_found",))
RETRIEVE_INSTANCE = Operation(
    "use_cases.retrieve", "GET", _INSTANCE, use.UseCaseInstance, errors=("use_case_instance_not_found",)
)
DELETE_INSTANCE = Operation(
    "use_cases.delete", "DELETE", _INSTANCE, use.UseCaseInstance, errors=("use_case_instance_not_found",)
)
UPDATE_INSTANCE_PROPERTIES = Operation(
    "use_cases.properties.update",
    "PUT",
    f"{_INSTANCE}/properties",
    use.UseCaseInstance,
    body=lim.PropertiesRequest,
    errors=("use_case_instance_not_found", "required_field_missing"),
)
UPDATE_SCORE = Operation(
    "use_cases.kpis.update",
    "PUT",
    f"{_INSTANCE}/kpis/{{kpi_name}}",
    type(None),
    body=use.ScoreRequest,
    errors=(
        "use_case_not_found",
        "use_case_instance_not_found",
        "kpi_not_found",
        "required_field_missing",
        "invalid_kpi_score",
    ),
)
LIST_SCORES = Operation(
    "use_cases.kpis.list",
    "GET",
    f"{_INSTANCE}/kpis",
    Page[use.KpiScore],
    query=KpiQuery,
    errors=("use_case_instance_not_found", "invalid_cursor"),
)

RETRIEVE_REQUEST_RESULT = Operation(
    "requests.request_id.result.retrieve",
    "GET",
    f"{_REQUEST}/result",
    met.RequestResult,
    errors=("request_not_found",),
)
UPDATE_REQUEST_PROPERTIES = Operation(
    "requests.request_id.properties.update",
    "PUT",
    f"{_REQUEST}/properties",
    lim.PropertiesResponse,
    body=lim.PropertiesRequest,
    errors=("request_not_found", "required_field_missing"),
)
RETRIEVE_RESPONSE_RESULT = Operation(
    "requests.response_id.result.retrieve",
    "GET",
    f"{_RESPONSE}/result",
    met.RequestResult,
    errors=("request_not_found",),
)
UPDATE_RESPONSE_PROPERTIES = Operation(
    "requests.response_id.properties.update",
    "PUT",
    f"{_RESPONSE}/properties",
    lim.PropertiesResponse,
    body=lim.PropertiesRequest,
    errors=("request_not_found", "required_field_missing"),
)

CAPABILITIES = Operation("capabilities", "GET", f"{ROOT}/capabilities", met.Capabilities, extension=True)
CREATE_HOLD = Operation(
    "holds.create",
    "POST",
    _HOLDS,
    met.Hold,
    body=met.HoldRequest,
    status=(201,),
    errors=("limit_reached", "unbounded", "not_implemented"),
    extension=True,
)
RENEW_HOLD = Operation(
    "holds.renew",
    "POST",
    f"{_HOLDS}/{{hold_id}}/renew",
    met.Hold,
    body=met.RenewHold,
    errors=("hold_not_found", "not_implemented"),
    extension=True,
)
RELEASE_HOLD = Operation(
    "holds.release",
    "POST",
    f"{_HOLDS}/{{hold_id}}/release",
    lim.DefaultResponse,
    errors=("hold_not_found", "not_implemented"),
    extension=True,
)


def _is_operation(value: object) -> TypeIs[Operation[Any]]:
    return isinstance(value, Operation)


OPERATIONS = tuple(filter(_is_operation, list(globals().values())))
"""The whole table, in the order of wire-api."""
