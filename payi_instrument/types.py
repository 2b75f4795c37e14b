"""The types of what the client takes and answers, for annotations: models, argument dictionaries, pages, responses.

    from payi_instrument.types import LimitResponse

Each is loaded from its home when it is first used. Names of the official SDK stand for the same things here, all of
them in this one module; `KpiListResponse` is an instance's scores, the KPIs of a definition are `Kpi`. Source: client.md
section 4.
"""

# ruff: noqa: PLC0414  # "X as X" is what type checkers take for public

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payi_instrument.client.arguments import Options as Options
    from payi_instrument.client.categories import UnitPrice as UnitPrice
    from payi_instrument.client.definitions import LimitConfigParam as LimitConfigParam
    from payi_instrument.client.ingest import BulkEvent as BulkEvent
    from payi_instrument.client.ingest import FunctionCall as FunctionCall
    from payi_instrument.client.ingest import HeaderPair as HeaderPair
    from payi_instrument.client.ingest import UnitCounts as UnitCounts
    from payi_instrument.client.pages import AsyncCursorPage as AsyncCursorPage
    from payi_instrument.client.pages import AsyncPaginator as AsyncPaginator
    from payi_instrument.client.pages import SyncCursorPage as SyncCursorPage
    from payi_instrument.client.response import APIResponse as APIResponse
    from payi_instrument.client.response import AsyncAPIResponse as AsyncAPIResponse
    from payi_instrument.client.verbs import RequestOptions as RequestOptions
    from payi_instrument.wire.categories import CategoryResourceResponse as CategoryResourceResponse
    from payi_instrument.wire.categories import CategoryResponse as CategoryResponse
    from payi_instrument.wire.categories import MappedResource as MappedResource
    from payi_instrument.wire.categories import UnitPriceData as UnitPriceData
    from payi_instrument.wire.ingest import APIErrorBody as APIErrorBody
    from payi_instrument.wire.ingest import BulkIngestResponse as BulkIngestResponse
    from payi_instrument.wire.ingest import BulkItemError as BulkItemError
    from payi_instrument.wire.ingest import IngestResponse as IngestResponse
    from payi_instrument.wire.limits import DefaultResponse as DefaultResponse
    from payi_instrument.wire.limits import Limit as Limit
    from payi_instrument.wire.limits import LimitHistory as LimitHistory
    from payi_instrument.wire.limits import LimitHistoryResponse as LimitHistoryResponse
    from payi_instrument.wire.limits import LimitResponse as LimitResponse
    from payi_instrument.wire.limits import PropertiesResponse as PropertiesResponse
    from payi_instrument.wire.limits import RequestsData as RequestsData
    from payi_instrument.wire.limits import TotalCostData as TotalCostData
    from payi_instrument.wire.meter import Capabilities as Capabilities
    from payi_instrument.wire.meter import Hold as Hold
    from payi_instrument.wire.meter import RequestResult as RequestResult
    from payi_instrument.wire.model import Money as Money
    from payi_instrument.wire.result import CostData as CostData
    from payi_instrument.wire.result import CostDetails as CostDetails
    from payi_instrument.wire.result import CostDetailsBase as CostDetailsBase
    from payi_instrument.wire.result import IngestUnits as IngestUnits
    from payi_instrument.wire.result import LimitResult as LimitResult
    from payi_instrument.wire.result import LimitState as LimitState
    from payi_instrument.wire.result import LimitType as LimitType
    from payi_instrument.wire.result import ResultCost as ResultCost
    from payi_instrument.wire.result import XproxyError as XproxyError
    from payi_instrument.wire.result import XproxyResult as XproxyResult
    from payi_instrument.wire.use_cases import Kpi as Kpi
    from payi_instrument.wire.use_cases import KpiScore as KpiScore
    from payi_instrument.wire.use_cases import KpiType as KpiType
    from payi_instrument.wire.use_cases import LimitConfig as LimitConfig
    from payi_instrument.wire.use_cases import UseCaseDefinition as UseCaseDefinition
    from payi_instrument.wire.use_cases import UseCaseInstance as UseCaseInstance

    APIError = APIErrorBody
    BulkIngestRequestParam = BulkEvent
    CategoryDeleteResourceResponse = list[CategoryResourceResponse]
    CategoryDeleteResponse = list[CategoryResourceResponse]
    CategoryResourceMappedResource = MappedResource
    CategoryResourcePriceUnits = UnitPriceData
    CategoryResourcePriceUnitsParam = UnitPrice
    FunctionCallInfoParam = FunctionCall
    KpiCreateResponse = Kpi
    KpiDeleteResponse = Kpi
    KpiListResponse = KpiScore
    KpiRetrieveResponse = Kpi
    KpiUpdateResponse = Kpi
    PayICommonModelsAPIRouterHeaderInfoParam = HeaderPair
    PayICommonModelsBudgetManagementCostDetailsBase = CostDetailsBase
    PayICommonModelsBudgetManagementCreateLimitBase = LimitConfig
    PropertyUpdateResponse = list[LimitResponse]
    UseCaseDefinitionResponse = UseCaseDefinition
    UseCaseInstanceResponse = UseCaseInstance

