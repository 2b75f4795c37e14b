"""Leaving a process and forking one: no event is lost, doubled or waited for, and the process ends as it would have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fresh_process import run

from payi_instrument import Payi

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import gc, os, signal, sys, threading, time
from offline_openai import Offline
from payi_instrument import Payi, get_context, payi_instrument, track, track_context

def instrument(**config):
    return payi_instrument(Payi(base_url=sys.argv[1]), config={"limit_ids": ["all"], **config})

def wait_for(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, status

offline = Offline()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Payi(base_url=url) as client:
        client.limits.create(limit_name="all", limit_id="all", max=1000)
    return url


def booked(ledger: str) -> int:
    """Return how many events the ledger holds."""
    with Payi(base_url=ledger) as client:
        return client.limits.retrieve("all").limit.totals.requests.total


ENDINGS = [  # a process whose parent ignores SIGINT, as a job in the background does, has to ask for it
    ("", 0),
    ("sys.exit(3)", 3),
    ("raise KeyError('mine')", 1),
    ("handle.uninstrument()", 0),
    ("handle.shutdown()", 0),
    ("signal.signal(signal.SIGINT, signal.default_int_handler); signal.raise_signal(signal.SIGINT)", -2),
]


@pytest.mark.parametrize(("ending", "returns"), ENDINGS, ids=[ending for ending, _ in ENDINGS])
def test_what_is_open_at_exit_is_delivered_and_the_exit_code_is_the_programs(
    ledger: str, ending: str, returns: int
) -> None:
    program = f"""
handle = instrument()
dropped = offline.ask(stream=True); next(iter(dropped)); del dropped
in_a_cycle = [offline.ask(stream=True)]; next(iter(in_a_cycle[0])); in_a_cycle.append(in_a_cycle); del in_a_cycle
still_open = offline.ask(stream=True); next(iter(still_open))
offline.ask()
{ending}
"""
    run(BEGIN + program, ledger, returns=returns)
    assert booked(ledger) == 4


def test_a_process_that_made_no_call_ends_quietly(ledger: str) -> None:
    assert run(BEGIN + "instrument(exit_timeout=5.0)", ledger) == ""
    assert booked(ledger) == 0


def test_a_process_whose_meter_is_not_there_ends_as_it_would_have_and_says_what_is_lost() -> None:
    program = """
import logging
logging.basicConfig(stream=sys.stdout)
nowhere = Payi(base_url="http://127.0.0.1:1", api_key="k")
handle = payi_instrument(nowhere, config={"exit_timeout": 0.1})
answer = offline.ask()
assert answer.choices[0].message.content == "answer to hello"
assert answer.xproxy_result.queued is True
assert handle.flush(0.05) is False
assert handle.shutdown(0.05) is False
"""
    assert "the meter was not reached before exit" in run(BEGIN + program)


def test_calls_in_exit_hooks_are_metered(ledger: str) -> None:
    program = """
import atexit
atexit.register(offline.ask)
instrument()
atexit.register(offline.ask)
"""
    run(BEGIN + program, ledger)
    assert booked(ledger) == 2


def test_parent_and_forked_children_book_every_call_once(ledger: str) -> None:
    program = """
instrument(on_limit_state=lambda *_: None)
stop = threading.Event()
calls = [0]

def busy():
    while not stop.is_set():
        offline.ask()
        calls[0] += 1
        time.sleep(0.002)  # the children want to run, too

thread = threading.Thread(target=busy, daemon=True)
thread.start()
children = []
for _ in range(6):
    while_busy = calls[0]
    while calls[0] < while_busy + 3:  # fork at another moment of a call each time
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        own = Offline()
        for _ in range(3):
            assert own.ask().xproxy_result.error is None
        left = own.ask(stream=True); next(iter(left)); del left; gc.collect()
        sys.exit(0)
    children.append(child)
for child in children:
    wait_for(child)
stop.set()
thread.join()
print(calls[0])
"""
    in_parent = int(run(BEGIN + program, ledger, timeout=100))
    assert booked(ledger) == in_parent + 6 * 4


def test_a_child_forked_while_ids_are_made_makes_its_own(ledger: str) -> None:
    program = """
sys.setswitchinterval(1e-6)
stop = threading.Event()

@track(use_case_name="x")
def use_case_id():
    return get_context()["use_case_id"]

def busy():
    while not stop.is_set():
        use_case_id()

threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(40):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that waits for ever ends all the same
        use_case_id()
        os._exit(0)
    wait_for(child)
stop.set()
"""
    run(BEGIN + program, ledger, timeout=100)


def test_the_workers_of_a_process_pool_meter_with_the_global_values(ledger: str) -> None:
    program = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(number):
    answer = offline.ask(str(number))
    return answer.xproxy_result.user_id, "user_id" in get_context()

instrument(account_name="global")
with track_context(user_id="submitter"), ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    assert set(pool.map(work, range(10))) == {(None, False)}
    assert work(10) == ("submitter", True)
"""
    run(BEGIN + program, ledger)
    assert booked(ledger) == 11


def test_a_child_of_os_fork_goes_on_in_the_scope_it_was_forked_in(ledger: str) -> None:
    program = """
instrument()
with track_context(user_id="u1"):
    child = os.fork()
    assert offline.ask().xproxy_result.user_id == "u1"
    if child:
        wait_for(child)
assert offline.ask().xproxy_result.user_id is None
"""
    run(BEGIN + program, ledger)
    assert booked(ledger) == 4


def test_a_stream_that_goes_with_all_that_metered_it_is_delivered(ledger: str) -> None:
    program = """
handle = instrument()
stream = offline.ask(stream=True); next(iter(stream))
handle.uninstrument()
cycle = [handle, stream]; cycle.append(cycle)
del handle, stream, cycle
gc.collect()
with Payi(base_url=sys.argv[1]) as client:
    until = time.monotonic() + 20
    while client.limits.retrieve("all").limit.totals.requests.total < 1 and time.monotonic() < until:
        time.sleep(0.05)
"""
    run(BEGIN + program, ledger)
    assert booked(ledger) == 1
