"""Opening a ledger: where it is, what it may be, what it must never touch, and how it forks."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.engine.ledger import REVISION
from payi_instrument.engine.store_sqlite import SqliteStore
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"category": "demo", "units": {}}


def make_database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["CREATE TABLE users (id INT)"], "another program"),
        (["CREATE TABLE events (id INT)"], "another program"),
        (["CREATE TABLE users (id INT)", "CREATE TABLE alembic_version (version_num TEXT)"], "another program"),
        (
            [
                "CREATE TABLE users (id INT)",
                "CREATE TABLE alembic_version (version_num TEXT)",
                "INSERT INTO alembic_version VALUES ('0000abcd')",
            ],
            "another program",
        ),
    ],
)
def test_another_programs_file_is_named_and_left_alone(tmp_path: Path, statements: list[str], problem: str) -> None:
    path = tmp_path / "other.db"
    make_database(path, *statements)
    before = path.read_bytes()
    with pytest.raises(PayiError, match=problem) as caught:
        Payi(base_url=f"sqlite:///{path}")

    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk.\n" * 200)
    with pytest.raises(PayiError, match="not a database") as caught:
        Payi(base_url=f"sqlite:///{path}")

    assert str(path) in str(caught.value)
    assert path.read_text() == "Buy milk.\n" * 200
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["missing/l.db", "."])
def test_a_place_that_can_hold_no_file_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(PayiError, match="unable to open") as caught:
        Payi(base_url=f"sqlite:///{tmp_path / place}")

    assert str(tmp_path / place) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_ledger_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    Payi(base_url=f"sqlite:///{path}").close()
    make_database(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(PayiError, match=f"9999.*up to {REVISION}.*upgrade payi-instrument") as caught:
        Payi(base_url=f"sqlite:///{path}")

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["plain.db", "a b.db", "ä🙂.db", "a%3Fb.db", "a%23b.db", "50%25.db", "a&b=c.db"])
def test_the_ledger_is_the_one_file_that_the_url_names(tmp_path: Path, name: str) -> None:
    with closing(Payi(base_url=f"sqlite:///{tmp_path}/{name}")) as client:
        client.limits.create(limit_name="n", limit_id="l", max=1)

    plain = name.replace("%3F", "?").replace("%23", "#").replace("%25", "%")
    assert {path.name for path in tmp_path.iterdir()} == {plain, f"{plain}.lock"}
    with closing(Payi(base_url=f"sqlite:///{tmp_path}/{name}")) as client:
        assert client.limits.retrieve("l").limit.limit_name == "n"


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "l.db").touch()
    with closing(Payi(base_url=f"sqlite:///{tmp_path}/l.db")) as client:
        assert client.limits.list().items == []


def test_a_relative_path_is_meant_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Payi(base_url="sqlite:///l.db")) as client:
        client.limits.create(limit_name="n", limit_id="l", max=1)
    monkeypatch.chdir("/")
    with closing(Payi(base_url=f"sqlite:///{tmp_path}/l.db")) as client:
        assert client.limits.retrieve("l")


@pytest.mark.parametrize(("url", "expected"), [("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2)])
def test_a_ledger_is_a_write_ahead_log_as_durable_as_asked(tmp_path: Path, url: str, expected: int) -> None:
    synchronous = url.partition("=")[2] or "normal"
    with closing(SqliteStore(str(tmp_path / "l.db"), synchronous=synchronous)) as store:
        assert store.connection.execute("PRAGMA synchronous").fetchone() == (expected,)
        assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with closing(Payi(base_url=f"sqlite:///{tmp_path}/l.db{url}")) as client:
        assert client.ingest.units(**EVENT).request_id  # type: ignore[arg-type]


def test_the_file_is_closed_with_its_last_client(tmp_path: Path) -> None:
    """SQLite deletes the write-ahead log when the last connection closes."""
    log = tmp_path / "l.db-wal"
    first, second = Payi(base_url=f"sqlite:///{tmp_path}/l.db"), Payi(base_url=f"sqlite:///{tmp_path}/l.db")
    first.ingest.units(**EVENT)  # type: ignore[arg-type]
    assert log.exists()
    first.close()
    second.ingest.units(**EVENT)  # type: ignore[arg-type]
    assert log.exists()
    second.close()
    assert not log.exists()


def test_the_file_is_closed_when_its_client_is_forgotten(tmp_path: Path) -> None:
    Payi(base_url=f"sqlite:///{tmp_path}/l.db").ingest.units(**EVENT)  # type: ignore[arg-type]
    gc.collect()

    assert not (tmp_path / "l.db-wal").exists()


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own and return what it prints; its failure is the test's."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COUNT = """
import sys
from payi_instrument.client.client import Payi
client = Payi(base_url="sqlite:///" + sys.argv[1])
print(client.limits.retrieve("a").limit.totals.requests.total)
"""

ORPHAN = """
import gc, os, sys
from payi_instrument.client.client import Payi
client = Payi(base_url="sqlite:///" + sys.argv[1])
client.limits.create(limit_name="a", limit_id="a", max=1)
use = lambda: client.ingest.units(category="demo", units={}, limit_ids=["a"])
use()
told, tell = os.pipe()
child = os.fork()
if child == 0:
    os.read(told, 1)
    for _ in range(10):
        use()
    os.write(1, b"%d " % client.limits.retrieve("a").limit.totals.requests.total)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