_HOMES = {
    "client.arguments": ("Options",),
    "client.categories": ("UnitPrice",),
    "client.definitions": ("LimitConfigParam",),
    "client.ingest": ("BulkEvent", "FunctionCall", "HeaderPair", "UnitCounts"),
    "client.pages": ("AsyncCursorPage", "AsyncPaginator", "SyncCursorPage"),
    "client.response": ("APIResponse", "AsyncAPIResponse"),
    "client.verbs": ("RequestOptions",),
    "wire.categories": ("CategoryResourceResponse", "CategoryResponse", "MappedResource", "UnitPriceData"),
    "wire.ingest": ("APIErrorBody", "BulkIngestResponse", "BulkItemError", "IngestResponse"),
    "wire.limits": (
        "DefaultResponse",
        "Limit",
        "LimitHistory",
        "LimitHistoryResponse",
        "LimitResponse",
        "PropertiesResponse",
        "RequestsData",
        "TotalCostData",
    ),
    "wire.meter": ("Capabilities", "Hold", "RequestResult"),
    "wire.model": ("Money",),
    "wire.result": (
        "CostData",
        "CostDetails",
        "CostDetailsBase",
        "IngestUnits",
        "LimitResult",
        "LimitState",
        "LimitType",
        "ResultCost",
        "XproxyError",
        "XproxyResult",
    ),
    "wire.use_cases": ("Kpi", "KpiScore", "KpiType", "LimitConfig", "UseCaseDefinition", "UseCaseInstance"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_ALIASES = {
    "APIError": "APIErrorBody",
    "BulkIngestRequestParam": "BulkEvent",
    "CategoryResourceMappedResource": "MappedResource",
    "CategoryResourcePriceUnits": "UnitPriceData",
    "CategoryResourcePriceUnitsParam": "UnitPrice",
    "FunctionCallInfoParam": "FunctionCall",
    "KpiCreateResponse": "Kpi",
    "KpiDeleteResponse": "Kpi",
    "KpiListResponse": "KpiScore",
    "KpiRetrieveResponse": "Kpi",
    "KpiUpdateResponse": "Kpi",
    "PayICommonModelsAPIRouterHeaderInfoParam": "HeaderPair",
    "PayICommonModelsBudgetManagementCostDetailsBase": "CostDetailsBase",
    "PayICommonModelsBudgetManagementCreateLimitBase": "LimitConfig",
    "UseCaseDefinitionResponse": "UseCaseDefinition",
    "UseCaseInstanceResponse": "UseCaseInstance",
}
"""Names of the official SDK for the same things."""
_LISTS = {
    "CategoryDeleteResourceResponse": "CategoryResourceResponse",
    "CategoryDeleteResponse": "CategoryResourceResponse",
    "PropertyUpdateResponse": "LimitResponse",
}
"""Names of the official SDK for lists."""

__all__ = sorted([*_HOME_OF, *_ALIASES, *_LISTS])  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Load a type from its home (PEP 562)."""
    from importlib import import_module
    from types import GenericAlias

    own_name = _LISTS.get(name) or _ALIASES.get(name, name)
    if own_name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found: object = getattr(import_module(f"payi_instrument.{_HOME_OF[own_name]}"), own_name)
    value = GenericAlias(list, found) if name in _LISTS else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the names."""
    return list(__all__)
