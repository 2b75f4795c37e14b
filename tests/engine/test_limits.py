"""Limits: create, retrieve, update, list, delete. Conformance rows L-1 to L-21, L-46, L-47."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered

from payi_instrument.errors import BadRequestError, NotFoundError
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import CREATE_LIMIT

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from tests.conftest import Refused, Use

BUDGET: dict[str, Any] = {
    "limit_name": "Monthly Budget",
    "limit_id": "m",
    "max": 100,
    "limit_type": "allow",
    "threshold": 0.8,
    "properties": {"team": "x"},
}
NAN, INF, HUGE = float("nan"), float("inf"), Decimal("1e999999999")
NO_AMOUNTS = [0, -5, -0.0, NAN, Decimal("sNaN"), INF, -INF, 1e21, HUGE, 1e-13]


def status_of_create(client: Payi, **changes: Any) -> int:
    return answered(client, Request(CREATE_LIMIT, body=BUDGET | changes)).status


def names(client: Payi) -> list[str]:
    return [limit.limit_name for limit in client.limits.list(sort_ascending=True)]


def test_l1_create_echoes_everything_and_starts_from_zero(client: Payi) -> None:
    before = datetime.now(UTC)
    assert status_of_create(client) == 201

    limit = client.limits.retrieve("m").limit
    shown = (limit.limit_name, limit.limit_id, limit.max, limit.limit_type, limit.threshold, limit.properties)
    assert shown == ("Monthly Budget", "m", 100.0, "allow", 0.8, {"team": "x"})
    cost = limit.totals.cost
    assert (cost.input.base, cost.output.base, cost.total.base, cost.total.overrun_base) == (0.0, 0.0, 0.0, None)
    assert set(limit.totals.requests.to_dict().values()) == {0}
    assert limit.totals.held == 0
    assert before <= limit.limit_creation_timestamp == limit.limit_update_timestamp <= datetime.now(UTC)


def test_l2_and_l47_an_identical_create_answers_the_limit_with_its_totals(client: Payi, use: Use) -> None:
    client.limits.create(**BUDGET)
    use(600, limit_ids=["m"])
    before = client.limits.retrieve("m").limit

    assert status_of_create(client) == 200
    assert client.limits.create(**BUDGET).limit == before == client.limits.retrieve("m").limit
    assert before.totals.cost.total.base_exact == 6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max": 120}, "create_limit_validation_failed"),  # L-3
        ({"threshold": 0.9}, "create_limit_validation_failed"),  # L-4
        ({"threshold": None}, "create_limit_validation_failed"),
        ({"limit_type": "block"}, "create_limit_validation_failed"),
        ({"properties": {"team": "y"}}, "create_limit_validation_failed"),
        ({"properties": {}}, "create_limit_validation_failed"),
        ({"limit_id": "m2"}, "limit_name_already_exist"),  # L-5
        ({"limit_name": "Other"}, "create_limit_validation_failed"),  # L-6
        ({"limit_id": None, "max": 120}, "limit_name_already_exist"),
    ],
)
def test_l3_to_l6_a_create_that_differs_is_refused_and_changes_nothing(
    client: Payi, refused: Refused, changes: dict[str, Any], code: str
) -> None:
    before = client.limits.create(**BUDGET).limit
    with refused(code):
        client.limits.create(**BUDGET | changes)

    assert client.limits.list().items == [before]


@pytest.mark.parametrize("changes", [{}, {"limit_id": None}, {"properties": None}, {"max": Decimal("100.00")}])
def test_what_is_the_same_limit_may_be_created_again(client: Payi, changes: dict[str, Any]) -> None:
    client.limits.create(**BUDGET)

    assert status_of_create(client, **changes) == 200


def test_a_create_is_compared_with_the_limit_as_it_is_now(client: Payi, refused: Refused) -> None:
    client.limits.create(**BUDGET)
    client.limits.update("m", max=120)

    assert status_of_create(client, max=120) == 200
    with refused("create_limit_validation_failed"):
        client.limits.create(**BUDGET)


def test_a_conflict_names_the_members_that_differ(client: Payi) -> None:
    client.limits.create(**BUDGET)
    with pytest.raises(Exception, match="max, threshold"):
        client.limits.create(**BUDGET | {"max": 1, "threshold": 0.9})


def test_l7_and_l8_an_absent_id_is_made_once(client: Payi) -> None:
    first = client.limits.create(limit_name="one", max=1).limit.limit_id
    other = client.limits.create(limit_name="two", max=1).limit.limit_id

    assert first
    assert first != other
    assert client.limits.create(limit_name="one", max=1).limit.limit_id == first


@pytest.mark.parametrize("threshold", [0.74, 0.995, 0, -1, 1.01, NAN, INF, HUGE, Decimal("sNaN"), "high"])
def test_l9_a_threshold_out_of_bounds_is_refused(client: Payi, refused: Refused, threshold: Any) -> None:
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="t", max=1, threshold=threshold)


@pytest.mark.parametrize(("threshold", "shown"), [(0.75, 0.75), (0.99, 0.99), (None, 1.0), (1.0, 1.0)])
def test_l10_a_threshold_in_bounds_reads_back(client: Payi, threshold: float | None, shown: float) -> None:
    client.limits.create(limit_name="t", limit_id="t", max=1, threshold=threshold)

    assert client.limits.retrieve("t").limit.threshold == shown
    assert client.limits.create(limit_name="t", max=1, threshold=shown).limit.limit_id == "t"


@pytest.mark.parametrize("maximum", NO_AMOUNTS)
def test_l11_a_max_that_is_no_amount_is_refused(client: Payi, refused: Refused, maximum: float) -> None:
    with refused("invalid_max_limit"):
        client.limits.create(limit_name="m", max=maximum)
    client.limits.create(limit_name="m", limit_id="m", max=1)
    with refused("invalid_max_limit"):
        client.limits.update("m", max=maximum)

    assert client.limits.retrieve("m").limit.max == 1


@pytest.mark.parametrize("maximum", ["a lot", True, [], {}])
def test_a_max_of_another_type_is_refused(client: Payi, refused: Refused, maximum: Any) -> None:
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="m", max=maximum)


@pytest.mark.parametrize("maximum", ["0.000000000001", "99999999999999999999.999999999999", "1e19", "12.500"])
def test_a_max_is_kept_to_its_last_digit(client: Payi, maximum: str) -> None:
    client.limits.create(limit_name="m", limit_id="m", max=Decimal(maximum))  # type: ignore[arg-type]  # exact callers

    assert client.limits.retrieve("m").limit.max_exact == Decimal(maximum)


def test_an_answers_max_goes_back_with_its_last_digit(client: Payi) -> None:
    maximum = Decimal("12345678901234.123456789012")
    shown = client.limits.create(limit_name="m", limit_id="m", max=maximum).limit.max  # type: ignore[arg-type]
    client.limits.create(limit_name="m", limit_id="m", max=shown)
    client.limits.update("m", max=shown)

    assert client.limits.retrieve("m").limit.max_exact == maximum
    assert str(maximum) in client.limits.with_raw_response.retrieve("m").text()


def test_l12_the_type_is_allow_unless_given(client: Payi, refused: Refused) -> None:
    assert client.limits.create(limit_name="a", max=1).limit.limit_type == "allow"
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="b", max=1, limit_type="stop")  # type: ignore[arg-type]


@pytest.mark.parametrize("limit_id", ["a,b", " a", "a ", "", "a\0", "a\nb", "ä", "🙂", "x" * 129, "\ud800", 7])
def test_l13_an_id_that_no_header_can_carry_is_refused(client: Payi, refused: Refused, limit_id: Any) -> None:
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="n", max=1, limit_id=limit_id)

    assert client.limits.list().items == []


@pytest.mark.parametrize("name", ["", "   ", "x" * 257])
def test_a_name_is_1_to_256_characters(client: Payi, refused: Refused, name: str) -> None:
    client.limits.create(limit_name="x" * 256, limit_id="m", max=1)
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name=name, max=1)
    with refused("update_limit_validation_failed"):
        client.limits.update("m", limit_name=name)


def test_half_a_character_is_refused(client: Payi, refused: Refused) -> None:
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="\ud800", max=1)
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="a", limit_id="\ud800", max=1)
    with refused("update_limit_validation_failed"):
        client.limits.update("a", limit_name="\ud800")
    for properties in ({"\ud800": "x"}, {"a": "\udc00"}):
        with refused("create_limit_validation_failed"):
            client.limits.create(limit_name="a", max=1, properties=properties)
    assert client.limits.list().items == []


def test_a_refusal_shows_no_more_of_a_value_than_is_read(client: Payi) -> None:
    for refused in (
        {"max": Decimal("1" * 5000)},
        {"max": Decimal("-1" + "0" * 5000)},
        {"max": 1, "threshold": Decimal("2" * 5000)},
        {"limit_name": " " * 5000, "max": 1},
    ):
        with pytest.raises(BadRequestError) as caught:
            client.limits.create(**{"limit_name": "a", **refused})  # type: ignore[arg-type]
        assert len(str(caught.value)) < 500


def test_a_blank_name_is_told_what_a_name_is(client: Payi) -> None:
    with pytest.raises(BadRequestError, match="not only blanks"):
        client.limits.create(limit_name="  ", max=1)


def test_l14_and_l15_the_name_filter_is_exact(client: Payi) -> None:
    for name in ("Monthly Budget", "Monthly Budget 2", "monthly budget"):
        client.limits.create(limit_name=name, max=1)

    assert [limit.limit_name for limit in client.limits.list(limit_name="Monthly Budget")] == ["Monthly Budget"]
    assert client.limits.list(limit_name="Monthly").items == []


def test_a_limit_has_every_property_that_is_asked_for(client: Payi) -> None:
    for name, properties in (("one", {"t": "1"}), ("two", {"t": "2"}), ("both", {"t": "2", "u": "1"})):
        client.limits.create(limit_name=name, max=1, properties=properties)

    def found(*pairs: str) -> set[str]:
        return {limit.limit_name for limit in client.limits.list(extra_query={"property": list(pairs)})}

    assert found("t:2") == found("t:2", "t:2") == {"two", "both"}
    assert found("t:2", "u:1") == {"both"}
    assert found("t:1", "t:2") == found("t:2", "t:1") == set()


def test_l16_an_unknown_id_is_not_found(client: Payi, refused: Refused) -> None:
    for call in (client.limits.retrieve, client.limits.delete, client.limits.update):
        with refused("limit_not_found", NotFoundError):
            call("nobody")


def test_l17_an_update_of_max_changes_nothing_else(client: Payi) -> None:
    before = client.limits.create(**BUDGET).limit
    after = client.limits.update("m", max=1200).limit

    assert after.max == 1200
    assert after.limit_update_timestamp > before.limit_update_timestamp
    unchanged = {"max", "limit_update_timestamp"}
    assert after.model_dump(exclude=unchanged) == before.model_dump(exclude=unchanged)
    assert client.limits.retrieve("m").limit == after


def test_l18_a_max_below_the_spend_is_refused(client: Payi, use: Use, refused: Refused) -> None:
    client.limits.create(**BUDGET)
    use(600, limit_ids=["m"])

    with refused("invalid_max_limit_update"):
        client.limits.update("m", max=5.99)
    assert client.limits.update("m", max=6.00).limit.max == 6
    assert use(0, limit_ids=["m"]).limits["m"].state == "exceeded"


def test_l19_threshold_type_and_id_never_change(client: Payi, refused: Refused) -> None:
    before = client.limits.create(**BUDGET).limit
    for member in ({"threshold": 0.9}, {"limit_type": "block"}, {"limit_id": "other"}):
        with refused("update_limit_validation_failed"):
            client.limits.update("m", max=200, extra_body=member)

    assert client.limits.retrieve("m").limit == before


def test_l20_a_rename_to_a_taken_name_is_refused(client: Payi, refused: Refused) -> None:
    client.limits.create(limit_name="one", limit_id="1", max=1)
    client.limits.create(limit_name="two", limit_id="2", max=1)

    with refused("limit_name_already_exist"):
        client.limits.update("2", limit_name="one")
    assert client.limits.update("2", limit_name="two").limit.limit_name == "two"
    assert client.limits.update("2", limit_name="three").limit.limit_name == "three"
    assert names(client) == ["one", "three"]


@pytest.mark.parametrize("changes", [{}, {"max": None}, {"max": 100, "limit_name": "Monthly Budget"}])
def test_an_update_that_changes_nothing_is_none(client: Payi, changes: dict[str, Any]) -> None:
    before = client.limits.create(**BUDGET).limit

    assert client.limits.update("m", **changes).limit == before


def test_an_ingest_is_no_update(client: Payi, use: Use) -> None:
    before = client.limits.create(**BUDGET).limit
    use(100, limit_ids=["m"])

    assert client.limits.retrieve("m").limit.limit_update_timestamp == before.limit_update_timestamp


def test_l21_a_deleted_limit_starts_again_from_zero(client: Payi, use: Use) -> None:
    client.limits.create(**BUDGET)
    use(600, limit_ids=["m"])
    client.limits.delete("m")

    assert client.limits.list().items == []
    assert use(1, limit_ids=["m"]).warnings == ["limit_not_found: m"]
    assert status_of_create(client, max=5, threshold=0.9) == 201
    limit = client.limits.retrieve("m").limit
    assert (limit.max, limit.totals.cost.total.base, limit.totals.requests.total) == (5.0, 0.0, 0)


def test_l46_amounts_compare_and_format_as_floats(client: Payi) -> None:
    client.limits.create(limit_name="f", limit_id="f", max=0.1, threshold=0.83)

    for limit in (client.limits.retrieve("f").limit, client.limits.list().items[0]):
        assert limit.max == 0.1
        assert limit.threshold == 0.83
        assert f"${limit.max:.2f} {limit.threshold:.2f}" == "$0.10 0.83"
        assert (limit.max_exact, limit.threshold_exact) == (Decimal("0.1"), Decimal("0.83"))


def test_properties_are_kept_and_checked(client: Payi, refused: Refused) -> None:
    limit = client.limits.create(limit_name="p", max=1, properties={"team": "ä🙂", "gone": None}).limit
    assert limit.properties == {"team": "ä🙂"}
    for bad in ({" ": "x"}, {"a": 1}, ["a"]):
        with refused("create_limit_validation_failed"):
            client.limits.create(limit_name="q", max=1, properties=bad)  # type: ignore[arg-type]


def test_unknown_members_of_a_management_body_are_refused(client: Payi, refused: Refused) -> None:
    with refused("create_limit_validation_failed"):
        client.limits.create(limit_name="u", max=1, extra_body={"maximum": 5})

    assert client.limits.list().items == []


def test_identical_creates_at_once_make_one_limit(client: Payi) -> None:
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: status_of_create(client), range(16)))

    assert sorted(statuses) == [200] * 15 + [201]
    assert names(client) == ["Monthly Budget"]
