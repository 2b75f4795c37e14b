"""The base of every model on the wire, exact money, and JSON text that keeps its digits.

Source: client.md section 4, wire-api section 1.1, decision 3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter
from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, SerializationInfo

ALL_DIGITS = object()
"""The context of a dump whose amounts keep all their digits; without it they are plain floats, as any writer takes."""


def _written(value: object, info: SerializationInfo) -> object:
    return value if info.context is ALL_DIGITS or info.mode == "json" else _with(value, _float)


class Model(BaseModel):
    """Stand at the root of the answers: unknown members are kept and reachable as attributes."""

    model_config = ConfigDict(extra="allow", defer_build=True)
    if not TYPE_CHECKING:  # to checkers it would be one more argument
        __pydantic_extra__: dict[str, Annotated[Any, PlainSerializer(_written)]]

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make an instance from values that are right already, without the price of validating them.

        Members left out have their default, as long as that is a plain value.
        """
        model = cls.__new__(cls)
        put = object.__setattr__
        put(model, "__dict__", _plain_defaults(cls) | values)
        put(model, "__pydantic_fields_set__", set(values))
        put(model, "__pydantic_extra__", {})
        put(model, "__pydantic_private__", None)
        return model

    def to_dict(
        self,
        *,
        mode: Literal["json", "python"] = "python",
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> dict[str, Any]:
        """Return the members as a dictionary, amounts as floats, times as text in mode `json`.

        `exclude_unset` leaves out what was not sent, `exclude_defaults` what is as by default, `exclude_none` what is
        None. `use_api_names` names members as on the wire, else as the attributes; `warnings` are of those of another
        type.
        """
        return self.model_dump(
            mode=mode,
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
        )

    def to_json(
        self,
        *,
        indent: int | None = 2,
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> str:
        """Return the members as JSON text, amounts with all their digits; None for `indent` is one line.

        The others say what is left out and how members are named, as for :meth:`to_dict`.
        """
        members = self.model_dump(
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
            context=ALL_DIGITS,
        )
        return answer_text(members, indent)


@cache
def _plain_defaults(model: type[BaseModel]) -> dict[str, Any]:
    fields = model.model_fields.items()
    return {name: info.default for name, info in fields if not info.is_required() and info.default_factory is None}


class Body(BaseModel):
    """Stand at the root of the request bodies of management operations: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Money(float):
    """An amount in USD: a float for comparing and formatting, with the exact decimal behind it.

    Two amounts are equal when their floats are; `exact` is what the ledger holds.
    """

    __slots__ = ("exact",)
    exact: Decimal

    if TYPE_CHECKING:  # so that a comparison with an int passes strict checkers, as a float's does

        def __eq__(self, other: object) -> bool: ...  # noqa: D105
        def __hash__(self) -> int: ...  # noqa: D105

    def __new__(cls, exact: Decimal | float | str) -> Self:
        """Make an amount from its exact value; a float is taken at its shortest decimal text."""
        value = exact if isinstance(exact, Decimal) else Decimal(str(exact))
        money = super().__new__(cls, value)
        money.exact = value
        return money

    def __reduce__(self) -> tuple[type[Money], tuple[Decimal]]:
        """Keep the exact value in copies and pickles."""
        return (type(self), (self.exact,))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let models read money from a number or its text, and write it as a number."""
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _written, info_arg=True, return_schema=core_schema.float_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: object) -> dict[str, Any]:
        """Say that money is a number: the published description is made from the models."""
        return {"type": "number"}

    @classmethod
    def _read(cls, value: object) -> Money:
        if isinstance(value, Money):
            return value
        if isinstance(value, bool) or not isinstance(value, (Decimal, float, int, str)):
            msg = f"{value!r} is not an amount"
            raise ValueError(msg)  # noqa: TRY004  # pydantic turns it into a validation error
        try:
            return cls(value)
        except InvalidOperation:
            msg = f"{value!r} is not an amount"
            raise ValueError(msg) from None


def exact(amount: Money | None) -> Decimal | None:
    """Return the exact value behind an amount."""
    return None if amount is None else amount.exact


_DECIMAL = f"decimal {uuid4()} "
"""Marks the decimals of a value until they are written; nobody else's text begins so."""


def json_text(value: object) -> str:
    """Write what a request carries as JSON: times in ISO 8601, decimals as numbers with all their digits.

    Raises `ValueError` naming a number that is not finite, `TypeError` naming what else JSON can't carry.
    """
    try:
        return _numbered(json.dumps(_with(value, _exact), default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        check_json(value)
        where = _first(value, "body", _is_endless)
        if where is None:
            raise
        msg = f"{where[0]} is {where[1]!r}, which JSON can't carry; give a finite number"
        raise ValueError(msg) from None


def check_json(value: object) -> None:
    """Raise `TypeError` naming what of a body JSON can't carry, `ValueError` for one that is nested too deep.

    Numbers that are not finite pass: an operation has its own word on each.
    """
    try:
        found = _first(value, "body", _is_foreign)
    except RecursionError:
        msg = "body: it is nested too deep for JSON"
        raise ValueError(msg) from None
    if found is not None:
        where, what = found
        msg = f"{where}: {what!r} is a {type(what).__name__}, which JSON can't carry; give text, numbers, lists or mappings"
        raise TypeError(msg)


def answer_text(value: object, indent: int | None = None) -> str:
    """Write what an answer carries as JSON: as :func:`json_text` does, times with `Z`, what is not finite as null."""
    marks = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(_with(value, _shown), default=_plain, indent=indent, separators=marks, ensure_ascii=False)
    return _numbered(text)


def reply_text(body: object) -> bytes:
    """Write the body of a reply, a model or plain values, as JSON: what was not set is left out; nothing for None."""
    if body is None:
        return b""
    kind: Any = type(body)
    text = answer_text(_adapter(kind).dump_python(body, by_alias=True, exclude_unset=True, context=ALL_DIGITS))
    return text.encode(errors="backslashreplace")  # half a character is an escape in JSON too


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _numbered(text: str) -> str:
    return re.sub(f'"{_DECIMAL}([^"]*)"', r"\1", text) if _DECIMAL in text else text


def _with(value: object, leaf: Callable[[object], object]) -> object:
    if isinstance(value, Mapping):
        return {name: _with(member, leaf) for name, member in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_with(item, leaf) for item in cast("list[object]", value)]
    return leaf(value)


def _exact(value: object) -> object:
    """Return an amount as a decimal: JSON's writer would take it for a float."""
    return value.exact if isinstance(value, Money) else value


def _float(value: object) -> object:
    return float(value) if isinstance(value, Money) else value


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, (float, Decimal)) and not isfinite(value) else _exact(value)


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError
        return f"{_DECIMAL}{value}"
    msg = f"{value!r} is a {type(value).__name__}, which JSON can't carry"
    raise TypeError(msg)


def _first(value: object, where: str, is_bad: Callable[[object], bool]) -> tuple[str, object] | None:
    """Return the first part of a value that is bad, and where it stands."""
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[object, object]", value).items():
            if not isinstance(name, (str, int, float)) and name is not None and is_bad(name):
                return f"{where}, a key", name
            if found := _first(member, f"{where}.{name}", is_bad):
                return found
        return None
    if isinstance(value, (list, tuple)):
        found_in = (_first(item, f"{where}[{at}]", is_bad) for at, item in enumerate(cast("list[object]", value)))
        return next(filter(None, found_in), None)
    return (where, value) if is_bad(value) else None


def _is_endless(value: object) -> bool:
    return isinstance(value, (float, Decimal)) and not Decimal(value).is_finite()


def _is_foreign(value: object) -> bool:
    return value is not None and not isinstance(value, (str, int, float, Decimal, date))


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        msg = "its UTC time is before year 1 or after year 9999"
        raise ValueError(msg) from None


def _no_number(value: object) -> object:
    """Refuse a number and its text: pydantic would count seconds from 1970."""
    if isinstance(value, (int, float, Decimal, bytes)) or (isinstance(value, str) and not _YEAR.match(value)):
        msg = "expected a date and time in ISO 8601, such as 2024-01-31T12:00:00Z"
        raise ValueError(msg)
    return value


_YEAR = re.compile(r"\d{4}-")
Timestamp = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]
"""A date and time in ISO 8601 with an offset; a naive one is read as UTC (wire-api section 1.1)."""
