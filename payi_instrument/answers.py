"""Show a call's result as `xproxy_result` on its answer, which stays what the SDK made.

Source: instrumentation-semantics section 7.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from payi_instrument.wire.result import XproxyResult

_HIDDEN = "_xproxy_result"


class _Kept:
    """A result out of sight on an answer: pickled as text, so that nobody needs this package to read the answer."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result

    def __deepcopy__(self, memo: dict[int, Any]) -> _Kept:
        return _Kept(deepcopy(self.result, memo))

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (self.result.to_json(indent=None),))


def _own_result(answer: Any) -> Any:
    try:
        kept = answer.__dict__[_HIDDEN]
    except KeyError:
        raise AttributeError(name="xproxy_result", obj=answer) from None  # an answer that was not metered is as ever
    return XproxyResult.from_json(kept) if isinstance(kept, str) else kept.result


OWN_RESULT = property(_own_result)
"""What shows a result that `attach` put out of sight."""


def attach(answer: object, result: object) -> None:
    """Put a result on an answer without changing it: out of sight of a model's members, as a plain attribute elsewhere."""
    try:
        if getattr(type(answer), "xproxy_result", None) is OWN_RESULT:
            answer.__dict__[_HIDDEN] = _Kept(result)
        else:
            object.__setattr__(answer, "xproxy_result", result)
    except (AttributeError, TypeError):  # a type without room for it: get_context()["last_result"] has the result
        pass
