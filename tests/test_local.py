"""The embedded meter behind a client: what its URL says, who shares it, and how it is awaited."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.engine.address import Address
from payi_instrument.errors import MissingExtraError, PayiError
from payi_instrument.event import Attribution, UsageEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from payi_instrument.local import LocalTransport

EVENT: dict[str, Any] = {"category": "demo", "units": {}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


@pytest.fixture
def transport(client: Payi) -> Iterator[LocalTransport]:
    """Return the transport of a meter in memory, used from a loop too."""
    client.limits.create(limit_name="a", limit_id="a", max=1)
    local: Any = client.transport
    yield local
    local.close()


def event(**changes: Any) -> UsageEvent:
    return UsageEvent(None, "demo", None, {"text": (1, 0)}, Attribution(limit_ids=("a",)), **changes)


def counted(client: Payi, limit_id: str = "a") -> int:
    return client.limits.retrieve(limit_id).limit.totals.requests.total


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("strict=true", "strict"),
        ("strict_limits=yes", "strict_limits='yes'"),
        ("strict_limits=", "strict_limits=''"),
        ("block_limits_on_ingest=never", "evaluate, reject"),
        ("unpriced_events=maybe", "unpriced_events"),
        ("synchronous=off", "normal, full"),
        ("application=x&timeout=3", "timeout"),
        ("application=", "application=.* 1 to 256"),
        ("application=a%00b", "application=.* control"),
    ],
)
@pytest.mark.parametrize("place", ["sqlite://", "sqlite:///never-made.db"])
def test_an_option_that_is_not_known_is_a_value_error(place: str, option: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Payi(base_url=f"{place}?{option}")


@pytest.mark.parametrize("base_url", ["sqlite://l.db", "sqlite://folder/l.db", "sqlite://C:/l.db"])
def test_a_path_without_its_slash_is_a_value_error_that_shows_how(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///relative\.db or sqlite:////absolute\.db"):
        Payi(base_url=base_url)


@pytest.mark.parametrize("base_url", ["postgresql://nobody@127.0.0.1:1/x", "postgres:///x?host=/nowhere"])
def test_a_database_that_is_not_there_says_so(base_url: str) -> None:
    with pytest.raises(PayiError, match="can't open the ledger on PostgreSQL"):
        Payi(base_url=base_url)


@pytest.mark.parametrize("base_url", ["mysql://localhost/x", "sqlite+pysqlite:///x.db"])
def test_another_database_is_named_with_those_there_are(base_url: str) -> None:
    with pytest.raises(PayiError, match=r"use sqlite:///file.db or postgresql://"):
        Address.of(base_url)


def test_memory_is_private_to_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for memory in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with Payi(base_url=memory) as first, Payi(base_url=memory) as second:
            first.limits.create(limit_name="a", limit_id="a", max=1)
            assert second.limits.list().items == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_shared_by_all_its_clients_whatever_their_options(url: str) -> None:
    with Payi(base_url=url) as one, Payi(base_url=f"{url}?strict_limits=true&synchronous=full") as other:
        one.limits.create(limit_name="a", limit_id="a", max=1)
        for client in (one, other, one):
            client.ingest.units(**EVENT, limit_ids=["a"])
        assert counted(one) == counted(other) == 3
        assert one.ingest.units(**EVENT, limit_ids=["no"]).xproxy_result.warnings == ["limit_not_found: no"]
        with pytest.raises(PayiError, match="invalid_limit_ids"):
            other.ingest.units(**EVENT, limit_ids=["no"])


def test_applications_share_resources_and_nothing_else(url: str) -> None:
    with Payi(base_url=url) as default, Payi(base_url=f"{url}?application=other") as other:
        price = {"text": {"input_price": 0.01}}
        model: dict[str, Any] = {"category": "demo", "units": price, "start_timestamp": "2024-01-01"}
        version = default.categories.resources.create("model", **model)
        for client in (default, other):
            client.limits.create(limit_name="a", limit_id="a", max=1)
            client.ingest.units(
                category="demo", resource="model", units={"text": {"input": 1}}, limit_ids=["a"], event_id="e"
            )
            assert (counted(client), client.limits.retrieve("a").limit.totals.cost.total.base) == (1, 0.01)
        again = other.categories.resources.create("model", **model)
        assert again.resource_id == version.resource_id
        default.limits.delete("a")
        assert counted(other) == 1
    with Payi(base_url=f"{url}?application=default") as same:
        assert same.limits.list().items == []


def test_a_closed_client_says_so_and_the_others_go_on(url: str) -> None:
    first, second = Payi(base_url=url), Payi(base_url=url)
    first.close()
    first.close()
    for call in (first.limits.list, lambda: first.ingest.units(**EVENT), lambda: first.transport.limit_states(["a"])):
        with pytest.raises(PayiError, match="client is closed"):
            call()
    assert second.limits.list().items == []
    second.close()


async def test_a_closed_async_client_says_so(url: str) -> None:
    async with AsyncPayi(base_url=url) as client:
        assert (await client.limits.list()).items == []
    with pytest.raises(PayiError, match="client is closed"):
        await client.limits.list()
    with pytest.raises(PayiError, match="client is closed"):
        await client.transport.aingest([event()])
    with pytest.raises(PayiError, match="client is closed"):
        await client.transport.alimit_states(["a"])


async def test_many_tasks_ingest_and_each_gets_its_own_result(client: Payi, transport: LocalTransport) -> None:
    async def ingest(number: int) -> str | None:
        [result] = await transport.aingest([event(provider_response_id=str(number))])
        again = await transport.aingest([event(provider_response_id=str(number))])
        assert (again[0].request_id, again[0].duplicate_request) == (result.request_id, True)
        return result.request_id

    ids = await asyncio.gather(*(ingest(number) for number in range(200)))

    assert len(set(ids)) == 200
    assert counted(client) == 200


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Hold the ledger's write lock from another connection."""
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@pytest.fixture
async def shared(url: str) -> AsyncIterator[AsyncPayi]:
    """Return a client of a ledger file with the limit `a`."""
    async with AsyncPayi(base_url=url) as client:
        await client.limits.create(limit_name="a", limit_id="a", max=1)
        yield client


