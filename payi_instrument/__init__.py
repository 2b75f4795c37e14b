"""Meter LLM calls: decorate a function, and every provider call inside is priced, attributed and held to its limits.

    from payi_instrument import payi_instrument, track

    payi_instrument()


    @track(limit_ids=["monthly"], user_id="u1")
    def answer(question): ...

Names are loaded when they are first used, so that importing the decorators costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payi_instrument import types as types
    from payi_instrument.client.arguments import UNSET, Unset
    from payi_instrument.client.client import AsyncPayi as AsyncPayi
    from payi_instrument.client.client import Payi as Payi
    from payi_instrument.client.kpi import increment_kpi_score as increment_kpi_score
    from payi_instrument.client.kpi import increment_kpi_score_async as increment_kpi_score_async
    from payi_instrument.client.network import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
    from payi_instrument.client.network import Timeout as Timeout
    from payi_instrument.client.response import APIResponse as APIResponse
    from payi_instrument.client.response import AsyncAPIResponse as AsyncAPIResponse
    from payi_instrument.client.settings import DEFAULT_MAX_RETRIES as DEFAULT_MAX_RETRIES
    from payi_instrument.client.verbs import RequestOptions as RequestOptions
    from payi_instrument.context import create_headers as create_headers
    from payi_instrument.context import create_limit_header_from_ids as create_limit_header_from_ids
    from payi_instrument.context import get_context as get_context
    from payi_instrument.context import track_context as track_context
    from payi_instrument.errors import APIConnectionError as APIConnectionError
    from payi_instrument.errors import APIError as APIError
    from payi_instrument.errors import APIResponseValidationError as APIResponseValidationError
    from payi_instrument.errors import APIStatusError as APIStatusError
    from payi_instrument.errors import APITimeoutError as APITimeoutError
    from payi_instrument.errors import AuthenticationError as AuthenticationError
    from payi_instrument.errors import BadRequestError as BadRequestError
    from payi_instrument.errors import ConflictError as ConflictError
    from payi_instrument.errors import InternalServerError as InternalServerError
    from payi_instrument.errors import LastPageError as LastPageError
    from payi_instrument.errors import LimitBlockedError as LimitBlockedError
    from payi_instrument.errors import MissingExtraError as MissingExtraError
    from payi_instrument.errors import NotFoundError as NotFoundError
    from payi_instrument.errors import PayiError as PayiError
    from payi_instrument.errors import PermissionDeniedError as PermissionDeniedError
    from payi_instrument.errors import RateLimitError as RateLimitError
    from payi_instrument.errors import UnprocessableEntityError as UnprocessableEntityError
    from payi_instrument.instrumentation import Instrumentation as Instrumentation
    from payi_instrument.instrumentation import payi_instrument as payi_instrument
    from payi_instrument.tracking import track as track
    from payi_instrument.wire.headers import PayiCategories as PayiCategories
    from payi_instrument.wire.headers import PayiHeaderNames as PayiHeaderNames
    from payi_instrument.wire.headers import PayiPropertyNames as PayiPropertyNames
    from payi_instrument.wire.headers import PayiResourceScopes as PayiResourceScopes
    from payi_instrument.wire.model import Model

    AsyncClient = AsyncPayi
    BaseModel = Model
    Client = Payi
    NOT_GIVEN = UNSET
    NotGiven = Unset
    Omit = Unset
    not_given = UNSET
    omit = UNSET

__version__ = "0.1.0"

_HOMES = {
    "client.client": ("AsyncPayi", "Payi"),
    "client.kpi": ("increment_kpi_score", "increment_kpi_score_async"),
    "client.network": ("DEFAULT_TIMEOUT", "Timeout"),
    "client.response": ("APIResponse", "AsyncAPIResponse"),
    "client.settings": ("DEFAULT_MAX_RETRIES",),
    "client.verbs": ("RequestOptions",),
    "context": ("create_headers", "create_limit_header_from_ids", "get_context", "track_context"),
    "errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "BadRequestError",
        "ConflictError",
        "InternalServerError",
        "LastPageError",
        "LimitBlockedError",
        "MissingExtraError",
        "NotFoundError",
        "PayiError",
        "PermissionDeniedError",
        "RateLimitError",
        "UnprocessableEntityError",
    ),
    "instrumentation": ("Instrumentation", "payi_instrument"),
    "tracking": ("track",),
    "wire.headers": ("PayiCategories", "PayiHeaderNames", "PayiPropertyNames", "PayiResourceScopes"),
}
_ALIASES = {
    "AsyncClient": ("client.client", "AsyncPayi"),
    "BaseModel": ("wire.model", "Model"),
    "Client": ("client.client", "Payi"),
    "NOT_GIVEN": ("client.arguments", "UNSET"),
    "NotGiven": ("client.arguments", "Unset"),
    "Omit": ("client.arguments", "Unset"),
    "not_given": ("client.arguments", "UNSET"),
    "omit": ("client.arguments", "UNSET"),
}
"""Names of the official SDK for what has another one here."""
_HOME_OF = {name: (module, name) for module, names in _HOMES.items() for name in names} | _ALIASES

__all__ = [*sorted(_HOME_OF), "types", "__version__"]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    from importlib import import_module

    if name == "types":
        return import_module(f"{__name__}.types")
    if name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module, own_name = _HOME_OF[name]
    value: object = getattr(import_module(f"{__name__}.{module}"), own_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
