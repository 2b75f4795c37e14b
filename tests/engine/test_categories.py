"""Categories, resources and versions: listed, found again, deleted. Rows R-1, R-10, R-12 to R-17, R-34, R-35, E-8, E-28."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered

from payi_instrument.errors import NotFoundError, PermissionDeniedError
from payi_instrument.wire import operations as table
from payi_instrument.wire.categories import CategoryResourceResponse
from payi_instrument.wire.message import Request

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.result import XproxyResult
    from tests.conftest import Refused

PRICE = {"text": {"input_price": 0.0001}}
V1, V2, V3 = "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z", "2999-01-01T00:00:00Z"
NEW_YEAR, JUNE = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)


def create(client: Payi, resource: str = "r", category: str = "c", **more: Any) -> CategoryResourceResponse:
    arguments: dict[str, Any] = {"units": PRICE, "start_timestamp": V1, **more}
    return client.categories.resources.create(resource, category=category, **arguments)


def create_versions(client: Payi, resource: str = "r") -> list[CategoryResourceResponse]:
    prices = [{"text": {"input_price": price}} for price in (0.0001, 0.0002, 0.0003)]
    return [
        create(client, resource, units=units, start_timestamp=start)
        for units, start in zip(prices, (V1, V2, V3), strict=True)
    ]


def use(client: Payi, resource: str = "r", category: str = "c", **more: Any) -> XproxyResult:
    units = {"text": {"input": 1000}}
    return client.ingest.units(category=category, resource=resource, units=units, **more).xproxy_result


def cost(result: XproxyResult) -> float:
    assert result.cost is not None
    return result.cost.total.base


def own(client: Payi, *, active: bool | None = None) -> list[str]:
    names = [item.category for item in client.categories.list(active=active)]
    return [name for name in names if not name.startswith("system.")]


def resources(client: Payi, category: str = "c", **query: Any) -> list[str]:
    return [item.resource for item in client.categories.list_resources(category, **query)]


def versions(client: Payi, resource: str = "r", category: str = "c", **query: Any) -> list[str]:
    return [item.resource_id for item in client.categories.resources.list(resource, category=category, **query)]


def retrieve(client: Payi, version: CategoryResourceResponse) -> CategoryResourceResponse:
    return client.categories.resources.retrieve(
        version.resource_id, category=version.category, resource=version.resource
    )


def test_r1_a_category_begins_with_its_first_resource(client: Payi, refused: Refused) -> None:
    assert own(client) == []
    with refused("category_not_found", NotFoundError):
        client.categories.list_resources("c")
    create(client)

    assert own(client) == ["c"]
    assert resources(client) == ["r"]


@pytest.mark.parametrize("category", ["system", "system.openai", "SYSTEM.mine", "System.x"])
def test_r10_nothing_of_a_system_category_is_deleted(client: Payi, refused: Refused, category: str) -> None:
    before = client.categories.list().items
    for delete in (
        lambda: client.categories.delete(category),
        lambda: client.categories.delete_resource("gpt-4o", category=category),
        lambda: client.categories.resources.delete("id", category=category, resource="gpt-4o"),
    ):
        with refused("system_category_forbidden", PermissionDeniedError):
            delete()

    assert client.categories.list().items == before


def test_r12_a_deleted_resource_is_gone_but_for_its_id(client: Payi, refused: Refused) -> None:
    kept, gone = create(client, "kept"), create(client, "gone")
    create(client, "gone", category="other")
    [deleted] = client.categories.delete_resource("gone", category="c")

    assert deleted == gone.model_copy(update={"active": False}) == retrieve(client, gone)
    assert resources(client) == ["kept"]
    assert versions(client, "gone") == []
    with refused("category_resource_not_found", NotFoundError):
        use(client, "gone")
    assert cost(use(client, "kept")) == 0.1
    client.categories.delete_resource("kept", category="c")
    assert own(client) == ["other"]
    assert resources(client) == []
    with refused("category_not_found", NotFoundError):
        use(client, "kept")
    assert retrieve(client, kept).active is False


def test_r13_deleted_ones_are_listed_when_asked_for(client: Payi) -> None:
    first, second, third = create_versions(client)
    create(client, "other")
    create(client, "x", category="left")
    client.categories.resources.delete(second.resource_id, category="c", resource="r")

    assert versions(client, active=False) == [second.resource_id]
    assert versions(client) == versions(client, active=True) == [third.resource_id, first.resource_id]
    assert resources(client, active=False) == []  # one that has a version left is not deleted
    client.categories.delete_resource("r", category="c")
    assert resources(client, active=False) == ["r"]
    assert resources(client) == ["other"]
    assert own(client, active=False) == []
    client.categories.delete("c")
    assert own(client, active=False) == ["c"]
    assert own(client) == own(client, active=True) == ["left"]
    assert [item.resource_id for item in client.categories.list_resources("c", active=False)][1] == second.resource_id
    assert versions(client, active=False) == [third.resource_id, second.resource_id, first.resource_id]
    assert not any(item.active for item in client.categories.resources.list("r", category="c", active=False))


def test_of_deleted_versions_with_one_start_the_last_stands_for_the_resource(client: Payi) -> None:
    for _ in range(5):
        last = create(client)
        client.categories.delete("c")

    assert [item.resource_id for item in client.categories.list_resources("c", active=False)] == [last.resource_id]


def test_nothing_of_the_system_is_deleted(client: Payi) -> None:
    assert client.categories.list(active=False).items == []
    assert resources(client, "system.openai", active=False) == []
    assert versions(client, "gpt-4o", "system.openai", active=False) == []


def test_r14_a_deleted_resource_may_be_made_again(client: Payi) -> None:
    first = create(client)
    client.categories.delete("c")
    path, body = {"category": "c", "resource": "r"}, {"units": PRICE, "start_timestamp": V1}
    again = answered(client, Request(table.CREATE_RESOURCE, path=path, body=body))

    assert again.status == 201
    [listed] = client.categories.resources.list("r", category="c")
    assert listed == CategoryResourceResponse(**again.body)
    assert listed.resource_id != first.resource_id
    assert retrieve(client, first).active is False
    assert use(client).resource_id == listed.resource_id


def test_r15_without_the_newer_version_the_older_one_is_valid_on(client: Payi, refused: Refused) -> None:
    first, second, third = create_versions(client)
    assert [retrieve(client, version).end_timestamp for version in (first, second, third)] == [
        JUNE,
        third.start_timestamp,
        None,
    ]
    priced = use(client)
    deleted = client.categories.resources.delete(second.resource_id, category="c", resource="r")

    assert (deleted.resource_id, deleted.active) == (second.resource_id, False)
    assert retrieve(client, second) == deleted
    assert retrieve(client, first).end_timestamp == third.start_timestamp
    assert (cost(priced), cost(use(client, event_timestamp="2024-07-01"))) == (0.2, 0.1)
    client.categories.resources.delete(third.resource_id, category="c", resource="r")
    assert retrieve(client, first) == first == client.categories.list_resources("c").items[0]
    client.categories.resources.delete(first.resource_id, category="c", resource="r")
    with refused("category_not_found", NotFoundError):
        use(client)


def test_r16_deleting_a_category_answers_what_was_deleted(client: Payi, refused: Refused) -> None:
    made = [*create_versions(client, "b"), create(client, "a"), *create_versions(client, "C")]
    client.categories.resources.delete(made[0].resource_id, category="c", resource="b")
    deleted = client.categories.delete("c")

    expected = [made[4], made[5], made[6], made[3], made[1], made[2]]
    assert [item.resource_id for item in deleted] == [version.resource_id for version in expected]
    assert {item.active for item in deleted} == {False}
    assert deleted == [retrieve(client, version) for version in expected]
    with refused("category_not_found", NotFoundError):
        client.categories.delete("c")


def test_what_is_absent_is_not_deleted(client: Payi, refused: Refused) -> None:
    version = create(client)
    for delete in (
        lambda: client.categories.delete_resource("nothing", category="c"),
        lambda: client.categories.delete_resource("r", category="nothing"),
        lambda: client.categories.resources.delete("nothing", category="c", resource="r"),
        lambda: client.categories.resources.delete(version.resource_id, category="c", resource="other"),
        lambda: client.categories.resources.delete(version.resource_id, category="other", resource="r"),
    ):
        with refused("category_resource_not_found", NotFoundError):
            delete()
    with refused("category_not_found", NotFoundError):
        client.categories.delete("nothing")
    assert retrieve(client, version) == version

    client.categories.resources.delete(version.resource_id, category="c", resource="r")
    with refused("category_resource_not_found", NotFoundError):
        client.categories.resources.delete(version.resource_id, category="c", resource="r")
    with refused("category_resource_not_found", NotFoundError):
        client.categories.delete_resource("r", category="c")


def test_what_is_absent_is_not_found(client: Payi, refused: Refused) -> None:
    version = create(client)
    for category, resource, resource_id in (
        ("c", "r", "nothing"),
        ("c", "other", version.resource_id),
        ("other", "r", version.resource_id),
        ("system.openai", "gpt-4o", version.resource_id),
    ):
        with refused("category_resource_not_found", NotFoundError):
            client.categories.resources.retrieve(resource_id, category=category, resource=resource)
    for category, resource in (("c", "other"), ("other", "r"), ("system.openai", "nothing")):
        with refused("category_resource_not_found", NotFoundError):
            client.categories.resources.list(resource, category=category)
    for category in ("other", "system.other", "system"):
        with refused("category_not_found", NotFoundError):
            client.categories.list_resources(category)


def test_r17_resources_of_a_category_are_not_versions_of_a_resource(client: Payi) -> None:
    first, second, third = create_versions(client)
    create(client, "a", start_timestamp=V3)
    create(client, "a", start_timestamp="2999-02-01")

    shown = client.categories.list_resources("c").items
    assert [item.resource for item in shown] == ["a", "r"]
    assert shown[0].start_timestamp == third.start_timestamp  # none is valid yet: the next to be
    assert shown[1] == retrieve(client, second)
    newest_first = [third, retrieve(client, second), retrieve(client, first)]
    assert client.categories.resources.list("r", category="c").items == newest_first
    assert list(client.categories.resources.list("r", category="c", sort_ascending=True)) == newest_first[::-1]


def test_r34_both_spellings_of_a_vertex_model_cost_the_same(client: Payi) -> None:
    plain, prefixed = (
        use(client, name, "system.google.vertex") for name in ("gemini-2.5-pro", "google.gemini-2.5-pro")
    )

    assert cost(plain) == cost(prefixed) > 0
    assert plain.resource_id == prefixed.resource_id


def test_r35_an_alias_changes_its_version_at_midnight_of_a_release(client: Payi) -> None:
    release = datetime(2024, 8, 6, tzinfo=UTC)
    before = use(client, "gpt-4o", "system.openai", event_timestamp=release - timedelta(microseconds=1))
    after = use(client, "gpt-4o", "system.openai", event_timestamp=release)

    listed = {item.resource_id: item for item in client.categories.resources.list("gpt-4o", category="system.openai")}
    assert before.resource_id != after.resource_id
    assert listed[str(before.resource_id)].end_timestamp == listed[str(after.resource_id)].start_timestamp == release
    assert listed[str(after.resource_id)].aliased_resource == "gpt-4o-2024-08-06"


def test_system_categories_are_listed_with_one_version_of_each_resource(client: Payi) -> None:
    names = [item.category for item in client.categories.list()]
    assert names == sorted(names)
    assert {"system.openai", "system.anthropic", "system.google.vertex"} <= set(names)
    found = {item.resource: item for item in client.categories.list_resources("system.openai")}

    gpt = found["gpt-4o"]
    assert gpt.units["text"].input_price == 0.0000025
    assert gpt.max_input_units == 128_000
    assert (gpt.active, gpt.proxy_allowed, gpt.end_timestamp) == (True, False, None)
    assert gpt == client.categories.resources.list("gpt-4o", category="system.openai").items[0] == retrieve(client, gpt)


@pytest.mark.parametrize("name", ["gpt-4o-2024-08-06", "GPT-4o", "o3-2025-04-16"])
def test_a_name_that_leads_to_a_system_model_is_found(client: Payi, name: str) -> None:
    result = use(client, name, "system.openai")
    version = client.categories.resources.retrieve(str(result.resource_id), category="system.openai", resource=name)

    assert (version.resource_id, version.resource) == (result.resource_id, name)
    assert version in client.categories.resources.list(name, category="system.openai").items


def test_own_and_system_names_are_one_order(client: Payi) -> None:
    own_names = ["system-of-mine", "systemx", "a", "Z", "é", "🙂", "_", "t"]
    for name in own_names:
        create(client, category=name)
    names = [item.category for item in client.categories.list(limit=1)]

    assert names == sorted(names)
    assert set(own_names) < set(names)
    assert [item.category for item in client.categories.list(limit=3, sort_ascending=False)] == names[::-1]


@pytest.mark.parametrize("name", ["a/b c:1", "ä🙂", "gpt-4o, mini", "100%", "%2F", "x" * 256, "..a", "+", "a?b#c"])
def test_e28_any_name_is_found_again(client: Payi, name: str) -> None:
    made = create(client, name, name)

    assert own(client) == [name]
    assert client.categories.list_resources(name).items == [made]
    assert versions(client, name, name) == [made.resource_id]
    assert retrieve(client, made) == made
    assert use(client, name, name).resource_id == made.resource_id
    assert client.categories.delete(name)[0].resource == name
    assert own(client, active=False) == [name]


@pytest.mark.parametrize("name", ["a\r\nb", "c ", "C", "\ud800", "c\0"])
def test_a_name_that_nothing_has_is_not_found_or_refused(client: Payi, name: str) -> None:
    create(client)
    path = {"category": name, "resource": name, "resource_id": name}
    operations = (
        table.LIST_CATEGORY_RESOURCES,
        table.DELETE_CATEGORY,
        table.LIST_RESOURCE_VERSIONS,
        table.DELETE_RESOURCE,
        table.RETRIEVE_RESOURCE_VERSION,
        table.DELETE_RESOURCE_VERSION,
    )
    for operation in operations:
        named = {part: value for part, value in path.items() if f"{{{part}}}" in operation.path}
        answer = answered(client, Request(operation, path=named))
        expected = "request_processing_error" if name in {"\ud800", "c\0"} else operation.errors[-1]
        assert answer.code == expected or (answer.status, answer.code) == (404, operation.errors[0])

    assert resources(client) == ["r"]


@pytest.mark.parametrize("query", [{"Active": "maybe"}, {"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"active?": 1}])
def test_a_query_that_makes_no_sense_is_refused(client: Payi, query: dict[str, object]) -> None:
    answer = answered(client, Request(table.LIST_CATEGORIES, query=query))

    assert (answer.status, answer.code) == (400, "request_processing_error")


def test_the_filter_is_read_as_the_network_sends_it(client: Payi) -> None:
    version = create(client)
    client.categories.delete("c")
    path = {"category": "c", "resource": "r"}
    shown = answered(client, Request(table.LIST_RESOURCE_VERSIONS, path=path, query={"Active": "false"})).body

    assert [item["resource_id"] for item in shown["items"]] == [version.resource_id]


def test_e8_custom_categories_are_shared_by_all_applications(place: Place) -> None:
    one, two = place.open("one"), place.open("two")
    made = create(one)

    assert list(two.categories.list_resources("c")) == [made]
    assert create(two) == made
    assert two.categories.delete_resource("r", category="c")[0].resource_id == made.resource_id
    assert resources(one) == []


def test_identical_creates_at_once_make_one_version(client: Payi) -> None:
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(lambda _: create(client, start_timestamp=None).resource_id, range(32)))

    assert len(set(made)) == 1
    assert versions(client) == made[:1]


def test_creates_at_once_with_other_prices_have_starts_of_their_own(client: Payi) -> None:
    def make(number: int) -> str:
        units = {"text": {"input_price": number}}
        return create(client, units=units, start_timestamp=None).resource_id

    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(make, range(32)))
    listed = list(client.categories.resources.list("r", category="c", sort_ascending=True))

    assert {item.resource_id for item in listed} == made
    starts = [item.start_timestamp for item in listed]
    assert len(set(starts)) == 32
    assert [item.end_timestamp for item in listed] == [*starts[1:], None]


def test_deletes_at_once_delete_once(client: Payi) -> None:
    create_versions(client)

    def delete(_: int) -> int:
        try:
            return len(client.categories.delete("c"))
        except NotFoundError:
            return 0

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(delete, range(8))) == [0] * 7 + [3]


def test_s_a6_to_a8_the_lifecycle_of_a_category(client: Payi) -> None:
    create(client, "one", "my-custom-models")
    create(client, "two", "my-custom-models")
    for name in ("one", "two"):
        client.categories.delete_resource(category="my-custom-models", resource=name)
    assert resources(client, "my-custom-models") == []
    for call in (
        lambda: client.categories.delete_resource(category="my-custom-models", resource="one"),
        lambda: client.categories.delete(category="my-custom-models"),
    ):
        with pytest.raises(NotFoundError):
            call()
    for name in ("one", "two", "three"):
        create(client, name, "my-custom-models")
    assert len(client.categories.delete(category="my-custom-models")) == 3
    assert own(client) == []
