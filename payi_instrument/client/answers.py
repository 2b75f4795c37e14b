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
from pydantic.errors import PydanticUserError

from payi_instrument.client.network import is_response_type
from payi_instrument.errors import APIResponseValidationError
from payi_instrument.wire.message import Page
from payi_instrument.wire.model import reply_text
from payi_instrument.wire.operations import INGEST
from payi_instrument.wire.result import LimitResult, XproxyResult

if TYPE_CHECKING:
    from payi_instrument.wire.message import Reply, Request

T = TypeVar("T")
_NO_CONTENT = 204


def answer_of(request: Request[T], reply: Reply, *, strict: bool = False) -> T:
    """Return the body of a reply as the operation's answer; an embedded meter's is that already.

    Unless `strict`, members of another shape are left as they came and missing ones are None, and so is the answer of a
    204, which has no body. An operation that answers nothing takes any body for nothing: it is done. Raises
    `APIResponseValidationError` when `strict`, and when not even the outline fits.
    """
    expected = request.operation.answer
    if is_as_sent(expected):
        return cast("T", _as_sent(expected, reply))
    if expected is NoneType or (reply.status == _NO_CONTENT and not (strict or _is_page(expected))):
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


def is_as_sent(kind: object) -> bool:
    """Say whether an answer is wanted as it came: as text, as bytes, or as the HTTP library's response."""
    return kind is str or kind is bytes or is_response_type(kind)


def _as_sent(kind: object, reply: Reply) -> object:
    response = getattr(reply, "response", None)
    if kind is bytes:
        return reply_text(reply.body) if response is None else response.content
    if kind is str:
        return reply_text(reply.body).decode() if response is None else response.text
    return response


def check_kind(name: str, kind: Any) -> None:
    """Raise `TypeError` naming the argument whose value is nothing that an answer can be read as."""
    if is_as_sent(kind):
        return
    try:
        _adapter(kind)
    except (PydanticUserError, TypeError, NameError):
        msg = f"{name}: no answer can be read as {kind!r}; give a model, dict, list, str, bytes or object"
        raise TypeError(msg) from None


def _is_page(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Page)


def result_of(reply: Reply) -> XproxyResult:
    """Return the result in the reply to a single ingest, as far as it can be read: the event is stored, whatever it says."""
    body = reply.body
    if isinstance(body, INGEST.answer):
        return body.xproxy_result
    with suppress(ValueError):
        return read_as(INGEST.answer, body).xproxy_result
    members = cast("Mapping[str, object]", body).get("xproxy_result") if isinstance(body, Mapping) else None
    return _readable(cast("Mapping[str, object]", members)) if isinstance(members, Mapping) else XproxyResult()


def _readable(members: Mapping[str, object]) -> XproxyResult:
    """Return a result of the members, and of the limits, that have the documented shape."""
    limits = members.get("limits")
    if isinstance(limits, Mapping):
        of_each = cast("Mapping[str, object]", limits)
        members = {**members, "limits": {name: each for name, each in of_each.items() if _fits(LimitResult, each)}}
    return XproxyResult.model_validate(
        {name: each for name, each in members.items() if _fits(XproxyResult, {name: each})}
    )


def _fits(kind: type[BaseModel], value: object) -> bool:
    try:
        kind.model_validate(value)
    except ValueError:
        return False
    return True


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
        name: _taken(info.rebuild_annotation(), members[name])
        for name, info in kind.model_fields.items()
        if name in members
    }
    missing = {name: None for name, info in kind.model_fields.items() if name not in members and info.is_required()}
    extra = {name: value for name, value in members.items() if name not in kind.model_fields}
    return kind.model_construct(set(fields) | set(extra), **missing, **fields, **extra)
