"""Where in the caller's program a call was made: `file:line:function` of each frame, nothing of the data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

_OURS = __name__.rpartition(".")[0]
_MAX_FRAMES = 32
_MAX_KNOWN = 10_000

_known: dict[tuple[str, str, int], str] = {}


def stack_trace(library: str) -> str:
    """Return the caller's frames, innermost first, at most 32, as a JSON list of `file:line:function`.

    The frames of the provider's `library` (a top-level package name) and of this package at the inner end are left
    out. Source: instrumentation-semantics section 6.2, `system.stack_trace`.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to a frame
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in {_OURS, library, "wrapt"}:
        frame = frame.f_back
    texts: list[str] = []
    while frame is not None and len(texts) < _MAX_FRAMES:
        texts.append(_text(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return f"[{','.join(texts)}]"


def _text(code: CodeType, line: int) -> str:
    """Return one frame as a JSON string, made once for each code location."""
    key = (code.co_filename, code.co_qualname, line)  # equal code in two files is equal, its places are not
    text = _known.get(key)
    if text is None:
        import json

        if len(_known) >= _MAX_KNOWN:  # code that is made anew all the time must not fill the memory
            _known.clear()
        text = _known[key] = json.dumps(f"{code.co_filename}:{line}:{code.co_qualname}")
    return text