client.close()
del client
gc.collect()
os.write(tell, b"!")
os.waitpid(child, 0)
"""


def test_a_forked_child_outlives_its_parents_ledger(tmp_path: Path) -> None:
    """SQLite's file locks are no child's: with an inherited connection its events land in a deleted file."""
    assert run(ORPHAN, str(tmp_path / "l.db"), COUNT).split() == ["11", "11"]


FORK_WHILE_INGESTING = """
import os, sys, threading, time
from payi_instrument.client.client import Payi
client = Payi(base_url="sqlite:///" + sys.argv[1])
memory = Payi(base_url="sqlite://")
for ledger in (client, memory):
    ledger.limits.create(limit_name="a", limit_id="a", max=1)
use = lambda ledger: ledger.ingest.bulk(events=[{"category": "demo", "units": {}, "limit_ids": ["a"]}] * 2)
total = lambda ledger: ledger.limits.retrieve("a").limit.totals.requests.total
done, counts = threading.Event(), [0] * 4
def work(number):
    while not done.is_set():
        use(client)
        use(memory)
        counts[number] += 2
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(5):
    while sum(counts) < 100 * (len(children) + 1):
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        for _ in range(10):
            use(client)
        before = total(memory)
        use(memory)
        fresh = Payi(base_url="sqlite:///" + sys.argv[1] + "?strict_limits=true")
        use(fresh)
        os._exit(0 if total(memory) == before + 2 else 1)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
done.set()
for thread in threads:
    thread.join()
print(statuses, total(client) - sum(counts), total(memory) - sum(counts))
"""


def test_forking_while_others_ingest_counts_every_event_once(tmp_path: Path) -> None:
    """Each of five children ingests 11 times two events into the file; what it does in memory is its own."""
    assert run(FORK_WHILE_INGESTING, str(tmp_path / "l.db")).strip() == "[0, 0, 0, 0, 0] 110 0"


FORK_THAT_COLLECTS = """
import gc, os, sys
os.register_at_fork(before=gc.collect)
gc.disable()
from payi_instrument.client.client import Payi
Payi(base_url="sqlite:///" + sys.argv[1])
child = os.fork()
if child == 0:
    Payi(base_url="sqlite:///" + sys.argv[1]).limits.list()
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


def test_a_forgotten_ledger_may_be_collected_in_the_middle_of_a_fork(tmp_path: Path) -> None:
    assert run(FORK_THAT_COLLECTS, str(tmp_path / "l.db")).strip() == "0"


FORK_WITH_A_QUEUE = """
import os, sys, threading, time
from payi_instrument.client.client import Payi
from payi_instrument.engine.engine import Engine
from payi_instrument.engine.appraise import Options
from payi_instrument.engine.store_sqlite import SqliteStore
from payi_instrument.event import Attribution, UsageEvent
store = SqliteStore(sys.argv[1])
engine = Engine(store, Options())
Payi(base_url="sqlite:///" + sys.argv[1]).limits.create(limit_name="a", limit_id="a", max=1)
event = UsageEvent(None, "demo", None, {}, Attribution(limit_ids=("a",)))
queued = threading.Thread(target=engine.ingest, args=([event], "default"))
with store.lock:
    queued.start()
    while not engine._committer._queue:
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        engine.ingest([event], "default")
        os._exit(0)
os.waitpid(child, 0)
queued.join()
"""


def test_what_the_parent_has_queued_is_not_the_childs_to_commit(tmp_path: Path) -> None:
    path = str(tmp_path / "l.db")
    run(FORK_WITH_A_QUEUE, path)

    assert run(COUNT, path).strip() == "2"


FORK_WITHOUT_A_FILE = """
import os, sys
from payi_instrument.client.client import Payi
client = Payi(base_url="sqlite:///" + sys.argv[1])
client.limits.create(limit_name="a", limit_id="a", max=1)
for end in ("", "-wal", "-shm"):
    os.unlink(sys.argv[1] + end)
child = os.fork()
print(client.limits.create(limit_name="b%d" % child, max=1).limit.limit_name != "")
if child:
    os.waitpid(child, 0)
    print(len(client.limits.list().items))
"""


