"""A result that is made when it is first read can't be told from one that was made at once."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, TypeAdapter

from payi_instrument.wire.result import LaterResult, LimitResult, XproxyResult

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = XproxyResult.of(request_id="r", limits={"a": LimitResult.of(state="ok")}, user_id=None)
NEW_USER = {"user_id": "u"}


class Holder(BaseModel):
    result: XproxyResult


def changed(result: XproxyResult) -> XproxyResult:
    result.user_id = "u"
    return result


READS: dict[str, Callable[[XproxyResult], object]] = {
    "member": lambda result: (result.request_id, result.limits["a"].state, result.user_id, result.code),
    "missing": lambda result: hasattr(result, "nothing"),
    "set": lambda result: (result.model_fields_set, result.model_extra),
    "repr": lambda result: (repr(result), str(result)),
    "dict": lambda result: (dict(result), result.model_dump(), result.to_dict(), vars(result)),
    "json": lambda result: json.loads(result.to_json()),
    "adapter": lambda result: TypeAdapter(XproxyResult).dump_json(result),
    "nested": lambda result: Holder(result=result).model_dump_json(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "changed copy": lambda result: result.model_copy(update=NEW_USER),
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),
    "assignment": changed,
    "class": lambda result: (result.__class__, isinstance(result, XproxyResult)),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_later_result_reads_like_a_plain_one(read: Callable[[XproxyResult], Any]) -> None:
    made: list[int] = []

    def make() -> XproxyResult:
        made.append(1)
        return copy.deepcopy(PLAIN)

    later = LaterResult.made_by(make)
    assert made == []
    assert read(later) == read(copy.deepcopy(PLAIN))
    assert read(later) == read(later)
    assert made == [1]


def test_a_later_result_equals_a_plain_one_from_either_side() -> None:
    def later() -> XproxyResult:
        return LaterResult.made_by(lambda: copy.deepcopy(PLAIN))

    assert later() == PLAIN
    assert later() == later()
    assert copy.deepcopy(PLAIN) == later()
    assert later() != XproxyResult()
