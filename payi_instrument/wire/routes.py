"""Which operations of the table live at a URL path: what a server, or a client given a bare path, has to know.

Source: wire-api sections 3 to 8; section 5 says that a segment may hold a slash once it is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from payi_instrument.wire.message import Operation

_NOUN = 3
"""Where the noun stands in a path: behind the empty text before the first slash, `api` and `v1`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Hold what lives at a path: operations by HTTP method, and the path's arguments, percent-decoded."""

    operations: Mapping[str, Operation[Any]]
    values: Mapping[str, str]


@lru_cache(4096)
def at(path: str) -> Route | None:
    """Return what lives at a percent-encoded path without its query; None means 404.

    A method that `operations` does not have means 405, their keys are what it allows. An argument that is empty or no
    UTF-8 names nothing.
    """
    parts = path.split("/")
    if len(parts) <= _NOUN:
        return None
    for shape in _SHAPES.get((len(parts), parts[_NOUN]), ()):
        if all(parts[index] == text for index, text in shape.literals):
            values = _decoded({name: parts[index] for index, name in shape.parameters})
            return None if values is None else Route(shape.operations, values)
    return None


def _decoded(segments: dict[str, str]) -> dict[str, str] | None:
    try:
        values = {name: unquote(text, errors="strict") for name, text in segments.items()}
    except UnicodeDecodeError:
        return None
    return values if all(values.values()) else None


@dataclass(slots=True)
class _Shape:
    """One path of the table: what must stand where, and which segments are arguments."""

    literals: list[tuple[int, str]]
    parameters: list[tuple[int, str]]
    operations: dict[str, Operation[Any]] = field(default_factory=dict)


def _shapes() -> dict[tuple[int, str], list[_Shape]]:
    by_path: dict[str, _Shape] = {}
    for operation in OPERATIONS:
        if operation.path not in by_path:
            parts = list(enumerate(operation.path.split("/")))
            literals = [(index, part) for index, part in parts if not part.startswith("{")]
            parameters = [(index, part[1:-1]) for index, part in parts if part.startswith("{")]
            by_path[operation.path] = _Shape(literals, parameters)
        by_path[operation.path].operations[operation.method] = operation
    grouped: dict[tuple[int, str], list[_Shape]] = {}
    for path, shape in by_path.items():
        segments = path.split("/")
        grouped.setdefault((len(segments), segments[_NOUN]), []).append(shape)
    return grouped


_SHAPES = _shapes()