def test_a_ledger_that_was_deleted_is_made_anew_by_a_fork(tmp_path: Path) -> None:
    """Parent and child open the file again: it is a ledger by then, and the same one for both."""
    assert run(FORK_WITHOUT_A_FILE, str(tmp_path / "l.db")).split() == ["True", "True", "2"]


FORK_WITHOUT_A_PLACE = """
import os, shutil, sys
from payi_instrument import Payi, PayiError
path = sys.argv[1]
os.mkdir(path)
clients = [Payi(base_url=f"sqlite:///{path}{place}/l.db") for place in ("", "/..", "/../..")]
shutil.rmtree(path)
child = os.fork()
if child:
    os.waitpid(child, 0)
lost, *others = clients
try:
    lost.limits.create(limit_name="a", max=1)
except PayiError:
    print([client.limits.create(limit_name="b", max=1).limit.max for client in others])
"""


def test_a_ledger_that_a_fork_can_not_open_again_harms_no_other(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)

    assert run(FORK_WITHOUT_A_PLACE, str(place / "gone")).split("\n") == ["[1.0, 1.0]", "[1.0, 1.0]", ""]


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


async def test_a_ledger_that_was_deleted_is_one_and_the_same_for_all_that_open_it_later(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Payi(base_url=f"sqlite:///{path}") as client:
        client.ingest.units(category="demo", units={})
        empty(tmp_path)
        client.limits.list()
        client.limits.create(limit_name="a", limit_id="a", max=1)
        async with AsyncPayi(base_url=f"sqlite:///{path}") as other:
            await other.ingest.units(category="demo", units={}, limit_ids=["a"])

        assert client.limits.retrieve("a").limit.totals.requests.total == 1
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_reads_wait_for_no_writer(tmp_path: Path) -> None:
    """Neither for another process, nor for a thread of this one that waits for it."""
    path = tmp_path / "l.db"
    with Payi(base_url=f"sqlite:///{path}") as client, closing(sqlite3.connect(path, isolation_level=None)) as other:
        client.limits.create(limit_name="a", limit_id="a", max=1)
        client.use_cases.definitions.create(name="rag", description="d")
        client.use_cases.definitions.kpis.create("rag", name="k", description="d", kpi_type="number", goal=1)
        stored = client.ingest.units(category="demo", units={}, use_case_name="rag", use_case_id="i")
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(client.ingest.units, category="demo", units={}, limit_ids=["a"])
            assert client.limits.retrieve("a").limit.totals.requests.total == 0
            assert [limit.limit_id for limit in client.limits.list()] == ["a"]
            assert client.limits.history("a").items == []
            assert client.use_cases.definitions.retrieve("rag").name == "rag"
            assert client.use_cases.definitions.kpis.retrieve("k", use_case_name="rag").name == "k"
            assert client.use_cases.retrieve("i", use_case_name="rag").use_case_id == "i"
            assert client.categories.list().items
            assert client.categories.list_resources("system.openai").items
            assert client.requests.request_id.result.retrieve(stored.request_id).xproxy_result == stored.xproxy_result
            assert not waiting.done()
            other.execute("ROLLBACK")

        assert waiting.result().xproxy_result.limits["a"].state == "ok"
        assert client.limits.retrieve("a").limit.totals.requests.total == 1


INTERRUPTED = """
import os, signal, sqlite3, sys, threading, time
from payi_instrument.client.client import Payi
path, method = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
client = Payi(base_url="sqlite:///" + path)
calls = {
    "ingest": lambda: client.ingest.units(category="demo", units={}),
    "create": lambda: client.limits.create(limit_name="a", max=1),
}
for call in calls.values():
    call()
other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
other.execute("BEGIN IMMEDIATE")
def interrupt():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    other.execute("ROLLBACK")
try:
    threading.Thread(target=interrupt).start()
    calls[method]()
except KeyboardInterrupt:
    print("interrupted")
for call in calls.values():
    call()
other.execute("BEGIN IMMEDIATE")
"""


@pytest.mark.parametrize("method", ["ingest", "create"])
def test_an_interrupt_while_waiting_for_the_lock_leaves_the_ledger_usable(tmp_path: Path, method: str) -> None:
    """SQLite waits in C, so that Ctrl-C is raised once it has begun the transaction; nobody may be left locked out."""
    assert run(INTERRUPTED, str(tmp_path / "l.db"), method).strip() == "interrupted"
