"""The functions that an answer calls: of a chat's message, of a response's items, in the pieces of a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from payi_instrument.providers.openai.wire import listed, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FunctionCall = tuple[str, str | None]
"""The name of a function and what it is called with, mostly JSON."""

_ITEMS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}
"""Items that are calls of functions, and the member that holds what they are called with."""


def called_by(message: Any) -> Iterator[FunctionCall]:
    """Return the calls of a chat's message, today's form and the legacy one."""
    told = members(message)
    functions = [_function(members(call)) for call in listed(told.get("tool_calls"))]
    if told.get("function_call"):
        functions.append(members(told["function_call"]))
    for name, given in map(_told, functions):
        if name:
            yield name, given or None


def called_in(items: Iterable[Any]) -> Iterator[FunctionCall]:
    """Return the calls among the items of a response."""
    for item in map(members, items):
        given = _ITEMS.get(str(item.get("type")))
        if given is not None and (name := _text(item.get("name"))):
            yield name, _text(item.get(given)) or None


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a call, or a piece of one, says of its function; a custom tool is one too."""
    function = call.get("function")
    return members(call.get("custom") if function is None else function)


def _told(function: Mapping[str, Any]) -> tuple[str, str]:
    given = function.get("arguments")
    return _text(function.get("name")), _text(function.get("input") if given is None else given)


def _text(value: Any) -> str:
    """Return a text as it is, anything else as JSON: some hosts send arguments as an object."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, default=members)


@dataclass(slots=True)
class _Pieces:
    call_id: str | None
    name: str = ""
    given: str = ""


class CallsInPieces:
    """Put the calls of a streamed chat together."""

    __slots__ = ("_calls", "_open")

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: list[_Pieces] = []
        self._open: dict[tuple[Any, Any], _Pieces] = {}

    def see(self, choice: Any, delta: Mapping[str, Any]) -> None:
        """Take what a chunk says in one of its choices."""
        for piece in listed(delta.get("tool_calls")):
            told = members(piece)
            self._add(choice, told.get("index"), told.get("id"), _function(told))
        if delta.get("function_call"):
            self._add(choice, "legacy", None, members(delta["function_call"]))

    def _add(self, choice: Any, index: Any, call_id: str | None, function: Mapping[str, Any]) -> None:
        name, given = _told(function)
        pieces = self._open.get((choice, index))
        if pieces is None or (name and pieces.name and _is_other(pieces, index, call_id)):
            pieces = self._open[choice, index] = _Pieces(call_id)
            self._calls.append(pieces)
        pieces.name += name
        pieces.given += given

    def calls(self) -> list[FunctionCall]:
        """Return the calls that have a name, in the order in which they began."""
        return [(pieces.name, pieces.given or None) for pieces in self._calls if pieces.name]

    def texts(self) -> list[str]:
        """Return all that was said in them."""
        return [text for pieces in self._calls for text in (pieces.name, pieces.given)]


def _is_other(pieces: _Pieces, index: Any, call_id: str | None) -> bool:
    """Say whether a piece with a name begins another call: some hosts give all the same index, or none."""
    return call_id != pieces.call_id if call_id else index is None
