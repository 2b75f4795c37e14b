"""Where a call was made: `file:line:function`, without our frames and the SDK's, and never a value."""

from __future__ import annotations

import json
import linecache
from typing import Any

import pytest
from offline_openai import Offline

from payi_instrument import track
from payi_instrument.stack import stack_trace
from payi_instrument.testing import metered

PROGRAM = """
def outer(trace):
    secret = "never shown"
    return inner(trace)

def inner(trace):
    return trace("no_such_library")
"""


def program(file: str, source: str = PROGRAM, **names: object) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "program", **names}
    exec(compile(source, file, "exec"), found)
    return found


def frames(text: str) -> list[str]:
    found: list[str] = json.loads(text)
    return found


def test_frames_are_listed_innermost_first() -> None:
    assert frames(program("/srv/app.py")["outer"](stack_trace))[:2] == ["/srv/app.py:7:inner", "/srv/app.py:4:outer"]


def test_the_same_code_in_two_files_is_two_places() -> None:
    for file in ("/srv/one.py", "/srv/two.py", "/srv/one.py"):
        assert frames(program(file)["outer"](stack_trace))[0] == f"{file}:7:inner"


def test_a_file_name_is_json_whatever_is_in_it() -> None:
    for file in ('/srv/"quoted"\\back\nline.py', "/srv/übung.py"):
        assert frames(program(file)["inner"](stack_trace))[0] == f"{file}:7:inner"


def test_at_most_32_frames() -> None:
    source = "def down(depth, trace):\n    return down(depth - 1, trace) if depth else trace('none')\n"
    found = frames(program("/srv/deep.py", source)["down"](200, stack_trace))
    assert found == ["/srv/deep.py:2:down"] * 32


def test_code_made_anew_all_the_time_does_not_fill_the_memory() -> None:
    from payi_instrument import stack

    for number in range(stack._MAX_KNOWN + 100):
        inner = program(f"/srv/{number}.py", "def inner(trace): return trace('none')")["inner"]
        assert frames(inner(stack_trace))[0] == f"/srv/{number}.py:1:inner"
    assert len(stack._known) <= stack._MAX_KNOWN


@pytest.mark.parametrize("name", [None, 3, ""])
def test_a_frame_without_a_module_name_is_the_callers(name: object) -> None:
    assert frames(program("/srv/app.py", __name__=name)["inner"](stack_trace))[0] == "/srv/app.py:7:inner"


def test_the_event_names_the_callers_line_and_no_source_is_read() -> None:
    linecache.clearcache()
    with metered() as meter:
        line = ask_from_here()
        [event] = meter.events
    trace = frames(str(event.properties["system.stack_trace"]))
    assert trace[0] == f"{Offline.ask.__code__.co_filename}:{Offline.ask.__code__.co_firstlineno + 1}:Offline.ask"
    assert trace[1] == f"{__file__}:{line}:ask_from_here"
    assert __file__ not in linecache.cache


@track(user_id="u1")
def ask_from_here() -> int:
    Offline().ask()
    return ask_from_here.__wrapped__.__code__.co_firstlineno + 2  # type: ignore[attr-defined, no-any-return]


def test_stack_traces_can_be_switched_off() -> None:
    with metered(config={"capture_stack_trace": False}) as meter:
        Offline().ask()
        [event] = meter.events
    assert "system.stack_trace" not in event.properties
