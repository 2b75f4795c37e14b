"""Read what came over the wire and what the SDK made of it alike: objects whose members may be missing, null or odd."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Lenient(SimpleNamespace):
    """A JSON object that reads like the SDK's: a member that is absent is None."""

    def __getattr__(self, name: str) -> None:
        """Return None for every member that the object does not have."""


def _lenient(value: dict[str, Any]) -> Lenient:
    return Lenient(**value)


def lenient(value: Any) -> Any:
    """Return a parsed JSON value with its objects as `Lenient`."""
    if isinstance(value, dict):
        return Lenient(**{name: lenient(item) for name, item in cast("dict[str, Any]", value).items()})
    return [lenient(item) for item in listed(value)] if isinstance(value, list) else value


def parsed(text: str | bytes) -> Any:
    """Return what a JSON text says, its objects as `Lenient`; None for what is not JSON."""
    try:
        return json.loads(text, object_hook=_lenient)
    except ValueError:
        return None


def members(holder: Any) -> Mapping[str, Any]:
    """Return the members of an SDK object, those that the SDK does not know included; or of a plain mapping."""
    if isinstance(holder, dict):
        return cast("dict[str, Any]", holder)
    found: dict[str, Any] = getattr(holder, "__dict__", {})
    extra = getattr(holder, "__pydantic_extra__", None)
    return {**found, **extra} if extra else found


def count(holder: Mapping[str, Any], *names: str) -> int:
    """Return the first of these members that is a number other than 0, as a whole one; 0 without any."""
    for name in names:
        value = holder.get(name)
        if value and isinstance(value, (int, float)):
            return max(int(value), 0)
    return 0


def listed(value: Any) -> Sequence[Any]:
    """Return a list as it is, nothing for what is no list."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def texts(content: Any) -> list[str]:
    """Return the texts of a content: itself, or those of its parts."""
    if isinstance(content, str):
        return [content]
    return [text for part in listed(content) if isinstance(text := members(part).get("text"), str)]


def strings(values: Iterable[Any]) -> list[str]:
    """Return those of the values that are texts and not empty."""
    return [value for value in values if isinstance(value, str) and value]
