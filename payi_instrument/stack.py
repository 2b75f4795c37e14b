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
        place = _place(frame)
        if texts or place.package not in inner:
            texts.append(place.text)
        frame = frame.f_back
    return f"[{','.join(texts)}]"


def _place(frame: FrameType) -> _Place:
    """Return where a frame is, found by code object and instruction: hashing code or counting lines costs more."""
    code = frame.f_code
    key = (id(code), frame.f_lasti)
    place = _known.get(key)
    if place is None or place.code is not code:
        import json

        if len(_known) >= _MAX_KNOWN:  # code that is made anew all the time must not fill the memory
            _known.clear()
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        text = json.dumps(f"{code.co_filename}:{frame.f_lineno}:{code.co_qualname}")
        place = _known[key] = _Place(code, package, text)
    return place
