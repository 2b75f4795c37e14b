"""Which limits use-case instances have of their own: no event names them, and every event of the instance counts on them.

Known is what results said, and the meter when it was asked. Source: limits-semantics section 6.4.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from payi_instrument.wire.result import LaterResult

if TYPE_CHECKING:
    from payi_instrument.event import Attribution
    from payi_instrument.wire.result import XproxyResult

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_MOST = 10_000
"""How many instances are remembered, those with limits and those without; the oldest are forgotten first."""
_WITHOUT_TTL_S = 30.0
"""How long an instance counts as one without a limit, and its use case as one that gives none."""

_NEVER = float("-inf")


class KnownInstances:
    """Remember the limits of instances; without a lock, each step is atomic."""

    def __init__(self) -> None:
        """Begin without any."""
        self._limited: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()
        self._without: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._giving_none: OrderedDict[str, float] = OrderedDict()

    def limits(self, use_case_name: str, use_case_id: str) -> tuple[str, ...] | None:
        """Return the limits that an instance has of its own; None where nobody said anything of it lately."""
        instance = (use_case_name, use_case_id)
        limited = self._limited.get(instance)
        if limited is None and self._without.get(instance, _NEVER) > _oldest():
            return ()
        return limited

    def gives_none(self, use_case_name: str) -> bool:
        """Say whether an instance of a use case was found to have no limit, lately."""
        return self._giving_none.get(use_case_name, _NEVER) > _oldest()

    def note_none(self, use_case_name: str, use_case_id: str) -> None:
        """Remember that an instance has no limit of its own."""
        now = time.monotonic()
        self._limited.pop((use_case_name, use_case_id), None)
        _remember(self._without, (use_case_name, use_case_id), now)
        _remember(self._giving_none, use_case_name, now)

    def hear(self, who: Attribution, result: XproxyResult) -> list[str]:
        """Learn from the result of an event; return the limits that are forgotten for it."""
        name, use_case_id = who.use_case_name, who.use_case_id
        if name is None:
            return []
        if isinstance(result, LaterResult):  # of no other limits than the event named
            if use_case_id is not None:
                self.note_none(name, use_case_id)
            return []
        use_case_id = use_case_id or result.use_case_id  # the meter makes one where none is given
        if use_case_id is None:
            return []
        before = self._limited.get((name, use_case_id), ())
        limits = tuple(limit for limit in result.limits if limit in before or limit not in who.limit_ids)
        if limits:
            forgotten = _remember(self._limited, (name, use_case_id), limits)
            return [limit for limits in forgotten for limit in limits]
        if not result.limits:  # else its own may be among those that were named
            self.note_none(name, use_case_id)
        return []


def _oldest() -> float:
    return time.monotonic() - _WITHOUT_TTL_S


def _remember(known: OrderedDict[KeyT, ValueT], key: KeyT, value: ValueT) -> list[ValueT]:
    """Remember a value as the newest; return the oldest ones that had to make room."""
    known[key] = value
    with suppress(KeyError):  # another thread's were that many
        known.move_to_end(key)
    forgotten: list[ValueT] = []
    while len(known) > _MOST:
        with suppress(KeyError):  # another thread was first
            forgotten.append(known.popitem(last=False)[1])
    return forgotten
