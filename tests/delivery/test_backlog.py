"""Instrumentations and scopes leave nothing behind when they are over."""

from __future__ import annotations

import asyncio
import gc
import threading

from payi_instrument import get_context, track, track_context
from payi_instrument import scope as scopes
from payi_instrument.testing import metered


def _backlog_threads() -> int:
    return sum(thread.name == "payi-backlog" for thread in threading.enumerate())


def test_a_backlogs_thread_ends_with_its_instrumentation() -> None:
    gc.collect()
    before = _backlog_threads()
    for _ in range(20):
        with metered():
            pass
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "payi-backlog" and _backlog_threads() > before:
            thread.join(1)
    assert _backlog_threads() <= before


async def test_a_callback_that_schedules_itself_makes_no_chain_of_scopes() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    @track(user_id="u", use_case_name="tick")
    def tick(left: int) -> None:
        with track_context(account_name="a"):
            if left:
                loop.call_soon(tick, left - 1)
            else:
                done.set_result((get_context()["account_name"], scopes.current()))

    tick(300)
    account, innermost = await done
    assert account == "a"
    blocks = 0
    block = scopes.nearest_block(innermost)
    while block is not None:
        blocks, block = blocks + 1, block.block
    assert blocks == 1
