"""`@track` on an empty function, against functools.wraps with one ContextVar set and reset."""

from __future__ import annotations

import functools
import statistics
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from measure import Row, per_call

from payi_instrument import track

if TYPE_CHECKING:
    from collections.abc import Callable

_variable: ContextVar[int] = ContextVar("floor", default=0)


def _floor(function: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        token = _variable.set(1)
        try:
            return function(*args, **kwargs)
        finally:
            _variable.reset(token)

    return wrapped


def _empty() -> None:
    pass


def rows() -> list[Row]:
    """Measure with and without a use case, alone and nested."""
    floor = _floor(_empty)
    plain = track(user_id="u", limit_ids=["a"])(_empty)
    use_case = track(use_case_name="x", limit_ids=["a"])(_empty)
    found: list[Row] = []
    for name, tracked in (("@track", plain), ("@track with a use case", use_case)):
        pairs = [(per_call(floor, 20_000), per_call(tracked, 20_000)) for _ in range(15)]
        base, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in pairs)
        texts = (f"{base * 1e6:.2f} us", f"{ours * 1e6:.2f} us")
        found.append(Row(f"{name}, time", *texts, ours * 1e6, 2, "us"))
        found.append(Row(f"{name}, against its floor", *texts, ratio, 3, "x"))
    return found
