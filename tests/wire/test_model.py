"""The models on the wire: exact money, lenient answers, closed bodies, copies that lose nothing."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from payi_instrument.wire.ingest import IngestResponse
from payi_instrument.wire.limits import CreateLimit, LimitResponse
from payi_instrument.wire.model import Money, Timestamp, exact
from payi_instrument.wire.operations import OPERATIONS
from payi_instrument.wire.result import CostDetails, LimitResult, XproxyResult

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from payi_instrument.wire.model import Model
    from tests.conftest import Use

DIGITS = "1234567890123.000000000001"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15))
def test_money_is_a_float_with_the_exact_amount_behind_it(amount: Decimal) -> None:
    money = Money(amount)

    assert money.exact == amount
    assert money == float(amount)
    assert f"{money:.2f} {money}" == f"{float(amount):.2f} {float(amount)}"
    assert hash(money) == hash(float(amount))


def test_money_from_a_float_is_its_shortest_text() -> None:
    assert [Money(value).exact for value in (0.1, 0.29, 1e-7, 3, "0.30")] == [
        Decimal(text) for text in ("0.1", "0.29", "1e-7", "3", "0.30")
    ]
    assert Money(0.1) + Money(0.2) == 0.1 + 0.2
    assert Money(2) > Money(1)
    assert Money(100) == 100


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda money: pickle.loads(pickle.dumps(money))])
def test_copies_of_money_are_exact(copied: object) -> None:
    money = Money(Decimal(DIGITS))
    again = copied(money)  # type: ignore[operator]

    assert (type(again), again, again.exact) == (Money, money, Decimal(DIGITS))


@pytest.mark.parametrize("value", [Decimal(DIGITS), DIGITS, Money(DIGITS)])
def test_models_read_money_exactly(value: object) -> None:
    cost = CostDetails.model_validate({"base": value})

    assert (cost.base_exact, cost.overrun_base, cost.overrun_base_exact) == (Decimal(DIGITS), None, None)
    assert CostDetails.model_validate(json.loads(cost.to_json(), parse_float=Decimal)).base_exact == Decimal(DIGITS)
    assert cost.model_copy(deep=True).base_exact == Decimal(DIGITS)


@pytest.mark.parametrize("value", [True, None, [], {}, b"1"])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="not an amount"):
        CostDetails.model_validate({"base": value})


class Holder(BaseModel):
    cost: CostDetails


def test_a_dump_holds_plain_floats_whatever_it_goes_through() -> None:
    """A float's subclass is more than orjson, yaml.safe_dump and their like take."""
    members = {"base": Money("1.5"), "overrun_base": Money(DIGITS), "later": {"a": [Money("0.5")]}}
    cost = CostDetails.model_validate(members)
    in_adapter = TypeAdapter(list[CostDetails]).dump_python([cost])[0]
    in_user_model = Holder(cost=cost).model_dump()["cost"]

    for dumped in (cost.to_dict(), cost.to_dict(mode="json"), cost.model_dump(), in_adapter, in_user_model):
        assert dumped == {"base": 1.5, "overrun_base": float(DIGITS), "later": {"a": [0.5]}}
        assert {type(dumped[name]) for name in ("base", "overrun_base")} == {float}
        assert type(dumped["later"]["a"][0]) is float


def test_a_member_of_another_type_is_dumped_as_it_came() -> None:
    cost = CostDetails.model_construct(base="a lot")  # what a lenient answer may hold

    assert cost.to_dict(warnings=False) == json.loads(cost.to_json(warnings=False)) == {"base": "a lot"}
    with pytest.warns(UserWarning, match="a lot"):
        cost.to_dict()


def test_a_dump_leaves_out_what_it_is_told_to() -> None:
    limit = LimitResult.model_validate({"state": "ok", "max": None, "stale": False, "ratio": 0.5})
    everything = limit.to_dict(exclude_unset=False)

    assert limit.to_dict() == {"state": "ok", "max": None, "stale": False, "ratio": 0.5}
    assert everything.keys() == LimitResult.model_fields.keys()
    assert limit.to_dict(exclude_none=True) == {"state": "ok", "stale": False, "ratio": 0.5}
    assert limit.to_dict(exclude_defaults=True) == {"state": "ok", "ratio": 0.5}
    assert json.loads(limit.to_json(exclude_unset=False)) == everything
    assert limit.to_json(indent=None, exclude_none=True) == '{"state":"ok","ratio":0.5,"stale":false}'
    assert limit.to_json(indent=None, exclude_defaults=True) == '{"state":"ok","ratio":0.5}'
    assert limit.to_json(exclude_defaults=True) == '{\n  "state": "ok",\n  "ratio": 0.5\n}'


def test_money_is_a_number_in_json() -> None:
    cost = CostDetails.model_validate({"base": Decimal("10.01"), "overrun_base": Decimal("0.01")})

    assert json.loads(cost.to_json()) == cost.to_dict() == {"base": 10.01, "overrun_base": 0.01}
    assert CostDetails.model_validate_json(cost.to_json()) == cost


def test_exact_of_nothing_is_nothing() -> None:
    assert (exact(None), exact(Money("0.5"))) == (None, Decimal("0.5"))


