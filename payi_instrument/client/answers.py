"""Answers of the meter as models: exact where the meter keeps to the contract, lenient where it does not.

Source: client.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from payi_instrument.errors import APIResponseValidationError

if TYPE_CHECKING:
    from payi_instrument.wire.message import Reply, Request

T = TypeVar("T")
_NO_CONTENT = 204


def answer_of(request: Request[T], reply: Reply, *, strict: bool = False) -> T:
    """Return the body of a reply as the operation's answer; an embedded meter's is that already.

    Unless `strict`, members of another shape are left as they came and missing ones are None, and so is the answer of a
    204, which has no body. Raises `APIResponseValidationError` when `strict`, and when not even the outline fits.
    """
    expected = request.operation.answer
    if reply.status == _NO_CONTENT and reply.body is None and not strict:
        return cast("T", None)
    if isinstance(cast("object", expected), type) and isinstance(reply.body, expected):  # list[X] is no class
        return reply.body
    try:
        return read_as(expected, reply.body)
    except ValueError as error:
        if not strict and _outline_fits(expected, reply.body):
            return cast("T", _taken(expected, reply.body))
        response = getattr(reply, "response", None)
        message = f"{request.operation.name}: the meter's answer has another shape: {error}"
        raise APIResponseValidationError(
            message, status_code=reply.status, response=response, body=reply.body
        ) from error


def read_as(kind: type[T], value: object) -> T:
    """Return a JSON value as `kind`; raises `ValueError` naming what does not fit."""
    adapter: TypeAdapter[T] = _adapter(cast("Any", kind))
    return adapter.validate_python(value)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _outline_fits(kind: Any, value: object) -> bool:
    """Say whether an answer can be taken leniently: a model needs an object, a list a list."""
    outline = get_origin(kind) or kind
    if not isinstance(outline, type):
        return True
    if issubclass(outline, BaseModel):
        return isinstance(value, Mapping)
    return isinstance(value, outline)


def _taken(kind: Any, value: object) -> object:
    """Return a value as `kind` as far as it fits, the rest as it came."""
    with suppress(ValueError):
        return _adapter(kind).validate_python(value)
    outline, arguments = get_origin(kind) or kind, get_args(kind)
    if outline is Annotated:
        return _taken(arguments[0], value)
    if outline in {Union, UnionType}:
        return _taken(next(arm for arm in arguments if arm is not NoneType), value)
    if outline is list and isinstance(value, list):
        return [_taken(arguments[0], item) for item in cast("list[object]", value)]
    return _members_taken(outline, arguments, value)


def _members_taken(outline: Any, arguments: tuple[Any, ...], value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    members = cast("Mapping[str, object]", value)
    if outline is dict:
        return {name: _taken(arguments[1], member) for name, member in members.items()}
    return _model(outline, members) if isinstance(outline, type) and issubclass(outline, BaseModel) else members


def _model(kind: type[BaseModel], members: Mapping[str, object]) -> BaseModel:
    names = {info.alias: name for name, info in kind.model_fields.items()}
    members = {names.get(name, name): value for name, value in members.items()}
    fields = {
        name: _taken(info.annotation, members[name]) for name, info in kind.model_fields.items() if name in members
    }
    missing = {name: None for name, info in kind.model_fields.items() if name not in members and info.is_required()}
    extra = {name: value for name, value in members.items() if name not in kind.model_fields}
    return kind.model_construct(set(fields) | set(extra), **missing, **fields, **extra)