async def test_the_loop_goes_on_while_the_ledger_is_busy(url: str, shared: AsyncPayi) -> None:
    """Another connection writes; other tasks run until it is done, and limits can be read meanwhile."""
    with busy(url):
        waiting = [asyncio.create_task(shared.transport.aingest([event()])) for _ in range(3)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert (await shared.transport.alimit_states(["a"]))["a"].state == "ok"
        assert not any(task.done() for task in waiting)
    results = [result for task in waiting for result in await task]

    assert [result.limits["a"].state for result in results] == ["ok"] * 3


async def test_a_cancelled_task_has_its_event_booked_once(url: str, shared: AsyncPayi) -> None:
    with busy(url):
        task = asyncio.create_task(shared.transport.aingest([event()]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await shared.transport.aingest([event()] * 20)  # on the thread, after it

    with Payi(base_url=url) as client:
        assert counted(client) == 21


async def test_the_log_of_what_a_loop_ingests_is_moved_into_the_file(tmp_path: Path, shared: AsyncPayi) -> None:
    """Commits that wait for nothing do not move it; those between them do."""
    for _ in range(1500):
        await shared.transport.aingest([event()])

    assert (tmp_path / "l.db").stat().st_size > 1000 * 200
    assert (tmp_path / "l.db-wal").stat().st_size < 8_000_000


async def test_a_loop_does_not_wait_for_a_disk_that_is_asked_to_keep_every_commit(url: str) -> None:
    """With `synchronous=full` every commit waits for the disk, so every one is made on the thread."""
    async with AsyncPayi(base_url=f"{url}?synchronous=full") as client:
        thread = client.transport._thread()
        occupied, free = threading.Event(), threading.Event()
        thread.submit(lambda: (occupied.set(), free.wait()))
        occupied.wait()
        task = asyncio.create_task(client.transport.aingest([event()]))
        await asyncio.sleep(0)
        assert not task.done()
        free.set()
        [result] = await task
        assert result.cost is not None


async def test_what_the_meter_refuses_is_in_the_result(transport: LocalTransport) -> None:
    unpriced = UsageEvent(None, "demo", "nothing", {}, Attribution())
    for results in (transport.ingest([event(), unpriced]), await transport.aingest([event(), unpriced])):
        assert [result.code for result in results] == [None, "category_not_found"]
        assert "demo/nothing" in str(results[1].message)
        assert results[1].limits == {}


async def test_limit_states_say_how_limits_stand_now(client: Payi, transport: LocalTransport) -> None:
    client.limits.create(limit_name="b", limit_id="b", max=1, limit_type="block")
    many = [f"no-{number}" for number in range(30)]
    states = transport.limit_states(["a", "b", *many])

    assert {name: at.state for name, at in states.items()} == {"a": "ok", "b": "ok"}
    assert await transport.alimit_states(["b", "nobody"]) == {"b": states["b"]}


WITHOUT = """
import sys
class Hiding:
    finders = list(sys.meta_path)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in sys.argv[1:]:
            found = (finder.find_spec(name, path, target) for finder in self.finders)
            return next((spec for spec in found if spec is not None), None)
sys.meta_path[:] = [Hiding()]
from payi_instrument.client.client import Payi
from payi_instrument.errors import MissingExtraError
try:
    Payi(base_url="sqlite://")
except MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize("library", ["sqlalchemy", "alembic", "filelock"])
def test_a_missing_library_names_the_extra(library: str) -> None:
    command = [sys.executable, "-c", WITHOUT, library]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout.strip(), done.stderr) == (str(MissingExtraError("the embedded meter", "local")), "")
    assert "pip install 'payi-instrument[local]'" in done.stdout