def answers(client: Payi, use: Use) -> list[Model]:
    """Return answers of the embedded meter, which it makes without validation."""
    limit = client.limits.create(limit_name="a", limit_id="a", max=Decimal(DIGITS))  # type: ignore[arg-type]
    result = use(3, limit_ids=["a", "no"], user_id="u", use_case_name="chat")
    return [limit, result, use(units={"foo": {"input": 1}}), client.limits.retrieve("a"), client.limits.list().items[0]]


def test_answers_survive_copies_pickles_and_the_wire(client: Payi, use: Use) -> None:
    for answer in answers(client, use):
        kind = type(answer)
        for again in (
            copy.copy(answer),
            copy.deepcopy(answer),
            pickle.loads(pickle.dumps(answer)),
            kind.model_validate(answer.model_dump()),
            kind.model_validate_json(answer.model_dump_json()),
        ):
            assert again == answer
        assert kind.model_validate(answer.model_dump()).model_dump() == answer.model_dump()
        assert json.loads(answer.to_json()) == answer.to_dict(mode="json")
        assert repr(answer).startswith(kind.__name__)


def test_a_copy_of_an_answer_is_exact(client: Payi, use: Use) -> None:
    limit, *_ = answers(client, use)
    for again in (copy.deepcopy(limit), pickle.loads(pickle.dumps(limit))):
        assert LimitResponse.model_validate(again).limit.max_exact == Decimal(DIGITS)


def test_members_left_out_have_their_defaults() -> None:
    made = LimitResult.of(state="ok")

    assert (made.state, made.max, made.stale, made.max_exact) == ("ok", None, False, None)
    assert made.model_fields_set == {"state"}
    assert made.to_dict() == {"state": "ok"}
    assert XproxyResult().limits == {}
    assert XproxyResult().limits is not XproxyResult().limits


def test_an_answer_keeps_members_of_the_future() -> None:
    result = XproxyResult.model_validate({"limits": {"a": {"state": "ok", "colour": "red"}}, "mood": "good"})

    assert result.mood == "good"  # type: ignore[attr-defined]
    assert result.limits["a"].colour == "red"  # type: ignore[attr-defined]
    assert result.to_dict() == {"limits": {"a": {"state": "ok", "colour": "red"}}, "mood": "good"}


def test_a_result_says_why_it_is_not_complete() -> None:
    result = XproxyResult.model_validate({"error": {"code": "limit_not_found", "message": "gone"}})

    assert (result.code, result.message) == ("limit_not_found", "gone")
    assert (XproxyResult().code, XproxyResult().message) == (None, None)


@pytest.mark.parametrize("limits", [{"a": {"state": "OK"}}, {"a": None}, []])
def test_states_are_lower_case_and_limits_a_mapping(limits: object) -> None:
    with pytest.raises(ValidationError):
        XproxyResult.model_validate({"limits": limits})


def test_a_management_body_takes_no_unknown_member() -> None:
    with pytest.raises(ValidationError, match="maximum"):
        CreateLimit.model_validate({"limit_name": "n", "max": 1, "maximum": 2})


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2024-01-01T12:00:00", datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("2024-01-01T12:00:00+02:00", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
        (datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 12, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=-5))), datetime(2024, 1, 1, 17, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc(sent: object, read: datetime) -> None:
    moment = TypeAdapter(Timestamp).validate_python(sent)

    assert (moment, moment.utcoffset()) == (read, timedelta(0))


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00", "soon", "", None])
def test_a_time_outside_the_calendar_is_refused(sent: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Timestamp).validate_python(sent)


def test_the_time_of_an_answer_ends_in_z() -> None:
    response = IngestResponse.model_validate(
        {
            "request_id": "r",
            "event_timestamp": "2024-01-01T00:00:00",
            "ingest_timestamp": "2024-01-01T02:00:00+02:00",
            "xproxy_result": {},
        }
    )
    shown = response.to_dict(mode="json")
    assert shown["event_timestamp"] == shown["ingest_timestamp"] == "2024-01-01T00:00:00Z"
    assert response.to_dict()["ingest_timestamp"] == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_model_has_a_json_schema(operation: object) -> None:
    for part in ("body", "query", "answer"):
        model = getattr(operation, part)
        if model is not None:
            assert TypeAdapter(model).json_schema()


def test_json_text_of_an_answer_keeps_every_digit() -> None:
    tiny = Decimal("0.1000000000000000055511151231257827")
    made = CostDetails.model_validate({"base": tiny, "overrun_base": Decimal(DIGITS), "later": {"ä": [Money(tiny)]}})
    text = made.to_json()

    assert f'"base": {tiny}' in text
    assert f'"base":{tiny}' in made.to_json(indent=None)
    assert json.loads(text, parse_float=Decimal) == {
        "base": tiny,
        "overrun_base": Decimal(DIGITS),
        "later": {"ä": [tiny]},
    }
    assert "ä" in text


def test_json_text_of_an_answer_has_times_in_utc_and_null_for_what_is_no_number() -> None:
    limit = LimitResult.of(ratio=float("nan"), max=Money(Decimal("Infinity")))

    assert json.loads(limit.to_json()) == {"ratio": None, "max": None}


@pytest.mark.parametrize(
    "sent", [5, 0, 1.5, True, Decimal(5), "1700000000", "-5", "1.5", "20240101", "1.5e-3", b"1700000000"]
)
def test_a_number_is_no_time(sent: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Timestamp).validate_python(sent)
