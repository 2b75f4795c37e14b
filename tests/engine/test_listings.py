"""Listings, page by page, while others write: nothing is shown twice, nothing that stays is left out.

Rows E-21 to E-24, S-A12.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import strategies as st
from meters import answered, property_of_embedded_meters

from payi_instrument.wire import operations as table
from payi_instrument.wire.message import Request

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from payi_instrument.wire.message import Operation

UNITS = {"text": {"input_price": 0.01}}
SPELLINGS = ["a", "A", "b", "b ä", "é", "Z/z", "z", "🙂", "\uffee", "_", "10", "9", "sy", "system-x", "t"]
NAMES = st.sampled_from(SPELLINGS)
CHANGES = st.lists(st.tuples(st.sampled_from(["add", "remove"]), NAMES), max_size=6)

Place = tuple[Any, str]


@dataclass
class Kind:
    """One listing of a meter: how to add to it and remove from it by name, how to read it, where an item stands in it.

    `add` returns the identity of what it added, `present` has it by name.
    """

    client: Payi
    present: dict[str, str]
    lasts: ClassVar[bool] = False
    """Nothing takes away what is listed."""

    def list(self, **query: Any) -> Any:
        raise NotImplementedError

    def place(self, item: Any) -> Place:
        raise NotImplementedError

    def add(self, name: str) -> str:
        raise NotImplementedError

    def remove(self, name: str) -> None:
        raise NotImplementedError

    def identity(self, item: Any) -> str:
        return self.place(item)[1]


class Categories(Kind):
    def list(self, **query: Any) -> Any:
        return self.client.categories.list(**query)

    def place(self, item: Any) -> Place:
        return (item.category, item.category)

    def add(self, name: str) -> str:
        self.client.categories.resources.create("r", category=name, units=UNITS)  # type: ignore[arg-type]
        return name

    def remove(self, name: str) -> None:
        self.client.categories.delete(name)


class DeletedCategories(Categories):
    def list(self, **query: Any) -> Any:
        return self.client.categories.list(active=False, **query)

    def add(self, name: str) -> str:
        super().add(name)
        super().remove(name)
        return name

    def remove(self, name: str) -> None:
        super().add(name)


class Resources(Kind):
    def list(self, **query: Any) -> Any:
        self.client.categories.resources.create("kept", category="c", units=UNITS)  # type: ignore[arg-type]
        return self.client.categories.list_resources("c", **query)

    def place(self, item: Any) -> Place:
        return (item.resource, item.resource)

    def add(self, name: str) -> str:
        for start in ("2024-01-01", "2024-06-01", None):
            self.client.categories.resources.create(name, category="c", units=UNITS, start_timestamp=start)  # type: ignore[arg-type]
        return name

    def remove(self, name: str) -> None:
        self.client.categories.delete_resource(name, category="c")


class DeletedResources(Resources):
    def list(self, **query: Any) -> Any:
        return super().list(active=False, **query)

    def add(self, name: str) -> str:
        super().add(name)
        super().remove(name)
        return name

    def remove(self, name: str) -> None:
        super().add(name)


class Versions(Kind):
    def list(self, **query: Any) -> Any:
        self.client.categories.resources.create("r", category="c", units=UNITS, start_timestamp="2000-01-01")  # type: ignore[arg-type]
        return self.client.categories.resources.list("r", category="c", **query)

    def place(self, item: Any) -> Place:
        return (item.start_timestamp, item.resource_id)

    def start(self, name: str) -> str:
        return f"2024-01-01T00:00:00.{SPELLINGS.index(name):06}Z"

    def add(self, name: str) -> str:
        return self.client.categories.resources.create(
            "r",
            category="c",
            units=UNITS,  # type: ignore[arg-type]
            start_timestamp=self.start(name),
        ).resource_id

    def remove(self, name: str) -> None:
        self.client.categories.resources.delete(self.present[name], category="c", resource="r")


class DeletedVersions(Versions):
    lasts = True  # nothing brings a deleted version back

    def list(self, **query: Any) -> Any:
        return super().list(active=False, **query)

    def add(self, name: str) -> str:
        resource_id = super().add(name)
        self.client.categories.resources.delete(resource_id, category="c", resource="r")
        return resource_id


class DeletedVersionsOfOneStart(DeletedVersions):
    """All of them stand at the same place but for their ids."""

    def start(self, name: str) -> str:
        return "2024-01-01"


class Limits(Kind):
    def list(self, **query: Any) -> Any:
        return self.client.limits.list(**query)

    def place(self, item: Any) -> Place:
        return (item.limit_creation_timestamp, item.limit_id)

    def add(self, name: str) -> str:
        return self.client.limits.create(limit_name=name, max=1, properties={"listed": "yes"}).limit.limit_id

    def remove(self, name: str) -> None:
        self.client.limits.delete(self.present[name])


class LimitsByProperty(Limits):
    def list(self, **query: Any) -> Any:
        return super().list(**query, extra_query={"property": ["listed:yes"]})

    def add(self, name: str) -> str:
        self.client.limits.create(limit_name=f"not {name}", max=1)
        return super().add(name)


class History(Kind):
    lasts = True

    def list(self, **query: Any) -> Any:
        self.client.limits.create(limit_name="l", limit_id="l", max=1)
        return self.client.limits.history("l", **query)

    def place(self, item: Any) -> Place:
        return (item.limit_reset_timestamp, f"{item.limit_reset_timestamp}")

    def add(self, name: str) -> str:
        self.client.limits.create(limit_name="l", limit_id="l", max=1)
        return f"{self.client.limits.reset('l').limit_history.limit_reset_timestamp}"


@dataclass
class Definitions(Kind):
    """Their time is not shown: where one stands is known from when it was made."""

    made: Iterator[int] = field(default_factory=count)

    def list(self, **query: Any) -> Any:
        return self.client.use_cases.definitions.list(**query)

    def place(self, item: Any) -> Place:
        return (int(item.name.removeprefix("made-")), item.name)

    def add(self, name: str) -> str:
        made = f"made-{next(self.made)}"
        return self.client.use_cases.definitions.create(name=made, description=name.encode().hex()).name

    def remove(self, name: str) -> None:
        self.client.use_cases.definitions.delete(self.present[name])


@dataclass
class Kpis(Kind):
    """A name that comes again is another KPI."""

    made: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.client.use_cases.definitions.create(name="rag", description="d")

    def list(self, **query: Any) -> Any:
        return self.client.use_cases.definitions.kpis.list("rag", **query)

    def place(self, item: Any) -> Place:
        return (item.created_timestamp, item.name)

    def add(self, name: str) -> str:
        new = f"{name} {next(self.made)}"
        kpi: dict[str, Any] = {"description": "d", "kpi_type": "number", "goal": 1}
        return self.client.use_cases.definitions.kpis.create("rag", name=new, **kpi).name

    def remove(self, name: str) -> None:
        self.client.use_cases.definitions.kpis.delete(self.present[name], use_case_name="rag")


@dataclass
class Scores(Kpis):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.run = {"use_case_name": "rag", "use_case_id": self.client.use_cases.create("rag").use_case_id}

    def list(self, **query: Any) -> Any:
        return self.client.use_cases.kpis.list(**self.run, **query)

    def place(self, item: Any) -> Place:
        return (item.create_timestamp, item.kpi_name)

    def add(self, name: str) -> str:
        kpi = super().add(name)
        self.client.use_cases.kpis.update(kpi, **self.run, score=1)
        return kpi

    def remove(self, name: str) -> None:
        self.client.use_cases.kpis.update(self.present[name], **self.run, score=None)


KINDS = [
    Categories,
    DeletedCategories,
    Resources,
    DeletedResources,
    Versions,
    DeletedVersions,
    DeletedVersionsOfOneStart,
    Limits,
    LimitsByProperty,
    History,
    Definitions,
    Kpis,
    Scores,
]


class Walk:
    """Walk through a listing while it changes, and remember what was there all the time and what was there at all."""

    def __init__(self, kind: Kind, names: Iterable[str]) -> None:
        self.kind = kind
        for name in names:
            kind.present[name] = kind.add(name)
        self.stayed = {kind.identity(item) for item in kind.list()}
        self.ever = set(self.stayed)

    def change(self, changes: Iterable[tuple[str, str]]) -> None:
        kind = self.kind
        for change, name in changes:
            if change == "add" and name not in kind.present:
                kind.present[name] = kind.add(name)
                self.ever.add(kind.present[name])
            elif change == "remove" and name in kind.present and not kind.lasts:
                kind.remove(name)
                self.stayed.discard(kind.present.pop(name))

    def pages(self, size: int, batches: Iterable[list[tuple[str, str]]], *, ascending: bool) -> list[list[Any]]:
        page = self.kind.list(limit=size, sort_ascending=ascending)
        pages = [page.items]
        changes = iter(batches)
        while page.has_next_page():
            self.change(next(changes, []))
            page = page.get_next_page()
            pages.append(page.items)
        return pages


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@property_of_embedded_meters(
    sqlite=25,
    postgres=5,
    names=st.sets(NAMES),
    batches=st.lists(CHANGES, max_size=8),
    size=st.sampled_from([1, 2, 3, 5, 100]),
    ascending=st.booleans(),
)
def test_e22_pages_neither_repeat_nor_skip_while_others_write(
    *,
    client: Payi,
    kind: Callable[[Payi, dict[str, str]], Kind],
    names: set[str],
    batches: list[list[tuple[str, str]]],
    size: int,
    ascending: bool,
) -> None:
    walk = Walk(kind(client, {}), sorted(names))
    pages = walk.pages(size, batches, ascending=ascending)

    items = [item for page in pages for item in page]
    seen = [walk.kind.identity(item) for item in items]
    assert len(seen) == len(set(seen))
    assert walk.stayed <= set(seen) <= walk.ever
    places = [walk.kind.place(item) for item in items]
    assert places == sorted(places, reverse=not ascending)
    assert all(len(page) == size for page in pages[:-1])
    assert len(pages[-1]) <= size


@pytest.mark.parametrize("ascending", [True, False])
def test_what_was_made_in_one_moment_is_walked_through_once(client: Payi, ascending: bool) -> None:
    """Runs of one bulk begin together, as do their limits and definitions: names and ids are all that parts them."""
    with_limits = ["u0", "u1"]
    for name in with_limits:
        client.use_cases.definitions.create(name=name, description="d", limit_config={"max": 1})
    events: Any = [
        {"category": "c", "units": {}, "use_case_name": name, "use_case_id": f"{number}"}
        for name in [*with_limits, *"bac"]
        for number in range(3)
    ]
    assert client.ingest.bulk(events=events).ingest_count == len(events)

    limits = list(client.limits.list(sort_ascending=ascending))
    assert len(limits) == 6
    assert len({limit.limit_creation_timestamp for limit in limits}) == 1
    found = [limit.limit_id for limit in limits]
    assert found == sorted(found, reverse=not ascending)
    for size in (1, 2, 3, 4, 5):
        walked = client.limits.list(limit=size, sort_ascending=ascending)
        assert [limit.limit_id for limit in walked] == found
        definitions = client.use_cases.definitions.list(limit=size, sort_ascending=ascending)
        assert [made.name for made in definitions] == [*with_limits, *"abc"][:: 1 if ascending else -1]


@pytest.mark.parametrize("kind", [Categories, Resources, Limits], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("ascending", [True, False])
def test_e22_a_walk_beside_a_writer_sees_what_stays_once(
    client: Payi, kind: Callable[[Payi, dict[str, str]], Kind], ascending: bool
) -> None:
    walk = Walk(kind(client, {}), [f"{number:02}" for number in range(0, 40, 2)])
    stayed, done = set(walk.stayed), Event()

    def write() -> None:
        while not done.is_set():
            for number in range(1, 40, 6):
                walk.change([("add", f"{number:02}")])
            for number in range(1, 40, 6):
                walk.change([("remove", f"{number:02}")])

    writer = Thread(target=write)
    writer.start()
    try:
        walks = [walk.pages(3, [], ascending=ascending) for _ in range(5)]
    finally:
        done.set()
        writer.join()

    for pages in walks:
        seen = [walk.kind.identity(item) for page in pages for item in page]
        assert len(seen) == len(set(seen))
        assert stayed <= set(seen) <= walk.ever


def test_s_a12_every_item_of_a_long_listing_is_walked_through_once(client: Payi) -> None:
    names = [f"{number:03}" for number in range(250)]
    for name in names:
        client.categories.resources.create(name, category="c", units=UNITS)  # type: ignore[arg-type]
        client.categories.resources.create("r", category=f"own {name}", units=UNITS)  # type: ignore[arg-type]

    resources = client.categories.list_resources("c")
    assert len(resources.items) == 100
    for _ in range(2):
        assert [item.resource for item in resources] == names
    own = [item.category for item in client.categories.list() if item.category.startswith("own ")]
    assert own == [f"own {name}" for name in names]
    assert len(client.categories.list(limit=1000).items) == len(own) + 1 + len(
        [item for item in client.categories.list() if item.category.startswith("system.")]
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_names_ascend_and_times_descend_unless_asked_otherwise(
    client: Payi, kind: Callable[[Payi, dict[str, str]], Kind]
) -> None:
    listed = Walk(kind(client, {}), ["b", "a", "z"]).kind
    ascending = [listed.identity(item) for item in listed.list(sort_ascending=True)]
    descending = [listed.identity(item) for item in listed.list(sort_ascending=False)]

    assert ascending == descending[::-1]
    by_name = isinstance(listed, (Categories, Resources))
    assert [listed.identity(item) for item in listed.list()] == (ascending if by_name else descending)


def test_system_resources_are_paged_as_custom_ones(client: Payi) -> None:
    whole = [item.resource for item in client.categories.list_resources("system.openai", limit=1000)]

    assert whole == sorted(whole)
    for size in (9, len(whole) - 1, len(whole), len(whole) + 1):
        pages = list(client.categories.list_resources("system.openai", limit=size).iter_pages())
        assert [item.resource for page in pages for item in page.items] == whole
        assert all(len(page.items) == size for page in pages[:-1])
    backwards = client.categories.list_resources("system.openai", limit=50, sort_ascending=False)
    assert [item.resource for item in backwards] == whole[::-1]
    versions = list(client.categories.resources.list("gpt-4o", category="system.openai", limit=1))
    starts = [item.start_timestamp for item in versions]
    assert starts == sorted(starts, reverse=True)
    assert [item.end_timestamp for item in versions] == [None, *starts[:-1]]
    assert all(later.start_timestamp == earlier.end_timestamp for later, earlier in pairwise(versions))


LISTINGS: list[tuple[Operation[Any], dict[str, str]]] = [
    (table.LIST_CATEGORIES, {}),
    (table.LIST_CATEGORY_RESOURCES, {"category": "c"}),
    (table.LIST_CATEGORY_RESOURCES, {"category": "d"}),
    (table.LIST_RESOURCE_VERSIONS, {"category": "c", "resource": "r"}),
    (table.LIST_RESOURCE_VERSIONS, {"category": "c", "resource": "s"}),
    (table.LIST_LIMITS, {}),
    (table.LIMIT_HISTORY, {"limit_id": "a"}),
    (table.LIMIT_HISTORY, {"limit_id": "b"}),
    (table.LIST_DEFINITIONS, {}),
    (table.LIST_KPIS, {"use_case_name": "u"}),
    (table.LIST_KPIS, {"use_case_name": "v"}),
    (table.LIST_SCORES, {"use_case_name": "u", "use_case_id": "1"}),
    (table.LIST_SCORES, {"use_case_name": "u", "use_case_id": "2"}),
    (table.LIST_SCORES, {"use_case_name": "v", "use_case_id": "1"}),
]


@pytest.fixture
def filled(client: Payi) -> Payi:
    for category in "cd":
        for resource in "rs":
            for start in ("2024-01-01", "2024-01-02"):
                client.categories.resources.create(resource, category=category, units=UNITS, start_timestamp=start)  # type: ignore[arg-type]
    for name in "ab":
        client.limits.create(limit_name=name, limit_id=name, max=1)
        for _ in range(2):
            client.limits.reset(name)
    for use_case, runs in {"u": "12", "v": "1"}.items():
        client.use_cases.definitions.create(name=use_case, description="d")
        for run in runs:
            client.ingest.units(category="c", units={}, use_case_name=use_case, use_case_id=run)
        for name in "kl":
            kpi: dict[str, Any] = {"name": name, "description": "d", "kpi_type": "number", "goal": 1}
            client.use_cases.definitions.kpis.create(use_case, **kpi)
            for run in runs:
                client.use_cases.kpis.update(name, use_case_name=use_case, use_case_id=run, score=1)
    return client


def test_every_listing_is_tried() -> None:
    listings = [operation for operation in table.OPERATIONS if issubclass(operation.query or object, table.PageQuery)]
    assert {operation.name for operation, _ in LISTINGS} == {operation.name for operation in listings}


def ask(client: Payi, operation: Operation[Any], path: dict[str, str], **query: object) -> Any:
    """Return a page, or the code of a refusal."""
    answer = answered(client, Request(operation, path=path, query={"limit": 1, **query}))
    return operation.answer(**answer.body) if answer.status == 200 else answer.code


def shown(page: Any) -> list[dict[str, Any]]:
    """Return the items of a page without what every answer makes for itself."""
    return [item.model_dump(exclude={"request_id"}) for item in page.items]


def test_e21_the_last_page_has_no_cursor(filled: Payi) -> None:
    for operation, path in LISTINGS:
        last = ask(filled, operation, path, limit=1000)
        assert last.cursor is None
        assert "has_more" not in last.to_dict()
        whole = ask(filled, operation, path, limit=len(last.items))
        assert (whole.cursor, shown(whole)) == (None, shown(last))


def test_e23_a_cursor_belongs_to_its_listing(filled: Payi) -> None:
    cursors = {number: ask(filled, *listing).cursor for number, listing in enumerate(LISTINGS)}
    assert all(cursors.values())
    for made_by, cursor in cursors.items():
        for number, (operation, path) in enumerate(LISTINGS):
            page = ask(filled, operation, path, cursor=cursor)
            assert (number == made_by) == (page != "invalid_cursor"), (operation.name, path)


def test_e23_a_cursor_belongs_to_its_filter_and_direction(filled: Payi) -> None:
    for operation, path in LISTINGS[:5]:
        cursor = ask(filled, operation, path).cursor
        assert ask(filled, operation, path, cursor=cursor, Active=True).items  # what omitting it means
        assert ask(filled, operation, path, cursor=cursor, Active=False) == "invalid_cursor"
        by_name = operation is not table.LIST_RESOURCE_VERSIONS
        assert ask(filled, operation, path, cursor=cursor, sort_ascending=by_name).items
        assert ask(filled, operation, path, cursor=cursor, sort_ascending=not by_name) == "invalid_cursor"


def forged(cursor: str, change: Callable[[list[Any]], object]) -> str:
    parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return base64.urlsafe_b64encode(json.dumps(change(parts)).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: [parts[0], None, ""],
        lambda parts: [parts[0], [parts[1]], ""],
        lambda parts: [parts[0], True, ""],
        lambda parts: [parts[0], 1.5, ""],
        lambda parts: [parts[0], 10**30, ""],
        lambda parts: [parts[0], -(10**30), ""],
        lambda parts: [parts[0], "\ud800", ""],
        lambda parts: [parts[0], parts[1], None],
        lambda parts: [parts[0], parts[1], "\ud800"],
        lambda parts: [parts[0], parts[1]],
        lambda parts: [None, *parts[1:]],
        lambda parts: {"a": parts},
        lambda parts: 5,
        lambda parts: None,
    ],
)
def test_a_forged_cursor_is_refused(filled: Payi, change: Callable[[list[Any]], object]) -> None:
    for operation, path in LISTINGS:
        cursor = forged(ask(filled, operation, path).cursor, change)
        assert ask(filled, operation, path, cursor=cursor) == "invalid_cursor"


NO_CURSORS = st.text(min_size=1) | st.binary(min_size=1).map(lambda raw: base64.urlsafe_b64encode(raw).decode())


@property_of_embedded_meters(sqlite=100, postgres=20, cursor=NO_CURSORS)
def test_no_text_is_a_cursor(client: Payi, cursor: str) -> None:
    expected = "request_processing_error" if "\0" in cursor else "invalid_cursor"
    assert ask(client, table.LIST_CATEGORIES, {}, cursor=cursor) == expected


def test_an_empty_cursor_begins_the_listing(filled: Payi) -> None:
    for operation, path in LISTINGS:
        assert shown(ask(filled, operation, path, cursor="")) == shown(ask(filled, operation, path))


@pytest.mark.parametrize("size", [0, 1001, -1, 10**30, 1.5, float("nan"), "many"])
def test_e24_a_page_holds_1_to_1000_items(filled: Payi, size: object) -> None:
    for operation, path in LISTINGS:
        assert ask(filled, operation, path, limit=size) == "request_processing_error"
