"""Use cases: definitions, versions, automatic limits, instances, KPIs. Rows U-1 to U-13."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument import increment_kpi_score
from payi_instrument.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.use_cases import UseCaseDefinition
    from tests.conftest import Refused, Use

CONFIG: dict[str, Any] = {"max": 1.5, "limit_type": "allow", "threshold": 0.8, "properties": {"team": "x"}}
VOLATILE = {"request_id"}


@pytest.fixture
def rag(client: Payi) -> UseCaseDefinition:
    return client.use_cases.definitions.create(name="rag", description="Answers from documents")


def test_u1_a_definition_is_created_found_changed_and_deleted(client: Payi, rag: UseCaseDefinition) -> None:
    definitions = client.use_cases.definitions
    assert (rag.name, rag.description, rag.type_version, rag.limit_config) == ("rag", "Answers from documents", 1, None)
    assert rag.request_id
    assert definitions.retrieve("rag").model_dump(exclude=VOLATILE) == rag.model_dump(exclude=VOLATILE)
    changed = definitions.update("rag", description="Better answers", logging_enabled=False)
    assert (changed.description, changed.logging_enabled, changed.type_version) == ("Better answers", False, 1)
    definitions.create(name="other", description="d")
    assert [found.name for found in definitions.list()] == ["other", "rag"]
    assert [found.description for found in definitions.list(use_case_name="rag")] == ["Better answers"]
    assert definitions.delete("rag").description == "Better answers"
    assert [found.name for found in definitions.list()] == ["other"]


def test_u1_a_create_that_repeats_is_the_same_and_one_that_differs_is_refused(
    client: Payi, rag: UseCaseDefinition, refused: Refused
) -> None:
    definitions = client.use_cases.definitions
    assert definitions.with_raw_response.create(name="rag", description=rag.description).status_code == 200
    same: dict[str, Any] = {"name": "rag", "description": rag.description}
    for changes in ({"description": "x"}, {"logging_enabled": True}, {"limit_config": CONFIG}):
        with refused("use_case_already_exists"):
            definitions.create(**same | changes)
    full: dict[str, Any] = {"name": "full", "description": "d", "limit_config": CONFIG, "logging_enabled": True}
    assert definitions.with_raw_response.create(**full).status_code == 201
    assert definitions.with_raw_response.create(**full).status_code == 200
    config = definitions.retrieve("full").limit_config
    assert config is not None
    assert (config.max, config.threshold, config.limit_type, config.properties) == (1.5, 0.8, "allow", {"team": "x"})


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 65, "a/b", "ä", "a\n"])
def test_u2_a_bad_name_is_refused(client: Payi, refused: Refused, name: str) -> None:
    with refused("invalid_use_case_name"):
        client.use_cases.definitions.create(name=name, description="d")
    assert client.use_cases.definitions.list().items == []


@pytest.mark.parametrize("description", ["", "  ", "x" * 2049])
def test_a_bad_description_is_refused(client: Payi, rag: UseCaseDefinition, refused: Refused, description: str) -> None:
    with refused("invalid_use_case_description"):
        client.use_cases.definitions.create(name="new", description=description)
    with refused("invalid_use_case_description"):
        client.use_cases.definitions.update(rag.name, description=description)


def test_u3_only_an_increment_moves_the_version(client: Payi, rag: UseCaseDefinition) -> None:
    definitions = client.use_cases.definitions
    definitions.version.increment(rag.name)
    assert definitions.version.increment(rag.name).type_version == 3
    definitions.limit_config.create(rag.name, max=1)
    assert definitions.update(rag.name, description="new").type_version == 3
    assert definitions.retrieve(rag.name).limit_config is not None


def test_u4_every_instance_has_a_limit_of_its_own(client: Payi, rag: UseCaseDefinition, use: Use) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    made = client.use_cases.create(rag.name)
    result = use(100, use_case_name=rag.name, use_case_id="mine")

    mine = client.use_cases.retrieve("mine", use_case_name=rag.name)
    assert made.limit_id
    assert mine.limit_id
    assert made.limit_id != mine.limit_id
    assert result.limits.keys() == {mine.limit_id}
    assert result.limits[mine.limit_id].spent == 1.0
    limit = client.limits.retrieve(mine.limit_id).limit
    assert (limit.limit_name, limit.max, limit.threshold, limit.properties) == ("rag-mine", 1.5, 0.8, {"team": "x"})
    again = use(30, use_case_name=rag.name, use_case_id="mine", limit_ids=[mine.limit_id])
    assert [(at.state, at.spent) for at in again.limits.values()] == [("exceeded", 1.3)]
    assert client.limits.retrieve(made.limit_id).limit.totals.requests.total == 0


def test_an_instances_limit_outlives_it_and_is_found_again(client: Payi, rag: UseCaseDefinition, use: Use) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    use(10, use_case_name=rag.name, use_case_id="i")
    before = client.use_cases.delete("i", use_case_name=rag.name)
    assert before.limit_id
    assert client.limits.retrieve(before.limit_id).limit.totals.requests.total == 1
    use(10, use_case_name=rag.name, use_case_id="i")
    assert client.limits.retrieve(before.limit_id).limit.totals.requests.total == 2
    client.limits.delete(before.limit_id)
    assert (use(10, use_case_name=rag.name, use_case_id="i").limits, use(10).limits) == ({}, {})


def test_an_automatic_limit_that_is_named_is_asked_for(place: Place) -> None:
    client = place.open()
    event = {"category": "demo", "units": {}, "use_case_name": "rag", "use_case_id": "i"}
    client.use_cases.definitions.create(name="rag", description="d", limit_config=CONFIG | {"limit_type": "block"})
    [made] = client.ingest.units(**event).xproxy_result.limits

    rejecting = place.open(block_limits_on_ingest="reject")
    assert [*rejecting.ingest.units(**event).xproxy_result.limits] == [made]
    with pytest.raises(BadRequestError, match="of type block") as caught:
        rejecting.ingest.units(**event, limit_ids=[made])
    assert caught.value.code == "blocking_limit_not_allowed"
    client.limits.delete(made)
    assert client.ingest.units(**event).xproxy_result.warnings is None
    assert client.ingest.units(**event, limit_ids=[made]).xproxy_result.warnings == [f"limit_not_found: {made}"]


def test_instances_that_spell_the_same_name_have_limits_of_their_own(client: Payi, use: Use) -> None:
    for name in ("a", "a-b"):
        client.use_cases.definitions.create(name=name, description="d", limit_config=CONFIG)
    one = use(10, use_case_name="a", use_case_id="b-c")
    other = use(20, use_case_name="a-b", use_case_id="c")

    limits = [client.limits.retrieve(limit_id).limit for limit_id in (*one.limits, *other.limits)]
    assert [limit.totals.cost.total.base for limit in limits] == [0.1, 0.2]
    assert limits[0].limit_name == "a-b-c"
    assert limits[1].limit_name.startswith("a-b-c-")


def test_instances_of_one_call_that_spell_the_same_name_have_limits_of_their_own(client: Payi) -> None:
    for name in ("a", "a-b"):
        client.use_cases.definitions.create(name=name, description="d", limit_config=CONFIG)
    events = [
        {"category": "demo", "units": {}, "use_case_name": name, "use_case_id": use_case_id}
        for name, use_case_id in (("a", "b-c"), ("a-b", "c"))
    ]

    assert client.ingest.bulk(events=events).ingest_count == 2  # type: ignore[arg-type]
    assert [limit.totals.requests.total for limit in client.limits.list()] == [1, 1]


def test_a_users_own_limit_is_nobodys_automatic_one(client: Payi, rag: UseCaseDefinition, use: Use) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    client.limits.create(limit_name="rag-mine", limit_id="m", max=100)
    [made] = use(10, use_case_name=rag.name, use_case_id="mine").limits

    assert made != "m"
    assert client.limits.retrieve("m").limit.totals.requests.total == 0
    limit = client.limits.retrieve(made).limit
    assert (limit.limit_name.startswith("rag-mine-"), limit.max) == (True, 1.5)
    client.limits.update(made, limit_name="renamed")
    client.use_cases.delete("mine", use_case_name=rag.name)
    assert list(use(10, use_case_name=rag.name, use_case_id="mine").limits) == [made]


def test_no_name_that_a_user_takes_keeps_an_instance_from_its_limit(
    client: Payi, rag: UseCaseDefinition, use: Use
) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    client.limits.create(limit_name="rag-i", max=1)
    [made] = use(10, use_case_name=rag.name, use_case_id="i").limits
    taken = client.limits.retrieve(made).limit.limit_name
    client.limits.delete(made)
    client.use_cases.delete("i", use_case_name=rag.name)
    client.limits.create(limit_name=taken, max=1)

    assert list(use(10, use_case_name=rag.name, use_case_id="i").limits) == [made]
    assert client.limits.retrieve(made).limit.totals.cost.total.base == 0.1


def test_long_ids_that_begin_alike_have_limits_of_their_own(client: Payi, rag: UseCaseDefinition, use: Use) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    ids = ["x" * 255 + end for end in "12"]
    made = [next(iter(use(10, use_case_name=rag.name, use_case_id=use_case_id).limits)) for use_case_id in ids]

    names = [client.limits.retrieve(limit_id).limit.limit_name for limit_id in made]
    assert len({*made}) == len({*names}) == 2
    assert {len(name) for name in names} == {256}


def test_many_events_of_a_new_instance_in_one_call_share_its_limit(client: Payi, rag: UseCaseDefinition) -> None:
    client.use_cases.definitions.limit_config.create(rag.name, **CONFIG)
    event = {"category": "demo", "resource": "none", "units": {}, "use_case_name": "rag", "use_case_id": "i"}
    answer = client.ingest.bulk(events=[{**event, "unpriced": "record"} for _ in range(5)])

    assert answer.ingest_count == 5
    instance = client.use_cases.retrieve("i", use_case_name="rag")
    assert instance.limit_id
    assert client.limits.retrieve(instance.limit_id).limit.totals.requests.total == 5


def test_a_refused_event_leaves_no_instance_behind(client: Payi, use: Use, refused: Refused) -> None:
    with refused("category_resource_not_found", NotFoundError):
        use(1, resource="nothing", use_case_name="ghost", use_case_id="i")
    assert client.use_cases.definitions.list().items == []
    use(1, event_id="e", use_case_name="first", use_case_id="i")
    assert use(1, event_id="e", use_case_name="second", use_case_id="i").duplicate_request
    assert [found.name for found in client.use_cases.definitions.list()] == ["first"]


def test_u5_u6_a_limit_config_is_overwritten_and_deleted(client: Payi, rag: UseCaseDefinition) -> None:
    config = client.use_cases.definitions.limit_config
    assert config.delete(rag.name).limit_config is None
    config.create(rag.name, max=5, threshold=0.9)
    second = config.create(rag.name, max=7).limit_config
    assert second is not None
    assert (second.max, second.threshold, second.limit_type) == (7.0, 1.0, "allow")
    assert config.delete(rag.name).limit_config is None


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"max": 0}, "invalid_max_limit"),
        ({"max": 1, "threshold": 0.5}, "create_limit_validation_failed"),
        ({"max": 1, "limit_type": "stop"}, "create_limit_validation_failed"),
        ({"max": 1, "properties": {"": "x"}}, "create_limit_validation_failed"),
    ],
)
def test_a_bad_limit_config_is_refused(
    client: Payi, rag: UseCaseDefinition, refused: Refused, bad: dict[str, Any], code: str
) -> None:
    with refused(code):
        client.use_cases.definitions.limit_config.create(rag.name, **bad)
    assert client.use_cases.definitions.retrieve(rag.name).limit_config is None


def test_u7_an_ingest_makes_what_it_names(client: Payi, use: Use) -> None:
    result = use(1, use_case_name="fresh")

    assert result.use_case_id
    definition = client.use_cases.definitions.retrieve("fresh")
    assert (definition.description, definition.type_version) == ("Created automatically", 1)
    instance = client.use_cases.retrieve(result.use_case_id, use_case_name="fresh")
    assert (instance.type_version, instance.limit_id) == (1, None)


def test_u8_a_name_and_an_id_are_one_instance(client: Payi, use: Use) -> None:
    ids = {use(1, use_case_name="n", use_case_id="i").use_case_id for _ in range(2)}
    assert ids == {"i"}
    assert use(1, use_case_id="i").use_case_name == "n"  # an id that one use case has needs no name


def test_an_id_that_no_or_several_use_cases_have_needs_a_name(client: Payi, use: Use, refused: Refused) -> None:
    for name in ("one", "two"):
        use(1, use_case_name=name, use_case_id="i")
    for use_case_id in ("i", "unknown"):
        with refused("request_processing_error"):
            use(1, use_case_id=use_case_id)
    assert client.use_cases.retrieve("i", use_case_name="two").use_case_name == "two"


def test_u9_an_instance_takes_the_latest_version_or_the_one_named(
    client: Payi, rag: UseCaseDefinition, use: Use, refused: Refused
) -> None:
    client.use_cases.definitions.version.increment(rag.name)
    use(1, use_case_name=rag.name, use_case_id="latest")
    use(1, use_case_name=rag.name, use_case_id="first", use_case_version=1)
    for version in (0, 3):
        with refused("request_processing_error"):
            use(1, use_case_name=rag.name, use_case_id="none", use_case_version=version)

    versions = [client.use_cases.retrieve(name, use_case_name=rag.name).type_version for name in ("latest", "first")]
    assert versions == [2, 1]
    assert client.use_cases.create(rag.name).type_version == 2
    with refused("use_case_instance_not_found", NotFoundError):
        client.use_cases.retrieve("none", use_case_name=rag.name)


def test_a_definition_that_is_made_anew_begins_at_version_1(client: Payi, rag: UseCaseDefinition, use: Use) -> None:
    client.use_cases.definitions.version.increment(rag.name)
    use(1, use_case_name=rag.name, use_case_id="i")
    client.use_cases.definitions.kpis.create(rag.name, name="k", description="d", kpi_type="number", goal=1)
    client.use_cases.definitions.delete(rag.name)

    assert client.use_cases.retrieve("i", use_case_name=rag.name).type_version == 2
    use(1, use_case_name=rag.name, use_case_id="i")
    assert client.use_cases.definitions.retrieve(rag.name).type_version == 1
    assert client.use_cases.definitions.kpis.list(rag.name).items == []


SCORES: dict[str, tuple[list[Any], list[Any]]] = {
    "boolean": ([True, False, 0, 1], [2, 0.5, -1]),
    "number": ([-1.5, 0, 7, 1e9], [float("nan"), float("inf"), 10**400]),
    "percentage": ([0, 99.5, 100], [-0.1, 100.1]),
    "likert5": ([1, 5], [0, 6, 2.5]),
    "likert7": ([1, 7], [0, 8, 2.5]),
    "likert10": ([1, 10], [0, 11, 2.5]),
}


@pytest.mark.parametrize("kpi_type", list(SCORES))
def test_u10_a_score_is_what_its_kpi_allows(
    client: Payi, rag: UseCaseDefinition, refused: Refused, kpi_type: Any
) -> None:
    client.use_cases.definitions.kpis.create(rag.name, name="k", description="d", kpi_type=kpi_type, goal=1)
    instance = client.use_cases.create(rag.name).use_case_id
    valid, invalid = SCORES[kpi_type]
    for score in valid:
        answer: object = client.use_cases.kpis.update("k", use_case_name=rag.name, use_case_id=instance, score=score)  # type: ignore[func-returns-value]
        assert answer is None
        [stored] = client.use_cases.kpis.list(instance, use_case_name=rag.name).items
        assert (stored.score, stored.kpi_type) == (float(score), kpi_type)
    for score in invalid:
        with refused("invalid_kpi_score"):
            client.use_cases.kpis.update("k", use_case_name=rag.name, use_case_id=instance, score=score)
        assert client.use_cases.kpis.list(instance, use_case_name=rag.name).items == [stored]


def test_u12_three_increments_are_three(client: Payi, rag: UseCaseDefinition) -> None:
    scores = client.use_cases.kpis
    for name in ("likes", "likes too"):
        client.use_cases.definitions.kpis.create(rag.name, name=name, description="d", kpi_type="number", goal=3)
    run, other = (client.use_cases.create(rag.name).use_case_id for _ in range(2))
    scores.update("likes too", use_case_name=rag.name, use_case_id=run, score=10)
    scores.update("likes", use_case_name=rag.name, use_case_id=other, score=20)
    for counted in (1, 2, 3):
        assert increment_kpi_score(client, "likes", rag.name, run) is True
        [score] = scores.list(run, use_case_name=rag.name, kpi_name="likes").items
        assert score.score == counted
    assert increment_kpi_score(client, "likes", rag.name, run, increment=-0.5) is True

    shown = {score.kpi_name: score.score for score in scores.list(run, use_case_name=rag.name)}
    assert shown == {"likes": 2.5, "likes too": 10.0}
    assert [score.score for score in scores.list(other, use_case_name=rag.name)] == [20.0]


def test_u11_scores_are_listed_by_name_and_cleared(client: Payi, rag: UseCaseDefinition, refused: Refused) -> None:
    scores, kpis = client.use_cases.kpis, client.use_cases.definitions.kpis
    for name in ("one", "two"):
        kpis.create(rag.name, name=name, description="d", kpi_type="number", goal=1)
    instance = client.use_cases.create(rag.name).use_case_id
    assert scores.list(instance, use_case_name=rag.name).items == []
    for name in ("one", "two"):
        scores.update(name, use_case_name=rag.name, use_case_id=instance, score=1)
    [first] = scores.list(instance, use_case_name=rag.name, kpi_name="one").items
    assert first.create_timestamp is not None
    assert first.update_timestamp is not None
    scores.update("one", use_case_name=rag.name, use_case_id=instance, score=2)
    [second] = scores.list(instance, use_case_name=rag.name, kpi_name="one").items
    assert second.update_timestamp is not None
    assert (second.score, second.create_timestamp) == (2.0, first.create_timestamp)
    assert second.update_timestamp > first.update_timestamp
    assert [score.kpi_name for score in scores.list(instance, use_case_name=rag.name)] == ["two", "one"]
    with refused("required_field_missing"):
        scores.update("one", use_case_name=rag.name, use_case_id=instance)
    scores.update("one", use_case_name=rag.name, use_case_id=instance, score=None)
    assert scores.list(instance, use_case_name=rag.name, kpi_name="one").items == []


def test_a_kpi_is_created_found_changed_and_deleted(client: Payi, rag: UseCaseDefinition, refused: Refused) -> None:
    kpis = client.use_cases.definitions.kpis
    arguments: dict[str, Any] = {"name": "k", "description": "d", "kpi_type": "likert5", "goal": 4}
    made = kpis.create(rag.name, **arguments)
    assert (made.kpi_type, made.goal, made.created_timestamp) == ("likert5", 4.0, made.updated_timestamp)
    assert kpis.create(rag.name, **arguments).created_timestamp == made.created_timestamp
    for changes in ({"goal": 5}, {"description": "x"}, {"kpi_type": "likert7"}):
        with refused("kpi_already_exists"):
            kpis.create(rag.name, **arguments | changes)
    changed = kpis.update("k", use_case_name=rag.name, goal=5)
    assert (changed.goal, changed.description) == (5.0, "d")
    assert kpis.retrieve("k", use_case_name=rag.name).goal == 5.0
    assert [kpi.name for kpi in kpis.list(rag.name, kpi_name="k")] == ["k"]
    assert kpis.delete("k", use_case_name=rag.name).name == "k"
    for name in ("👩\u200d💻", "a\u00a0b", "x" * 128):
        assert kpis.create(rag.name, **arguments | {"name": name}).name == name
    with refused("kpi_not_found", NotFoundError):
        kpis.retrieve("k", use_case_name=rag.name)
    for bad in (
        {"name": " "},
        {"name": "a\x7f"},
        {"name": "a\x85b"},
        {"name": "\ud800"},
        {"kpi_type": "stars"},
        {"goal": float("nan")},
    ):
        with refused("request_processing_error"):
            kpis.create(rag.name, **arguments | bad)


def test_u13_properties_of_an_instance_are_merged(place: Place) -> None:
    """No operation reads them back, so the ledger is asked."""
    client = place.open()
    who: dict[str, Any] = {"use_case_name": "rag", "use_case_id": "i"}
    client.ingest.units(category="demo", units={}, use_case_properties={"a": "1", "b": "2"}, **who)
    client.ingest.units(category="demo", units={}, use_case_properties={"b": None, "d": "4"}, **who)
    answer = client.use_cases.properties.update("i", use_case_name="rag", properties={"a": None, "c": "3"})

    assert (answer.use_case_id, answer.use_case_name) == ("i", "rag")
    [row] = place.rows("SELECT properties FROM use_case_instances")
    assert json.loads(row["properties"]) == {"c": "3", "d": "4"}


def test_what_is_not_there_is_not_found(client: Payi, rag: UseCaseDefinition, refused: Refused) -> None:
    cases, definitions = client.use_cases, client.use_cases.definitions
    absent: list[Any] = [
        lambda: definitions.retrieve("x"),
        lambda: definitions.update("x", description="d"),
        lambda: definitions.delete("x"),
        lambda: definitions.version.increment("x"),
        lambda: definitions.limit_config.create("x", max=1),
        lambda: definitions.limit_config.delete("x"),
        lambda: definitions.kpis.list("x").items,
        lambda: definitions.kpis.create("x", name="k", description="d", kpi_type="number", goal=1),
        lambda: cases.create("x"),
    ]
    for call in absent:
        with refused("use_case_not_found", NotFoundError):
            call()
    for call in (
        lambda: cases.retrieve("i", use_case_name=rag.name),
        lambda: cases.delete("i", use_case_name=rag.name),
        lambda: cases.properties.update("i", use_case_name=rag.name, properties={}),
        lambda: cases.kpis.list("i", use_case_name=rag.name).items,
        lambda: cases.kpis.update("k", use_case_name=rag.name, use_case_id="i", score=1),
    ):
        with refused("use_case_instance_not_found", NotFoundError):
            call()
    instance = cases.create(rag.name).use_case_id
    with refused("kpi_not_found", NotFoundError):
        cases.kpis.update("k", use_case_name=rag.name, use_case_id=instance, score=1)


def test_items_of_one_call_know_the_instances_of_those_before(client: Payi, rag: UseCaseDefinition) -> None:
    client.use_cases.definitions.version.increment(rag.name)
    event: dict[str, Any] = {"category": "demo", "units": {}, "use_case_id": "i"}
    named = {**event, "use_case_name": rag.name}
    answer = client.ingest.bulk(
        events=[{**named, "use_case_version": 1}, {**named, "use_case_version": 2}, event],
        extra_query={"results": True},
    )

    assert [result and result.use_case_name for result in answer.results or []] == ["rag"] * 3
    assert client.use_cases.retrieve("i", use_case_name=rag.name).type_version == 1
