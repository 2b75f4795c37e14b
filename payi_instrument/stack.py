"""Where in the caller's program a call was made: `file:line:function` of each frame, nothing of the data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import CodeType, FrameType

_OURS = __name__.rpartition(".")[0]
_MAX_FRAMES = 32
_MAX_KNOWN = 10_000


class _Place(NamedTuple):
    """A place in a program, as a JSON string; the code object is held so that its id stays its own."""

    code: CodeType
    package: str
    text: str


_known: dict[tuple[int, int], _Place] = {}


def stack_trace(library: str) -> str:
    """Return the caller's frames, innermost first, at most 32, as a JSON list of `file:line:function`.

    The frames of the provider's `library` (a top-level package name) and of this package at the inner end are left
    out. Source: instrumentation-semantics section 6.2, `system.stack_trace`.
    """
    inner = {_OURS, library, "wrapt"}
    texts: list[str] = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to a frame
    while frame is not None and len(texts) < _MAX_FRAMES:
        code = frame.f_code
        place = _known.get((id(code), frame.f_lasti))  # hashing code or counting lines costs more
        if place is None or place.code is not code:
            place = _look_at(frame)
        if texts or place.package not in inner:
            texts.append(place.text)
        frame = frame.f_back
    return f"[{','.join(texts)}]"


def _look_at(frame: FrameType) -> _Place:
    """Find out where a frame is, and remember it by code object and instruction."""
    import json

    if len(_known) >= _MAX_KNOWN:  # code that is made anew all the time must not fill the memory
        _known.clear()
    code = frame.f_code
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    place = _Place(code, package, json.dumps(f"{code.co_filename}:{frame.f_lineno}:{code.co_qualname}"))
    _known[id(code), frame.f_lasti] = place
    return place
