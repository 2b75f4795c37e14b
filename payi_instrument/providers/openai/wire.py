"""Read what came over the wire and what the SDK made of it alike: objects whose members may be missing, null or odd."""

from __future__ import annotations

import json
from math import isfinite
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from payi_instrument.event import CallFacts

MOST = 2_147_483_647
"""The most that an event counts of a unit (wire-api section 2)."""


class Lenient(SimpleNamespace):
    """A JSON object that reads like the SDK's: a member that is absent is None."""

    def __getattr__(self, name: str) -> None:
        """Return None for every member that the object does not have."""

    def __bool__(self) -> bool:
        """Say whether it has any, as a plain mapping does."""
        return bool(self.__dict__)


def _lenient(value: dict[str, Any]) -> Lenient:
    return Lenient(**value)


def parsed(text: str | bytes) -> Any:
    """Return what a JSON text says, its objects as `Lenient`; None for what is not JSON."""
    try:
        return json.loads(text, object_hook=_lenient)
    except ValueError:
        return None


def members(holder: Any) -> Mapping[str, Any]:
    """Return the members of an SDK object, those that the SDK does not know included; or of a plain mapping.

    A member that most objects lack is asked for here: a pydantic object takes long to say that it has none.
    """
    if isinstance(holder, dict):
        return cast("dict[str, Any]", holder)
    found: dict[str, Any] = getattr(holder, "__dict__", {})
    extra = getattr(holder, "__pydantic_extra__", None)
    return {**found, **extra} if extra else found


def number(holder: Mapping[str, Any], *names: str) -> float:
    """Return the first of these members that is a number above 0, at most what an event counts; 0 without any.

    Raises `ValueError` for what is no number although JSON as Python reads it says so: nobody knows what was meant.
    """
    for name in names:
        value = holder.get(name)
        if value and isinstance(value, (int, float)):
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} is {value}")
            if value > 0:
                return min(MOST, value)
    return 0


def count(holder: Mapping[str, Any], *names: str) -> int:
    """Return the first of these members that is a number above 0, as a whole one; 0 without any."""
    return int(number(holder, *names))


def listed(value: Any) -> Sequence[Any]:
    """Return a list as it is, nothing for what is no list."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def texts(content: Any) -> list[str]:
    """Return the texts of a content: itself, or those of its parts, thoughts included."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for part in map(members, listed(content)):
        found += strings([part.get("text"), part.get("refusal")]) + texts(part.get("thinking"))
    return found


def strings(values: Iterable[Any]) -> list[str]:
    """Return those of the values that are texts and not empty."""
    return [value for value in values if isinstance(value, str) and value]


def named(value: Any) -> str | None:
    """Return a name or an id: a text that is not empty, or a number as text; None for anything else."""
    if isinstance(value, str):
        return str.__str__(value) or None  # plain text, also of a member of an enum
    return str(value) if isinstance(value, int) else None


def billed_as(facts: CallFacts, *known: str) -> str:
    """Return the model in whose units a call is billed, where several kinds are known by how their names begin.

    It is the one that the call is priced as, if that is known: a deployment may have any name, a price of one's own too.
    """
    names = [name for name in (facts.priced_as, facts.resource) if name is not None and name.startswith(known)]
    return names[0] if names else ""


def texts_of(headers: Mapping[str, object]) -> dict[str, str]:
    """Return the headers whose values are texts, those in bytes too; what only leaves others out is none."""
    found = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in headers.items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def failure_of(error: Any) -> tuple[str, str | None] | None:
    """Return the code and the message of an error that an answer or an event of a stream bears, None without one."""
    if not error:
        return None
    told = members(error)
    code = told.get("code") or told.get("type") or "error"
    message = error if isinstance(error, str) else told.get("message")
    return str(code), message if isinstance(message, str) else None


def unreadable(answer: Any) -> TypeError:
    """Return what is raised for an answer that was billed and does not say how much: its event says so."""
    return TypeError(f"a {type(answer).__name__} without usage, output and error")
